//! The machines of the connected workers: the troubles that a worker reports, and the error of its clock.

use super::rough;
use crate::explain::MachineStatus;
use schema::values::Finding;
use std::time::Duration;

/// Reports everything on the machine of one worker that somebody should mend.
pub(super) fn judge(machine: &MachineStatus) -> Vec<Finding> {
    let subject = format!("worker {}", machine.worker);
    let clock = off(machine.ahead, machine.behind).map(|seen| {
        let remedy = "set the clock of its machine, for example with `timedatectl set-ntp true`; until then the master corrects the times of its steps";
        Finding::warned(subject.clone(), seen, remedy)
    });
    let bounds = machine.unbounded.iter().map(|lack| {
        let remedy =
            "steps can take all processes and memory there, so give it only jobs that you trust with its machine";
        Finding::warned(subject.clone(), format!("it cannot hold a step to its limits: {lack}"), remedy)
    });
    let told = machine.troubles.iter().map(|trouble| {
        let remedy = "mend it on the machine of the worker; its log says more";
        Finding::warned(subject.clone(), trouble.clone(), remedy)
    });
    clock.into_iter().chain(bounds).chain(told).collect()
}

fn off(ahead: Duration, behind: Duration) -> Option<String> {
    match (ahead.is_zero(), behind.is_zero()) {
        (false, _) => Some(format!("its clock is {} ahead of the master's", rough(ahead))),
        (true, false) => Some(format!("its clock is {} behind the master's", rough(behind))),
        (true, true) => None,
    }
}
