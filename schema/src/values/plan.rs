//! The plan: a pipeline expanded for one source stamp.

use super::{Outcome, ReportPlan, Resources, TierName};
use serde::{Deserialize, Serialize};

/// The newest version of a plan that this program knows, and the one that it makes. A field that may be passed over leaves the
/// version as it is. A field whose passing over would do harm, as one that keeps a step from the network, raises it.
pub const PLAN_VERSION: u16 = 1;

/// Why a plan cannot be read: its text is for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadablePlan {
    /// A newer version made the plan.
    #[error("the plan is of version {0}, and this program knows versions up to {PLAN_VERSION}: upgrade it")]
    Newer(u16),
    /// The text is not a plan that this version can read.
    #[error("the plan is damaged, or has something that this program does not know: {0}")]
    Strange(String),
}

/// An error for a plan of a version that this program does not know. Versions up to 0.2 send 0, and their plans are of version 1.
pub fn known_plan_version(version: u16) -> Result<(), UnreadablePlan> {
    if version <= PLAN_VERSION { Ok(()) } else { Err(UnreadablePlan::Newer(version)) }
}

/// How far a build is trusted. The master decides it from what triggered the build, and the repository never does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// The build comes from whoever may write to the repository.
    Trusted,
    /// The build comes from somebody else.
    #[default]
    Untrusted,
}

/// A pipeline expanded for one source stamp: typed, no variables left. What was stored is read by [`Plan::parse`], which
/// passes over fields that only a newer version knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of the plan's form, from 1 to [`PLAN_VERSION`].
    pub version: u16,
    /// A job comes after those that it needs.
    pub jobs: Vec<JobPlan>,
    /// How far the master trusts what it builds.
    pub trust: Trust,
}

/// All that is read of a plan that cannot be read as a whole.
#[derive(Deserialize)]
struct OnlyVersion {
    version: u16,
}

impl Plan {
    /// Reads a plan as it was stored, by whichever version.
    pub fn parse(text: &str) -> Result<Plan, UnreadablePlan> {
        let read: Result<Plan, _> = serde_json::from_str(text);
        // a newer plan may have another form, so its version is looked for by itself
        let version = match &read {
            Ok(plan) => plan.version,
            Err(_) => serde_json::from_str(text).map_or(0, |only: OnlyVersion| only.version),
        };
        known_plan_version(version)?;
        read.map_err(|error| UnreadablePlan::Strange(error.to_string()))
    }

    /// A plan of jobs that can only end: of each nothing is known but its name.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Plan {
        let jobs = names.into_iter().map(|name| JobPlan { name: name.to_owned(), ..JobPlan::default() });
        Plan { version: PLAN_VERSION, jobs: jobs.collect(), trust: Trust::default() }
    }
}

/// What a job's directory holds when it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workspace {
    /// A new checkout in an empty directory.
    #[default]
    Fresh,
    /// Tracked files are as committed, ignored files stay, and others are removed.
    Clean,
    /// Tracked files are as committed, and everything else stays.
    Kept,
}

/// One cell of the plan, the unit of placement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPlan {
    /// The name with its cell: `test@linux-x86_64,3.14`.
    pub name: String,
    /// The name without its cell: `test`.
    pub base: String,
    /// Each axis with its value, in the order of the matrix.
    pub cell: Vec<(String, String)>,
    /// The jobs that must end before it: indices into `Plan::jobs`, all smaller than this job's own.
    pub needs: Vec<u32>,
    /// The platform; empty means any worker.
    pub on: String,
    /// What its worker must have, each `name`, `name=value`, or `memory>=4GiB`.
    pub want: Vec<String>,
    /// Reserved while it runs, in thousandths of a core; 0 means a slot only.
    pub cpus_milli: u32,
    /// Reserved while it runs, in bytes; 0 means not reserved.
    pub memory: u64,
    /// The most time of one attempt, in milliseconds.
    pub timeout_ms: u64,
    /// The priority. A job of a higher one goes first.
    pub priority: i32,
    /// How many further attempts it has after one that was lost.
    pub retry_infra: u16,
    /// What its directory holds when it starts.
    pub workspace: Workspace,
    /// Whether it has a checkout.
    pub sources: bool,
    /// Whether it never runs a second time by itself.
    pub side_effects: bool,
    /// Variables of the environment of all its steps.
    pub env: Vec<(String, String)>,
    /// Its steps in their order.
    pub steps: Vec<StepPlan>,
    /// Why this job is skipped; empty means that it is not.
    pub skipped: String,
    /// The most time of all `always` steps together that run after a cancel or after the job's time, in milliseconds. The value
    /// 0, as in the plans of version 0.1, means [`ALWAYS_TIMEOUT_MS`].
    #[serde(default)]
    pub always_timeout_ms: u64,
    /// Whether its failure is only a warning for the build and for the jobs that need it.
    #[serde(default)]
    pub may_fail: bool,
    /// The weakest tier of isolation in which the job may run, where the pipeline names one. `None` means the usual one, which the
    /// master knows.
    #[serde(default)]
    pub isolation: Option<TierName>,
    /// Why a retry of the build skips this job, or empty if it does not skip it. `None` means that it is as with the build
    /// itself, and so it is in the plans of versions up to 0.2. Only the master reads it, so it does not travel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_in_retry: Option<String>,
}

/// The time of the `always` steps of a job that was cancelled or whose time was over, where its plan says none. It is long enough
/// to take down what tests put up, and short enough to wait for.
pub const ALWAYS_TIMEOUT_MS: u64 = 30_000;

impl JobPlan {
    /// What it takes of a worker while it runs.
    pub fn room(&self) -> Resources {
        Resources { slots: 1, cpus_milli: self.cpus_milli, memory: self.memory }
    }

    /// What the outcome of this job counts for in its build and for the jobs that need it.
    pub fn counted(&self, outcome: Outcome) -> Outcome {
        let is_allowed = self.may_fail && matches!(outcome, Outcome::Failed | Outcome::Errored);
        if is_allowed { Outcome::Warned } else { outcome }
    }

    /// The time of the `always` steps that run after a cancel or after the job's time, in milliseconds. `None` means that it has
    /// none that would. The first step runs because of nothing that came before it.
    pub fn cleanup_ms(&self) -> Option<u64> {
        let has_one = self.steps.iter().skip(1).any(|step| step.always);
        has_one.then_some(match self.always_timeout_ms {
            0 => ALWAYS_TIMEOUT_MS,
            given => given,
        })
    }

    /// The bytes that it takes in memory, or as it travels to a worker: about, and never less than as it travels. Many empty
    /// strings count too.
    pub fn size(&self) -> usize {
        let isolation = self.isolation.as_ref().map_or("", TierName::word);
        let in_retry = self.skipped_in_retry.as_deref().unwrap_or_default();
        let texts = [&self.name, &self.base, &self.on, &self.skipped, isolation, in_retry].map(str::len);
        let pairs = size_of_pairs(&self.cell) + size_of_pairs(&self.env);
        let steps: usize = self.steps.iter().map(StepPlan::size).sum();
        let needs = size_of_val(self.needs.as_slice());
        size_of::<JobPlan>() + texts.iter().sum::<usize>() + pairs + needs + size_of_words(&self.want) + steps
    }
}

/// The command that a step runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// A script, run by a shell.
    Shell {
        /// The program and arguments of the shell. The script follows as the last argument.
        shell: Vec<String>,
        /// The text of the script.
        script: String,
    },
    /// A program and its arguments, without a shell.
    Exec(Vec<String>),
}

impl Default for Command {
    /// A program without a name, which runs nowhere: it stands until the command is known.
    fn default() -> Command {
        Command::Exec(Vec::new())
    }
}

/// One command of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepPlan {
    /// The name of the step.
    pub name: String,
    /// The command that the step runs.
    pub command: Command,
    /// Variables of its environment, added to those of the job.
    pub env: Vec<(String, String)>,
    /// Where it runs, relative to the checkout; empty means the checkout itself.
    pub dir: String,
    /// The most time, in milliseconds; 0 means what the job has.
    pub timeout_ms: u64,
    /// The most time without a byte of output, in milliseconds; 0 means any.
    pub idle_ms: u64,
    /// Whether it runs also after an earlier step failed, was cancelled, or used up the job's time.
    pub always: bool,
    /// Whether its failure makes the job `warned`, so that the next step runs.
    pub continue_on_failure: bool,
    /// What its command writes about the tests that it ran.
    #[serde(default)]
    pub reports: Vec<ReportPlan>,
}

impl StepPlan {
    /// What it runs, on one line: of a script of several lines the first one that says something.
    pub fn first_line(&self) -> String {
        match &self.command {
            Command::Exec(words) => words.join(" "),
            Command::Shell { script, .. } => {
                let mut lines = script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                let first = lines.next().unwrap_or_default().to_owned();
                if lines.next().is_some() { first + " …" } else { first }
            }
        }
    }
}

impl StepPlan {
    fn size(&self) -> usize {
        let command = match &self.command {
            Command::Shell { shell, script } => size_of_words(shell) + script.len(),
            Command::Exec(words) => size_of_words(words),
        };
        let reports: usize =
            self.reports.iter().map(|report| report.format.len() + report.path.len() + 2 * STRING).sum();
        size_of::<StepPlan>() + self.name.len() + self.dir.len() + command + size_of_pairs(&self.env) + reports
    }
}

const STRING: usize = size_of::<String>();

fn size_of_words(words: &[String]) -> usize {
    words.iter().map(|word| word.len() + STRING).sum()
}

fn size_of_pairs(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, value)| name.len() + value.len() + 2 * STRING).sum()
}
