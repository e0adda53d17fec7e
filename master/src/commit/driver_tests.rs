//! The driver with a disk that is full for a while, and with queued jobs that wait for a slot.

use super::tasks::CLOCK_LOOK;
use super::*;
use crate::decide::coordinator::record::{AttemptRow, BuildRow, JobKey, JobRow, LeaseToken, RequestId, StepKey};
use crate::decide::coordinator::{Arrival, GrantOrder, ROOT, Request, Terms};
use crate::keep::store::Weather;
use crate::program::retention::tests::history::{attempt, build, job};
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use schema::sturdy_ref::Fingerprint;
use schema::values::{Change, GrantKind, JobPlan, Plan, State, What};

#[derive(Clone, Default)]
struct Disk(Rc<Cell<bool>>);

impl Weather for Disk {
    fn before(&self) -> LocalBoxFuture<'_, bool> {
        Box::pin(std::future::ready(self.0.get()))
    }

    fn after(&self) -> LocalBoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Starts a driver that has nothing to do.
fn driver(disk: &Disk) -> Rc<Driver> {
    driver_with("driver-full-disk", disk, Box::new(|_| ()))
}

fn driver_with(name: &str, disk: &Disk, outside: Outside) -> Rc<Driver> {
    driver_over(Store::in_memory(name).unwrap(), disk, outside)
}

fn driver_over(store: Store, disk: &Disk, outside: Outside) -> Rc<Driver> {
    let coordinator = Coordinator::load(Time(0), Terms::default(), store.load().unwrap(), [0; 32]);
    let feed = Rc::new(Feed::new(store.readers(), 1, 0));
    let driver = Driver::new(coordinator, store.under(disk.clone()), feed, Clock::anchored(Time(0)));
    driver.start(outside);
    driver
}

/// Makes the coordinator record one row, because a ref is at a new commit.
fn see(it: &mut Coordinator, revision: u32) {
    it.see_refs("p", vec![("refs/heads/main".to_owned(), revision.to_string())]);
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn what_waits_for_a_full_disk_is_acked_later_and_the_rest_is_refused() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let disk = Disk::default();
            let driver = driver(&disk);
            disk.0.set(true);
            let first = tokio::task::spawn_local({
                let driver = driver.clone();
                async move { driver.apply(|it, _| see(it, 1)).await }
            });
            // a look that began before the full disk was noticed is refused too
            tokio::task::yield_now().await;
            let refused = driver.look(|_, _| ()).await.unwrap_err();
            assert!(refused.text.starts_with("disk full"), "{refused}");
            assert_eq!(driver.apply(|_, _| ()).await.unwrap_err().code, RefusalCode::Unavailable);
            assert!(driver.look(|_, _| ()).now_or_never().expect("it does not wait").is_err());
            assert!(driver.admit().is_err() && !first.is_finished());
            disk.0.set(false);
            first.await.unwrap().unwrap();
            driver.look(|_, _| ()).await.unwrap();
            driver.apply(|_, _| ()).await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn plans_are_read_at_once_and_all_else_waits_for_the_commit() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let (disk, seen) = (Disk::default(), Rc::new(RefCell::new(Vec::new())));
            let told = seen.clone();
            let driver = driver_with("driver-early", &disk, Box::new(move |effect| told.borrow_mut().push(effect)));
            disk.0.set(true);
            let change = Change {
                project: "p".to_owned(),
                ref_name: "refs/heads/main".to_owned(),
                revision: "r".to_owned(),
                ..Default::default()
            };
            driver.note(|it, now| {
                it.found(now);
                let grant = it.issue(now, request(1), order()).expect("the root may");
                it.revoke(now, request(2), grant, "test").expect("the root may");
            });
            driver.note(|it, now| assert!(it.submit_change(now, ROOT, change).is_some()));
            assert!(matches!(seen.borrow()[..], [Effect::Plan { .. }]), "{:?}", seen.borrow());
            tokio::time::sleep(FULL_RETRY).await;
            assert_eq!(seen.borrow().len(), 1, "nothing else while nothing is written");
            disk.0.set(false);
            tokio::time::sleep(2 * FULL_RETRY).await;
            assert!(matches!(seen.borrow()[..], [Effect::Plan { .. }, Effect::Revoke { .. }]), "{:?}", seen.borrow());
        })
        .await;
}

fn request(id: u8) -> Request {
    Request { id: RequestId([id; 16]), by: ROOT, body: [id; 32] }
}

fn order() -> GrantOrder {
    let (name, what) = ("other".to_owned(), What::default());
    GrantOrder { kind: GrantKind::Worker, name, what, lifetime: None, join_hash: [1; 32] }
}

/// Attaches a worker that could take any job.
fn attach(it: &mut Coordinator, now: Time) {
    it.found(now);
    let grant = it.issue(now, request(1), order()).expect("the root may");
    it.redeem(now, [1; 32], [1; 32], Fingerprint([1; 32])).expect("a fresh join");
    it.attach(now, grant, Arrival::default()).expect("its grant is in force");
}

/// Makes a store with one build, which has this many running attempts and this many queued jobs.
async fn store_with(name: &str, attempts: u32, waiting: u32) -> Store {
    let store = Store::in_memory(name).unwrap();
    let build = BuildRow { state: State::Running, job_count: attempts + waiting, ..build(1, "p", 1, "main") };
    let plan = Plan { version: 1, jobs: vec![JobPlan::default(); (attempts + waiting) as usize], ..Plan::default() };
    let mut records = vec![Record::Plan { build: build.id, plan }, Record::Build(build)];
    for index in 0..attempts {
        let key = JobKey { build: BuildId(1), index };
        records.push(Record::Job(JobRow { state: State::Running, ..job(key) }));
        let (token, of) = (LeaseToken([index as u8; 16]), attempt(StepKey { job: key, attempt: 1, step: 0 }));
        records.push(Record::Attempt(AttemptRow { token, finished: None, outcome: None, ..of }));
    }
    for index in attempts..attempts + waiting {
        let row = job(JobKey { build: BuildId(1), index });
        records.push(Record::Job(JobRow { state: State::Queued, outcome: None, attempt: 0, ..row }));
    }
    store.commit(records).await.unwrap();
    store
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn only_a_busy_master_waits_for_what_could_share_a_commit() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let cases = [(BUSY - 1, 1, true, 0), (BUSY, 0, true, 0), (BUSY, 1, false, 0), (BUSY, 1, true, 10)];
            for (attempts, waiting, is_able, waits) in cases {
                let name = format!("driver-pace-{attempts}-{waiting}-{is_able}");
                let store = store_with(&name, attempts as u32, waiting).await;
                let driver = driver_over(store, &Disk::default(), Box::new(|_| ()));
                if is_able {
                    driver.note(attach);
                }
                driver.settled().await.unwrap();
                tokio::time::sleep(COMMITS_APART).await;
                let began = Instant::now();
                for revision in 0..11 {
                    driver.apply(|it, _| see(it, revision)).await.unwrap();
                }
                assert_eq!(began.elapsed(), waits * COMMITS_APART, "{attempts} attempts, {waiting} wait, {is_able}");
            }
        })
        .await;
}

/// A grant ends soon after the wall clock is set beyond its end, and new rows have the new time (F6 in `tests/cases.tsv`).
#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_wall_clock_that_is_set_is_noticed_while_nothing_happens() {
    static SHIFT: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let store = Store::in_memory("driver-clock").unwrap();
            let coordinator = Coordinator::load(Time(0), Terms::default(), store.load().unwrap(), [0; 32]);
            let feed = Rc::new(Feed::new(store.readers(), 1, 0));
            let driver = Driver::new(coordinator, store, feed, Clock::shifted(Time(0), &SHIFT));
            driver.start(Box::new(|_| ()));
            driver.apply(Coordinator::found).await.unwrap();
            let request = Request { id: RequestId([1; 16]), by: ROOT, body: [0; 32] };
            let order = GrantOrder {
                kind: GrantKind::User,
                name: "guest".to_owned(),
                what: What::default(),
                lifetime: Some(Duration::from_secs(3_600)),
                join_hash: [1; 32],
            };
            let grant = driver.call(|it, now| it.issue(now, request, order)).await.unwrap();
            let is_over = || driver.peek(|it, _| it.grants().get(grant).is_none_or(|row| row.revoked.is_some()));
            tokio::time::sleep(CLOCK_LOOK * 3).await;
            assert!(!is_over());
            SHIFT.store(2 * 3_600_000, std::sync::atomic::Ordering::Relaxed);
            tokio::time::sleep(CLOCK_LOOK + Duration::from_secs(1)).await;
            assert!(is_over(), "the clock is looked at while nothing happens");
            assert!(driver.now() > Time(2 * 3_600_000));
        })
        .await;
}
