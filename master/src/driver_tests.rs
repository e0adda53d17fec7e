//! The driver over a disk that is full for a while.

use super::*;
use crate::coordinator::record::RequestId;
use crate::coordinator::{GrantOrder, ROOT, Request, Terms};
use crate::store::Weather;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use schema::values::{Change, GrantKind, What};

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

/// A driver, started, with nothing to do.
fn driver(disk: &Disk) -> Rc<Driver> {
    driver_with("driver-full-disk", disk, Box::new(|_| ()))
}

fn driver_with(name: &str, disk: &Disk, outside: Outside) -> Rc<Driver> {
    let store = Store::in_memory(name).unwrap();
    let coordinator = Coordinator::load(Time(0), Terms::default(), store.load().unwrap(), [0; 32]);
    let feed = Rc::new(Feed::new(store.readers(), 1, 0));
    let driver = Driver::new(coordinator, store.under(disk.clone()), feed, Clock::system());
    driver.start(outside);
    driver
}

fn record() -> Record {
    Record::Head { project: "p".to_owned(), ref_name: "refs/heads/main".to_owned(), revision: "r".to_owned() }
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
                async move { driver.call_with(|_, _| ((), vec![record()])).await }
            });
            // one that looked before anybody knew is told when it is known
            tokio::task::yield_now().await;
            let refused = driver.look(|_, _| ()).await.unwrap_err();
            assert!(refused.text.starts_with("disk full"), "{refused}");
            assert_eq!(driver.call(|_, _| ()).await.unwrap_err().code, RefusalCode::Unavailable);
            assert!(driver.look(|_, _| ()).now_or_never().expect("it does not wait").is_err());
            assert!(driver.admit().is_err() && !first.is_finished());
            disk.0.set(false);
            first.await.unwrap().unwrap();
            driver.look(|_, _| ()).await.unwrap();
            driver.call(|_, _| ()).await.unwrap();
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
                let request = |id| Request { id: RequestId([id; 16]), by: ROOT, body: [id; 32] };
                let order = GrantOrder {
                    kind: GrantKind::Worker,
                    name: "w".to_owned(),
                    what: What::default(),
                    lifetime: None,
                    join_hash: [1; 32],
                };
                let grant = it.issue(now, request(1), order).expect("the root may");
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
