//! Tells the master how an attempt goes, over one connection: each step's start, log and end, and then the attempt's end. A report that
//! the master has acknowledged is not repeated on this connection. The next connection repeats all reports, until the master has
//! acknowledged the attempt's end. That costs little if the master still has them, and restores what it has lost.
//!
//! The attempt's end goes with the end of the last step, or right behind it, without waiting for an acknowledgement. So both share a
//! commit.

mod hold;
mod reporter;

pub(crate) use hold::Unanswered;
pub(crate) use reporter::AttemptReporter;

use crate::attempt::ledger::{Entry, Step};
use crate::attempt::next::{self, AttemptResult};
use crate::attempt::output::{ShipError, Shipped, dropped, ship};
use crate::attempt::test_reports::{StoreError, store};
use crate::attempt::window::Window;
use futures::future::{try_join, try_join_all};
use hold::goes_with_end;
use reporter::StepReporter;
use schema::values::{Outcome, Refusal, StepEnd, TestsReported, Time};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use system::fail_point::fail_point;
use tokio::sync::{Mutex, watch};

/// The bounds of the pause before the next try to send a report, if the master does not take it now. The pause begins with the first
/// and doubles up to the second.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// How the reporting of an attempt ended.
#[derive(Debug)]
pub(crate) enum Reported {
    /// The master knows the end of the attempt.
    Whole,
    /// The master does not want the attempt any more, for this reason.
    Stale(String),
    /// The connection is lost, and the next one reports again.
    Cut,
}

/// Reports an attempt until it has ended and the master knows its end, or until reporting cannot go on.
pub(crate) async fn report(entry: Rc<Entry>, reporter: AttemptReporter, window: Window) -> Reported {
    let count = u16::try_from(entry.assignment.job.steps.len()).unwrap_or(u16::MAX);
    // A master that was killed has lost those parts of unsealed logs that it held in memory.
    (0..count).for_each(|step| entry.step(step).tell_again());
    let connection = ConnectionReport {
        entry: &entry,
        reporter,
        window,
        untold: watch::Sender::new((0..count).collect()),
        ending: Cell::new(Ending::Untold),
        storing: Mutex::new(()),
    };
    let connection = &connection;
    let steps = (0..count).map(|step| persist(&entry, move || connection.step(step)));
    let end = async {
        connection.untold.subscribe().wait_for(BTreeSet::is_empty).await.map_err(|_| dropped())?;
        match connection.ending.get() {
            // The step that reports the end waits for the answer.
            Ending::WithStep(_) => Ok(()),
            Ending::Untold | Ending::Alone => {
                connection.ending.set(Ending::Alone);
                persist(&entry, || connection.end()).await
            }
        }
    };
    match try_join(try_join_all(steps), end).await {
        Ok(_) => Reported::Whole,
        Err(Trouble::Stale(refusal)) => Reported::Stale(refusal.text),
        Err(Trouble::Refused(_) | Trouble::Call(_)) => Reported::Cut,
    }
}

/// Repeats a report until the master has taken it, the lease is over, or the connection is lost.
async fn persist<F: Future<Output = Result<(), Trouble>>>(
    entry: &Entry,
    mut once: impl FnMut() -> F,
) -> Result<(), Trouble> {
    let mut pause = PAUSE_MIN;
    loop {
        match once().await {
            Ok(()) => return Ok(()),
            Err(Trouble::Stale(refusal)) => return Err(Trouble::Stale(refusal)),
            Err(Trouble::Call(error)) if error.kind == capnp::ErrorKind::Disconnected => return Err(error.into()),
            Err(trouble) => {
                tracing::warn!(job = %entry.assignment.job.name, %trouble, "the master does not take a report yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// The reports of one attempt over one connection, with a note of which of them still have to be sent.
struct ConnectionReport<'a> {
    entry: &'a Entry,
    reporter: AttemptReporter,
    window: Window,
    /// The steps whose end is not on its way to the master yet.
    untold: watch::Sender<BTreeSet<u16>>,
    ending: Cell<Ending>,
    /// Held while the files of one step are sent, because a master takes few files of an attempt at once.
    storing: Mutex<()>,
}

/// The report that tells the master the end of the attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Untold,
    /// The report of this step's end also tells the end of the attempt.
    WithStep(u16),
    Alone,
}

/// Why the master did not take a report.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Stale(Refusal),
    #[error("{0}")]
    Refused(Refusal),
    #[error(transparent)]
    Call(#[from] capnp::Error),
}

impl From<ShipError> for Trouble {
    fn from(error: ShipError) -> Trouble {
        match error {
            ShipError::Stale(refusal) => Trouble::Stale(refusal),
            ShipError::Call(error) => Trouble::Call(error),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        match error {
            StoreError::Stale(refusal) => Trouble::Stale(refusal),
            StoreError::NotYet(refusal) => Trouble::Refused(refusal),
            StoreError::Call(error) => Trouble::Call(error),
        }
    }
}

impl ConnectionReport<'_> {
    async fn end(&self) -> Result<(), Trouble> {
        let mut changes = self.entry.changes();
        let result = loop {
            match self.entry.result() {
                Some(result) => break result,
                None => changes.changed().await.map_err(|_| dropped())?,
            }
        };
        fail_point("worker-before-complete");
        self.reporter.ended(result).await?;
        fail_point("worker-after-complete");
        Ok(())
    }

    async fn step(&self, index: u16) -> Result<(), Trouble> {
        let step = self.entry.step(index);
        let tell = || self.untold.send_modify(|untold| _ = untold.remove(&index));
        if step.is_known.get() {
            tell();
            return Ok(());
        }
        let mut started = step.started.subscribe();
        let mut finished = step.finished.subscribe();
        let has_begun = tokio::select! {
            biased;
            begun = until(&mut started) => Some(begun?),
            ended = until(&mut finished) => { ended?; None }
        };
        let reporter = self.reporter.step(index);
        let Some(at) = has_begun else {
            // The master does not know of this step's start, so it would take the end of the attempt before this step's end. Wait
            // for it.
            self.say_finished(&reporter, index, None, Shipped::nothing(), None).await?.await?;
            tell();
            return Ok(());
        };
        let (is_start_known, is_end_said) = (Cell::new(false), watch::Sender::new(false));
        let begin = async {
            let (grown, unanswered) = (step.grown.subscribe(), self.reporter.unanswered());
            if self.reporter.batches() && goes_with_end(grown, is_end_said.subscribe(), unanswered).await {
                return Ok(());
            }
            let said = reporter.started(at).await;
            is_start_known.set(said.is_ok());
            // The end that is on its way reports the start again. Giving up now would cancel that end.
            if *is_end_said.borrow() && self.reporter.batches() { Ok(()) } else { said }
        };
        let follow = async {
            let shipped = self.ship(&reporter, index).await?;
            self.finish_of(index).await?;
            let tests = self.store(index).await?;
            let start = (!is_start_known.get()).then_some(at);
            let answered = self.say_finished(&reporter, index, start, shipped, tests).await;
            is_end_said.send_replace(true);
            answered
        };
        let ((), answered) = try_join(begin, follow).await?;
        if is_start_known.get() {
            // A master that knows of the start does not take the end of the attempt before the end of this step.
            tell();
            return answered.await;
        }
        answered.await?;
        tell();
        Ok(())
    }

    async fn finish_of(&self, index: u16) -> Result<(next::StepEnd, Time), Trouble> {
        Ok(until(&mut self.entry.step(index).finished.subscribe()).await?)
    }

    async fn ship(&self, reporter: &StepReporter<'_>, index: u16) -> Result<Shipped, Trouble> {
        let step = self.entry.step(index);
        let shipped = match step.shipped.get() {
            Some(shipped) => shipped,
            // The master need not make a log for a step that printed nothing.
            None if is_silent(step).await? => Shipped::nothing(),
            None => {
                let is_new = step.is_unsent.replace(false);
                let spooled = self.entry.spooled(index);
                ship(&spooled, step.grown.subscribe(), reporter.log(), self.window.clone(), is_new).await?
            }
        };
        step.shipped.set(Some(shipped));
        Ok(shipped)
    }

    /// Stores a step's test reports at the master, and returns their summary for the step's report. Returns nothing for an older
    /// master, because it does not know of tests.
    async fn store(&self, index: u16) -> Result<Option<TestsReported>, Trouble> {
        let step = self.entry.step(index);
        let Some(tests) = step.tests.borrow().clone().filter(|_| self.reporter.batches()) else { return Ok(None) };
        if let Some(stored) = &*step.stored.borrow() {
            return Ok(Some(stored.clone()));
        }
        let _turn = self.storing.lock().await;
        let stored = store(self.reporter.lease(), &self.entry.files(index), index, &tests, &self.window).await?;
        step.stored.replace(Some(stored.clone()));
        Ok(Some(stored))
    }

    /// Waits for the end of a step, and reports it. Returns a future that waits for the master's answer.
    async fn say_finished<'a>(
        &'a self,
        reporter: &StepReporter<'_>,
        index: u16,
        start: Option<Time>,
        shipped: Shipped,
        tests: Option<TestsReported>,
    ) -> Result<impl Future<Output = Result<(), Trouble>> + use<'a>, Trouble> {
        let step = self.entry.step(index);
        let (end, at) = self.finish_of(index).await?;
        fail_point("worker-before-report");
        let result = self.result_with(index);
        if result.is_some() {
            fail_point("worker-before-complete");
        }
        let ends_all = result.is_some();
        let log_hash = shipped.hash.map(|hash| hash.to_vec()).unwrap_or_default();
        let end = StepEnd { outcome: end.outcome, exit: end.exit, time: at, log_size: shipped.size, log_hash, tests };
        let outcome = end.outcome;
        let answer = reporter.finished(start, end, result);
        Ok(async move {
            answer.await?;
            fail_point("worker-after-report");
            if ends_all {
                fail_point("worker-after-complete");
            }
            step.is_known.set(true);
            if outcome != Outcome::Skipped {
                tracing::debug!(job = %self.entry.assignment.job.name, step = index, %outcome, "reported");
            }
            Ok(())
        })
    }

    /// Returns the result of the attempt, if this step's end is the last one to report. From then on only this step reports the result.
    fn result_with(&self, index: u16) -> Option<AttemptResult> {
        match self.ending.get() {
            Ending::WithStep(other) if other == index => self.entry.result(),
            Ending::WithStep(_) | Ending::Alone => None,
            Ending::Untold => {
                let is_last = self.untold.borrow().iter().all(|other| *other == index);
                let result = self.entry.result().filter(|_| is_last && self.reporter.batches())?;
                self.ending.set(Ending::WithStep(index));
                Some(result)
            }
        }
    }
}

/// Waits until a step has printed something, or has its final size. Returns whether it printed nothing.
async fn is_silent(step: &Step) -> Result<bool, capnp::Error> {
    let mut grown = step.grown.subscribe();
    let grown = grown.wait_for(|grown| grown.is_final || grown.size > 0).await.map_err(|_| dropped())?;
    Ok(grown.size == 0)
}

async fn until<T: Clone>(told: &mut watch::Receiver<Option<T>>) -> Result<T, capnp::Error> {
    let found = told.wait_for(Option::is_some).await.map_err(|_| dropped())?;
    found.clone().ok_or_else(dropped)
}
