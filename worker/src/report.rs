//! Tells the master how an attempt goes, over one connection: each step's start, log and end, and then the end of all.
//! What was acknowledged is not said again on this connection. On the next one everything is, until the end of all was
//! acknowledged: it costs little where the master has it, and what the master lost it gets.
//!
//! The end of all is said right behind the end of the last step, not after its acknowledgement: both share a commit.

use crate::ledger::{Entry, Step};
use crate::output::{ShipError, Shipped, Window, ship};
use futures::future::{try_join, try_join_all};
use schema::fail_point::fail_point;
use schema::values::{Outcome, Refusal, RefusalCode};
use schema::wire;
use schema::worker_capnp::{lease, step_report};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;

const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// How reporting ended.
#[derive(Debug)]
pub(crate) enum Reported {
    /// The master knows the end of the attempt.
    Whole,
    /// It does not want it any more.
    Stale(String),
    /// The connection is gone.
    Cut,
}

/// Reports until the attempt is over and the master knows it.
pub(crate) async fn report(entry: Rc<Entry>, lease: lease::Client, window: Window) -> Reported {
    let count = u16::try_from(entry.assignment.job.steps.len()).unwrap_or(u16::MAX);
    // a master that was killed has lost what it held in memory of a log that is not sealed
    (0..count).for_each(|step| entry.step(step).tell_again());
    let untold = watch::Sender::new((0..count).collect());
    let steps = (0..count).map(|step| {
        let (entry, lease, window, untold) = (&entry, &lease, &window, &untold);
        persist(entry, move || report_step(entry, lease, window, untold, step))
    });
    let end = async {
        untold.subscribe().wait_for(BTreeSet::is_empty).await.map_err(|_| dropped())?;
        persist(&entry, || complete(&entry, &lease)).await
    };
    match try_join(try_join_all(steps), end).await {
        Ok(_) => Reported::Whole,
        Err(Trouble::Stale(refusal)) => Reported::Stale(refusal.text),
        Err(Trouble::Refused(_) | Trouble::Call(_)) => Reported::Cut,
    }
}

/// Repeats a report until it is taken, the lease is over, or the connection gone.
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

/// Steps whose end is not on its way yet.
type Untold = watch::Sender<BTreeSet<u16>>;

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

async fn complete(entry: &Entry, lease: &lease::Client) -> Result<(), Trouble> {
    let mut changes = entry.changes();
    let verdict = loop {
        match entry.verdict() {
            Some(verdict) => break verdict,
            None => changes.changed().await.map_err(|_| dropped())?,
        }
    };
    fail_point("worker-before-complete");
    let mut request = lease.complete_request();
    request.get().set_outcome(wire::outcome_to_wire(Some(verdict.outcome)));
    request.get().set_reason(&verdict.reason);
    let answer = request.send().promise.await?;
    let results = answer.get()?;
    judge(wire::refusal(results.has_refusal(), results.get_refusal())?)?;
    fail_point("worker-after-complete");
    Ok(())
}

async fn report_step(
    entry: &Entry,
    lease: &lease::Client,
    window: &Window,
    untold: &Untold,
    index: u16,
) -> Result<(), Trouble> {
    let step = entry.step(index);
    let tell = || untold.send_modify(|untold| _ = untold.remove(&index));
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
    let mut request = lease.step_request();
    request.get().set_index(index);
    let report = request.send().pipeline.get_report();
    let Some(at) = has_begun else {
        say_finished(entry, &report, index, Shipped::nothing()).await?.await?;
        tell();
        return Ok(());
    };
    let begin = async {
        let mut request = report.started_request();
        request.get().set_time(wire::time(at));
        let answer = request.send().promise.await?;
        let results = answer.get()?;
        judge(wire::refusal(results.has_refusal(), results.get_refusal())?)
    };
    let follow = async {
        let shipped = match step.shipped.get() {
            Some(shipped) => shipped,
            // nobody need make a log for a step that is silent
            None if is_silent(step).await? => Shipped::nothing(),
            None => {
                let sink = report.log_request().send().pipeline.get_sink();
                let is_new = step.is_unsent.replace(false);
                ship(&entry.spooled(index), step.grown.subscribe(), sink, window.clone(), is_new).await?
            }
        };
        step.shipped.set(Some(shipped));
        say_finished(entry, &report, index, shipped).await
    };
    // a master that knows of the start takes no end of all before that of this step
    let ((), answered) = try_join(begin, follow).await?;
    tell();
    answered.await
}

/// Says how a step ended, once it has: what waits for the answer.
async fn say_finished<'a>(
    entry: &'a Entry,
    report: &step_report::Client,
    index: u16,
    shipped: Shipped,
) -> Result<impl Future<Output = Result<(), Trouble>> + 'a, Trouble> {
    let step = entry.step(index);
    let (end, at) = until(&mut step.finished.subscribe()).await?;
    fail_point("worker-before-report");
    let mut request = report.finished_request();
    let mut params = request.get();
    params.set_outcome(wire::outcome_to_wire(Some(end.outcome)));
    params.set_time(wire::time(at));
    params.set_log_size(shipped.size);
    params.set_log_hash(shipped.hash.as_ref().map_or(&[], |hash| hash.as_slice()));
    wire::write_exit(params.init_exit(), &end.exit);
    let answer = request.send().promise;
    Ok(async move {
        let answer = answer.await?;
        let results = answer.get()?;
        judge(wire::refusal(results.has_refusal(), results.get_refusal())?)?;
        fail_point("worker-after-report");
        step.is_known.set(true);
        if end.outcome != Outcome::Skipped {
            tracing::debug!(job = %entry.assignment.job.name, step = index, outcome = %end.outcome, "reported");
        }
        Ok(())
    })
}

fn judge(refusal: Option<Refusal>) -> Result<(), Trouble> {
    match refusal {
        None => Ok(()),
        Some(refusal) if refusal.code == RefusalCode::Stale => Err(Trouble::Stale(refusal)),
        Some(refusal) => Err(Trouble::Refused(refusal)),
    }
}

/// Waits until a step has printed something, or will not any more.
async fn is_silent(step: &Step) -> Result<bool, capnp::Error> {
    let mut grown = step.grown.subscribe();
    let grown = grown.wait_for(|grown| grown.is_final || grown.size > 0).await.map_err(|_| dropped())?;
    Ok(grown.size == 0)
}

async fn until<T: Clone>(told: &mut watch::Receiver<Option<T>>) -> Result<T, capnp::Error> {
    let found = told.wait_for(Option::is_some).await.map_err(|_| dropped())?;
    found.clone().ok_or_else(dropped)
}

fn dropped() -> capnp::Error {
    capnp::Error::disconnected("the attempt was dropped".to_owned())
}
