//! Everything that one attempt may do: its lease, its steps' reports, its logs' sinks.

use super::source::SourcePack;
use super::{Office, accept, refuse};
use crate::coordinator::StepEnd;
use crate::coordinator::record::{LeaseToken, Record, StepKey, StepRow};
use crate::logs::Mark;
use schema::fail_point::fail_point;
use schema::gate::Gate;
use schema::log_capnp::log_sink;
use schema::values::{Outcome, Refusal, RefusalCode};
use schema::wire;
use schema::worker_capnp::{lease, step_report};
use std::cell::Cell;
use std::rc::Rc;

/// The most that one write may carry, in bytes.
const WRITE_MAX: usize = 1 << 20;

pub(super) struct Lease {
    office: Rc<Office>,
    token: LeaseToken,
    accepted: Cell<bool>,
}

impl Lease {
    /// A lease that waits for its `accept`.
    pub(super) fn offered(office: &Rc<Office>, session: &Gate, token: LeaseToken) -> lease::Client {
        Lease::client(office, session, token, false)
    }

    /// A lease that its worker held before.
    pub(super) fn resumed(office: &Rc<Office>, session: &Gate, token: LeaseToken) -> lease::Client {
        Lease::client(office, session, token, true)
    }

    fn client(office: &Rc<Office>, session: &Gate, token: LeaseToken, accepted: bool) -> lease::Client {
        let gate = office.live.lease_gate(token, session);
        gate.wrap(capnp_rpc::new_client(Lease { office: office.clone(), token, accepted: Cell::new(accepted) }))
    }

    /// Seals the logs of the finished steps; answers what to record, and what is wrong with them.
    async fn seal_logs(&self, steps: &[StepRow]) -> capnp::Result<(Vec<Record>, String)> {
        let mut records = Vec::new();
        let mut wrong = String::new();
        for step in steps {
            let sealed = self.office.logs.seal(step.key, step.log_size, &step.log_hash).await.map_err(super::broken)?;
            if !sealed.agrees {
                wrong = format!("log-incomplete: step {} ({})", step.key.step + 1, step.name);
            }
            records.push(Record::Seal(sealed.row));
        }
        Ok((records, wrong))
    }
}

impl Drop for Lease {
    /// An offer whose capability is gone goes back; after `accept` the term decides.
    fn drop(&mut self) {
        if !self.accepted.get() {
            let token = self.token;
            self.office.driver.note(|it, now| it.give_back(now, token));
        }
    }
}

impl lease::Server for Lease {
    async fn accept(self: Rc<Self>, _: lease::AcceptParams, mut results: lease::AcceptResults) -> capnp::Result<()> {
        let token = self.token;
        let is_repeated = self.accepted.replace(true);
        let accepted = self.office.driver.call(|it, now| it.accept(now, token)).await.and_then(|done| done);
        accept!(results, accepted);
        // it may have ended while that was committed
        let attempt = self.office.driver.peek(|it, _| it.lease_job(token));
        if let Some((job, attempt)) = attempt.filter(|_| !is_repeated) {
            self.office.logs.begin_attempt(job, attempt);
        }
        Ok(())
    }

    async fn source(
        self: Rc<Self>,
        params: lease::SourceParams,
        mut results: lease::SourceResults,
    ) -> capnp::Result<()> {
        let index = usize::from(params.get()?.get_index());
        let token = self.token;
        let found = self.office.driver.peek(|it, _| it.lease_source(token, index));
        let source = accept!(results, found);
        let Some(repository) = self.office.repositories.get(&source.repository) else {
            let text = format!("the repository `{}` is no longer configured", source.repository);
            refuse!(results, Refusal::new(RefusalCode::NotFound, text));
        };
        results.get().set_source(capnp_rpc::new_client(SourcePack { repository, source }));
        Ok(())
    }

    async fn step(self: Rc<Self>, params: lease::StepParams, mut results: lease::StepResults) -> capnp::Result<()> {
        let step = params.get()?.get_index();
        let report = Report { office: self.office.clone(), token: self.token, step };
        results.get().set_report(capnp_rpc::new_client(report));
        Ok(())
    }

    async fn complete(
        self: Rc<Self>,
        params: lease::CompleteParams,
        mut results: lease::CompleteResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let token = self.token;
        let Some(outcome) = wire::outcome_from_wire(params.get_outcome()?) else {
            refuse!(results, Refusal::new(RefusalCode::Invalid, "`complete` needs an outcome"));
        };
        let mut reason = params.get_reason()?.to_string()?;
        let attempt = self.office.driver.peek(|it, _| it.lease_job(token));
        let steps = accept!(results, self.office.driver.peek(|it, _| it.finished_steps(token)));
        fail_point("master-before-seal");
        let (seals, wrong) = self.seal_logs(&steps).await?;
        fail_point("master-after-seal");
        if !wrong.is_empty() {
            reason = if reason.is_empty() { wrong } else { format!("{reason}; {wrong}") };
        }
        let done = self.office.driver.call_with(|it, now| match it.complete(now, token, outcome, &reason) {
            Ok(()) => (Ok(()), seals),
            Err(refusal) => (Err(refusal), Vec::new()),
        });
        accept!(results, done.await.and_then(|done| done));
        self.office.live.forget_lease(token);
        self.office.logs.forget_sealed(steps.iter().map(|step| step.key));
        if let Some((job, attempt)) = attempt {
            self.office.logs.forget_attempt(job, attempt);
        }
        Ok(())
    }
}

struct Report {
    office: Rc<Office>,
    token: LeaseToken,
    step: u16,
}

impl step_report::Server for Report {
    async fn started(
        self: Rc<Self>,
        params: step_report::StartedParams,
        mut results: step_report::StartedResults,
    ) -> capnp::Result<()> {
        let time = wire::read_time(params.get()?.get_time());
        let (token, step) = (self.token, self.step);
        let started = self.office.driver.call(|it, now| it.step_started(now, token, step, time)).await;
        accept!(results, started.and_then(|done| done));
        Ok(())
    }

    async fn finished(
        self: Rc<Self>,
        params: step_report::FinishedParams,
        mut results: step_report::FinishedResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let end = StepEnd {
            outcome: wire::outcome_from_wire(params.get_outcome()?).unwrap_or(Outcome::Errored),
            exit: wire::read_exit(params.get_exit()?)?,
            time: wire::read_time(params.get_time()),
            log_size: params.get_log_size(),
            log_hash: params.get_log_hash()?.to_vec(),
        };
        let (token, step) = (self.token, self.step);
        let finished = self.office.driver.call(|it, now| it.step_finished(now, token, step, end)).await;
        accept!(results, finished.and_then(|done| done));
        Ok(())
    }

    async fn log(self: Rc<Self>, _: step_report::LogParams, mut results: step_report::LogResults) -> capnp::Result<()> {
        let Some((job, attempt)) = self.office.driver.peek(|it, _| it.lease_job(self.token)) else {
            return Err(capnp::Error::failed("stale: the lease is over".to_owned()));
        };
        let key = StepKey { job, attempt, step: self.step };
        let sink = Sink { office: self.office.clone(), token: self.token, key };
        results.get().set_sink(capnp_rpc::new_client(sink));
        Ok(())
    }
}

struct Sink {
    office: Rc<Office>,
    token: LeaseToken,
    key: StepKey,
}

impl log_sink::Server for Sink {
    async fn write(
        self: Rc<Self>,
        params: log_sink::WriteParams,
        mut results: log_sink::WriteResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let bytes = params.get_bytes()?;
        if bytes.len() > WRITE_MAX {
            refuse!(results, Refusal::new(RefusalCode::Invalid, format!("a write has at most {WRITE_MAX} bytes")));
        }
        if self.office.driver.peek(|it, _| it.lease_job(self.token)).is_none() {
            refuse!(results, Refusal::new(RefusalCode::Stale, "the lease is over"));
        }
        let marks = params.get_marks()?.iter();
        let marks = marks.map(|mark| Mark { offset: mark.get_offset(), time: wire::read_time(mark.get_time()) });
        let written = self.office.logs.write(self.key, params.get_offset(), bytes.to_vec(), marks.collect()).await;
        match written {
            Ok(written) => {
                let mut results = results.get();
                results.set_received(written.received);
                results.set_durable(written.durable);
            }
            Err(refusal) => refuse!(results, refusal),
        }
        Ok(())
    }

    async fn size(self: Rc<Self>, _: log_sink::SizeParams, mut results: log_sink::SizeResults) -> capnp::Result<()> {
        let (received, sealed) = self.office.logs.received(self.key).await.map_err(super::broken)?;
        let mut results = results.get();
        results.set_received(received);
        results.set_sealed(sealed);
        Ok(())
    }
}
