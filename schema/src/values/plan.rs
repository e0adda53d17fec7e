//! The plan: a pipeline expanded for one source stamp.

use super::{Resources, TierName};
use serde::{Deserialize, Serialize};

/// Decided by the master from what triggered the build, never by the repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    Trusted,
    #[default]
    Untrusted,
}

/// A pipeline expanded for one source stamp: typed, no variables left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// 1
    pub version: u16,
    /// A job comes after those that it needs.
    pub jobs: Vec<JobPlan>,
    pub trust: Trust,
}

/// What a job's directory holds when it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workspace {
    /// A new checkout in an empty directory.
    #[default]
    Fresh,
    /// Tracked files as committed, ignored files stay, others are removed.
    Clean,
    /// Tracked files as committed, everything else stays.
    Kept,
}

/// One cell of the plan, the unit of placement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPlan {
    /// With its cell: `test@linux-x86_64,3.14`.
    pub name: String,
    /// Without: `test`.
    pub base: String,
    /// (axis, value) in the order of the matrix.
    pub cell: Vec<(String, String)>,
    /// Indices into `Plan::jobs`, all smaller than this job's own.
    pub needs: Vec<u32>,
    /// The platform; empty: any worker.
    pub on: String,
    /// Each `name`, `name=value`, or `memory>=4GiB`.
    pub want: Vec<String>,
    /// Reserved while it runs, in thousandths of a core; 0: a slot only.
    pub cpus_milli: u32,
    /// Reserved while it runs, in bytes; 0: not reserved.
    pub memory: u64,
    /// Of the whole attempt.
    pub timeout_ms: u64,
    /// Higher goes first.
    pub priority: i32,
    /// Further attempts after a lost one.
    pub retry_infra: u16,
    pub workspace: Workspace,
    /// False: no checkout.
    pub sources: bool,
    /// Never run a second time by itself.
    pub side_effects: bool,
    pub env: Vec<(String, String)>,
    pub steps: Vec<StepPlan>,
    /// Not empty: why this job is skipped.
    pub skipped: String,
    /// Of all `always` steps that run after a cancel or after the job's time, in milliseconds; 0, as in the plans of version
    /// 0.1: [`ALWAYS_TIMEOUT_MS`].
    #[serde(default)]
    pub always_timeout_ms: u64,
    /// The weakest tier of isolation in which the job may run, where the pipeline names one. None: the usual one, which the
    /// master knows.
    #[serde(default)]
    pub isolation: Option<TierName>,
}

/// The time of the `always` steps of a job that was cancelled or whose time was over, where its plan says none: long enough
/// to take down what tests put up, and short enough to wait for.
pub const ALWAYS_TIMEOUT_MS: u64 = 30_000;

impl JobPlan {
    /// What it takes of a worker while it runs.
    pub fn room(&self) -> Resources {
        Resources { slots: 1, cpus_milli: self.cpus_milli, memory: self.memory }
    }

    /// The time of the `always` steps that run after a cancel or after the job's time, in milliseconds. None: it has none that
    /// would. The first step runs because of nothing that came before it.
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
        let texts = [&self.name, &self.base, &self.on, &self.skipped, isolation].map(str::len);
        let pairs = size_of_pairs(&self.cell) + size_of_pairs(&self.env);
        let steps: usize = self.steps.iter().map(StepPlan::size).sum();
        let needs = size_of_val(self.needs.as_slice());
        size_of::<JobPlan>() + texts.iter().sum::<usize>() + pairs + needs + size_of_words(&self.want) + steps
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// `script` follows `shell` as its last argument.
    Shell {
        shell: Vec<String>,
        script: String,
    },
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
    pub name: String,
    pub command: Command,
    pub env: Vec<(String, String)>,
    /// Relative to the checkout; empty: the checkout itself.
    pub dir: String,
    /// 0: the job's.
    pub timeout_ms: u64,
    /// Without a byte of output.
    pub idle_ms: u64,
    /// Runs also after an earlier step failed, was cancelled, or used up the job's time.
    pub always: bool,
    /// Its failure makes the job `warned`, and the next step runs.
    pub continue_on_failure: bool,
}

impl StepPlan {
    fn size(&self) -> usize {
        let command = match &self.command {
            Command::Shell { shell, script } => size_of_words(shell) + script.len(),
            Command::Exec(words) => size_of_words(words),
        };
        size_of::<StepPlan>() + self.name.len() + self.dir.len() + command + size_of_pairs(&self.env)
    }
}

const STRING: usize = size_of::<String>();

fn size_of_words(words: &[String]) -> usize {
    words.iter().map(|word| word.len() + STRING).sum()
}

fn size_of_pairs(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, value)| name.len() + value.len() + 2 * STRING).sum()
}
