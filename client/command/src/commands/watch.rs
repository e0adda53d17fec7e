//! `guild watch`: a line for each change of a build or a job, live. Compares states rather than printing events, so
//! that a lost link leaves no hole.

use crate::connected::{Connected, exit_status};
use crate::output::Shown;
use crate::printer::Printer;
use crate::render::{build_row, job_row, one_line, status_word, symbol};
use crate::resolve::Wish;
use clap::Args;
use client::views::BuildView;
use client::{Error, Mirror, News, Watch as Subscription};
use schema::values::{Filter, Outcome};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Args)]
pub(crate) struct Watch {
    /// A build: until it ends, exit with its outcome; a project; a branch, a tag or a commit: its latest build [default: the
    /// project here, else all]
    selector: Option<String>,
}

impl Watch {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let meant = connected.meant(self.selector.as_deref(), Wish::Scope).await?;
        let filter = Filter {
            build: meant.build.map_or(0, |build| build.number),
            projects: meant.project.into_iter().collect(),
            ..Filter::default()
        };
        let wanted = filter.projects.first().cloned().zip((filter.build > 0).then_some(filter.build));
        let mut news = Subscription::new(connected.guild().await?, filter);
        let mut mirror = Mirror::default();
        let mut printed = Printed::default();
        loop {
            let news = news.next().await?;
            match news {
                News::Snapshot(builds) => mirror.reset(builds),
                News::Events(events) => events.iter().for_each(|event| mirror.apply(event)),
            }
            for build in mirror.builds() {
                printed.say_changes(&connected.printer, build)?;
            }
            if let Some((project, number)) = &wanted
                && let Some(outcome) = mirror.build(project, *number).and_then(outcome)
            {
                return Ok(exit_status(outcome));
            }
            mirror.forget_finished();
        }
    }
}

fn outcome(build: &BuildView) -> Option<Outcome> {
    build.outcome.filter(|_| build.is_finished())
}

/// The status of each build and job as it was said last.
#[derive(Default)]
struct Printed(BTreeMap<(String, u32), BTreeMap<String, &'static str>>);

impl Printed {
    fn say_changes(&mut self, printer: &Printer, build: &BuildView) -> Result<(), Error> {
        let known = self.0.entry((build.project.clone(), build.number)).or_default();
        // the build itself stands under the empty name; its end comes after those of its jobs
        let of_build = status_word(build.state, build.outcome);
        let changed = known.insert(String::new(), of_build) != Some(of_build);
        if changed && !build.is_finished() {
            say(printer, build_line(printer, build), &build_row(build))?;
        }
        for job in &build.jobs {
            let status = status_word(job.state, job.outcome);
            if known.insert(job.name.clone(), status) != Some(status) {
                let (symbol, paint) = symbol(job.state, job.outcome);
                let mark = printer.look.painted(&format!("{symbol} {status}"), paint);
                let mut parts = vec![Shown::line(&build.selector_of(job)), mark];
                parts.extend((!job.worker.is_empty()).then(|| Shown::line(&format!("on {}", job.worker))));
                parts.extend((!job.reason.is_empty()).then(|| Shown::line(&job.reason)));
                say(printer, printer.look.parts(parts), &job_row(build, job))?;
            }
        }
        if changed && build.is_finished() {
            say(printer, build_line(printer, build), &build_row(build))?;
        }
        Ok(())
    }
}

fn build_line(printer: &Printer, build: &BuildView) -> Shown {
    let (symbol, paint) = symbol(build.state, build.outcome);
    let mark = printer.look.painted(&format!("{symbol} {}", status_word(build.state, build.outcome)), paint);
    printer.look.parts([build.selector().into(), mark, one_line(build).into()])
}

fn say(printer: &Printer, line: Shown, row: &Value) -> Result<(), Error> {
    match printer.wants_json() {
        true => printer.say_json(row),
        false => printer.say(line),
    }
}
