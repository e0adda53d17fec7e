//! The driver over a disk that is full for a while.

use super::*;
use crate::coordinator::Terms;
use crate::store::Weather;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;

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
    let store = Store::in_memory("driver-full-disk").unwrap();
    let coordinator = Coordinator::load(Time(0), Terms::default(), store.load().unwrap(), [0; 32]);
    let feed = Rc::new(Feed::new(store.readers(), 1, 0));
    let driver = Driver::new(coordinator, store.under(disk.clone()), feed, Clock::system());
    driver.start(Box::new(|_| ()));
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
