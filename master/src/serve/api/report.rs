//! The reports about the steps of an attempt: their starts, their ends, and the sinks of their logs.

use super::worker_access::WorkerAccess;
use super::{accept, bounded, failed, refuse};
use crate::decide::coordinator::OpenLog;
use crate::decide::coordinator::record::{LeaseToken, StepKey};
use crate::keep::logs::{TimeMark, Write};
use schema::limits::{self, LOG_HASH, LOG_WRITE, MARKS};
use schema::log_capnp::{log_sink, mark as log_mark};
use schema::values::{Refusal, RefusalCode, StepEnd, Time};
use schema::wire;
use schema::worker_capnp::step_report;
use std::rc::Rc;

/// Waits until a change that was begun is durable, and returns its result. On a full disk it returns at once, because nothing was begun.
pub(super) async fn settled(access: &WorkerAccess, begun: Result<(), Refusal>) -> Result<(), Refusal> {
    match begun {
        Err(refusal) if refusal.code == RefusalCode::Unavailable => Err(refusal),
        begun => access.driver().settled().await.and(begun),
    }
}

/// Returns a function that corrects times which the worker of an attempt reports, by the clock of that worker.
fn right(access: &WorkerAccess, token: LeaseToken) -> impl Fn(Time) -> Time + use<> {
    let (clock, now) = access.driver().peek(|it, now| (it.clock_of(token), now));
    move |told| clock.map_or(told, |(clock, begun)| clock.put_right(begun, now, told))
}

/// Begins to record that a step started. [`settled`] makes the answer.
pub(super) fn started(access: &WorkerAccess, token: LeaseToken, step: u16, time: Time) -> Result<(), Refusal> {
    let time = right(access, token)(time);
    access.driver().begin(|it, now| it.step_started(now, token, step, time))
}

/// Begins to record that a step ended. [`settled`] makes the answer.
pub(super) fn finished(access: &WorkerAccess, token: LeaseToken, step: u16, end: StepEnd) -> Result<(), Refusal> {
    let end = StepEnd { time: right(access, token)(end.time), ..end };
    access.driver().begin(|it, now| it.step_finished(now, token, step, end))
}

/// Returns the log of a step, if the lease is in force. It is for calls whose answer has no field for a refusal.
pub(super) fn log_of(access: &WorkerAccess, token: LeaseToken, step: u16) -> capnp::Result<OpenLog> {
    access.driver().peek(|it, _| it.lease_log(token, step)).map_err(|refusal| failed(&refusal))
}

/// Makes the sink for the bytes of a step's log.
pub(super) fn sink(access: &Rc<WorkerAccess>, token: LeaseToken, step: u16) -> capnp::Result<log_sink::Client> {
    let OpenLog { key, .. } = log_of(access, token, step)?;
    Ok(capnp_rpc::new_client(Sink { access: access.clone(), token, key }))
}

/// The report of one step, as peers of protocol version 1 send it.
pub(super) struct StepReport {
    pub(super) access: Rc<WorkerAccess>,
    pub(super) token: LeaseToken,
    pub(super) step: u16,
}

impl step_report::Server for StepReport {
    async fn started(
        self: Rc<Self>,
        params: step_report::StartedParams,
        mut results: step_report::StartedResults,
    ) -> capnp::Result<()> {
        let time = wire::read_time(params.get()?.get_time());
        let begun = started(&self.access, self.token, self.step, time);
        accept!(results, settled(&self.access, begun).await);
        Ok(())
    }

    async fn finished(
        self: Rc<Self>,
        params: step_report::FinishedParams,
        mut results: step_report::FinishedResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let Some(outcome) = wire::outcome_from_wire(params.get_outcome()?) else {
            refuse!(results, Refusal::new(RefusalCode::Invalid, "`finished` needs an outcome"));
        };
        let end = StepEnd {
            outcome,
            exit: wire::read_exit(params.get_exit()?)?,
            time: wire::read_time(params.get_time()),
            log_size: params.get_log_size(),
            log_hash: limits::data(params.get_log_hash(), &LOG_HASH)?.to_vec(),
            tests: None,
        };
        let begun = finished(&self.access, self.token, self.step, end);
        accept!(results, settled(&self.access, begun).await);
        Ok(())
    }

    async fn log(self: Rc<Self>, _: step_report::LogParams, mut results: step_report::LogResults) -> capnp::Result<()> {
        results.get().set_sink(sink(&self.access, self.token, self.step)?);
        Ok(())
    }
}

struct Sink {
    access: Rc<WorkerAccess>,
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
        let bytes = accept!(results, bounded(limits::data(params.get_bytes(), &LOG_WRITE))?);
        let room = accept!(results, self.access.logs().room(bytes.len()).await);
        // This is checked after the wait, because no write may begin once its attempt has ended.
        let open = accept!(results, self.access.driver().peek(|it, _| it.lease_log(self.token, self.key.step)));
        let end = params.get_offset().saturating_add(bytes.len() as u64);
        if let Some(size) = open.size.filter(|size| end > *size) {
            let text = format!("step {} has ended with a log of {size} bytes", u32::from(self.key.step) + 1);
            refuse!(results, Refusal::new(RefusalCode::Invalid, text));
        }
        let marks = limits::structs(params.get_marks(), &MARKS)?;
        let right = right(&self.access, self.token);
        let mark = |mark: log_mark::Reader<'_>| TimeMark {
            offset: mark.get_offset(),
            time: right(wire::read_time(mark.get_time())),
        };
        let marks = marks.map(mark).collect();
        let write = Write { bytes: bytes.to_vec(), marks, room };
        match self.access.logs().write_in(self.key, params.get_offset(), write).await {
            Ok(written) => {
                self.access.driver().mark(|it, now| it.log_grew(now, self.token));
                let mut results = results.get();
                results.set_received(written.received);
                results.set_durable(written.durable);
            }
            Err(refusal) => refuse!(results, refusal),
        }
        Ok(())
    }

    async fn size(self: Rc<Self>, _: log_sink::SizeParams, mut results: log_sink::SizeResults) -> capnp::Result<()> {
        log_of(&self.access, self.token, self.key.step)?;
        let (received, sealed) = self.access.logs().received(self.key).await.map_err(super::broken)?;
        let mut results = results.get();
        results.set_received(received);
        results.set_sealed(sealed);
        Ok(())
    }
}
