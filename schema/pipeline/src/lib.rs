//! Turns a `guild.toml` into a plan, or into a list of all its errors. This crate is pure: it takes a text and returns values or
//! diagnostics. The master and `guild check` share it. It decides neither where a job runs, nor how the outcome of a job affects
//! the jobs that need it.
//!
//! [`load`] reads the file and expands its matrices. [`Pipeline::expand`] adds the parts of the plan that depend on the build.

mod axis;
mod axis_value;
mod cron;
mod cron_names;
mod crons;
mod doubts;
mod entry;
mod expand;
mod foreign;
mod infer;
mod job;
pub mod keys;
pub mod limits;
mod matrix;
pub mod mistake;
mod order;
mod placeholder;
mod reports;
mod settings;
mod step;
mod tried;
mod when;

pub use cron::{CronEntry, CronMistake, CronTimes};
pub use doubts::doubts;
pub use infer::{Inferred, infer};
pub use toml_file::{Diagnostic, Diagnostics};
pub use tried::tried;

use schema::limits::SKIPPED;
use schema::values::{BuildCause, JobPlan, Plan, Trust};
use settings::Settings;
use std::collections::BTreeMap;
use std::sync::Arc;
use toml_file::{Page, Table};
use when::{Matching, Room, Trigger, When};

/// The environment variable of a step that names the entry of `[trigger.cron]` which made the build.
const CRON_VARIABLE: &str = "GUILD_CRON";
/// The version of `guild.toml` that this crate reads, and of the plans that it makes.
const VERSION: u16 = 1;

/// The pipeline of a `guild.toml` without errors.
#[derive(Clone, Debug)]
pub struct Pipeline {
    trigger: Trigger,
    /// The jobs. Each comes after the jobs that it needs.
    jobs: Vec<Branching>,
}

/// A job with the `when` that decides whether it runs. The cells of a job share their `when`.
#[derive(Clone, Debug)]
struct Branching {
    plan: JobPlan,
    when: Arc<When>,
}

/// The changed paths of each job, since the good run of its lane with which it is compared.
#[derive(Clone, Debug, Default)]
pub struct Changed(BTreeMap<String, Arc<Vec<String>>>);

impl Changed {
    /// Sets the changed paths of a job, which is named with its cell.
    pub fn insert(&mut self, job: String, paths: Arc<Vec<String>>) {
        self.0.insert(job, paths);
    }

    /// Returns the changed paths of a job. `None` means that they are not known, which counts as a match of every pattern.
    pub fn paths(&self, job: &str) -> Option<&Arc<Vec<String>>> {
        self.0.get(job)
    }
}

/// Everything about a build on which its plan depends, besides the file.
#[derive(Clone, Debug)]
pub struct Context {
    /// The full name of the ref, such as `refs/heads/main`. It is empty if a commit was named directly.
    pub ref_name: String,
    pub cause: BuildCause,
    pub changed: Changed,
    pub trust: Trust,
}

/// Reads a pipeline. The time and the memory that it takes are bounded, whatever the text is.
pub fn load(file_name: &str, text: &[u8]) -> Result<Pipeline, Diagnostics> {
    let page = Page::open(file_name, text)?.with_advice(foreign::advice);
    let tree = page.parse()?;
    let pipeline = read(&page.root(&tree));
    page.judge(pipeline)
}

impl Pipeline {
    /// Whether a push to this ref makes a build. Without `[trigger]`, a push to a branch does, and a push of a tag does not.
    pub fn triggers(&self, ref_name: &str, paths: Option<&[String]>) -> bool {
        self.not_triggered(ref_name, paths).is_none()
    }

    /// Returns the reason why a push to this ref makes no build. `None` means that it makes one.
    pub fn not_triggered(&self, ref_name: &str, paths: Option<&[String]>) -> Option<String> {
        self.trigger.reason(ref_name, paths)
    }

    /// Returns the entries of `[trigger.cron]`, in the order of the file.
    pub fn crons(&self) -> &[CronEntry] {
        &self.trigger.crons
    }

    /// Whether `[trigger]` or a `when` has `paths`, so that the changed paths must be known.
    pub fn asks_for_paths(&self) -> bool {
        self.triggers_by_paths() || self.jobs_by_paths().next().is_some()
    }

    /// Whether `[trigger]` has `paths`, so that a push must be compared with an earlier commit.
    pub fn triggers_by_paths(&self) -> bool {
        self.trigger.asks_for_paths()
    }

    /// Returns the names, with their cells, of the jobs whose `when` has `paths`.
    pub fn jobs_by_paths(&self) -> impl Iterator<Item = &str> {
        self.jobs.iter().filter(|job| job.when.asks_for_paths()).map(|job| job.plan.name.as_str())
    }

    /// Returns the plan of one build. [`load`] has already reported the errors of the file itself.
    pub fn expand(&self, context: &Context) -> Result<Plan, Diagnostics> {
        let mut matching = Matching::default();
        let jobs = self.jobs.iter().map(|Branching { plan, when }| {
            let paths = context.changed.paths(&plan.name);
            let mut skipped_by = |kind: &str| {
                let why =
                    when.reason(&context.ref_name, kind, &context.cause, paths, &mut matching).unwrap_or_default();
                // the reason is sent with the plan and names patterns, which may be long
                SKIPPED.cut(&why).into_owned()
            };
            let (skipped, in_retry) = (skipped_by(context.cause.kind()), skipped_by(BuildCause::RETRY));
            let skipped_in_retry = (in_retry != skipped).then_some(in_retry);
            let mut plan = JobPlan { skipped, skipped_in_retry, ..plan.clone() };
            if let BuildCause::Cron { name } = &context.cause {
                // a pipeline cannot set variables that begin with GUILD_, so this name is not there yet
                plan.env.push((CRON_VARIABLE.to_owned(), name.clone()));
            }
            plan
        });
        Ok(Plan { version: VERSION, jobs: jobs.collect(), trust: context.trust })
    }
}

fn read(root: &Table<'_>) -> Option<Pipeline> {
    let page = root.page();
    check_version(root);
    let room = Room::new();
    let trigger = Trigger::read(root, &room);
    let defaults = defaults(root);
    let axes = axis::read(root);
    let jobs = job::read_all(root, &defaults, &axes, &room);
    cron_names::check(page, &trigger.crons, &jobs);
    root.close(keys::TOP_LATER);
    let order = order::order(page, &jobs)?;
    // expanding a job that was read only in part would report errors that do not exist
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
    let mut defaults = Settings::usual();
    if let Some(table) = root.get("defaults").and_then(|value| value.table("[defaults]")) {
        entry::read(&table, keys::SETTINGS, &mut defaults);
        table.close(keys::DEFAULTS_LATER);
    }
    defaults
}
