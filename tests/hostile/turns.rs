//! A peer that asks for much does not hold up another that asks for little, because the master serves grants in turns.

mod hooks;
mod refs;
mod suspects;

use client::BuildQuery;
use client::views::BuildView;
use schema::perspective_capnp::{submitter, viewer};
use schema::values::{GrantKind, Outcome, Right, State, What};
use schema::vat::Vat;
use schema::wire;
use schema::worker_capnp::{lease, source_pack};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use support::guild::{House, Played, perspective, run};

/// A pipeline of one job. Builds of it stay unfinished unless a test plays a worker.
const PIPELINE: &str = "version = 1\n[[job.a.step]]\nrun = [\"true\"]\n";
/// The number of builds in the store, which makes a list of all of them expensive.
const BUILDS: usize = 300;
/// The calls in flight of the peer that asks for much: a little fewer than the 4,096 that a known peer may have.
const FLOOD: usize = 4_000;
/// The number of calls of the peer that asks for little.
const HONEST: usize = 40;
/// The limit for the answers that the flood gets while the other peer waits for one. Without turns it would get all [`FLOOD`].
const BETWEEN_MAX: usize = 400;

/// 4,000 lists in flight by one viewer do not hold up the lists of another.
#[test]
fn a_flood_of_lists_holds_up_nobody_else() {
    run(async {
        let house = House::open(PIPELINE).await;
        fill(&house).await;
        let (_mallory, flooding) = viewer_of(&house, "mallory").await;
        let (_alice, honest) = viewer_of(&house, "alice").await;
        let answered = Rc::new(Cell::new(0));
        let flood: Vec<_> = (0..FLOOD).map(|_| keep_asking(flooding.clone(), 1_000, answered.clone())).collect();
        let flood: Vec<_> = flood.into_iter().map(tokio::task::spawn_local).collect();
        until_moving(&answered).await;
        let (mut times, mut between) = (Vec::new(), Vec::new());
        for _ in 0..HONEST {
            let (began, before) = (Instant::now(), answered.get());
            list(&honest, 1).await;
            times.push(began.elapsed());
            between.push(answered.get() - before);
        }
        flood.iter().for_each(tokio::task::JoinHandle::abort);
        between.sort_unstable();
        println!(
            "beside {FLOOD} lists in flight: {}; answers of the flood between, at most {}",
            told(times),
            between[HONEST - 1]
        );
        assert!(between[HONEST - 1] <= BETWEEN_MAX, "{between:?}");
    });
}

/// The packs that one lease asks for at once. Each is of other commits, so none can be shared.
const PACKS: usize = 800;
/// The packs that the master makes at once for all workers.
const PACKS_AT_ONCE: usize = 4;
/// The runs of git that the master has at once, for packs and for all else.
const RUNS_AT_ONCE: usize = 12;

/// A lease that asks for 800 packs gets them one at a time, and the rest is dropped when its grant is revoked.
#[test]
fn packs_are_made_in_turns() {
    run(async {
        let house = House::open(PIPELINE).await;
        let commits: Vec<String> = (0..12).map(|at| house.repo.commit("a", &at.to_string(), "more")).collect();
        house.guild.run("demo", "", "").await.unwrap();
        let worker = house.worker("mallory").await;
        let source = source_of(&worker).await;
        let answers = Rc::new(RefCell::new(Vec::new()));
        for subset in 0..PACKS {
            let have = commits.iter().enumerate().filter(|(at, _)| subset >> at & 1 == 1).map(|(_, id)| id.clone());
            let (have, source, answers) = (have.collect::<Vec<_>>(), source.clone(), answers.clone());
            tokio::task::spawn_local(async move {
                let said = pack(&source, &have).await;
                answers.borrow_mut().push(said);
            });
        }
        let (_alice, honest) = viewer_of(&house, "alice").await;
        let mut times = Vec::new();
        while answers.borrow().len() < PACKS / 8 {
            let began = Instant::now();
            list(&honest, 1).await;
            times.push(began.elapsed());
        }
        let (packs, git) = (house.parts.api.packs(), house.parts.repositories.git().counts());
        println!("beside {PACKS} packs: {}; packs {packs:?}, runs of git {git:?}", told(times));
        assert_eq!(packs.most, 1, "one lease makes one pack at a time");
        assert!(git.most <= RUNS_AT_ONCE);
        assert!(answers.borrow().iter().all(Result::is_ok), "{:?}", answers.borrow());
        // packs that still wait when the grant is revoked are dropped
        let grants = house.guild.grants().await.unwrap();
        let grant = grants.iter().find(|grant| grant.name == "mallory").unwrap().id;
        house.guild.revoke(grant, "enough").await.unwrap();
        until(|| answers.borrow().len() == PACKS).await;
        until(|| house.parts.api.packs().waiting == 0 && house.parts.repositories.git().counts().serving == 0).await;
        let refused: Vec<String> = answers.borrow().iter().filter_map(|said| said.clone().err()).collect();
        assert!(refused.len() > PACKS / 4 && refused.iter().all(|why| why.contains("revoked")), "{refused:?}");
    });
}

#[test]
fn the_packs_of_many_leases_are_bounded_together() {
    run(async {
        let house = House::open(PIPELINE).await;
        let commits: Vec<String> = (0..4).map(|at| house.repo.commit("a", &at.to_string(), "more")).collect();
        let (mut workers, mut asked) = (Vec::new(), Vec::new());
        for name in ["one", "two", "three", "four", "five"] {
            let worker = house.worker(name).await;
            for _ in 0..3 {
                house.guild.run("demo", "", "").await.unwrap();
                let source = source_of(&worker).await;
                let first = asked.len() / 4;
                let have = |subset: usize| commits.iter().skip(subset % 5).cloned().collect::<Vec<_>>();
                asked.extend((0..4).map(|at| (source.clone(), have(at + first))));
            }
            workers.push(worker);
        }
        let packed = asked.iter().map(|(source, have)| pack(source, have));
        let packed = futures::future::join_all(packed).await;
        assert!(packed.iter().all(Result::is_ok), "{packed:?}");
        let (packs, git) = (house.parts.api.packs(), house.parts.repositories.git().counts());
        assert_eq!(packs.most, PACKS_AT_ONCE);
        assert!(git.most <= RUNS_AT_ONCE, "{git:?}");
    });
}

#[test]
fn a_lease_holds_few_packs() {
    run(async {
        let house = House::open(PIPELINE).await;
        house.guild.run("demo", "", "").await.unwrap();
        let worker = house.worker("mallory").await;
        let source = source_of(&worker).await;
        let mut held = Vec::new();
        let refused = loop {
            let answer = source.pack_request().send().promise.await.unwrap();
            match wire::refusal(answer.get().unwrap().has_refusal(), answer.get().unwrap().get_refusal()).unwrap() {
                None => held.push(answer.get().unwrap().get_pack().unwrap()),
                Some(refusal) => break refusal,
            }
        };
        assert_eq!(
            (held.len(), refused.text.as_str()),
            (16, "this lease already holds 16 packs, and may hold no more")
        );
        // when a pack is dropped, the lease may have another
        held.pop();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(pack(&source, &[]).await, Ok(()));
    });
}

/// Returns a job with `count` patterns of 960 characters, each of which is expensive to match.
fn job_of_patterns(name: usize, count: usize) -> String {
    let patterns: Vec<String> = (0..count).map(|at| format!("\"{}{at}\"", "*a".repeat(480))).collect();
    format!("[job.j{name}]\nwhen = {{ paths = [{}] }}\n[[job.j{name}.step]]\nrun = [\"true\"]\n", patterns.join(","))
}

fn pipeline_of_patterns(jobs: usize, count: usize) -> String {
    let jobs: String = (0..jobs).map(|name| job_of_patterns(name, count)).collect();
    format!("version = 1\n{jobs}")
}

#[test]
fn more_patterns_than_a_plan_may_cost_are_refused_by_name() {
    run(async {
        let house = House::open(PIPELINE).await;
        let bomb = pipeline_of_patterns(30, 30);
        assert!(bomb.len() > 850_000);
        house.repo.commit("guild.toml", &bomb, "bomb");
        let lull = Lull::begin();
        let diagnosis = build_of(&house, "bomb").await.diagnosis;
        println!("a file of {} bytes: the one thread stood still for {:?} at most", bomb.len(), lull.end());
        assert!(
            diagnosis.contains("all patterns of the file together may have at most 200000 characters"),
            "{diagnosis}"
        );
    });
}

/// Matching the most patterns that a plan may have with 999 changed paths does not stop the thread that serves all calls.
#[test]
fn the_most_patterns_and_paths_stall_nobody() {
    run(async {
        let house = House::open(PIPELINE).await;
        build_of(&house, "first").await;
        house.repo.commit("guild.toml", &pipeline_of_patterns(8, 25), "patterns");
        let worker = house.worker("honest").await;
        for _ in 0..9 {
            let (_, lease) = worker.take().await;
            lease.accept_request().send().promise.await.unwrap();
            support::guild::work(&lease, b"", Outcome::Succeeded).await;
        }
        for at in 0..998 {
            let file = house.repo.path.join(format!("{}{at}", "a".repeat(200)));
            std::fs::write(file, "").unwrap();
        }
        house.repo.commit("a", "", "paths");
        let (lull, began) = (Lull::begin(), Instant::now());
        let build = build_of(&house, "paths").await;
        let (longest, took) = (lull.end(), began.elapsed());
        println!("200 patterns, 999 paths: planned after {took:?}, the one thread stood still for {longest:?} at most");
        assert!(build.jobs.iter().all(|job| job.outcome == Some(Outcome::Skipped)), "{:?}", build.jobs);
        assert!(house.parts.planner.counts().most > 0);
        assert!(took < Duration::from_millis(800) || longest < took / 2, "it was planned on the one thread");
    });
}

/// Waits until the build of the commit with this subject is planned, and returns it.
async fn build_of(house: &House, subject: &str) -> BuildView {
    let query = BuildQuery { project: "demo".to_owned(), limit: 10, ..BuildQuery::default() };
    loop {
        let builds = house.guild.builds(&query).await.unwrap();
        let found = builds.iter().find(|build| build.subject == subject && build.state != State::Planning);
        if let Some(build) = found {
            return house.guild.build("demo", build.number).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// `Lull` measures the longest time for which this thread did not run other tasks.
struct Lull {
    longest: Rc<Cell<Duration>>,
    task: tokio::task::JoinHandle<()>,
}

impl Lull {
    fn begin() -> Lull {
        let longest = Rc::new(Cell::new(Duration::ZERO));
        let kept = longest.clone();
        let task = tokio::task::spawn_local(async move {
            loop {
                let began = Instant::now();
                tokio::time::sleep(Duration::from_millis(1)).await;
                kept.set(kept.get().max(began.elapsed()));
            }
        });
        Lull { longest, task }
    }

    fn end(self) -> Duration {
        self.task.abort();
        self.longest.get()
    }
}

/// Takes and accepts the next job of this worker, and returns the job's source.
async fn source_of(worker: &Played) -> source_pack::Client {
    let (_, lease): (_, lease::Client) = worker.take().await;
    lease.accept_request().send().promise.await.unwrap();
    let answer = lease.source_request().send().promise.await.unwrap();
    answer.get().unwrap().get_source().unwrap()
}

/// Asks for a pack and drops it. Returns the text of the error or of the refusal, if there is one.
async fn pack(source: &source_pack::Client, have: &[String]) -> Result<(), String> {
    let mut request = source.pack_request();
    wire::write_texts(request.get().init_have(wire::length(have.len())), have);
    let answer = request.send().promise.await.map_err(|error| error.to_string())?;
    let answer = answer.get().map_err(|error| error.to_string())?;
    match wire::refusal(answer.has_refusal(), answer.get_refusal()).unwrap() {
        Some(refusal) => Err(refusal.text),
        None => Ok(()),
    }
}

async fn until(holds: impl Fn() -> bool) {
    for _ in 0..800 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it never holds");
}

#[test]
fn a_flood_of_orders_holds_up_nobody_else() {
    run(async {
        let house = House::open(PIPELINE).await;
        build_of(&house, "first").await;
        let (mallory, alice) = (submitter_of(&house, "mallory").await, submitter_of(&house, "alice").await);
        let answered = Rc::new(Cell::new(0));
        let flood: Vec<_> = (0..300)
            .map(|at| {
                let (mallory, answered) = (mallory.1.clone(), answered.clone());
                tokio::task::spawn_local(async move {
                    order(&mallory, at).await;
                    answered.set(answered.get() + 1);
                })
            })
            .collect();
        until(|| answered.get() > 2).await;
        let (began, before) = (Instant::now(), answered.get());
        order(&alice.1, 1_000).await;
        let between = answered.get() - before;
        println!("beside 300 orders: {:?}, {between} of them between", began.elapsed());
        assert!(between <= 30, "{between}");
        flood.iter().for_each(tokio::task::JoinHandle::abort);
    });
}

async fn submitter_of(house: &House, name: &str) -> (Vat, submitter::Client) {
    let what = What { may: [Right::Run].into(), projects: ["*".to_owned()].into(), ..What::default() };
    let (reference, identity) = house.enroll(GrantKind::User, name, what).await;
    let (vat, perspective) = perspective(&reference, &identity).await;
    let answer = perspective.submitter_request().send().promise.await.unwrap();
    (vat, answer.get().unwrap().get_submitter().unwrap())
}

/// Asks for a build of the main branch, which the master fetches for it. `at` makes the request id, so it must be new each time.
async fn order(submitter: &submitter::Client, at: u32) {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&at.to_le_bytes());
    let mut request = submitter.run_request();
    request.get().set_request(&id);
    request.get().set_project("demo");
    request.get().set_ref("refs/heads/main");
    let answer = request.send().promise.await.unwrap();
    assert!(!answer.get().unwrap().has_refusal());
}

async fn fill(house: &House) {
    let runs = (0..BUILDS).map(|_| house.guild.run("demo", "", ""));
    let numbers = futures::future::join_all(runs).await;
    assert!(numbers.iter().all(Result::is_ok));
}

/// Opens a connection with a grant that may look at everything, and do nothing else.
async fn viewer_of(house: &House, name: &str) -> (Vat, viewer::Client) {
    let what = What { may: [Right::View].into(), projects: ["*".to_owned()].into(), ..What::default() };
    let (reference, identity) = house.enroll(GrantKind::User, name, what).await;
    let (vat, perspective) = perspective(&reference, &identity).await;
    let answer = perspective.viewer_request().send().promise.await.unwrap();
    let viewer = answer.get().unwrap().get_viewer().unwrap();
    (vat, viewer)
}

async fn list(viewer: &viewer::Client, limit: u32) -> usize {
    let mut request = viewer.builds_request();
    request.get().set_limit(limit);
    let answer = request.send().promise.await.unwrap();
    answer.get().unwrap().get_builds().unwrap().len() as usize
}

async fn keep_asking(viewer: viewer::Client, limit: u32, answered: Rc<Cell<usize>>) {
    loop {
        list(&viewer, limit).await;
        answered.set(answered.get() + 1);
    }
}

async fn until_moving(answered: &Cell<usize>) {
    while answered.get() < 10 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Formats times as `p50 1.0ms, p99 3.0ms, max 4.0ms`.
fn told(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    format!("p50 {:.1?}, p99 {:.1?}, max {:.1?}", at(0.5), at(0.99), times[times.len() - 1])
}
