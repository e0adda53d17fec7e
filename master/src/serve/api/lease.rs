//! The authority of one attempt.
//!
//! A lease opens with `accept`: before it, the gate of the lease lets no other call pass, on whatever object of the lease. So a new
//! method needs no check of its own.

use super::report::{StepReport, finished, log_of, settled, sink, started};
use super::sink::{ArtifactSink, end_uploads};
use super::source::LeasePacks;
use super::worker_access::WorkerAccess;
use super::{accept, attempt_logs, bounded, broken, failed, refuse};
use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::record::{GrantId, LeaseToken, SealRow, StepRow};
use crate::keep::turns::Principal;
use capnp::traits::HasTypeId as _;
use schema::gate::Gate;
use schema::limits::{self, ARTIFACT, REASON};
use schema::values::{Outcome, Progress, Refusal, RefusalCode, Time};
use schema::wire;
use schema::worker_capnp::lease;
use std::cell::Cell;
use std::rc::Rc;
use system::fail_point::fail_point;

/// The methods, each by its interface and its number in the schema.
const ACCEPT: (u64, u16) = (lease::Client::TYPE_ID, 0);
const SOURCE: (u64, u16) = (lease::Client::TYPE_ID, 1);

pub(super) struct LeaseCapability {
    access: Rc<WorkerAccess>,
    token: LeaseToken,
    /// Whether the worker held this lease before, or has accepted it on this object.
    accepted: Cell<bool>,
    packs: Rc<LeasePacks>,
}

impl LeaseCapability {
    /// Makes a lease that waits for its `accept`.
    pub(super) fn offered(access: &Rc<WorkerAccess>, session: &Gate, token: LeaseToken) -> lease::Client {
        LeaseCapability::client(access, session, token, false)
    }

    /// Makes a lease that its worker held before.
    pub(super) fn resumed(access: &Rc<WorkerAccess>, session: &Gate, token: LeaseToken) -> lease::Client {
        LeaseCapability::client(access, session, token, true)
    }

    fn client(access: &Rc<WorkerAccess>, session: &Gate, token: LeaseToken, accepted: bool) -> lease::Client {
        let gate = access.live().lease_gate(token, session).with_policy(opens_with_accept(access, token));
        let packs = LeasePacks::new(Principal::Grant(GrantId(session.grant())));
        gate.wrap(capnp_rpc::new_client(LeaseCapability {
            access: access.clone(),
            token,
            accepted: Cell::new(accepted),
            packs,
        }))
    }

    /// Ends the attempt, and with it the logs of its steps.
    async fn end(&self, outcome: Outcome, mut reason: String) -> capnp::Result<Result<(), Refusal>> {
        let token = self.token;
        let steps = match self.access.driver().peek(|it, _| it.finished_steps(token)) {
            Ok(steps) => steps,
            Err(refusal) => return Ok(Err(refusal)),
        };
        fail_point("master-before-seal");
        let (seals, wrong) = attempt_logs::seal(self.access.logs(), &steps).await?;
        fail_point("master-after-seal");
        if !wrong.is_empty() {
            // The text about wrong logs stays whole, and the words of the worker are cut.
            let words = limits::cut(&reason, REASON.most.saturating_sub(wrong.len() + 2));
            reason = if words.is_empty() { wrong } else { format!("{words}; {wrong}") };
        }
        // The end runs in a task of its own, so it completes even if its caller is gone, because the rest of the attempt must be
        // released.
        let end = move |it: &mut Coordinator, now| it.complete(now, token, outcome, &reason);
        let ending = tokio::task::spawn_local(end_attempt(self.access.clone(), token, steps, seals, end));
        ending.await.map_err(broken)
    }
}

/// Commits the end of an attempt with the seals of its logs, and releases everything else that it had.
async fn end_attempt(
    access: Rc<WorkerAccess>,
    token: LeaseToken,
    steps: Vec<StepRow>,
    seals: Vec<SealRow>,
    end: impl FnOnce(&mut Coordinator, Time) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let attempt = access.driver().peek(|it, _| it.lease_job(token));
    attempt_logs::commit(access.driver(), access.logs(), seals, end).await?;
    access.live().forget_lease(token);
    if let Some((job, attempt)) = attempt {
        attempt_logs::forget(access.logs(), job, attempt, &steps).await;
        end_uploads(access.blobs(), job, attempt).await;
    }
    Ok(())
}

impl Drop for LeaseCapability {
    /// Gives back an offer whose capability is gone. After `accept` this does nothing, because the lease ends by its term.
    fn drop(&mut self) {
        if !self.accepted.get() {
            let token = self.token;
            self.access.driver().note(|it, now| it.give_back(now, token));
        }
    }
}

impl lease::Server for LeaseCapability {
    async fn accept(self: Rc<Self>, _: lease::AcceptParams, mut results: lease::AcceptResults) -> capnp::Result<()> {
        let token = self.token;
        let accepted = self.access.driver().call(|it, now| {
            it.accept(now, token)?;
            // This runs inside the same call, because the worker may write before the answer arrives.
            if let Some((job, attempt)) = it.lease_job(token).filter(|_| !self.accepted.replace(true)) {
                self.access.logs().begin_attempt(job, attempt);
            }
            Ok(())
        });
        accept!(results, accepted.await);
        Ok(())
    }

    async fn source(
        self: Rc<Self>,
        params: lease::SourceParams,
        mut results: lease::SourceResults,
    ) -> capnp::Result<()> {
        let index = usize::from(params.get()?.get_index());
        let token = self.token;
        let driver = self.access.driver();
        if driver.peek(|it, _| it.is_offered(token)) {
            accept!(results, driver.admit());
        }
        // The read waits for the commit of the acceptance, so that the store knows of each job that was read.
        let source = accept!(results, driver.look_up(|it, _| it.lease_source(token, index)).await);
        let source_pack = accept!(results, self.access.source_pack(source, self.packs.clone()));
        results.get().set_source(capnp_rpc::new_client(source_pack));
        Ok(())
    }

    async fn step(self: Rc<Self>, params: lease::StepParams, mut results: lease::StepResults) -> capnp::Result<()> {
        let step = params.get()?.get_index();
        log_of(&self.access, self.token, step)?;
        let report = StepReport { access: self.access.clone(), token: self.token, step };
        results.get().set_report(capnp_rpc::new_client(report));
        Ok(())
    }

    async fn complete(
        self: Rc<Self>,
        params: lease::CompleteParams,
        mut results: lease::CompleteResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let Some(outcome) = wire::outcome_from_wire(params.get_outcome()?) else {
            refuse!(results, Refusal::new(RefusalCode::Invalid, "`complete` needs an outcome"));
        };
        let reason = limits::text(params.get_reason(), &REASON)?;
        accept!(results, self.end(outcome, reason).await?);
        Ok(())
    }

    async fn report(
        self: Rc<Self>,
        params: lease::ReportParams,
        mut results: lease::ReportResults,
    ) -> capnp::Result<()> {
        let mut said = accept!(results, bounded(wire::read_progress(params.get()?.get_progress()))?).into_iter();
        let mut taken = Ok(());
        while let (Ok(()), Some(next)) = (&taken, said.next()) {
            taken = match next {
                Progress::Started { step, time } => started(&self.access, self.token, step, time),
                Progress::Finished { step, end } => finished(&self.access, self.token, step, end),
                Progress::Ended { .. } if said.len() > 0 => {
                    Err(Refusal::new(RefusalCode::Invalid, "nothing may follow the end of an attempt"))
                }
                // The box makes the future of a report fit into the thread cache of the C library, which has blocks up to 1,032
                // bytes.
                Progress::Ended { outcome, reason } => Box::pin(self.end(outcome, reason)).await?,
            };
        }
        accept!(results, settled(&self.access, taken).await);
        Ok(())
    }

    async fn log(self: Rc<Self>, params: lease::LogParams, mut results: lease::LogResults) -> capnp::Result<()> {
        results.get().set_sink(sink(&self.access, self.token, params.get()?.get_step())?);
        Ok(())
    }

    async fn artifact(
        self: Rc<Self>,
        params: lease::ArtifactParams,
        mut results: lease::ArtifactResults,
    ) -> capnp::Result<()> {
        let path = accept!(results, bounded(limits::text(params.get()?.get_path(), &ARTIFACT))?);
        if path.is_empty() {
            refuse!(results, Refusal::new(RefusalCode::Invalid, "the path of an artifact must not be empty"));
        }
        accept!(results, self.access.driver().peek(|it, _| it.lease_upload(self.token, &path)));
        let sink = ArtifactSink { access: self.access.clone(), token: self.token, path };
        results.get().set_sink(capnp_rpc::new_client(sink));
        Ok(())
    }
}

/// Returns a policy that lets only `accept` pass before the lease is accepted. On a full disk `source` passes too, because the acceptance
/// waits there, and a worker that asked for both at once must get a refusal. It would take an exception for the answer.
fn opens_with_accept(access: &Rc<WorkerAccess>, token: LeaseToken) -> impl Fn(u64, u16) -> capnp::Result<()> + 'static {
    let access = Rc::downgrade(access);
    move |interface, method| {
        let Some(access) = access.upgrade().filter(|_| (interface, method) != ACCEPT) else { return Ok(()) };
        let is_exempt = || (interface, method) == SOURCE && access.driver().is_full();
        match access.driver().peek(|it, _| it.check_lease(token)) {
            // A call on a lease that is over passes, because its methods say so in their own results.
            Err(refusal) if refusal.code == RefusalCode::Conflict && !is_exempt() => Err(failed(&refusal)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
