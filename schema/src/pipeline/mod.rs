//! `guild.toml` to a plan, or to all that is wrong with it. Pure: a text comes in, values or diagnostics go out. The
//! master, `guild check` and `guild local` share it. Does not decide where a job runs, nor what a needed job's outcome
//! means.
//!
//! [`load`] reads the file and expands its matrices; [`Pipeline::expand`] adds what depends on the build.

mod axis;
mod expand;
mod infer;
mod job;
pub mod keys;
mod matrix;
pub mod mistake;
mod order;
mod placeholder;
mod settings;
mod step;
mod when;

pub use crate::toml_file::{Diagnostic, Diagnostics};
pub use infer::{Inferred, infer};

use crate::toml_file::{Page, Table};
use crate::values::{JobPlan, Plan, Trust};
use settings::Settings;
use std::sync::Arc;
use when::{Trigger, When};

/// The version of the file that this reads.
const VERSION: u16 = 1;

/// A `guild.toml` without errors.
#[derive(Clone, Debug)]
pub struct Pipeline {
    trigger: Trigger,
    /// Each after those that it needs.
    jobs: Vec<Branching>,
}

/// A job that runs or not, as its `when` says; the cells of a job share it.
#[derive(Clone, Debug)]
struct Branching {
    plan: JobPlan,
    when: Arc<When>,
}

/// Why there is a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A ref moved.
    Change,
    /// Someone asked.
    Run,
    /// Someone asked for an earlier build again.
    Retry,
}

impl Cause {
    fn as_str(self) -> &'static str {
        match self {
            Cause::Change => "change",
            Cause::Run => "run",
            Cause::Retry => "retry",
        }
    }
}

/// What a plan depends on besides the file.
#[derive(Clone, Debug)]
pub struct Context {
    /// In full, `refs/heads/main`; empty where a commit was named directly.
    pub ref_name: String,
    pub cause: Cause,
    /// What changed. None: unknown, which matches every pattern.
    pub paths: Option<Vec<String>>,
    pub trust: Trust,
}

/// Reads a pipeline. Bounded in time and memory whatever the text is.
pub fn load(file_name: &str, text: &[u8]) -> Result<Pipeline, Diagnostics> {
    let page = Page::open(file_name, text)?;
    let tree = page.parse()?;
    let pipeline = read(&page.root(&tree));
    page.judge(pipeline)
}

impl Pipeline {
    /// Whether a push to this ref makes a build. Without `[trigger]`: each branch, no tag.
    pub fn triggers(&self, ref_name: &str, paths: Option<&[String]>) -> bool {
        self.not_triggered(ref_name, paths).is_none()
    }

    /// Why a push to this ref makes no build; none: it makes one.
    pub fn not_triggered(&self, ref_name: &str, paths: Option<&[String]>) -> Option<String> {
        self.trigger.reason(ref_name, paths)
    }

    /// The plan of one build. Whatever the file alone can break was told by [`load`].
    pub fn expand(&self, context: &Context) -> Result<Plan, Diagnostics> {
        let paths = context.paths.as_deref();
        let jobs = self.jobs.iter().map(|Branching { plan, when }| {
            let skipped = when.reason(&context.ref_name, context.cause, paths).unwrap_or_default();
            JobPlan { skipped, ..plan.clone() }
        });
        Ok(Plan { version: VERSION, jobs: jobs.collect(), trust: context.trust })
    }
}

fn read(root: &Table<'_>) -> Option<Pipeline> {
    let page = root.page();
    check_version(root);
    let trigger = Trigger::read(root);
    let defaults = defaults(root);
    let axes = axis::read(root);
    let jobs = job::read_all(root, &axes);
    root.close(keys::TOP_LATER);
    let order = order::order(page, &jobs)?;
    // a half-read job would be expanded to errors that are none
    if !page.is_clean() {
        return None;
    }
    Some(Pipeline { trigger, jobs: expand::expand(page, &defaults, jobs, &order)? })
}

fn check_version(root: &Table<'_>) {
    let Some(value) = root.get("version") else {
        return root.page().error(0..0, "the file does not say its `version`", "", "begin it with: version = 1");
    };
    match value.integer(0..=i64::MAX) {
        Some(1) | None => {}
        Some(other) => value.refuse(format_args!("{other} is not known"), "", "this version of guild reads version 1"),
    }
}

fn defaults(root: &Table<'_>) -> Settings {
    let Some(table) = root.get("defaults").and_then(|value| value.table("[defaults]")) else {
        return Settings::default();
    };
    let settings = Settings::read(&table);
    table.close(keys::DEFAULTS_LATER);
    settings
}
