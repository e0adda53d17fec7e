//! The picture of one build: jobs by platforms, and a line for each job that failed. Pure.

use crate::output::{Paint, Shown};
use crate::render::{Cell, Look, one_line, status_word, symbol};
use client::cells::{column_of, distinct, row_of};
use client::views::{BuildView, JobView};
use client::words;
use schema::values::Outcome;

const GAP: usize = 3;

pub(crate) fn picture(build: &BuildView, look: &Look) -> Shown {
    let mut text = head(build, look);
    let platforms = distinct(build.jobs.iter().map(|job| row_of(job).to_owned()));
    let columns = distinct(build.jobs.iter().map(column_of));
    let mut grid = vec![vec![Cell::plain("")]];
    grid[0].extend(columns.iter().map(|column| Cell::painted(column, Paint::Quiet)));
    for platform in &platforms {
        let mut row = vec![Cell::plain(platform)];
        for column in &columns {
            let job = build.jobs.iter().find(|job| row_of(job) == *platform && column_of(job) == *column);
            row.push(job.map_or_else(|| Cell::painted("-", Paint::Quiet), |job| cell(job, look)));
        }
        grid.push(row);
    }
    if !build.jobs.is_empty() {
        text = text.and(look.aligned(&grid, GAP));
    }
    let failures = build.jobs.iter().filter(|job| job.is_bad()).map(|job| failure(job, look));
    failures.fold(text, Shown::and)
}

fn head(build: &BuildView, look: &Look) -> Shown {
    let (symbol, paint) = symbol(build.state, build.outcome);
    let word = status_word(build.state, build.outcome);
    let parts = [
        look.painted(&build.selector(), Paint::Strong),
        one_line(build).into(),
        look.painted(&format!("{symbol} {word}"), paint),
        build.created.map_or_else(String::new, |time| look.ago(time)).into(),
    ];
    Shown::join(parts, "  ").and_literal("\n")
}

fn cell(job: &JobView, look: &Look) -> Cell {
    let (symbol, paint) = symbol(job.state, job.outcome);
    let duration = words::duration(job.started, job.finished, job.is_finished(), look.now);
    let text = if duration.is_empty() { symbol.to_owned() } else { format!("{symbol} {duration}") };
    Cell::painted(text, paint)
}

fn failure(job: &JobView, look: &Look) -> Shown {
    let (symbol, paint) = symbol(job.state, job.outcome);
    let bad = |outcome| matches!(outcome, Some(Outcome::Failed | Outcome::Errored));
    let step = (1..).zip(&job.steps).find(|(_, step)| bad(step.outcome));
    let step =
        step.map_or_else(String::new, |(index, step)| format!("  step {index} \"{}\"  {}", step.name, step.exit));
    let reason = if job.reason.is_empty() { String::new() } else { format!("  {}", job.reason) };
    look.painted(symbol, paint).and(format!(" {}{step}{reason}", job.name)).and_literal("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::views::StepView;
    use schema::values::{Exit, State, Time};

    fn job(name: &str, platform: &str, outcome: Option<Outcome>, seconds: u64) -> JobView {
        let state = if outcome.is_some() { State::Finished } else { State::Running };
        let times = (seconds > 0).then_some(Time(1_000_000));
        JobView {
            name: name.to_owned(),
            platform: platform.to_owned(),
            state,
            outcome,
            started: times,
            finished: times.filter(|_| outcome.is_some()).map(|time| Time(time.0 + seconds * 1_000)),
            ..JobView::default()
        }
    }

    #[test]
    fn jobs_by_platforms() {
        let mut failed = job("test@linux-aarch64,3.14", "linux-aarch64", Some(Outcome::Failed), 288);
        let step = |name: &str, outcome, exit| StepView {
            name: name.to_owned(),
            outcome: Some(outcome),
            exit,
            ..StepView::default()
        };
        failed.steps =
            vec![step("build", Outcome::Succeeded, Exit::Code(0)), step("tests", Outcome::Failed, Exit::Code(2))];
        let build = BuildView {
            project: "pyfoo".to_owned(),
            number: 412,
            state: State::Running,
            ref_name: "refs/heads/main".to_owned(),
            revision: "3f9c2ab0011".to_owned(),
            subject: "Add zero-copy parse".to_owned(),
            created: Some(Time(1_000_000)),
            jobs: vec![
                job("lint", "linux-x86_64", Some(Outcome::Succeeded), 41),
                job("test@linux-x86_64,3.11", "linux-x86_64", Some(Outcome::Succeeded), 192),
                failed,
                job("test@linux-x86_64,3.14", "linux-x86_64", None, 1),
                job("publish", "", Some(Outcome::Skipped), 0),
            ],
            ..BuildView::default()
        };
        let look = Look { terminal: true, colour: false, now: Time(1_061_000) };
        let text: Vec<String> =
            picture(&build, &look).as_str().lines().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(
            text,
            [
                "pyfoo/412  main 3f9c2ab001 \"Add zero-copy parse\"  ◐ running  1m ago",
                "                lint     test 3.11   test 3.14   publish",
                "linux-x86_64    ✓ 0:41   ✓ 3:12      ◐ 1:01      -",
                "linux-aarch64   -        -           ✗ 4:48      -",
                "any             -        -           -           ·",
                "✗ test@linux-aarch64,3.14  step 2 \"tests\"  exit code 2",
            ]
        );
    }
}
