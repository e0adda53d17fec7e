//! Ends the logs of an attempt. Its worker says how long each log is, or the attempt was taken away and its logs end where they are.
//! Either way the seals are committed first, and only then does memory drop the logs.

use super::broken;
use crate::commit::driver::Driver;
use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::record::{JobKey, SealRow, StepKey, StepRow};
use crate::keep::logs::Logs;
use schema::values::{Refusal, Time};
use std::rc::Rc;
use std::time::Duration;

/// The pause between two tries to end the logs of a lost attempt. The disk is what fails, and it needs time to recover.
const AGAIN: Duration = Duration::from_secs(5);

/// Seals the logs of the finished steps. Returns the rows to record, and a text about a log that is not complete.
pub(super) async fn seal(logs: &Logs, steps: &[StepRow]) -> capnp::Result<(Vec<SealRow>, String)> {
    let mut seals = Vec::new();
    let mut wrong = String::new();
    for step in steps {
        let sealed = logs.seal(step.key, step.log_size, &step.log_hash).await.map_err(broken)?;
        if !sealed.agrees {
            wrong = format!("log-incomplete: step {} ({})", step.key.step + 1, step.name);
        }
        seals.push(sealed.row);
    }
    Ok((seals, wrong))
}

/// Commits seals in the same transaction as the command that ends their attempt.
pub(super) async fn commit(
    driver: &Driver,
    logs: &Logs,
    seals: Vec<SealRow>,
    end: impl FnOnce(&mut Coordinator, Time) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let keys: Vec<StepKey> = seals.iter().map(|row| row.key).collect();
    let committed = driver.call(|it, now| {
        end(it, now)?;
        it.seal_logs(seals)
    });
    committed.await?;
    logs.forget_sealed(keys);
    Ok(())
}

/// Removes the logs of steps whose end the worker never reported, because they belong to no recorded step.
pub(super) async fn forget(logs: &Logs, job: JobKey, attempt: u16, steps: &[StepRow]) {
    let kept: Vec<u16> = steps.iter().map(|step| step.key.step).collect();
    if let Err(error) = logs.drop_others(job, attempt, &kept).await {
        tracing::warn!(?job, attempt, %error, "logs of steps that never ended cannot be removed");
    }
    logs.forget_attempt(job, attempt);
}

/// Closes the logs of an attempt that was taken away, each with a line that says why. Readers of these logs wait for their end, so this
/// function tries until there is room on the disk.
pub(super) async fn end_lost(driver: Rc<Driver>, logs: Rc<Logs>, job: JobKey, attempt: u16, reason: String) {
    let marker = format!("[guild: attempt {attempt} ended here: {reason}]\n");
    while let Err(why) = end_once(&driver, &logs, job, attempt, &marker).await {
        tracing::warn!(?job, attempt, "failed to end the logs of a lost attempt, trying again: {why}");
        tokio::time::sleep(AGAIN).await;
    }
    logs.forget_attempt(job, attempt);
}

async fn end_once(driver: &Driver, logs: &Logs, job: JobKey, attempt: u16, marker: &str) -> Result<(), String> {
    let seals = logs.end_attempt(job, attempt, marker).await.map_err(|error| error.to_string())?;
    if seals.is_empty() {
        return Ok(());
    }
    // The coordinator had already ended the attempt before this call.
    commit(driver, logs, seals, |_, _| Ok(())).await.map_err(|refusal| refusal.to_string())
}
