//! `guild logs` writes the bytes of logs to stdout, unchanged if that is not a terminal, and the name of each step to stderr.

use crate::connected::{Connected, exit_status};
use crate::output::LogOutput;
use crate::printer::Printer;
use crate::render::status_word;
use crate::resolve::Meant;
use clap::Args;
use client::logs::{copy, line_range};
use client::views::{BuildView, JobView, StepView};
use client::{Error, Follow, LogAddress, Progress, reports};
use schema::values::{Bytes, Outcome};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(crate) struct Logs {
    /// A build, a job, a step or lines of a step's log: pyfoo/412/test@linux,3.14/2:L120-L140 [default: the
    /// build of HEAD's commit, else the latest of the branch here]
    selector: Option<String>,
    /// Follow the logs live until the build (or the job) ends, and exit with its outcome. If there are several jobs,
    /// each line begins with the name of its job
    #[arg(long, short)]
    follow: bool,
    /// Send every byte to the terminal. Without this option, colours, tabs and line ends are kept, and other control
    /// sequences are removed. A pipe always gets every byte
    #[arg(long)]
    raw: bool,
    /// Show only the steps that failed
    #[arg(long, conflicts_with = "follow")]
    failed: bool,
    /// Write the original test reports of a step to this file, in a tar archive that is compressed with zstd. The
    /// selector must match only one step with reports
    #[arg(long, value_name = "FILE", conflicts_with_all = ["follow", "failed", "raw"])]
    reports: Option<PathBuf>,
    /// Show attempt N of each job instead of the latest (the first is 1)
    #[arg(long, value_name = "N", conflicts_with = "follow")]
    attempt: Option<u16>,
}

impl Logs {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let (meant, build) = connected.build(self.selector.as_deref()).await?;
        if self.follow && meant.step.is_none() {
            return follow(connected, &meant, &build, self.raw).await;
        }
        let parts = self.parts(connected, &meant, &build).await?;
        if let Some(file) = &self.reports {
            return keep_reports(connected, &parts, file).await;
        }
        if !build.diagnosis.is_empty() {
            connected.printer.note_lines(&build.diagnosis);
        }
        let several = parts.len() > 1;
        for part in &parts {
            if several {
                connected.printer.note(part.header());
            }
            // Each log has its own output, so that a colour or a sequence that it leaves open does not reach the next log.
            let mut out = connected.printer.log_output(self.raw);
            part.print(connected, meant.lines, self.follow, &mut out).await?;
            out.finish().await.map_err(Error::Output)?;
        }
        self.say_why_there_is_none(&connected.printer, &meant, &build, parts.is_empty());
        match build.outcome {
            Some(outcome) if connected.options.exit_status => Ok(exit_status(outcome)),
            Some(_) | None => Ok(0),
        }
    }

    /// Says why a job has no log: it ended badly before any of its steps did, or no step has run at all.
    fn say_why_there_is_none(&self, printer: &Printer, meant: &Meant, build: &BuildView, is_empty: bool) {
        let jobs: Vec<&JobView> = build.jobs.iter().filter(|job| meant.chooses(&job.name)).collect();
        let without = jobs.iter().filter(|job| has_no_log(job, self.failed));
        let reasons: Vec<String> = without.map(|job| job_end(build, job)).collect();
        reasons.iter().for_each(|reason| printer.note(reason));
        if is_empty && reasons.is_empty() && build.diagnosis.is_empty() {
            printer.note(match (self.failed, build.is_finished()) {
                (true, _) => "no step failed",
                (false, true) => "no step has run",
                (false, false) => "no step has started yet",
            });
        }
    }

    async fn parts(&self, connected: &Connected, meant: &Meant, build: &BuildView) -> Result<Vec<Part>, Error> {
        let mut parts = Vec::new();
        let mut last = 0;
        for job in build.jobs.iter().filter(|job| meant.chooses(&job.name)) {
            let (number, mut job) = where_it_ran(connected, build, job).await?;
            last = last.max(job.attempt);
            if self.attempt.is_some_and(|wanted| wanted > job.attempt || wanted == 0) {
                continue;
            }
            job.attempt = self.attempt.unwrap_or(job.attempt);
            for (index, step) in (1..).zip(&job.steps) {
                let wanted = meant.step.is_none_or(|wanted| wanted == index);
                if wanted && step.started.is_some() && (!self.failed || is_bad(step)) {
                    parts.push(Part::new(build, number, &job, index, step));
                }
            }
        }
        if let Some(wanted) = self.attempt.filter(|wanted| *wanted > last || *wanted == 0) {
            let text = format!("{} has no attempt {wanted}", meant.exact());
            return Err(Error::not_found(text).help(match last {
                0 => "no attempt has begun".to_owned(),
                last => format!("the latest attempt is {last}, and the first is 1"),
            }));
        }
        match (meant.step, parts.is_empty() && !self.failed) {
            (Some(step), true) => Err(Error::not_found(format!("{} has no log of step {step}", build.selector()))),
            _ => Ok(parts),
        }
    }
}

/// One step's log, with the name and the status of the step.
struct Part {
    address: LogAddress,
    name: String,
    status: &'static str,
}

impl Part {
    fn new(build: &BuildView, number: u32, job: &JobView, step: u16, view: &StepView) -> Part {
        Part {
            address: LogAddress {
                project: build.project.clone(),
                build: number,
                job: job.name.clone(),
                attempt: job.attempt,
                step,
            },
            name: view.name.clone(),
            status: status_word(view.state, view.outcome),
        }
    }

    fn header(&self) -> String {
        format!("== {} \"{}\" {}", self.selector(), self.name, self.status)
    }

    fn selector(&self) -> String {
        let LogAddress { project, build, job, step, .. } = &self.address;
        format!("{project}/{build}/{job}/{step}")
    }

    async fn print(
        &self,
        connected: &Connected,
        lines: Option<(u64, u64)>,
        follow: bool,
        out: &mut LogOutput,
    ) -> Result<(), Error> {
        let guild = connected.guild().await?;
        if follow && lines.is_none() {
            let (_never, ended) = tokio::sync::watch::channel(false);
            let mut tail = client::Tail::new(guild, self.address.clone(), 0, client::Until::Ended(ended));
            return crate::connected::pour(&mut tail, out).await;
        }
        let range = match lines {
            Some((first, last)) => line_range(guild, &self.address, first, last).await?,
            None => 0..u64::MAX,
        };
        copy(guild, &self.address, range, out).await?;
        Ok(())
    }
}

/// Writes the reports of the only step that has some. An existing file of this name is replaced only when all of them have arrived.
async fn keep_reports(connected: &Connected, parts: &[Part], file: &Path) -> Result<u8, Error> {
    let guild = connected.guild().await?;
    let mut found = Vec::new();
    for part in parts {
        if reports::size(guild, &part.address).await?.is_some() {
            found.push(part);
        }
    }
    let [part] = found.as_slice() else { return Err(not_one(&found)) };
    let partial = file.with_added_extension("part");
    let mut to = tokio::fs::File::create(&partial).await.map_err(Error::Output)?;
    let size = reports::copy(guild, &part.address, &mut to).await?.unwrap_or_default();
    tokio::fs::rename(&partial, file).await.map_err(Error::Output)?;
    connected.printer.note(format!("wrote {} to {}", Bytes(size), file.display()));
    if connected.printer.wants_json() {
        let row = serde_json::json!({"step": part.selector(), "file": file.to_string_lossy(), "size": size});
        connected.printer.say_json(&row)?;
    }
    Ok(0)
}

fn not_one(found: &[&Part]) -> Error {
    match found {
        [] => Error::not_found("no test reports of these steps are kept".to_owned())
            .help("the log shows what each step printed about its tests".to_owned()),
        some => {
            let names: Vec<String> = some.iter().map(|part| part.selector()).collect();
            Error::usage(format!("{} steps have test reports", some.len()))
                .help(format!("name one of {}", names.join(", ")))
        }
    }
}

async fn follow(connected: &Connected, meant: &Meant, build: &BuildView, is_raw: bool) -> Result<u8, Error> {
    let mut out = connected.printer.log_output(is_raw);
    let outcome = Follow::new(connected.guild().await?, &build.project, build.number)
        .only(|job| meant.chooses(&job.name))
        .on_progress(|progress| say_progress(&connected.printer, build, &progress))
        .run(&mut out)
        .await;
    out.finish().await.map_err(Error::Output)?;
    let outcome = outcome?;
    connected.say_summary(&build.project, build.number).await?;
    Ok(exit_status(outcome))
}

/// Whether a job ended badly, and no log says why.
fn has_no_log(job: &JobView, only_failed: bool) -> bool {
    let is_told = |step: &StepView| step.started.is_some() && (!only_failed || is_bad(step));
    let is_wanted = match only_failed {
        true => job.is_bad(),
        false => job.is_finished() && job.outcome != Some(Outcome::Succeeded) && job.carried_from == 0,
    };
    is_wanted && !job.steps.iter().any(is_told)
}

/// Returns a line such as `== p/2/test errored: cannot open a workspace`.
fn job_end(build: &BuildView, job: &JobView) -> String {
    let reason = if job.reason.is_empty() { String::new() } else { format!(": {}", job.reason) };
    format!("== {} {}{reason}", build.selector_of(job), status_word(job.state, job.outcome))
}

/// Prints the events of a followed build that are not output.
pub(crate) fn say_progress(printer: &Printer, build: &BuildView, progress: &Progress<'_>) {
    match progress {
        Progress::Planned(build) if !build.diagnosis.is_empty() => printer.note_lines(&build.diagnosis),
        Progress::Planned(_) => {}
        Progress::StepStarts { job, attempt, step, name } => {
            let again = if *attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
            printer.note(format!("== {}/{job}/{step} \"{name}\"{again}", build.selector()));
        }
        Progress::JobEnded(job) => printer.note(job_end(build, job)),
    }
}

/// Returns the build in which a job ran, and the job in it. A job that a retry carried over has its logs in an earlier build.
async fn where_it_ran(connected: &Connected, build: &BuildView, job: &JobView) -> Result<(u32, JobView), Error> {
    if job.carried_from == 0 {
        return Ok((build.number, job.clone()));
    }
    let old = connected.guild().await?.build(&build.project, job.carried_from).await?;
    Ok((old.number, old.job(&job.name).unwrap_or(job).clone()))
}

fn is_bad(step: &StepView) -> bool {
    matches!(step.outcome, Some(Outcome::Failed | Outcome::Errored))
}
