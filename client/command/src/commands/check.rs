//! `guild check`: what is wrong with a pipeline file, all at once; or the jobs that it makes. Needs no master.

use crate::connected::Connected;
use crate::printer::Printer;
use clap::Args;
use client::Error;
use pipeline::{Changed, Context};
use schema::values::{BuildCause, JobPlan, Plan, Trust};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use toml_file::Diagnostics;

/// The exit status for a pipeline file that is broken: the same as for wrong usage, because the caller has to change what it gave.
const BROKEN: u8 = 2;

#[derive(Args)]
pub(crate) struct Check {
    /// The pipeline file [default: guild.toml here or at the top of the repository]
    file: Option<PathBuf>,
}

impl Check {
    pub(crate) fn run(self, connected: &Connected) -> Result<u8, Error> {
        let file = self.file.unwrap_or_else(pipeline_file);
        stays_inside(connected, &file)?;
        let text = std::fs::read(&file).map_err(|error| Error::usage(format!("{}: {error}", file.display())))?;
        match plan(connected, &file, &text) {
            Ok(plan) => {
                let doubts = pipeline::doubts(&plan);
                doubts.iter().for_each(|doubt| connected.printer.note_lines(&format!("warning: {doubt}")));
                say_plan(&connected.printer, &plan).map(|()| 0)
            }
            Err(diagnostics) if connected.printer.wants_json() => {
                diagnostics
                    .0
                    .iter()
                    .try_for_each(|one| connected.printer.say_json(&serde_json::to_value(one).unwrap_or_default()))?;
                Ok(BROKEN)
            }
            Err(diagnostics) => {
                connected.printer.note_lines(&diagnostics.to_string());
                Ok(BROKEN)
            }
        }
    }
}

/// For a run by hand of this branch: nothing is left out but what `when` says of it.
pub(super) fn plan(connected: &Connected, file: &Path, text: &[u8]) -> Result<Plan, Diagnostics> {
    let branch = connected.copy().and_then(|copy| copy.branch.clone());
    let context = Context {
        ref_name: branch.unwrap_or_else(|| "refs/heads/main".to_owned()),
        cause: BuildCause::Run { by: String::new() },
        changed: Changed::default(),
        trust: Trust::Trusted,
    };
    pipeline::load(&file.to_string_lossy(), text).and_then(|pipeline| pipeline.expand(&context))
}

/// The nearest guild.toml upwards; the one here where there is none.
fn pipeline_file() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let found = here.ancestors().map(|dir| dir.join("guild.toml")).find(|file| file.is_file());
    found.unwrap_or_else(|| PathBuf::from("guild.toml"))
}

/// A master follows a symbolic link within the commit only, so what is read here must be in the repository too.
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
