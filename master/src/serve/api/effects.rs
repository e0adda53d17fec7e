//! Performs the effects that reach beyond the driver: it closes gates, calls workers, reads plans, and ends the logs of lost
//! attempts.

use super::attempt_logs;
use super::live::{Connection, LiveObjects, Revoked};
use super::sink::end_uploads;
use crate::commit::driver::{Driver, Outside};
use crate::decide::coordinator::record::{BuildId, LeaseToken};
use crate::decide::coordinator::{Effect, SessionId};
use crate::intake::planner::{PlanRead, Planner};
use crate::keep::blobs::Blobs;
use crate::keep::logs::Logs;
use std::rc::Rc;
use std::time::Duration;

/// The time in which a worker must answer a call. After that it counts as unreachable.
const TELL: Duration = Duration::from_secs(10);
/// The time for which the connection of a revoked worker stays open for one answer: that everything it ran has ended. A worker kills its
/// steps within 10 s.
const ANSWER: Duration = Duration::from_secs(15);
/// The pause before the connection of a replaced session is closed. The newer session may use it, and is recorded only a moment later.
const PARTING: Duration = Duration::from_secs(1);

/// An `EffectPerformer` performs the effects that reach beyond the driver.
pub struct EffectPerformer {
    pub driver: Rc<Driver>,
    /// The live objects: the gates to close, and the workers to call.
    pub live: Rc<LiveObjects>,
    pub logs: Rc<Logs>,
    pub blobs: Rc<Blobs>,
    pub planner: Rc<Planner>,
}

impl EffectPerformer {
    /// Returns the closure that the driver calls, in order: with plans at once, and with other effects after the commit of their cause.
    pub fn outside(self) -> Outside {
        let effects = Rc::new(self);
        Box::new(move |effect| perform(&effects, effect))
    }
}

fn perform(it: &Rc<EffectPerformer>, effect: Effect) {
    match effect {
        Effect::Record(_) | Effect::Offer { .. } | Effect::Finished { .. } | Effect::Tested => {
            unreachable!("the driver performs these itself")
        }
        Effect::Plan { build } => {
            tokio::task::spawn_local(plan(it.clone(), build));
        }
        Effect::Cancel { session, token, reason, now } => {
            tokio::task::spawn_local(tell_cancel(it.clone(), session, token, reason, now));
        }
        Effect::Withdraw { session, token, begun, reason } => {
            it.live.end_lease(token, &reason);
            tokio::task::spawn_local(tell_stale(it.clone(), session, token));
            if let Some((job, attempt)) = begun {
                let blobs = it.blobs.clone();
                tokio::task::spawn_local(async move { end_uploads(&blobs, job, attempt).await });
                tokio::task::spawn_local(attempt_logs::end_lost(
                    it.driver.clone(),
                    it.logs.clone(),
                    job,
                    attempt,
                    reason,
                ));
            }
        }
        Effect::Revoke { grants, reason } => {
            let left = it.live.left_without(&grants);
            let workers = it.live.workers_of(&grants);
            it.live.revoke(&grants, &reason);
            let (awaited, idle): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|connection| workers.iter().any(|worker| worker.is_on(connection)));
            for worker in workers {
                let connection = awaited.iter().find(|connection| worker.is_on(connection)).cloned();
                tokio::task::spawn_local(part_with(it.clone(), worker, connection, reason.clone()));
            }
            // This must not run inside the call that revokes, because that call may come over one of these connections.
            tokio::task::spawn_local(async move { idle.iter().for_each(|connection| connection.close()) });
        }
        Effect::EndSession { session } => {
            if let Some((grant, connection)) = it.live.end_session(session, "the session was replaced") {
                let it = it.clone();
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(PARTING).await;
                    it.live.part(grant, &connection);
                });
            }
        }
    }
}

/// Plans one build and passes the plan to the coordinator.
async fn plan(it: Rc<EffectPerformer>, build: BuildId) {
    let Some(row) = it.driver.peek(|it, _| it.open_build_row(build).cloned()) else { return };
    let PlanRead { planned, crons } = it.planner.plan(&row).await;
    let wall = it.driver.now();
    it.driver.note(|it, now| {
        if let Some(crons) = crons {
            it.read_crons(wall, &row, crons);
        }
        it.plan_ready(now, build, planned);
    });
}

async fn tell_cancel(it: Rc<EffectPerformer>, session: SessionId, token: LeaseToken, reason: String, now: bool) {
    let Some(worker) = it.live.worker(session) else { return };
    let mut request = worker.cancel_request();
    request.get().set_token(&token.0);
    request.get().set_reason(&reason);
    request.get().set_now(now);
    // If the worker cannot be reached, the coordinator fences the lease after its own deadline.
    let _ = tokio::time::timeout(TELL, request.send().promise).await;
}

async fn tell_stale(it: Rc<EffectPerformer>, session: Option<SessionId>, token: LeaseToken) {
    let Some(worker) = session.and_then(|session| it.live.worker(session)) else { return };
    let mut request = worker.stale_request();
    request.get().set_token(&token.0);
    let _ = tokio::time::timeout(TELL, request.send().promise).await;
}

/// Tells a worker that its grant was revoked, and records whether all that it ran has ended. Then closes its connection, if no other
/// grant uses it.
async fn part_with(it: Rc<EffectPerformer>, revoked: Revoked, connection: Option<Rc<Connection>>, reason: String) {
    let mut request = revoked.worker.revoked_request();
    request.get().set_reason(&reason);
    let answer = tokio::time::timeout(ANSWER, request.send().promise).await;
    let ended =
        answer.is_ok_and(|answer| answer.is_ok_and(|results| results.get().is_ok_and(|results| results.get_ended())));
    it.driver.note(|it, now| it.revoked_answered(now, revoked.grant, ended));
    if let Some(connection) = connection {
        connection.close_unless_used();
    }
}
