//! The output of a watch for a program: a line with the time for each build and job that begins or ends.

use crate::output::Shown;
use crate::printer::Printer;
use crate::render::{build_row, job_row, now, one_line, status_word};
use client::views::{BuildView, JobView, timestamp};
use client::{Error, words};
use schema::values::{State, Time};
use serde_json::Value;
use std::collections::BTreeMap;

/// The last printed status of each build and of its jobs.
#[derive(Default)]
pub(super) struct PrintedLines(BTreeMap<(String, u32), BTreeMap<String, &'static str>>);

impl PrintedLines {
    pub(super) fn say_changes(&mut self, printer: &Printer, build: &BuildView) -> Result<(), Error> {
        let key = (build.project.clone(), build.number);
        let is_first = !self.0.contains_key(&key);
        let known = self.0.entry(key).or_default();
        // The build itself has the empty name. Its end comes after the ends of its jobs.
        let of_build = status_word(build.state, build.outcome);
        let changed = known.insert(String::new(), of_build) != Some(of_build);
        // JSON has each state of a build. For a person, one line says that the build exists, and one that it has ended.
        if changed && !build.is_finished() && (is_first || printer.wants_json()) {
            say(printer, build_line(build), &build_row(build))?;
        }
        for job in &build.jobs {
            let status = status_word(job.state, job.outcome);
            if known.insert(job.name.clone(), status) != Some(status) && (is_first || is_told(printer, job)) {
                say(printer, job_line(build, job), &job_row(build, job))?;
            }
        }
        if changed && build.is_finished() {
            say(printer, build_line(build), &build_row(build))?;
        }
        Ok(())
    }
}

/// Whether a job gets a line. For a person only its beginning and its end do, because `guild explain` says why it waits.
fn is_told(printer: &Printer, job: &JobView) -> bool {
    printer.wants_json() || matches!(job.state, State::Running | State::Finished)
}

/// Returns the parts of a line: time, selector, status, duration and a remark.
fn build_line(build: &BuildView) -> [String; 5] {
    let time = if build.is_finished() { build.finished } else { build.created };
    let took = words::duration(build.started, build.finished, true, Time::default());
    let status = format!("{} {}", words::symbol(build.state, build.outcome), status_word(build.state, build.outcome));
    [stamp(time), build.selector(), status, took, one_line(build)]
}

fn job_line(build: &BuildView, job: &JobView) -> [String; 5] {
    let time = match job.state {
        State::Finished => job.finished,
        State::Running => job.started,
        State::Planning | State::Waiting | State::Queued | State::Offered => job.queued,
    };
    let took = words::duration(job.started, job.finished, true, Time::default());
    let status = format!("{} {}", words::symbol(job.state, job.outcome), status_word(job.state, job.outcome));
    let on = if job.worker.is_empty() { String::new() } else { format!("on {}", job.worker) };
    let more = [on, words::why(job)].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
    [stamp(time), build.selector_of(job), status, took, more]
}

fn stamp(time: Option<Time>) -> String {
    timestamp(time.unwrap_or_else(now))
}

fn say(printer: &Printer, line: [String; 5], row: &Value) -> Result<(), Error> {
    match printer.wants_json() {
        true => printer.say_json_of_stream(row),
        false => printer.say(Shown::join(line.map(Shown::from), "\t")),
    }
}
