//! The two tasks of a driver: one commits batch after batch, and one keeps the timers.

use super::{COMMITS_APART, Driver, FULL_RETRY};
use crate::config::pace::Pace;
use crate::decide::coordinator::record::Record;
use schema::values::Event;
use std::rc::Rc;
use std::time::Duration;
use system::fail_point::fail_point;
use tokio::time::Instant;

/// How often the timers of the wall clock are compared with that clock. Somebody may set it, and a suspended machine wakes to another
/// time. Neither is announced to the master. So anything that ends at a date ends at most this late.
pub(super) const CLOCK_LOOK: Duration = Duration::from_secs(10);

/// Runs a task without which the master answers nothing. If the task panics, the process must end.
pub(super) async fn watch(driver: Rc<Driver>, name: &str, task: impl Future<Output = ()> + 'static) {
    if let Err(error) = tokio::task::spawn_local(task).await
        && error.is_panic()
    {
        driver.fail(format!("a fault of the master ended its {name}: {error}"));
    }
}

pub(super) async fn commit_batches(driver: Rc<Driver>) {
    let mut pace = Pace::default();
    loop {
        // Tasks that can run now still add to this batch. On a busy master, so do those that follow soon.
        tokio::task::yield_now().await;
        if let Some(next) = driver.may_wait(&pace) {
            tokio::time::sleep_until(next).await;
        }
        let Some((number, batch)) = driver.take_batch() else {
            driver.work.notified().await;
            continue;
        };
        if !batch.records.is_empty() {
            pace.done(Instant::now(), COMMITS_APART, 1);
        }
        let (events, began) = (events_of(&batch.records), Instant::now());
        fail_point("master-before-commit");
        if let Err(why) = driver.commit(batch.records).await {
            driver.fail(format!("a commit failed: {why}"));
            return;
        }
        driver.meter.note_commit(began.elapsed());
        fail_point("master-after-commit");
        driver.retries.set(batch.retries);
        driver.deliver(number, events, batch.effects);
    }
}

pub(super) async fn keep_time(driver: Rc<Driver>) {
    loop {
        let next = driver.coordinator.borrow().next_timers();
        let look = next.wall.map(|_| Instant::now() + CLOCK_LOOK);
        let due = look.into_iter().fold(driver.clock.due(next), Instant::min);
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(due) => {}
            () = driver.rescheduled.notified() => continue,
        }
        // On a full disk, nothing may run ahead of the store. So timers wait, and leases only get longer.
        if driver.admit().is_err() {
            tokio::time::sleep(FULL_RETRY).await;
            continue;
        }
        if driver.clock.due(next) <= Instant::now() {
            driver.step(|coordinator, now| coordinator.handle_timeout(now));
        }
    }
}

fn events_of(records: &[Record]) -> Vec<Event> {
    let events = records.iter().filter_map(|record| if let Record::Event(event) = record { Some(event) } else { None });
    events.cloned().collect()
}
