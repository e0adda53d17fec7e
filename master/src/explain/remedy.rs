//! The remedies for a job that waits, as values and as words. `trial` finds them.

use super::words::{listed, quoted, room};
use crate::decide::coordinator::record::JobKey;
use schema::values::{Resources, TierName};
use std::collections::BTreeSet;

/// A `Remedy` is a list of steps, to be done one after the other, that get a job placed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remedy {
    pub steps: Vec<RemedyStep>,
    /// The jobs for whose end the steps wait.
    pub ends: BTreeSet<JobKey>,
}

/// One thing to do, or to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemedyStep {
    /// Wait for this job to end. It must end well if the waiting job needs it. Its selector is "" if the caller may not see its project.
    Wait(String),
    /// Let this worker have jobs again.
    Resume(String),
    /// Start this worker on its machine, which calls itself `host`.
    Start {
        worker: String,
        host: String,
    },
    Join(MissingWorker),
}

/// A worker that does not exist and would take the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissingWorker {
    pub pool: String,
    pub labels: Vec<(String, String)>,
    /// The platform that it must have. Empty means any platform.
    pub platform: String,
    /// The tier of isolation that the job or its pool asks for, or that a known worker lacks. `None` means that the tier need not be
    /// mentioned.
    pub tier: Option<TierName>,
    /// The room that it needs for this job and for the jobs that go first.
    pub room: Resources,
}

impl Remedy {
    /// Whether this remedy contains the step. Two new workers are two steps, even if they are alike.
    pub(super) fn does(&self, step: &RemedyStep) -> bool {
        !matches!(step, RemedyStep::Join(_)) && self.steps.contains(step)
    }

    /// Returns the steps of this remedy and then those of the other. A step that both contain is done once.
    pub(super) fn and(mut self, other: Remedy) -> Remedy {
        for step in other.steps {
            if !self.does(&step) {
                self.steps.push(step);
            }
        }
        self.ends.extend(other.ends);
        self
    }

    pub fn text(&self) -> String {
        let steps: Vec<String> = self.steps.iter().map(RemedyStep::text).collect();
        steps.join(", then ")
    }
}

impl RemedyStep {
    pub fn text(&self) -> String {
        match self {
            RemedyStep::Wait(job) if job.is_empty() => "wait for a job of another project".to_owned(),
            RemedyStep::Wait(job) => format!("wait for {job}"),
            RemedyStep::Resume(worker) => format!("resume worker {worker}"),
            RemedyStep::Start { worker, host } if host.is_empty() || host == worker => format!("start worker {worker}"),
            RemedyStep::Start { worker, host } => format!("start worker {worker} on {host}"),
            RemedyStep::Join(wanted) => format!("join a worker with {}", wanted.text()),
        }
    }

    /// The command to type. Empty means that there is nothing to type.
    pub fn command(&self) -> String {
        match self {
            RemedyStep::Wait(job) if job.is_empty() => String::new(),
            RemedyStep::Wait(job) => format!("guild explain {job}"),
            RemedyStep::Resume(worker) => format!("guild worker resume {worker}"),
            RemedyStep::Start { .. } => "guild-worker run".to_owned(),
            RemedyStep::Join(wanted) => {
                let labels = wanted.labels.iter().map(|(name, value)| quoted(&format!("{name}={value}")));
                let labels: String = labels.map(|label| format!(" --label {label}")).collect();
                let pool = quoted(&wanted.pool);
                format!("guild grant issue --kind worker --name NAME --pool {pool}{labels} -o NAME.cap")
            }
        }
    }
}

impl MissingWorker {
    fn text(&self) -> String {
        let platform = (!self.platform.is_empty()).then(|| format!("platform {}", self.platform));
        let labels = self.labels.iter().map(|(name, value)| format!("{name}={value}"));
        let tier = self.tier.as_ref().map(|tier| format!("isolation `{tier}`"));
        let slots = match self.room.slots {
            1 => "a slot".to_owned(),
            slots => format!("{slots} slots"),
        };
        let room = match self.room {
            Resources { cpus_milli: 0, memory: 0, .. } => slots,
            asked => format!("{slots}, {}", room(&asked)),
        };
        listed([format!("pool {}", self.pool)].into_iter().chain(platform).chain(labels).chain(tier).chain([room]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::Tier;

    #[test]
    fn a_new_worker_is_told_with_the_tier_that_is_asked_for() {
        let wanted = MissingWorker {
            pool: "linux".to_owned(),
            room: Resources { slots: 1, ..Resources::default() },
            ..MissingWorker::default()
        };
        assert_eq!(RemedyStep::Join(wanted.clone()).text(), "join a worker with pool linux, a slot");
        let wanted = MissingWorker { tier: Some(Tier::Guard.into()), ..wanted };
        assert_eq!(RemedyStep::Join(wanted).text(), "join a worker with pool linux, isolation `guard`, a slot");
    }

    #[test]
    fn a_command_is_safe_to_copy() {
        let labels = vec![("gpu".to_owned(), "yes".to_owned()), ("x".to_owned(), "$(rm -rf ~)'".to_owned())];
        let wanted = MissingWorker { pool: "linux".to_owned(), labels, ..MissingWorker::default() };
        let expected = "guild grant issue --kind worker --name NAME --pool linux --label gpu=yes \
                        --label 'x=$(rm -rf ~)'\\''' -o NAME.cap";
        assert_eq!(RemedyStep::Join(wanted).command(), expected);
    }
}
