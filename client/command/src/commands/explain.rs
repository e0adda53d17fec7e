//! `guild explain` says why a job waits and what would change that, or why it ran on its worker.

use crate::connected::Connected;
use crate::output::Shown;
use crate::printer::Printer;
use crate::render::{job_row, status_word};
use clap::Args;
use client::views::{BuildView, JobView, timestamp};
use client::{Error, Explanation};
use serde_json::Value;

/// The number of jobs that one command explains, because each explanation makes the master check all workers.
const JOBS_MAX: usize = 50;

#[derive(Args)]
pub(crate) struct Explain {
    /// The build or job to explain; for a build, its unfinished jobs, or all jobs if it is finished [default: the build
    /// of HEAD's commit, else the latest of the branch here]
    selector: Option<String>,
}

impl Explain {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let (meant, build) = connected.build(self.selector.as_deref()).await?;
        let mut jobs: Vec<&JobView> = build.jobs.iter().filter(|job| meant.chooses(&job.name)).collect();
        if meant.job.is_none() && !build.is_finished() {
            jobs.retain(|job| !job.is_finished());
        }
        if jobs.is_empty() && !connected.printer.wants_json() {
            connected.printer.say(without_jobs(&build))?;
        }
        if jobs.len() > JOBS_MAX {
            connected
                .printer
                .note(format!("{JOBS_MAX} of {} jobs are shown: name a job to see another one", jobs.len()));
            jobs.truncate(JOBS_MAX);
        }
        for (index, job) in jobs.into_iter().enumerate() {
            let told = connected.guild().await?.explain(&build.project, build.number, &job.name).await?;
            match connected.printer.wants_json() {
                true => connected.printer.say_json(&row(&build, job, &told))?,
                false => show(&connected.printer, &build, job, &told, index > 0)?,
            }
        }
        Ok(0)
    }
}

fn without_jobs(build: &BuildView) -> Shown {
    let why = match (build.is_finished(), build.diagnosis.as_str()) {
        (false, "") => Shown::literal("its pipeline is being read"),
        (true, "") => Shown::literal("it has no jobs"),
        (false | true, diagnosis) => Shown::lines(diagnosis),
    };
    let head = format!("{}  {}", build.selector(), status_word(build.state, build.outcome));
    Shown::join([head.into(), why], "\n")
}

fn show(printer: &Printer, build: &BuildView, job: &JobView, told: &Explanation, is_next: bool) -> Result<(), Error> {
    let look = &printer.look;
    let when = |time| if look.terminal { look.ago(time) } else { timestamp(time) };
    if is_next {
        printer.say("")?;
    }
    told.lines(build, job, when).iter().try_for_each(|(label, text)| printer.say_field(label, text))
}

/// Returns the row of a job, as in other commands, with the fields of its explanation. `since` is the time at which the job entered its
/// state.
fn row(build: &BuildView, job: &JobView, told: &Explanation) -> Value {
    let mut row = job_row(build, job);
    if let (Some(fields), Ok(Value::Object(more))) = (row.as_object_mut(), serde_json::to_value(told)) {
        fields.extend(more);
    }
    row
}
