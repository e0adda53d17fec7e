//! The calls of a worker to its master, each by itself, by a worker that the test plays over TLS with an issued credential.
//! `change_to_report.rs` tests them together, with a real worker.

use capnp::capability::Promise;
use schema::event_capnp::observer;
use schema::gateway_capnp::gateway;
use schema::perspective_capnp::perspective;
use schema::sturdy_ref::SturdyRef;
use schema::values::{
    Event, Exit, Filter, GrantKind, Outcome, Progress, Refusal, RefusalCode, Resources, State, StepEnd, Time, What,
};
use schema::wire;
use schema::worker_capnp::lease;
use std::cell::RefCell;
use std::rc::Rc;
use support::guild::{House, Played, dial, enroll, finish, report, restore, run, until, work};

const PIPELINE: &str = "version = 1\n[job.greet]\n[[job.greet.step]]\nname = \"hello\"\nrun = \"echo hello\"\n";

#[test]
fn an_unreadable_pipeline_is_a_failed_build_that_shows_why() {
    run(async {
        let house =
            House::open("version = 1\n[job.a]\nneeds = [\"lnit\"]\nrun = \"true\"\n[job.lint]\nrun = \"true\"\n").await;
        until("the commit is seen", || is_there(&house, 1)).await;
        assert_eq!(house.guild.outcome("demo", 1).await.unwrap(), Outcome::Failed);
        let build = house.guild.build("demo", 1).await.unwrap();
        assert!(build.diagnosis.contains("did you mean `lint`"), "{}", build.diagnosis);
    });
}

#[test]
fn a_dropped_take_gives_its_offer_back() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        let (first, lease) = worker.take().await;
        drop(lease);
        let (second, lease) = worker.take().await;
        assert_eq!((first.build, first.attempt), (second.build, second.attempt), "it costs no attempt");
        assert_ne!(first.token, second.token);
        lease.accept_request().send().promise.await.unwrap();
        work(&lease, b"", Outcome::Succeeded).await;
        assert_eq!(house.guild.outcome("demo", 1).await.unwrap(), Outcome::Succeeded);
    });
}

#[test]
fn a_take_is_answered_with_what_fits_and_comes_to_its_worker() {
    run(async {
        let jobs = ["a", "b", "c", "d", "e"].map(|name| format!("[job.{name}]\nsource = \"none\"\nrun = \"true\"\n"));
        let house = House::open(&format!("version = 1\n{}", jobs.concat())).await;
        let waits = house.parts.driver.clone();
        let wait = || until("all wait", || Promise::ok(waits.peek(|it, _| it.queue_length()) == 5));
        let room = |slots| Resources { slots, cpus_milli: 64_000, memory: 1 << 40 };
        let worker = house.worker("anvil").await;
        for (most, slots, expected) in [(0, 4, 1), (1, 4, 1), (3, 4, 3), (9, 2, 2), (9, 9, 5)] {
            wait().await;
            let offers = worker.take_up_to(most, room(slots)).await;
            assert_eq!(offers.len(), expected, "of {most} with {slots} slots");
            // jobs whose offers were not accepted are queued again
        }
        wait().await;
        let other = house.worker("bellows").await;
        let (mine, others) = (worker.take_up_to(9, room(9)).await, other.take_up_to(9, room(9)).await);
        assert_eq!((mine.len(), others.len()), (3, 1), "no more than come to each");
        let last = worker.take_up_to(9, room(6)).await;
        for (_, lease) in mine.iter().chain(&others).chain(&last) {
            lease.accept_request().send().promise.await.unwrap();
            work(lease, b"", Outcome::Succeeded).await;
        }
        assert_eq!(house.guild.outcome("demo", 1).await.unwrap(), Outcome::Succeeded);
    });
}

#[test]
fn a_worker_that_attaches_again_resumes_its_lease() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        let (assignment, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        let Played { credential, vat, .. } = worker;
        drop((lease, vat));
        let again = Played::attach(credential, vec![assignment.token]).await;
        let view = house.guild.build("demo", 1).await.unwrap();
        assert_eq!((view.jobs[0].state, view.jobs[0].attempt), (State::Running, 1));
        drop(again);
    });
}

#[test]
fn a_revoked_worker_is_told_and_refused_from_then_on() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        let (_, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        let grants = house.guild.grants().await.unwrap();
        let grant = grants.iter().find(|grant| grant.name == "anvil").unwrap();
        house.guild.revoke(grant.id, "test").await.unwrap();
        let refused = lease.accept_request().send().promise.await.map(|_| ()).unwrap_err();
        let words = refused.to_string();
        assert!(words.contains("revoked") || words.contains("closed the connection"), "{words}");
        let said = worker.said.clone();
        until("the worker is told", move || {
            Promise::ok(said.borrow().iter().any(|word| word.starts_with("revoked: ")))
        })
        .await;
        let (_vat, gateway) = support::guild::dial(&worker.credential.0, &worker.credential.1).await;
        let refusal = support::guild::restore(&gateway, &worker.credential.0.token).await.map(|_| ()).unwrap_err();
        assert!(refusal.contains("was revoked: test"), "{refusal}");
    });
}

#[test]
fn a_revoked_subscriber_is_told_nothing_more_though_its_connection_stays() {
    run(async {
        let house = House::open(PIPELINE).await;
        let (any, identity) = house.enroll(GrantKind::User, "any", What::everything()).await;
        let (revoked, grant) =
            enroll(&house.guild, &any, &identity, GrantKind::User, "revoked", What::everything()).await;
        let (_vat, gateway) = dial(&any, &identity).await;
        let stays = subscribe(&restored(&gateway, &any).await).await;
        let ends = subscribe(&restored(&gateway, &revoked).await).await;
        tells_of(&ends, 1).await;
        house.guild.revoke(grant, "test").await.unwrap();
        for (build, file) in [(2, "second"), (3, "third")] {
            house.repo.commit(file, "text", file);
            tells_of(&stays, build).await;
        }
        assert!(ends.borrow().iter().all(|event| event.build <= 1), "{:?}", ends.borrow());
    });
}

async fn restored(gateway: &gateway::Client, of: &SturdyRef) -> perspective::Client {
    capnp::capability::FromClientHook::new(restore(gateway, &of.token).await.unwrap().hook)
}

async fn tells_of(told: &Rc<RefCell<Vec<Event>>>, build: u32) {
    let is_told = || told.borrow().iter().any(|event| event.build == build);
    until("an event of the build is told", || Promise::ok(is_told())).await;
}

#[test]
fn an_attempt_is_told_in_one_call() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        let (_, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        let log = b"hello\n";
        let mut request = lease.log_request();
        request.get().set_step(0);
        let mut request = request.send().pipeline.get_sink().write_request();
        request.get().set_bytes(log);
        request.send().promise.await.unwrap();

        let (start, end) = (Progress::Started { step: 0, time: Time(1) }, ended());
        let finish = Progress::Finished { step: 0, end: step_end(log) };
        let stray = Progress::Started { step: 7, time: Time(1) };
        let refusals = [
            (vec![start.clone(), end.clone()], RefusalCode::Conflict, "step 1 (hello) has not finished yet"),
            (vec![end.clone(), start.clone()], RefusalCode::Invalid, "nothing may follow the end of an attempt"),
            (vec![stray], RefusalCode::Invalid, "none with index 7"),
            (
                vec![start.clone(); 4097],
                RefusalCode::Invalid,
                "the list of progress has 4,097 elements; at most 4,096 are taken",
            ),
        ];
        for (said, code, text) in refusals {
            let refusal = tell(&lease, &said).await.unwrap_err();
            assert!(refusal.code == code && refusal.text.contains(text), "{refusal}");
        }
        let view = house.guild.build("demo", 1).await.unwrap();
        assert_eq!((view.jobs[0].state, view.jobs[0].steps[0].state), (State::Running, State::Running));

        tell(&lease, &[start, finish, end]).await.unwrap();
        assert_eq!(house.guild.outcome("demo", 1).await.unwrap(), Outcome::Succeeded);
        let view = house.guild.build("demo", 1).await.unwrap();
        assert_eq!((view.jobs[0].reason.as_str(), view.jobs[0].steps[0].log_size), ("all went well", 6));
    });
}

fn step_end(log: &[u8]) -> StepEnd {
    StepEnd {
        outcome: Outcome::Succeeded,
        exit: Exit::Code(0),
        time: Time(2),
        log_size: log.len() as u64,
        log_hash: blake3::hash(log).as_bytes().to_vec(),
        tests: None,
    }
}

fn ended() -> Progress {
    Progress::Ended { outcome: Outcome::Succeeded, reason: "all went well".to_owned() }
}

async fn tell(lease: &lease::Client, said: &[Progress]) -> Result<(), Refusal> {
    let mut request = lease.report_request();
    wire::write_progress(request.get().init_progress(wire::length(said.len())), said);
    let answer = request.send().promise.await.unwrap();
    let answer = answer.get().unwrap();
    wire::refusal(answer.has_refusal(), answer.get_refusal()).unwrap().map_or(Ok(()), Err)
}

#[test]
fn a_wrong_log_is_noticed() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        let (_, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        let report = report(&lease);
        report.started_request().send().promise.await.unwrap();
        let sink = report.log_request().send().pipeline.get_sink();
        let mut request = sink.write_request();
        request.get().set_offset(10);
        request.get().set_bytes(b"gap");
        let answer = request.send().promise.await.unwrap();
        let refusal = wire::refusal(answer.get().unwrap().has_refusal(), answer.get().unwrap().get_refusal()).unwrap();
        assert!(refusal.unwrap().text.contains("only 0 bytes were received"));
        finish(&lease, Outcome::Succeeded, 99, &[1; 32]).await;
        let view = house.guild.build("demo", 1).await.unwrap();
        assert!(view.jobs[0].reason.contains("log-incomplete"), "{}", view.jobs[0].reason);
    });
}

fn is_there(house: &House, build: u32) -> Promise<bool, capnp::Error> {
    let guild = house.guild.clone();
    Promise::from_future(async move { Ok(guild.build("demo", build).await.is_ok()) })
}

/// Subscribes to all events of the project `demo`, from the first one on. They are collected in the vector.
async fn subscribe(mine: &perspective::Client) -> Rc<RefCell<Vec<Event>>> {
    let told = Rc::new(RefCell::new(Vec::new()));
    let source = mine.events_request().send().pipeline.get_source();
    let mut request = source.subscribe_request();
    wire::write_filter(request.get().init_filter(), &Filter { projects: vec!["demo".to_owned()], ..Filter::default() });
    request.get().set_observer(capnp_rpc::new_client(Told(told.clone())));
    let answer = request.send().promise.await.unwrap();
    let subscription = answer.get().unwrap().get_subscription().unwrap();
    // the subscription must live as long as the test
    std::mem::forget(subscription);
    told
}

struct Told(Rc<RefCell<Vec<Event>>>);

impl observer::Server for Told {
    async fn observe(
        self: Rc<Self>,
        params: observer::ObserveParams,
        _: observer::ObserveResults,
    ) -> capnp::Result<()> {
        for event in params.get()?.get_events()? {
            self.0.borrow_mut().push(wire::read_event(event)?);
        }
        Ok(())
    }

    async fn gap(self: Rc<Self>, _: observer::GapParams, _: observer::GapResults) -> capnp::Result<()> {
        panic!("nothing is missing");
    }
}
