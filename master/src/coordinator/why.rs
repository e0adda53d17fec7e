//! Why a job is where it is, and what would change that, as values and as words. How it is found out is in `explain`.

use super::fit::{listed, room};
use super::record::JobKey;
use schema::values::{Resources, Time};
use std::collections::BTreeSet;

/// The reason alone: the same for all jobs that need the same, and cheap to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Jobs of the same build that are not finished.
    Needs(Vec<String>),
    /// So many connected workers could take it and may; none has room.
    Busy(usize),
    /// This worker has room and does not ask for work.
    Silent(String),
    /// This worker has room, and takes no job for now: what it lacks, as it says itself.
    Unready {
        worker: String,
        lack: String,
    },
    /// So many connected workers could take it and may; all come last for a while, as offers to them came to nothing.
    Resting {
        able: usize,
        /// One of them.
        worker: String,
        /// "did not accept the last offer; it is asked again in 40 s"
        why: String,
    },
    /// So many connected workers could take it; all drain or are held.
    Stopped {
        able: usize,
        /// One of them, with room where there is one.
        worker: String,
        /// "is held: its disk is full"
        how: String,
        /// It drains by itself, as they all do.
        is_ending: bool,
    },
    /// These could take it and are not connected.
    Away(Vec<String>),
    /// All that could take it are too small.
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
    /// Each thing it wants is there, all of them nowhere.
    Together,
    /// The repository of this project was not read since the master was restored.
    Restored(String),
    Offered(String),
    Runs(String),
    Ran(String),
    /// Not repeated: the selector of the build that it ran in.
    Carried(String),
    /// Skipped, since its condition was not met: which.
    When(String),
    /// Skipped, since a job that it needs did not end well: which.
    Need(String),
    /// Ended without an attempt, for this reason.
    Ended(String),
}

impl Why {
    /// For programs: as in `perspective.capnp`.
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

    /// A sentence for people. Names no job of another project.
    pub fn text(&self) -> String {
        match self {
            Why::Needs(open) => format!("needs {}", listed(open)),
            Why::Busy(1) => "the only worker that could take it is busy".to_owned(),
            Why::Busy(able) => format!("all {able} workers that could take it are busy"),
            Why::Silent(worker) => format!("worker {worker} has room for it and does not ask for work"),
            Why::Unready { worker, lack } => format!("worker {worker} takes no job for now: {lack}"),
            Why::Resting { able: 1, worker, why } => format!("worker {worker} {why}"),
            Why::Resting { able, worker, why } => {
                format!("all {able} workers that could take it let offers go by; worker {worker} {why}")
            }
            Why::Stopped { able: 1, worker, how, .. } => format!("worker {worker} could take it and {how}"),
            Why::Stopped { able, .. } => format!("all {able} workers that could take it are drained or held"),
            Why::Away(workers) => match workers.as_slice() {
                [worker] => format!("worker {worker} could take it and is not connected: it is waited for"),
                workers => {
                    format!("workers {} could take it, none is connected: they are waited for", few(workers))
                }
            },
            Why::Room(asked) => format!("no worker is large enough for {}", room(asked)),
            Why::Pool(pools) => format!("there is no worker of pool {}", listed(pools)),
            Why::Platform { on, pools } => format!("no worker of pool {} has platform {on}", listed(pools)),
            Why::Label { want, pools } => format!("no worker of pool {} has `{want}`", listed(pools)),
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

    /// In short, for a list; [`Remedy`] says it in full. Empty: there is nothing to do, or to wait for.
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
            Why::Together => "join a worker that has all".to_owned(),
            Why::Restored(_) => "wait for the first look; `guild doctor` says what is in its way".to_owned(),
            Why::Offered(_) => "wait for the answer".to_owned(),
            Why::Runs(_) | Why::Ran(_) | Why::Carried(_) | Why::When(_) | Why::Need(_) | Why::Ended(_) => String::new(),
        }
    }
}

/// The whole answer about one job.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub why: Why,
    /// Of the job's state.
    pub since: Option<Time>,
    /// Jobs that go first, of those that the same workers could take; at most 1,000.
    pub ahead: usize,
    /// The nearest first, at most 20.
    pub workers: Vec<Candidate>,
    /// All that were looked at.
    pub worker_count: usize,
    /// Each by itself places the job; the least effort first.
    pub remedies: Vec<Remedy>,
    pub hints: Vec<String>,
}

/// What keeps a job from a worker, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nothing does; for a job that waits for others.
    Free,
    Busy,
    /// It has an offer that it has not answered.
    Offered,
    /// It has room and does not ask.
    Silent,
    Drained,
    Held,
    /// It drains by itself, and will end.
    Ending,
    Away,
    Small,
    Lacking,
}

/// A worker as one job sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub name: String,
    pub standing: Standing,
    /// More than the word, for people; may be empty.
    pub text: String,
    /// Selectors of what it runs or was offered, the oldest first; "": of a project that may not be seen.
    pub jobs: Vec<String>,
    /// Of the oldest of them, else of the standing.
    pub since: Option<Time>,
}

/// Steps to be done one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remedy {
    pub steps: Vec<RemedyStep>,
    /// The jobs that are waited for.
    pub ends: BTreeSet<JobKey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemedyStep {
    /// For a job to end (well, where it is needed): its selector; "": of a project that may not be seen.
    Wait(String),
    /// The worker gets jobs again.
    Resume(String),
    /// The worker is to be started on its machine, which calls itself `host`.
    Start {
        worker: String,
        host: String,
    },
    Join(Wanted),
}

/// A worker that is not there and would take the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub pool: String,
    pub labels: Vec<(String, String)>,
    /// Empty: any.
    pub platform: String,
    /// For the job and those that go first.
    pub room: Resources,
}

impl Explanation {
    pub(super) fn of(why: Why, since: Option<Time>) -> Explanation {
        let (workers, remedies, hints) = (Vec::new(), Vec::new(), Vec::new());
        Explanation { why, since, ahead: 0, workers, worker_count: 0, remedies, hints }
    }

    /// Takes away the names of jobs that are not for the reader's eyes. `sees`: asked with a project's name.
    pub fn hide(&mut self, sees: impl Fn(&str) -> bool) {
        let is_hidden = |selector: &str| !sees(project_of(selector));
        let jobs = self.workers.iter_mut().flat_map(|worker| &mut worker.jobs);
        let steps = self.remedies.iter_mut().flat_map(|remedy| &mut remedy.steps);
        let waits = steps.filter_map(|step| match step {
            RemedyStep::Wait(job) => Some(job),
            RemedyStep::Resume(_) | RemedyStep::Start { .. } | RemedyStep::Join(_) => None,
        });
        jobs.chain(waits).filter(|job| is_hidden(job)).for_each(String::clear);
    }
}

/// `pyfoo` of `pyfoo/412/test`.
pub(super) fn project_of(selector: &str) -> &str {
    selector.split('/').next().unwrap_or_default()
}

impl Standing {
    pub fn word(self) -> &'static str {
        match self {
            Standing::Free => "free",
            Standing::Busy => "busy",
            Standing::Offered => "offered",
            Standing::Silent => "silent",
            Standing::Drained => "drained",
            Standing::Held => "held",
            Standing::Ending => "ending",
            Standing::Away => "away",
            Standing::Small => "small",
            Standing::Lacking => "lacking",
        }
    }
}

impl Remedy {
    /// Whether this step is done with it. Each new worker is another, though they be alike.
    pub(super) fn does(&self, step: &RemedyStep) -> bool {
        !matches!(step, RemedyStep::Join(_)) && self.steps.contains(step)
    }

    /// First this one, then the other; what both ask for is done once.
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

    /// What to type; empty where there is nothing to type.
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

impl Wanted {
    fn text(&self) -> String {
        let platform = (!self.platform.is_empty()).then(|| format!("platform {}", self.platform));
        let labels = self.labels.iter().map(|(name, value)| format!("{name}={value}"));
        let slots = match self.room.slots {
            1 => "a slot".to_owned(),
            slots => format!("{slots} slots"),
        };
        let room = match self.room {
            Resources { cpus_milli: 0, memory: 0, .. } => slots,
            asked => format!("{slots}, {}", room(&asked)),
        };
        listed([format!("pool {}", self.pool)].into_iter().chain(platform).chain(labels).chain([room]))
    }
}

/// As one word of a shell: labels come from the pipeline, and a command is there to be copied.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-=@%+,:/".contains(c);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Most names in a sentence.
const NAMED: usize = 10;

fn few(names: &[String]) -> String {
    match names.len() > NAMED {
        true => format!("{} and {} more", listed(&names[..NAMED]), names.len() - NAMED),
        false => listed(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_of_projects_that_may_not_be_seen_have_no_names() {
        let mut told = Explanation::of(Why::Busy(1), None);
        let jobs = vec!["secret/7/merge".to_owned(), "open/1/test".to_owned()];
        let (name, standing, text) = ("anvil".to_owned(), Standing::Busy, String::new());
        told.workers = vec![Candidate { name, standing, text, jobs: jobs.clone(), since: None }];
        told.remedies = vec![Remedy { steps: jobs.into_iter().map(RemedyStep::Wait).collect(), ..Remedy::default() }];
        told.hide(|project| project == "open");
        assert_eq!(told.workers[0].jobs, ["", "open/1/test"]);
        assert_eq!(told.remedies[0].text(), "wait for a job of another project, then wait for open/1/test");
        assert_eq!(told.remedies[0].steps[0].command(), "");
        assert!(!format!("{told:?}").contains("secret"));
    }

    #[test]
    fn a_command_is_safe_to_copy() {
        let labels = vec![("gpu".to_owned(), "yes".to_owned()), ("x".to_owned(), "$(rm -rf ~)'".to_owned())];
        let wanted = Wanted { pool: "linux".to_owned(), labels, ..Wanted::default() };
        let expected = "guild grant issue --kind worker --name NAME --pool linux --label gpu=yes \
                        --label 'x=$(rm -rf ~)'\\''' -o NAME.cap";
        assert_eq!(RemedyStep::Join(wanted).command(), expected);
    }
}
