//! `guild check` shows all that is wrong with a pipeline file, or the jobs that it makes. It needs no master.

use crate::connected::Connected;
use crate::git;
use crate::printer::Printer;
use crate::render::now;
use crate::resolve::{GitWord, named_ref};
use clap::Args;
use client::Error;
use pipeline::{Changed, Context, CronEntry, CronTimes, Pipeline};
use schema::values::{BuildCause, JobPlan, Plan, Time, Trust, branch_or_tag};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use toml_file::Diagnostics;

/// The exit status for a broken pipeline file. It is the same as for wrong usage, because the caller has to change the input.
const BROKEN: u8 = 2;

/// The number of firings of an entry that are shown. Three are enough to notice a wrong weekday or month.
const FIRINGS: usize = 3;

#[derive(Args)]
pub(crate) struct Check {
    /// The pipeline file to check [default: guild.toml here or at the top of the repository]
    file: Option<PathBuf>,
    /// Show which jobs a push of this branch or tag would run; it need not exist yet [default: the jobs of a run by hand of
    /// the branch here]
    #[arg(long = "ref", value_name = "REF")]
    ref_name: Option<String>,
}

impl Check {
    pub(crate) fn run(self, connected: &Connected) -> Result<u8, Error> {
        let file = self.file.clone().unwrap_or_else(pipeline_file);
        stays_inside(connected, &file)?;
        let text = std::fs::read(&file).map_err(|error| Error::usage(format!("{}: {error}", file.display())))?;
        let planned = match &self.ref_name {
            Some(name) => pushed(connected, &file, &text, name),
            None => planned(connected, &file, &text),
        };
        match planned {
            Ok((pipeline, plan)) => {
                let doubts = pipeline::doubts(&plan);
                doubts.iter().for_each(|doubt| connected.printer.note_lines(&format!("warning: {doubt}")));
                say_plan(&connected.printer, &plan)?;
                say_crons(&connected.printer, &pipeline).map(|()| 0)
            }
            Err(diagnostics) if connected.printer.wants_json() => {
                diagnostics.0.iter().try_for_each(|one| {
                    connected.printer.say_json_of_stream(&serde_json::to_value(one).unwrap_or_default())
                })?;
                Ok(BROKEN)
            }
            Err(diagnostics) => {
                connected.printer.note_lines(&diagnostics.to_string());
                Ok(BROKEN)
            }
        }
    }
}

/// Returns the plan of a run by hand of this branch. It leaves out only the jobs that `when` leaves out.
pub(super) fn plan(connected: &Connected, file: &Path, text: &[u8]) -> Result<Plan, Diagnostics> {
    planned(connected, file, text).map(|(_, plan)| plan)
}

fn planned(connected: &Connected, file: &Path, text: &[u8]) -> Result<(Pipeline, Plan), Diagnostics> {
    let branch = connected.copy().and_then(|copy| copy.branch.clone());
    let context = Context {
        ref_name: branch.unwrap_or_else(|| "refs/heads/main".to_owned()),
        cause: BuildCause::Run { by: String::new() },
        changed: Changed::default(),
        trust: Trust::Trusted,
    };
    let pipeline = pipeline::load(&file.to_string_lossy(), text)?;
    pipeline.expand(&context).map(|plan| (pipeline, plan))
}

/// Refuses jobs and a platform that a try of this pipeline would not have. A file that is missing or has errors is left to the master,
/// which may be of another version.
pub(super) fn plan_of_try(connected: &Connected, file: &Path, jobs: &[String], platform: &str) -> Result<(), Error> {
    let Ok(text) = std::fs::read(file) else { return Ok(()) };
    let Ok(plan) = plan(connected, file, &text) else { return Ok(()) };
    pipeline::tried(plan, jobs, platform).map(drop).map_err(Error::usage)
}

/// Returns the plan of a push of a branch or a tag. Prints which of the two it is, and whether such a push makes a build.
fn pushed(connected: &Connected, file: &Path, text: &[u8], name: &str) -> Result<(Pipeline, Plan), Diagnostics> {
    let pipeline = pipeline::load(&file.to_string_lossy(), text)?;
    let ref_name = full_ref(connected, &pipeline, name);
    let said = match pipeline.not_triggered(&ref_name, None) {
        None => format!("a push of the {} builds:", named_ref(&ref_name)),
        Some(_) => format!(
            "a push of the {} makes no build, because [trigger] names it neither in `push` nor in `tag`; `guild run --ref {name}` does:",
            named_ref(&ref_name)
        ),
    };
    connected.printer.note(said);
    let cause = BuildCause::Change;
    let context = Context { ref_name, cause, changed: Changed::default(), trust: Trust::Trusted };
    pipeline.expand(&context).map(|plan| (pipeline, plan))
}

/// Returns the full name of a ref. If no branch or tag has this name yet, it means a tag if [trigger] has a pattern of tags for it, and
/// otherwise a branch.
fn full_ref(connected: &Connected, pipeline: &Pipeline, name: &str) -> String {
    if name.starts_with("refs/") {
        return name.to_owned();
    }
    let [branch, tag] = branch_or_tag(name);
    let known = connected.copy().and_then(|copy| git::word(&copy.toplevel, name));
    match known {
        Some(GitWord::Ref(full)) => full,
        Some(GitWord::Commit(_)) | None if pipeline.triggers(&tag, None) => tag,
        Some(GitWord::Commit(_)) | None => branch,
    }
}

/// Returns the path of the nearest guild.toml, in this directory or above it. If there is none, it is the one in this directory.
fn pipeline_file() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let found = here.ancestors().map(|dir| dir.join("guild.toml")).find(|file| file.is_file());
    found.unwrap_or_else(|| PathBuf::from("guild.toml"))
}

/// Refuses a symbolic link that leads out of the repository, because a master follows links only within the commit.
fn stays_inside(connected: &Connected, file: &Path) -> Result<(), Error> {
    let (Some(copy), true) = (connected.copy(), file.is_symlink()) else { return Ok(()) };
    let inside = |target: PathBuf| copy.toplevel.canonicalize().is_ok_and(|top| target.starts_with(top));
    if file.canonicalize().is_ok_and(inside) {
        return Ok(());
    }
    let text = format!("{} is a symbolic link that leads out of the repository", file.display());
    Err(Error::usage(text).help("a build follows links within its commit only: commit the file itself"))
}

fn say_plan(printer: &Printer, plan: &Plan) -> Result<(), Error> {
    let rows: Vec<Value> = plan.jobs.iter().map(|job| row(plan, job)).collect();
    printer.say_rows(&rows, &["name", "on", "needs", "steps", "skipped"])
}

/// Shows each entry of [trigger.cron] with its next firings.
fn say_crons(printer: &Printer, pipeline: &Pipeline) -> Result<(), Error> {
    for entry in pipeline.crons() {
        let (branch, next) = (entry.branch.as_deref().unwrap_or_default(), firings(entry));
        if printer.wants_json() {
            printer.say_json_of_stream(&json!({ "cron": entry.name, "branch": branch, "next": next }))?;
            continue;
        }
        let branch = if branch.is_empty() { "the default branch" } else { branch };
        printer.say_field("cron", &format!("{} of {branch}, next: {}", entry.name, next.join(", ")))?;
    }
    Ok(())
}

/// Returns the next firings of an entry, in the time of its zone.
fn firings(entry: &CronEntry) -> Vec<String> {
    let Ok(times) = CronTimes::new(&entry.at, &entry.tz) else { return Vec::new() };
    let after = |time: &Time| times.next(*time);
    std::iter::successors(times.next(now()), after).take(FIRINGS).map(|time| times.shown(time)).collect()
}

fn row(plan: &Plan, job: &JobPlan) -> Value {
    let needs: Vec<&str> = job.needs.iter().map(|need| plan.jobs[*need as usize].name.as_str()).collect();
    let steps: Vec<&str> = job.steps.iter().map(|step| step.name.as_str()).collect();
    json!({
        "name": job.name,
        "on": job.on,
        "needs": needs.join(", "),
        "steps": steps.join(", "),
        "skipped": job.skipped,
    })
}
