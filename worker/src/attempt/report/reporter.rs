//! The calls that report an attempt to the master. Version 2 of the protocol has a call for several facts, and earlier versions have
//! one call for each fact.

use super::{Trouble, Unanswered};
use crate::attempt::next::AttemptResult;
use futures::future::Either;
use schema::limits::REASON;
use schema::log_capnp::log_sink;
use schema::values::{Progress, Refusal, RefusalCode, StepEnd, Time};
use schema::wire;
use schema::worker_capnp::{lease, step_report};

/// The first version of the protocol that has `Lease.report`.
const REPORT_SINCE: u16 = 2;

/// Reports one attempt to the master under its lease, in the calls of a protocol version that both sides know.
pub(crate) struct AttemptReporter {
    lease: lease::Client,
    version: u16,
    unanswered: Unanswered,
}

/// Reports one step of an attempt to the master.
pub(super) enum StepReporter<'a> {
    Lease(&'a AttemptReporter, u16),
    Report(step_report::Client),
}

impl AttemptReporter {
    /// Makes a reporter. `version` is the newest that both sides know, and `unanswered` counts the reports of the connection.
    pub(crate) fn new(lease: lease::Client, version: u16, unanswered: Unanswered) -> AttemptReporter {
        AttemptReporter { lease, version, unanswered }
    }

    pub(super) fn unanswered(&self) -> &Unanswered {
        &self.unanswered
    }

    pub(super) fn lease(&self) -> &lease::Client {
        &self.lease
    }

    /// Whether one call can report several facts.
    pub(super) fn batches(&self) -> bool {
        self.version >= REPORT_SINCE
    }

    pub(super) fn step(&self, index: u16) -> StepReporter<'_> {
        if self.batches() {
            return StepReporter::Lease(self, index);
        }
        let mut request = self.lease.step_request();
        request.get().set_index(index);
        StepReporter::Report(request.send().pipeline.get_report())
    }

    pub(super) async fn ended(&self, result: AttemptResult) -> Result<(), Trouble> {
        if self.batches() {
            return self.say(&[ended(result)]).await;
        }
        let mut request = self.lease.complete_request();
        request.get().set_outcome(wire::outcome_to_wire(Some(result.outcome)));
        request.get().set_reason(REASON.cut(&result.reason));
        let answer = request.send().promise.await?;
        let results = answer.get()?;
        judge(wire::refusal(results.has_refusal(), results.get_refusal())?)
    }

    /// Sends the report now. The returned future says whether the master has taken it.
    fn say(&self, said: &[Progress]) -> impl Future<Output = Result<(), Trouble>> + use<> {
        let mut request = self.lease.report_request();
        wire::write_progress(request.get().init_progress(wire::length(said.len())), said);
        let answer = request.send().promise;
        let asked = self.unanswered.ask();
        async move {
            let answer = answer.await?;
            drop(asked);
            let results = answer.get()?;
            judge(wire::refusal(results.has_refusal(), results.get_refusal())?)
        }
    }
}

impl StepReporter<'_> {
    pub(super) async fn started(&self, at: Time) -> Result<(), Trouble> {
        let report = match self {
            StepReporter::Lease(reporter, step) => {
                return reporter.say(&[Progress::Started { step: *step, time: at }]).await;
            }
            StepReporter::Report(report) => report,
        };
        let mut request = report.started_request();
        request.get().set_time(wire::time(at));
        let answer = request.send().promise.await?;
        let results = answer.get()?;
        judge(wire::refusal(results.has_refusal(), results.get_refusal())?)
    }

    /// Reports now how the step ended. If one call can report several facts, it also reports the step's start and the attempt's end, if
    /// they are given.
    pub(super) fn finished(
        &self,
        start: Option<Time>,
        end: StepEnd,
        result: Option<AttemptResult>,
    ) -> impl Future<Output = Result<(), Trouble>> + use<> {
        let answer = match self {
            StepReporter::Lease(reporter, step) => {
                let started = start.map(|time| Progress::Started { step: *step, time });
                let finished = Progress::Finished { step: *step, end };
                let said: Vec<Progress> = started.into_iter().chain([finished]).chain(result.map(ended)).collect();
                return Either::Left(reporter.say(&said));
            }
            StepReporter::Report(report) => {
                let mut request = report.finished_request();
                let mut params = request.get();
                params.set_outcome(wire::outcome_to_wire(Some(end.outcome)));
                params.set_time(wire::time(end.time));
                params.set_log_size(end.log_size);
                params.set_log_hash(&end.log_hash);
                wire::write_exit(params.init_exit(), &end.exit);
                request.send().promise
            }
        };
        Either::Right(async move {
            let answer = answer.await?;
            let results = answer.get()?;
            judge(wire::refusal(results.has_refusal(), results.get_refusal())?)
        })
    }

    pub(super) fn log(&self) -> log_sink::Client {
        match self {
            StepReporter::Lease(reporter, step) => {
                let mut request = reporter.lease.log_request();
                request.get().set_step(*step);
                request.send().pipeline.get_sink()
            }
            StepReporter::Report(report) => report.log_request().send().pipeline.get_sink(),
        }
    }
}

fn ended(result: AttemptResult) -> Progress {
    Progress::Ended { outcome: result.outcome, reason: result.reason }
}

fn judge(refusal: Option<Refusal>) -> Result<(), Trouble> {
    match refusal {
        None => Ok(()),
        Some(refusal) if refusal.code == RefusalCode::Stale => Err(Trouble::Stale(refusal)),
        Some(refusal) => Err(Trouble::Refused(refusal)),
    }
}
