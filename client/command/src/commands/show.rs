//! `guild show` shows one build with its jobs, or one job with its steps.

use crate::blame;
use crate::connected::{Connected, exit_status};
use crate::output::Shown;
use crate::printer::Printer;
use crate::render::{build_row, job_row, one_line, status_word, symbol};
use clap::Args;
use client::views::{BuildView, ChangeView, JobView, StepTests, StepView, timestamp};
use client::words;
use client::{Error, LogAddress, reports};
use schema::values::{Bytes, Outcome, ShortCommit, TimeSpan};
use serde_json::Value;

/// The number of commits that are shown. This many fit on a screen together with the jobs.
const COMMITS_SHOWN: usize = 10;
const JOB_COLUMNS: [&str; 5] = ["name", "status", "platform", "worker", "duration"];

#[derive(Args)]
pub(crate) struct Show {
    /// The build or job to show [default: the build of HEAD's commit, else the latest of the branch here]
    selector: Option<String>,
}

impl Show {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let (meant, build) = connected.build(self.selector.as_deref()).await?;
        let jobs: Vec<&JobView> = build.jobs.iter().filter(|job| meant.chooses(&job.name)).collect();
        // The answer has at most 20 ranges, so a single job is asked for by its name.
        let asked = match jobs.as_slice() {
            [job] if meant.job.is_some() => job.name.as_str(),
            _ => "",
        };
        match (&meant.job, connected.printer.wants_json()) {
            (None, true) => connected.printer.say_json(&changed_row(connected, &build).await?)?,
            (Some(_), true) => {
                let ranges = blame::of_build(connected, &build, asked).await;
                for job in &jobs {
                    let mut row = job_row(&build, job);
                    row["suspects"] = blame::of_job(&ranges, &job.name);
                    row["reports"] = kept_reports(connected, &build, job).await?.iter().map(report_row).collect();
                    connected.printer.say_json(&row)?;
                }
            }
            (None, false) => {
                let change = connected.guild().await?.change(&build.project, build.number).await?;
                show_build(&connected.printer, &build, change.as_ref())?;
                blame::say(&connected.printer, &blame::of_build(connected, &build, "").await)?;
            }
            (Some(_), false) => {
                let ranges = blame::of_build(connected, &build, asked).await;
                for job in &jobs {
                    show_job(&connected.printer, &build, job)?;
                    let of_job = ranges.iter().filter(|range| range.jobs.contains(&job.name));
                    blame::say(&connected.printer, of_job)?;
                    let kept = kept_reports(connected, &build, job).await?;
                    kept.iter().try_for_each(|kept| say_reports(&connected.printer, &build, job, *kept))?;
                }
            }
        }
        let outcome = match jobs.as_slice() {
            [job] if meant.job.is_some() => job.outcome,
            _ => build.outcome,
        };
        Ok(outcome.filter(|_| connected.options.exit_status).map_or(0, exit_status))
    }
}

/// Returns the steps of a job whose original test reports are kept, each with the size of its reports in bytes.
async fn kept_reports(connected: &Connected, build: &BuildView, job: &JobView) -> Result<Vec<(u16, u64)>, Error> {
    let guild = connected.guild().await?;
    let mut kept = Vec::new();
    for (step, _) in (1..).zip(&job.steps).filter(|(_, step)| step.tests.is_some()) {
        let (project, name) = (build.project.clone(), job.name.clone());
        let address = LogAddress { project, build: build.number, job: name, attempt: job.attempt, step };
        kept.extend(reports::size(guild, &address).await?.map(|size| (step, size)));
    }
    Ok(kept)
}

fn report_row((step, size): &(u16, u64)) -> Value {
    serde_json::json!({"step": step, "size": size})
}

fn say_reports(printer: &Printer, build: &BuildView, job: &JobView, (step, size): (u16, u64)) -> Result<(), Error> {
    let command = format!("guild logs {}/{step} --reports FILE", build.selector_of(job));
    printer.say_field("reports", &format!("step {step}: {}, for {command}", Bytes(size)))
}

/// Returns a build as a row, with who may have broken it, and with the change that made it. The change is null if a person or the clock
/// asked for the build.
async fn changed_row(connected: &Connected, build: &BuildView) -> Result<Value, Error> {
    let change = connected.guild().await?.change(&build.project, build.number).await?;
    let mut row = build_row(build);
    row["change"] = serde_json::to_value(change).unwrap_or_default();
    row["suspects"] = serde_json::to_value(blame::of_build(connected, build, "").await).unwrap_or_default();
    Ok(row)
}

fn show_build(printer: &Printer, build: &BuildView, change: Option<&ChangeView>) -> Result<(), Error> {
    let time = |time: Option<_>| time.map_or_else(String::new, timestamp);
    let lines = [
        ("build", build.selector()),
        ("status", status_word(build.state, build.outcome).to_owned()),
        ("ref", build.ref_name.clone()),
        ("revision", build.revision.clone()),
        ("subject", build.subject.clone()),
        ("author", build.author.clone()),
        ("cause", build.cause.clone()),
        ("created", time(build.created)),
        ("started", time(build.started)),
        ("finished", time(build.finished)),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        printer.say_field(name, value)?;
    }
    if let Some(change) = change {
        show_change(printer, change)?;
    }
    if !build.diagnosis.is_empty() {
        printer.say(Shown::literal("\n").and(Shown::lines(&build.diagnosis)))?;
    }
    if !build.jobs.is_empty() {
        printer.say("")?;
        let rows: Vec<_> = build.jobs.iter().map(|job| job_row(build, job)).collect();
        printer.say_rows(&rows, &JOB_COLUMNS)?;
    }
    // The reasons are lines of their own, because a column of sentences would leave the other columns no room.
    let is_told = |job: &&JobView| job.is_bad() || matches!(job.outcome, Some(Outcome::Cancelled | Outcome::Warned));
    let reasons = build.jobs.iter().filter(is_told).map(|job| ("reason", job, job.reason.clone()));
    let tests = build.jobs.iter().map(|job| ("tests", job, words::tests_of(job)));
    for (index, (name, job, text)) in reasons.chain(tests).filter(|(.., text)| !text.is_empty()).enumerate() {
        if index == 0 {
            printer.say("")?;
        }
        printer.say_field(name, &format!("{}: {text}", job.name))?;
    }
    Ok(())
}

/// Prints the commits of a change. A single commit is left out, because the fields above already describe it.
fn show_change(printer: &Printer, change: &ChangeView) -> Result<(), Error> {
    if change.forced {
        printer.say_field(
            "forced",
            &format!("the ref was at {}, which is not an ancestor", ShortCommit::of(&change.before)),
        )?;
    }
    let commits = change.commits.iter().filter(|_| change.commits.len() > 1);
    for commit in commits.take(COMMITS_SHOWN) {
        printer.say_field("commit", &words::commit_line(commit))?;
    }
    match change.commits.len().saturating_sub(COMMITS_SHOWN) {
        0 => Ok(()),
        more => printer.say_field("commit", &format!("and {more} more, which --json lists")),
    }
}

fn show_job(printer: &Printer, build: &BuildView, job: &JobView) -> Result<(), Error> {
    let carried = if job.carried_from == 0 { String::new() } else { format!("{}/{}", build.project, job.carried_from) };
    let lines = [
        ("job", build.selector_of(job)),
        ("status", status_word(job.state, job.outcome).to_owned()),
        ("reason", job.reason.clone()),
        ("of", one_line(build)),
        ("platform", job.platform.clone()),
        ("worker", job.worker.clone()),
        ("attempt", if job.attempt > 0 { job.attempt.to_string() } else { String::new() }),
        ("isolation", job.isolation.clone()),
        ("carried", carried),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        printer.say_field(name, value)?;
    }
    for (index, step) in (1..).zip(&job.steps) {
        printer.say(step_line(printer, index, step))?;
    }
    let tested = (1..).zip(&job.steps).filter_map(|(index, step): (u16, _)| Some((index, step.tests.as_ref()?)));
    for (index, tests) in tested {
        say_tests(printer, index, tests)?;
    }
    Ok(())
}

/// Prints how many tests of a step ended in which way, and then the name of each test that failed.
fn say_tests(printer: &Printer, step: u16, tests: &StepTests) -> Result<(), Error> {
    let counts =
        [(tests.passed, "passed"), (tests.failed, "failed"), (tests.errored, "errored"), (tests.skipped, "skipped")];
    let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    let counts: Vec<String> = counts.collect();
    let counts = if counts.is_empty() { "none ran".to_owned() } else { counts.join(", ") };
    printer.say_field("tests", &format!("step {step}: {counts}"))?;
    for name in &tests.failing {
        printer.say_field("failing", name)?;
    }
    let more = (tests.bad() as usize).saturating_sub(tests.failing.len());
    if more > 0 {
        printer.say_field("failing", &format!("and {more} more"))?;
    }
    if !tests.trouble.is_empty() {
        printer.say_field("report", &format!("incomplete: {}", tests.trouble))?;
    }
    Ok(())
}

fn step_line(printer: &Printer, index: usize, step: &StepView) -> Shown {
    let (symbol, paint) = symbol(step.state, step.outcome);
    let duration = match (step.started, step.finished) {
        (Some(started), Some(finished)) => TimeSpan(finished.since(started)).clock(),
        _ => String::new(),
    };
    let status = status_word(step.state, step.outcome);
    let exit = if step.outcome.is_some() { step.reason() } else { String::new() };
    let mark = printer.look.painted(&format!("{symbol} {status}"), paint);
    let rest = [Shown::line(&step.name), duration.into(), exit.into()];
    let before = match printer.look.terminal {
        true => [Shown::literal(""), index.to_string().into(), mark],
        false => [Shown::literal("step"), index.to_string().into(), status.into()],
    };
    printer.look.parts(before.into_iter().chain(rest))
}
