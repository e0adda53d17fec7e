//! What is said to a master, in the words of its version: since version 2 in few calls, before that step by step.

use super::{Trouble, Unanswered};
use crate::attempt::Verdict;
use futures::future::Either;
use schema::limits::REASON;
use schema::log_capnp::log_sink;
use schema::values::{Progress, Refusal, RefusalCode, StepEnd, Time};
use schema::wire;
use schema::worker_capnp::{lease, step_report};

/// The first version that knows `Lease.report`.
const REPORT_SINCE: u16 = 2;

/// Speaks of one attempt.
pub(crate) struct Voice {
    lease: lease::Client,
    version: u16,
    unanswered: Unanswered,
}

/// Speaks of one of its steps.
pub(super) enum StepVoice<'a> {
    Lease(&'a Voice, u16),
    Report(step_report::Client),
}

impl Voice {
    /// `version`: what the master and we have in common. `unanswered`: the connection's.
    pub(crate) fn new(lease: lease::Client, version: u16, unanswered: Unanswered) -> Voice {
        Voice { lease, version, unanswered }
    }

    pub(super) fn unanswered(&self) -> &Unanswered {
        &self.unanswered
    }

    /// Whether several things can be said in one call.
    pub(super) fn is_fluent(&self) -> bool {
        self.version >= REPORT_SINCE
    }

    pub(super) fn step(&self, index: u16) -> StepVoice<'_> {
        if self.is_fluent() {
            return StepVoice::Lease(self, index);
        }
        let mut request = self.lease.step_request();
        request.get().set_index(index);
        StepVoice::Report(request.send().pipeline.get_report())
    }

    pub(super) async fn ended(&self, verdict: Verdict) -> Result<(), Trouble> {
        if self.is_fluent() {
            return self.say(&[ended(verdict)]).await;
        }
        let mut request = self.lease.complete_request();
        request.get().set_outcome(wire::outcome_to_wire(Some(verdict.outcome)));
        request.get().set_reason(REASON.cut(&verdict.reason));
        let answer = request.send().promise.await?;
        let results = answer.get()?;
        judge(wire::refusal(results.has_refusal(), results.get_refusal())?)
    }

    /// Says it now; what is answered says whether it was taken.
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

impl StepVoice<'_> {
    pub(super) async fn started(&self, at: Time) -> Result<(), Trouble> {
        let report = match self {
            StepVoice::Lease(voice, step) => return voice.say(&[Progress::Started { step: *step, time: at }]).await,
            StepVoice::Report(report) => report,
        };
        let mut request = report.started_request();
        request.get().set_time(wire::time(at));
        let answer = request.send().promise.await?;
        let results = answer.get()?;
        judge(wire::refusal(results.has_refusal(), results.get_refusal())?)
    }

    /// Says now how the step ended; where it is fluent, with its start before and the end of all behind.
    pub(super) fn finished(
        &self,
        start: Option<Time>,
        end: StepEnd,
        verdict: Option<Verdict>,
    ) -> impl Future<Output = Result<(), Trouble>> + use<> {
        let answer = match self {
            StepVoice::Lease(voice, step) => {
                let started = start.map(|time| Progress::Started { step: *step, time });
                let finished = Progress::Finished { step: *step, end };
                let said: Vec<Progress> = started.into_iter().chain([finished]).chain(verdict.map(ended)).collect();
                return Either::Left(voice.say(&said));
            }
            StepVoice::Report(report) => {
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
            StepVoice::Lease(voice, step) => {
                let mut request = voice.lease.log_request();
                request.get().set_step(*step);
                request.send().pipeline.get_sink()
            }
            StepVoice::Report(report) => report.log_request().send().pipeline.get_sink(),
        }
    }
}

fn ended(verdict: Verdict) -> Progress {
    Progress::Ended { outcome: verdict.outcome, reason: verdict.reason }
}

fn judge(refusal: Option<Refusal>) -> Result<(), Trouble> {
    match refusal {
        None => Ok(()),
        Some(refusal) if refusal.code == RefusalCode::Stale => Err(Trouble::Stale(refusal)),
        Some(refusal) => Err(Trouble::Refused(refusal)),
    }
}
