//! The plan, which is a pipeline expanded for one source stamp.

use super::{Outcome, ReportPlan, Resources, TierName};
use serde::{Deserialize, Serialize};

/// The newest version of a plan that this program can read, and the version that it makes. A new field raises the version only if
/// ignoring the field would do harm, for example a field that keeps a step from the network.
pub const PLAN_VERSION: u16 = 1;

/// The reason why a plan cannot be read. Its text is for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadablePlan {
    /// A newer version made the plan.
    #[error("the plan is of version {0}, and this program knows versions up to {PLAN_VERSION}: upgrade it")]
    Newer(u16),
    /// The text is not a plan that this version can read.
    #[error("the plan is damaged, or has something that this program does not know: {0}")]
    Strange(String),
}

/// Fails for a plan of a version that this program does not know. Masters up to version 0.2 send 0 for plans of version 1.
pub fn known_plan_version(version: u16) -> Result<(), UnreadablePlan> {
    if version <= PLAN_VERSION { Ok(()) } else { Err(UnreadablePlan::Newer(version)) }
}

/// The trust of a build. The master derives it from the trigger of the build; the repository never decides it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// The build comes from somebody who may write to the repository.
    Trusted,
    /// The build comes from anybody else.
    #[default]
    Untrusted,
}

/// A plan: a pipeline expanded for one source stamp, with types and without variables. [`Plan::parse`] reads a stored plan and ignores
/// fields that only a newer version knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of the plan's form, from 1 to [`PLAN_VERSION`].
    pub version: u16,
    /// The jobs. Each comes after the jobs that it needs.
    pub jobs: Vec<JobPlan>,
    /// The trust of the build, as the master decides it.
    pub trust: Trust,
}

/// The version of a plan that cannot be read as a whole.
#[derive(Deserialize)]
struct OnlyVersion {
    version: u16,
}

impl Plan {
    /// Reads a stored plan of any version. Fails if a newer version made it, or if the text is damaged.
    pub fn parse(text: &str) -> Result<Plan, UnreadablePlan> {
        let read: Result<Plan, _> = serde_json::from_str(text);
        // a newer plan may have another form, so its version is read separately
        let version = match &read {
            Ok(plan) => plan.version,
            Err(_) => serde_json::from_str(text).map_or(0, |only: OnlyVersion| only.version),
        };
        known_plan_version(version)?;
        read.map_err(|error| UnreadablePlan::Strange(error.to_string()))
    }

    /// Makes a plan of jobs that cannot run, because only their names are known.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Plan {
        let jobs = names.into_iter().map(|name| JobPlan { name: name.to_owned(), ..JobPlan::default() });
        Plan { version: PLAN_VERSION, jobs: jobs.collect(), trust: Trust::default() }
    }
}

/// The content of a job's directory when the job starts.
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

/// A job of the plan: one cell, the unit of placement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPlan {
    /// The name with its cell: `test@linux-x86_64,3.14`.
    pub name: String,
    /// The name without its cell: `test`.
    pub base: String,
    /// The axes with their values, in the order of the matrix.
    pub cell: Vec<(String, String)>,
    /// The jobs that must end before this one, as indices into `Plan::jobs`. They are smaller than this job's own index.
    pub needs: Vec<u32>,
    /// The platform of the worker; empty means any platform.
    pub on: String,
    /// The demands on the worker, each as `name`, `name=value`, or `memory>=4GiB`.
    pub want: Vec<String>,
    /// The processors that are reserved while the job runs, in thousandths of a core. 0 means that it takes only a slot.
    pub cpus_milli: u32,
    /// The memory that is reserved while the job runs, in bytes. 0 means none.
    pub memory: u64,
    /// The longest time of one attempt, in milliseconds.
    pub timeout_ms: u64,
    /// The priority. A job of a higher priority goes first.
    pub priority: i32,
    /// The number of further attempts after lost ones.
    pub retry_infra: u16,
    /// The content of the job's directory when the job starts.
    pub workspace: Workspace,
    /// Whether the job has a checkout.
    pub sources: bool,
    /// Whether the job has effects outside, so that Guild never runs it a second time by itself.
    pub side_effects: bool,
    /// The variables in the environment of all its steps.
    pub env: Vec<(String, String)>,
    /// The steps, in their order.
    pub steps: Vec<StepPlan>,
    /// The reason why the job is skipped; empty means that it is not skipped.
    pub skipped: String,
    /// The time, in milliseconds, that all `always` steps have together after a cancel or after the job's time is over. 0, as in
    /// the plans of version 0.1, means [`ALWAYS_TIMEOUT_MS`].
    #[serde(default)]
    pub always_timeout_ms: u64,
    /// Whether a failure of the job is only a warning for the build and for the jobs that need it.
    #[serde(default)]
    pub may_fail: bool,
    /// The weakest tier of isolation in which the job may run, if the pipeline names one. `None` means the master's default.
    #[serde(default)]
    pub isolation: Option<TierName>,
    /// The reason why a retry of the build skips this job; empty means that it does not. `None`, as in plans up to version 0.2, means
    /// the same as for the build itself. Only the master reads this field, so it is not sent to workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_in_retry: Option<String>,
}

/// The time, in milliseconds, for the `always` steps of a job that was cancelled or whose time is over, if its plan names none. It is
/// long enough to clean up after tests, and short enough to wait for.
pub const ALWAYS_TIMEOUT_MS: u64 = 30_000;

impl JobPlan {
    /// Returns the room that the job takes on a worker while it runs.
    pub fn room(&self) -> Resources {
        Resources { slots: 1, cpus_milli: self.cpus_milli, memory: self.memory }
    }

    /// Returns the outcome that counts for the build and for the jobs that need this one. If the job may fail, a failure counts as a
    /// warning.
    pub fn counted(&self, outcome: Outcome) -> Outcome {
        let is_allowed = self.may_fail && matches!(outcome, Outcome::Failed | Outcome::Errored);
        if is_allowed { Outcome::Warned } else { outcome }
    }

    /// Returns the time, in milliseconds, for the `always` steps that run after a cancel or after the job's time is over. `None` means
    /// that no step would. The first step does not count, because no step comes before it.
    pub fn cleanup_ms(&self) -> Option<u64> {
        let has_one = self.steps.iter().skip(1).any(|step| step.always);
        has_one.then_some(match self.always_timeout_ms {
            0 => ALWAYS_TIMEOUT_MS,
            given => given,
        })
    }

    /// Estimates the bytes that the job takes in memory and on the wire. The estimate is never less than the bytes on the wire, so
    /// empty strings count too.
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
    /// Returns a program without a name, which cannot run. It is the placeholder until the command is known.
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
    /// The variables of its environment, in addition to those of the job.
    pub env: Vec<(String, String)>,
    /// The directory in which the step runs, relative to the checkout. Empty means the checkout itself.
    pub dir: String,
    /// The longest time of the step, in milliseconds. 0 means the job's time.
    pub timeout_ms: u64,
    /// The longest time without a byte of output, in milliseconds. 0 means no limit.
    pub idle_ms: u64,
    /// Whether the step also runs if an earlier step failed, was cancelled, or used up the job's time.
    pub always: bool,
    /// Whether a failure of the step only makes the job `warned`, so that the next step runs.
    pub continue_on_failure: bool,
    /// The reports that its command writes about the tests that it ran.
    #[serde(default)]
    pub reports: Vec<ReportPlan>,
}

impl StepPlan {
    /// Returns the command on one line. If a script has several lines, this is the first that is neither empty nor a comment, with `…`.
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
