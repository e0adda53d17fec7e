//! Tests of the moment at which a job may be placed again. Each attempt has one clock, and the master may learn more about a worker
//! that is out of reach. Each case is a small script with one worker.

use crate::world::{World, one, token_of};
use master::decide::coordinator::record::{JobKey, LeaseToken, SealRow, StepKey};
use master::decide::coordinator::{Arrival, Attached, PoolTerms, ProjectTerms, Resumption, SessionId, Terms};
use master::explain::Explainer;
use schema::sturdy_ref::Fingerprint;
use schema::values::{Assignment, Home, Outcome, RefusalCode, State, What};
use std::collections::BTreeMap;
use std::time::Duration;

/// `Scene` has one worker `w` of the pool `linux`.
struct Scene {
    world: World,
}

impl Scene {
    fn new(terms: Terms) -> Scene {
        let mut world = World::new(terms);
        world.enroll("w", What { pools: ["linux".to_owned()].into(), ..What::default() });
        Scene { world }
    }

    fn attach(&mut self, arrival: Arrival) -> Attached {
        self.world.come(0, arrival)
    }

    /// Submits a job of the pool, and lets the worker take and begin it.
    fn begin(&mut self, session: SessionId) -> (LeaseToken, Assignment) {
        self.world.submit(one());
        self.world.ask(session);
        let (_, offer) = self.world.offers.pop().expect("the job is offered");
        let token = LeaseToken(offer.token);
        self.world.accept(token);
        (token, offer)
    }

    fn lose_link(&mut self) {
        let (session, _) = self.world.it.session_of("w").expect("it is connected");
        self.world.lose(session);
    }

    /// Whether the job of a lease may be offered to another worker now.
    fn is_free(&self, job: JobKey) -> bool {
        self.world.state(job) == State::Queued
    }

    fn job_of(&self, token: LeaseToken) -> JobKey {
        self.world.it.lease_job(token).expect("the lease is live").0
    }

    /// Returns the milliseconds after which the job is free, in steps of one second. `None` means that it is not free within an hour.
    fn free_after(&mut self, job: JobKey) -> Option<u64> {
        (0..3_600).find_map(|second| {
            if self.is_free(job) {
                return Some(second * 1_000);
            }
            self.world.pass(1_000);
            None
        })
    }

    fn hints(&self, job: JobKey) -> String {
        let explainer = Explainer::new(&self.world.it, self.world.now);
        explainer.explain(job.build, "j").map(|told| told.hints.join("; ")).unwrap_or_default()
    }
}

/// Returns terms with leases of this length, and with another length in the pool. Both are in seconds.
fn terms(lease: u64, of_pool: Option<u64>) -> Terms {
    let pool = PoolTerms { lease: of_pool.map(Duration::from_secs), ..PoolTerms::default() };
    let project = ProjectTerms { pools: ["linux".to_owned()].into() };
    Terms {
        lease: Duration::from_secs(lease),
        pools: BTreeMap::from([("linux".to_owned(), pool)]),
        projects: BTreeMap::from([("p".to_owned(), project)]),
        ..Terms::default()
    }
}

fn home(inode: u64) -> Home {
    Home { boot: "b".to_owned(), pid_namespace: 4, device: 8, inode }
}

fn arrival() -> Arrival {
    Arrival { keeps_terms: true, home: Some(home(1)), ..Arrival::default() }
}

/// Returns how a worker of version 0.1 arrives.
fn old() -> Arrival {
    Arrival::default()
}

#[test]
fn a_lease_has_the_term_that_was_told_with_it() {
    let mut scene = Scene::new(terms(20, Some(5)));
    let attached = scene.attach(arrival());
    let (token, offer) = scene.begin(attached.session);
    assert_eq!(offer.term_ms, 5_000);
    scene.world.it.set_terms(scene.world.now, terms(60, None));
    assert_eq!(
        scene.world.it.renew(scene.world.now, "w", &[token]),
        [Some(Duration::from_secs(5))],
        "a reload is for later ones"
    );
    let (second, offer) = scene.begin(attached.session);
    assert_eq!(offer.term_ms, 60_000);
    assert_eq!(scene.world.it.renew(scene.world.now, "v", &[second]), [None], "it is another worker's");
    let job = scene.job_of(token);
    scene.lose_link();
    assert_eq!(scene.free_after(job), Some(5_000));
}

#[test]
fn a_reload_that_shortens_leases_leaves_those_that_run() {
    let mut scene = Scene::new(terms(20, None));
    let session = scene.attach(arrival()).session;
    let (token, _) = scene.begin(session);
    scene.world.it.set_terms(scene.world.now, terms(5, None));
    let (after, offer) = scene.begin(session);
    assert_eq!(offer.term_ms, 5_000);
    let (before, after) = (scene.job_of(token), scene.job_of(after));
    assert_eq!((scene.free_after(after), scene.free_after(before)), (Some(5_000), Some(15_000)));
}

#[test]
fn a_worker_of_0_1_is_waited_for_as_long_as_it_was_told() {
    for (told, then) in [(terms(20, Some(5)), terms(20, Some(5))), (terms(20, None), terms(5, None))] {
        let mut scene = Scene::new(told);
        let attached = scene.attach(old());
        assert_eq!(attached.term, Duration::from_secs(20));
        scene.world.it.set_terms(scene.world.now, then.clone());
        let (token, _) = scene.begin(attached.session);
        let job = scene.job_of(token);
        scene.world.restart(then);
        assert_eq!(scene.free_after(job), Some(20_000), "also by a master that was restarted");
    }
}

#[test]
fn a_lease_that_a_worker_of_0_1_takes_over_gets_the_term_that_it_is_told() {
    let mut scene = Scene::new(terms(20, Some(5)));
    let session = scene.attach(arrival()).session;
    let (token, _) = scene.begin(session);
    let attached = scene.attach(Arrival { running: vec![token], ..old() });
    assert_eq!((attached.standing, attached.terms), (vec![Resumption::Resumed], vec![Duration::from_secs(20)]));
    let job = scene.job_of(token);
    scene.world.restart(terms(5, None));
    assert_eq!(scene.free_after(job), Some(20_000));
}

#[test]
fn what_a_worker_counts_from_its_last_accept_is_counted_here_too() {
    let mut scene = Scene::new(terms(20, None));
    let session = scene.attach(arrival()).session;
    let (token, _) = scene.begin(session);
    scene.world.pass(15_000);
    scene.world.it.accept(scene.world.now, token).expect("it may be repeated");
    let job = scene.job_of(token);
    assert_eq!(scene.free_after(job), Some(20_000));
}

#[test]
fn a_restart_gives_each_lease_its_own_term_again() {
    let mut scene = Scene::new(terms(60, None));
    let session = scene.attach(arrival()).session;
    let (token, _) = scene.begin(session);
    let job = scene.job_of(token);
    scene.world.pass(50_000);
    scene.world.restart(terms(5, None));
    assert_eq!(scene.free_after(job), Some(60_000));
}

/// If a worker comes back without an attempt, the job is free only if no process of the attempt can still run.
#[test]
fn what_a_worker_comes_back_without_is_free_where_nothing_of_it_runs() {
    let elsewhere = |change: fn(&mut Home)| {
        let mut other = home(1);
        change(&mut other);
        Some(other)
    };
    let cases = [
        ("the same home", home(1).into(), false, Some(0)),
        ("a process lives", home(1).into(), true, Some(60_000)),
        ("another directory", elsewhere(|home| home.inode = 2), false, Some(60_000)),
        ("another disk", elsewhere(|home| home.device = 2), false, Some(60_000)),
        ("another container", elsewhere(|home| home.pid_namespace = 2), false, Some(60_000)),
        ("the machine was restarted", elsewhere(|home| home.boot = "c".to_owned()), false, Some(60_000)),
        ("it does not say", None, false, Some(60_000)),
    ];
    for (case, home, lives, expected) in cases {
        let mut scene = Scene::new(terms(60, None));
        let session = scene.attach(arrival()).session;
        let (token, _) = scene.begin(session);
        let job = scene.job_of(token);
        let alive = if lives { vec![token] } else { Vec::new() };
        scene.attach(Arrival { home, alive, ..arrival() });
        if expected != Some(0) {
            assert!(scene.hints(job).contains("w came back without it, and something of it may still run"), "{case}");
        }
        assert_eq!(scene.free_after(job), expected, "{case}");
    }
}

#[test]
fn what_a_worker_of_0_1_comes_back_without_is_free_when_its_lease_ends() {
    let mut scene = Scene::new(terms(60, None));
    let session = scene.attach(old()).session;
    let (token, _) = scene.begin(session);
    let job = scene.job_of(token);
    scene.attach(old());
    assert_eq!(scene.free_after(job), Some(60_000), "nobody knows where it ran");
}

#[test]
fn an_operator_may_say_that_a_machine_is_off() {
    for (gone, expected) in [(true, Some(0)), (false, Some(60_000))] {
        let mut scene = Scene::new(terms(60, None));
        let session = scene.attach(arrival()).session;
        let (token, _) = scene.begin(session);
        let job = scene.job_of(token);
        let request = scene.world.request();
        assert!(scene.world.it.forget(scene.world.now, request, "w", gone).is_err(), "it is connected");
        scene.lose_link();
        assert!(
            scene.hints(job).contains("`guild worker forget w --gone` to place it again at once"),
            "{}",
            scene.hints(job)
        );
        assert!(
            Explainer::new(&scene.world.it, scene.world.now).workers()[0]
                .waits
                .starts_with("is not connected, and may still run it")
        );
        scene.world.it.forget(scene.world.now, request, "w", gone).expect("the root may");
        scene.world.settle();
        scene.world.it.forget(scene.world.now, request, "w", gone).expect("it may be repeated");
        assert!(scene.world.it.grants().live(scene.world.now, scene.world.grants[0]).is_err(), "its grant is revoked");
        assert_eq!(scene.free_after(job), expected);
    }
}

#[test]
fn a_revoked_worker_frees_its_jobs_by_its_answer() {
    for (ended, expected) in [(true, Some(0)), (false, Some(60_000))] {
        let mut scene = Scene::new(terms(60, None));
        let session = scene.attach(arrival()).session;
        let (token, _) = scene.begin(session);
        let job = scene.job_of(token);
        let (request, grant) = (scene.world.request(), scene.world.grants[0]);
        scene.world.it.revoke(scene.world.now, request, grant, "test").expect("the root may");
        scene.world.settle();
        assert!(!scene.is_free(job), "it may still run");
        assert!(scene.hints(job).contains("asked it whether everything it ran has ended"), "{}", scene.hints(job));
        scene.world.it.revoked_answered(scene.world.now, grant, ended);
        scene.world.settle();
        assert_eq!(scene.hints(job).contains("did not confirm that everything it ran has ended"), !ended);
        assert_eq!(scene.free_after(job), expected);
    }
}

/// If a copy of a worker answers a revocation, the original may still run its jobs, so none of them is free.
#[test]
fn the_answer_of_a_revoked_copy_frees_nothing_of_the_original() {
    let mut scene = Scene::new(terms(60, None));
    let session = scene.attach(arrival()).session;
    let (token, _) = scene.begin(session);
    let job = scene.job_of(token);
    scene.lose_link();
    let home = Some(home(2));
    scene.attach(Arrival { instance: [9; 16], home, running: Vec::new(), ..arrival() });
    let (request, grant) = (scene.world.request(), scene.world.grants[0]);
    scene.world.it.revoke(scene.world.now, request, grant, "test").expect("the root may");
    scene.world.settle();
    scene.world.it.revoked_answered(scene.world.now, grant, true);
    scene.world.settle();
    assert!(!scene.is_free(job), "the original may still run it");
}

/// A worker that is not revoked cannot free its jobs with the answer to a revocation.
#[test]
fn an_answer_counts_for_a_revoked_worker_alone() {
    let mut scene = Scene::new(terms(60, None));
    let session = scene.attach(arrival()).session;
    let (token, _) = scene.begin(session);
    scene.lose_link();
    scene.world.it.revoked_answered(scene.world.now, scene.world.grants[0], true);
    scene.world.settle();
    assert!(scene.world.it.lease_job(token).is_some());
}

#[test]
fn the_worker_itself_takes_its_session_back_from_a_copy() {
    let mut scene = Scene::new(terms(60, None));
    let session = scene.attach(arrival()).session;
    let (token, _) = scene.begin(session);
    let itself = Arrival { running: vec![token], ..arrival() };
    assert!(!scene.world.it.is_the_original("w", &itself), "nobody else has it");
    let copy = Arrival { home: Some(home(2)), instance: [2; 16], ..arrival() };
    let session = scene.attach(copy.clone()).session;
    assert!(scene.world.it.is_the_original("w", &itself));
    assert!(!scene.world.it.is_the_original("w", &arrival()), "it holds nothing");
    scene.begin(session);
    assert!(!scene.world.it.is_the_original("w", &itself), "both hold something: who has the session keeps it");
    assert_eq!(scene.attach(itself).standing, [Resumption::Resumed]);
}

#[test]
fn alarms_that_repeat_are_counted() {
    let mut scene = Scene::new(terms(60, None));
    let grant = scene.world.grants[0];
    for _ in 0..5 {
        scene.world.it.alarm(scene.world.now, grant, "a copy");
        scene.world.pass(1_000);
    }
    assert_eq!(scene.world.alarms(), ["a copy"]);
    scene.world.it.alarm(scene.world.now, grant, "something else");
    for key in [5, 6, 6] {
        assert!(scene.world.it.restore(scene.world.now, token_of(0), Some(Fingerprint([key; 32]))).is_err());
    }
    scene.world.settle();
    let stolen = format!("the credential of grant {} (w) was shown by another key", grant.0);
    assert_eq!(scene.world.alarms(), ["a copy", "something else", &stolen, &stolen], "one of each grant and key");
    scene.world.pass(3_600_000);
    let once = format!("{stolen}: once again within the hour");
    assert_eq!(scene.world.alarms()[4..], ["a copy: 4 times again within the hour".to_owned(), once]);
    scene.world.pass(3_600_000);
    assert_eq!(scene.world.alarms().len(), 6, "nothing more happened");
    scene.world.it.alarm(scene.world.now, grant, "a copy");
    scene.world.settle();
    assert_eq!(scene.world.alarms()[6..], ["a copy"]);
}

/// A seal says that a log does not change any more, so it is recorded in the transaction of the attempt's end, or later.
#[test]
fn logs_are_sealed_when_their_attempt_is_over() {
    let mut scene = Scene::new(terms(60, None));
    let session = scene.attach(arrival()).session;
    let (token, _) = scene.begin(session);
    let key = StepKey { job: scene.job_of(token), attempt: 1, step: 0 };
    let seals =
        |attempt| vec![SealRow { key: StepKey { attempt, ..key }, size: 0, hash: [0; 32], bytes: Some(Vec::new()) }];
    assert_eq!(scene.world.it.seal_logs(seals(1)).unwrap_err().code, RefusalCode::Conflict);
    assert!(scene.world.it.poll_effect().is_none(), "nothing of it is recorded");
    scene.world.it.complete(scene.world.now, token, Outcome::Errored, "").expect("the lease is live");
    assert_eq!(scene.world.it.seal_logs(seals(1)), Ok(()));
    scene.world.settle();
    scene.world.ask(session);
    scene.world.pass(2_000);
    let (_, again) = scene.world.offers.pop().expect("the job is offered again");
    scene.world.accept(LeaseToken(again.token));
    assert_eq!(scene.world.it.seal_logs(seals(1)), Ok(()), "the next attempt has logs of its own");
    assert_eq!(scene.world.it.seal_logs(seals(again.attempt)).unwrap_err().code, RefusalCode::Conflict);
}
