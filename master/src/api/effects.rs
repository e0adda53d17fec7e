//! Effects that reach beyond the driver: gates flip, workers are told, plans are read, logs of lost attempts end.

use super::Office;
use super::live::{Connection, Revoked};
use crate::coordinator::record::{JobKey, LeaseToken, Record, StepKey};
use crate::coordinator::{Effect, SessionId};
use crate::planner::plan;
use std::rc::Rc;
use std::time::Duration;

/// How long a worker's call may take before it counts as unreachable.
const TELL: Duration = Duration::from_secs(10);
/// Before the logs of a lost attempt are ended again, where it failed.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the connection of a revoked worker is kept for its answer alone, that all which it ran has ended: it kills within
/// 10 s.
const ANSWER: Duration = Duration::from_secs(15);
/// Before the connection of a session that was replaced is closed: the newer one may be on it, and is noted a moment later.
const PARTING: Duration = Duration::from_secs(1);

/// Performs effects on what this office holds. Called in order, plans at once and the others after the commit of what caused
/// them.
pub fn outside(office: Rc<Office>) -> crate::driver::Outside {
    Box::new(move |effect| perform(&office, effect))
}

fn perform(office: &Rc<Office>, effect: Effect) {
    match effect {
        Effect::Record(_) | Effect::Offer { .. } | Effect::Finished { .. } => {
            unreachable!("the driver performs these itself")
        }
        Effect::Plan { build } => {
            tokio::task::spawn_local(plan(office.clone(), build));
        }
        Effect::Cancel { session, token, reason, now } => {
            tokio::task::spawn_local(tell_cancel(office.clone(), session, token, reason, now));
        }
        Effect::Withdraw { session, token, begun, reason } => {
            office.live.end_lease(token, &reason);
            tokio::task::spawn_local(tell_stale(office.clone(), session, token));
            if let Some((job, attempt)) = begun {
                tokio::task::spawn_local(end_logs(office.clone(), job, attempt, reason));
            }
        }
        Effect::Revoke { grants, reason } => {
            let left = office.live.left_without(&grants);
            let workers = office.live.workers_of(&grants);
            office.live.revoke(&grants, &reason);
            let (awaited, idle): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|connection| workers.iter().any(|worker| worker.is_on(connection)));
            for worker in workers {
                let connection = awaited.iter().find(|connection| worker.is_on(connection)).cloned();
                tokio::task::spawn_local(part_with(office.clone(), worker, connection, reason.clone()));
            }
            // not inside the call that revokes: it may come over one of these
            tokio::task::spawn_local(async move { idle.iter().for_each(|connection| connection.close()) });
        }
        Effect::EndSession { session } => {
            if let Some((grant, connection)) = office.live.end_session(session, "the session was replaced") {
                let office = office.clone();
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(PARTING).await;
                    office.live.part(grant, &connection);
                });
            }
        }
    }
}

async fn tell_cancel(office: Rc<Office>, session: SessionId, token: LeaseToken, reason: String, now: bool) {
    let Some(worker) = office.live.worker(session) else { return };
    let mut request = worker.cancel_request();
    request.get().set_token(&token.0);
    request.get().set_reason(&reason);
    request.get().set_now(now);
    // unreachable: the coordinator fences the lease after its own deadline
    let _ = tokio::time::timeout(TELL, request.send().promise).await;
}

async fn tell_stale(office: Rc<Office>, session: Option<SessionId>, token: LeaseToken) {
    let Some(worker) = session.and_then(|session| office.live.worker(session)) else { return };
    let mut request = worker.stale_request();
    request.get().set_token(&token.0);
    let _ = tokio::time::timeout(TELL, request.send().promise).await;
}

/// Tells a worker that its grant was revoked, hears whether all that it ran has ended, and closes its connection where that
/// holds nothing else.
async fn part_with(office: Rc<Office>, revoked: Revoked, connection: Option<Rc<Connection>>, reason: String) {
    let mut request = revoked.worker.revoked_request();
    request.get().set_reason(&reason);
    let answer = tokio::time::timeout(ANSWER, request.send().promise).await;
    let ended =
        answer.is_ok_and(|answer| answer.is_ok_and(|results| results.get().is_ok_and(|results| results.get_ended())));
    office.driver.note(|it, now| it.revoked_answered(now, revoked.grant, ended));
    if let Some(connection) = connection {
        connection.close_unless_used();
    }
}

/// Closes what an attempt wrote before it was taken away, with a line that says why. Nobody asks for it again, and who
/// follows these logs waits for their end: so it goes on until there is room for it.
async fn end_logs(office: Rc<Office>, job: JobKey, attempt: u16, reason: String) {
    let marker = format!("[guild: attempt {attempt} ended here: {reason}]\n");
    while let Err(why) = end_logs_once(&office, job, attempt, &marker).await {
        tracing::warn!(?job, attempt, "failed to end the logs of a lost attempt, trying again: {why}");
        tokio::time::sleep(AGAIN).await;
    }
    office.logs.forget_attempt(job, attempt);
}

async fn end_logs_once(office: &Office, job: JobKey, attempt: u16, marker: &str) -> Result<(), String> {
    let rows = office.logs.end_attempt(job, attempt, marker).await.map_err(|error| error.to_string())?;
    if rows.is_empty() {
        return Ok(());
    }
    let keys: Vec<StepKey> = rows.iter().map(|row| row.key).collect();
    let records = rows.into_iter().map(Record::Seal).collect();
    office.driver.call_with(|_, _| ((), records)).await.map_err(|refusal| refusal.to_string())?;
    office.logs.forget_sealed(keys);
    Ok(())
}
