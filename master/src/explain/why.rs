//! The reason for the state of a job, as a value and as words. `reason` finds it.

use super::words::{few, listed, room};
use schema::values::{Resources, TierName};
use std::collections::BTreeSet;

/// A `Why` is the reason for the state of a job. It is the same for all queued jobs with the same needs, and cheap to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The job waits for these jobs of its build, which are not finished.
    Needs(Vec<String>),
    /// This many connected workers could take the job and may, but none of them has room.
    Busy(usize),
    /// This worker has room, but does not ask for work.
    Silent(String),
    /// This worker has room, but takes no job for now. `lack` says in the worker's own words what it lacks.
    Unready {
        worker: String,
        lack: String,
    },
    /// This many connected workers could take the job and may. All of them come last for a while, because they accepted no offer.
    Resting {
        able: usize,
        /// The name of one of these workers.
        worker: String,
        /// The reason, which follows the worker's name, such as "did not accept the last offer; it is asked again in 40 s".
        why: String,
    },
    /// This many connected workers could take the job, but all of them drain or are held.
    Stopped {
        able: usize,
        /// The name of one of these workers, which has room if any of them has.
        worker: String,
        /// How the worker is stopped, which follows its name, such as "is held: its disk is full".
        how: String,
        /// Whether all of these workers drain by themselves.
        is_ending: bool,
    },
    /// These workers could take the job, but are not connected.
    Away(Vec<String>),
    /// All workers that could otherwise take the job are too small for this room.
    Room(Resources),
    Pool(BTreeSet<String>),
    Platform {
        on: String,
        pools: BTreeSet<String>,
    },
    Label {
        want: String,
        pools: BTreeSet<String>,
    },
    /// No worker that could otherwise take the job offers this tier of isolation, or a stronger one.
    Tier {
        tier: TierName,
        pools: BTreeSet<String>,
    },
    /// Some worker has each thing that the job wants, but no worker has all of them.
    Together,
    /// The repository of this project was not read since the master was restored.
    Restored(String),
    Offered(String),
    Runs(String),
    Ran(String),
    /// This retry does not repeat the job, which ran in the build with this selector.
    Carried(String),
    /// The job was skipped because its condition was not met. The text names the condition.
    When(String),
    /// The job was skipped because a job that it needs did not end well. The text names that job.
    Need(String),
    /// The job ended without an attempt, for this reason.
    Ended(String),
}

impl Why {
    /// The reason as a word for programs. `perspective.capnp` lists these words.
    pub fn kind(&self) -> &'static str {
        match self {
            Why::Needs(_) => "needs",
            Why::Busy(_) => "busy",
            Why::Silent(_) => "silent",
            Why::Unready { .. } => "unready",
            Why::Resting { .. } => "resting",
            Why::Stopped { .. } => "stopped",
            Why::Away(_) => "away",
            Why::Room(_) => "room",
            Why::Pool(_) => "pool",
            Why::Platform { .. } => "platform",
            Why::Label { .. } => "label",
            Why::Tier { .. } => "tier",
            Why::Together => "together",
            Why::Restored(_) => "restored",
            Why::Offered(_) => "offered",
            Why::Runs(_) => "runs",
            Why::Ran(_) => "ran",
            Why::Carried(_) => "carried",
            Why::When(_) => "when",
            Why::Need(_) => "need",
            Why::Ended(_) => "ended",
        }
    }

    /// The reason as a sentence for people. It names no job of another project.
    pub fn text(&self) -> String {
        match self {
            Why::Needs(open) => format!("needs {}", listed(open)),
            Why::Busy(1) => "the only worker that could take it is busy".to_owned(),
            Why::Busy(able) => format!("all {able} workers that could take it are busy"),
            Why::Silent(worker) => format!("worker {worker} has room for it, but does not ask for work"),
            Why::Unready { worker, lack } => format!("worker {worker} takes no job for now: {lack}"),
            Why::Resting { able: 1, worker, why } => format!("worker {worker} {why}"),
            Why::Resting { able, worker, why } => {
                format!("none of the {able} workers that could take it accepted its last offer; worker {worker} {why}")
            }
            Why::Stopped { able: 1, worker, how, .. } => format!("worker {worker} could take it, but {how}"),
            Why::Stopped { able, .. } => format!("all {able} workers that could take it are drained or held"),
            Why::Away(workers) => match workers.as_slice() {
                [worker] => format!("waiting for worker {worker} to connect: no other worker can run this job"),
                workers => {
                    format!(
                        "waiting for one of the workers {} to connect: no other worker can run this job",
                        few(workers)
                    )
                }
            },
            Why::Room(asked) => format!("no worker is large enough for {}", room(asked)),
            Why::Pool(pools) => format!("there is no worker of pool {}", listed(pools)),
            Why::Platform { on, pools } => format!("no worker of pool {} has platform {on}", listed(pools)),
            Why::Label { want, pools } => format!("no worker of pool {} has `{want}`", listed(pools)),
            Why::Tier { tier, pools } => format!("no worker of pool {} offers isolation `{tier}`", listed(pools)),
            Why::Together => "no single worker has all that it wants".to_owned(),
            Why::Restored(project) => {
                format!("the master was restored from a backup, and waits to read the repository of {project} first")
            }
            Why::Offered(worker) => format!("offered to {worker}, which has not accepted it yet"),
            Why::Runs(worker) => format!("runs on {worker}"),
            Why::Ran(worker) => format!("ran on {worker}"),
            Why::Carried(build) => format!("not repeated by this retry: it ran in {build}"),
            Why::When(why) | Why::Need(why) | Why::Ended(why) => why.clone(),
        }
    }

    /// The remedy in short, for a list. [`super::Remedy`] says it in full. Empty means that there is nothing to do or to wait for.
    pub fn remedy(&self) -> String {
        match self {
            Why::Needs(_) => "wait for them".to_owned(),
            Why::Busy(_) => "wait for one, or start another worker".to_owned(),
            Why::Silent(worker) | Why::Resting { worker, .. } => {
                format!("look at the log of {worker}, or start another worker")
            }
            Why::Unready { worker, .. } => format!("make room on the machine of {worker}, or start another worker"),
            Why::Stopped { worker, is_ending: true, .. } => format!("start {worker} again"),
            Why::Stopped { worker, .. } => format!("guild worker resume {worker}"),
            Why::Away(workers) => format!("start {}", workers.first().map(String::as_str).unwrap_or_default()),
            Why::Room(_) => "join a larger worker".to_owned(),
            Why::Pool(pools) => format!("join a worker of pool {}", listed(pools)),
            Why::Platform { on, .. } => format!("join a worker of platform {on}"),
            Why::Label { want, .. } => format!("join a worker that has `{want}`"),
            Why::Tier { tier, .. } => format!("join a worker that offers `{tier}`"),
            Why::Together => "join a worker that has everything".to_owned(),
            Why::Restored(_) => {
                "wait until the master has read the repository; `guild doctor` says why it cannot".to_owned()
            }
            Why::Offered(_) => "wait for the answer".to_owned(),
            Why::Runs(_) | Why::Ran(_) | Why::Carried(_) | Why::When(_) | Why::Need(_) | Why::Ended(_) => String::new(),
        }
    }
}
