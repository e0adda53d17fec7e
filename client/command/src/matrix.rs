//! The picture of one build. It shows the jobs by platform if they make a matrix that fits, and else as a list. Each job that did not
//! succeed has a line.

use crate::output::{Paint, Shown};
use crate::render::{Cell, Look, one_line, status_word, symbol};
use client::cells::{column_of, distinct, row_of};
use client::painted::PaintedLine;
use client::views::{BuildView, JobView};
use client::words;
use schema::shown;
use schema::values::{Outcome, State};

const GAP: usize = 3;

/// The cell of a platform that does not have the job.
const NONE: &str = "-";

/// Returns the picture of a build for a terminal of this width.
pub(crate) fn picture(build: &BuildView, look: &Look, width: usize) -> Shown {
    let text = head(build, look);
    let grid = grid(build, look);
    let failures = || build.jobs.iter().filter(|job| needs_words(job)).map(|job| failure(job, look));
    if grid.len() < 3 || grid_width(&grid) > width {
        return lines(list(build, look), look, width).into_iter().chain(failures()).fold(text, Shown::and);
    }
    let text = text.and(look.aligned(&grid, GAP));
    let text = failures().fold(text, Shown::and);
    match legend(build, &grid) {
        legend if legend.is_empty() => text,
        legend => text.and(look.painted(&legend, Paint::Quiet)).and_literal("\n"),
    }
}

/// Returns a line of headers, and one line for each platform.
fn grid(build: &BuildView, look: &Look) -> Vec<Vec<Cell>> {
    let platforms = distinct(build.jobs.iter().map(|job| row_of(job).to_owned()));
    let columns = distinct(build.jobs.iter().map(column_of));
    let mut grid = vec![vec![Cell::plain("")]];
    grid[0].extend(columns.iter().map(|column| Cell::painted(column, Paint::Quiet)));
    for platform in &platforms {
        let mut row = vec![Cell::plain(platform)];
        for column in &columns {
            let job = build.jobs.iter().find(|job| row_of(job) == *platform && column_of(job) == *column);
            row.push(job.map_or_else(|| Cell::painted(NONE, Paint::Quiet), |job| cell(job, look)));
        }
        grid.push(row);
    }
    grid
}

fn grid_width(grid: &[Vec<Cell>]) -> usize {
    let column = |index: usize| grid.iter().filter_map(|row| row.get(index)).map(Cell::width).max().unwrap_or(0);
    let count = grid.first().map_or(0, Vec::len);
    (0..count).map(column).sum::<usize>() + GAP * count.saturating_sub(1)
}

/// Returns the legend of the quiet symbols in a grid. The lines below the grid explain the other symbols.
fn legend(build: &BuildView, grid: &[Vec<Cell>]) -> String {
    let has = |is: &dyn Fn(&JobView) -> bool| build.jobs.iter().any(is);
    let symbols = [
        (has(&|job| job.outcome == Some(Outcome::Skipped)), "· skipped"),
        (has(&|job| job.outcome.is_none() && job.state != State::Running), "○ waiting"),
        (grid.iter().flatten().any(|cell| cell.is(NONE)), "- no such job"),
    ];
    let shown: Vec<&str> = symbols.into_iter().filter(|(is_there, _)| *is_there).map(|(_, text)| text).collect();
    shown.join("   ")
}

/// Returns a line for each job, with its status in words if the symbol does not say all.
fn list(build: &BuildView, look: &Look) -> Vec<PaintedLine> {
    let name = build.jobs.iter().map(|job| shown::columns(&job.name)).max().unwrap_or(0);
    let line = |job: &JobView| {
        let (symbol, paint) = symbol(job.state, job.outcome);
        let took = words::duration(job.started, job.finished, job.is_finished(), look.now);
        let line = PaintedLine::new().and(format!("{symbol} "), paint).and(&job.name, Paint::Plain).padded(name + 4);
        let line = line.and(format!("{took:>6}"), Paint::Plain);
        let word = if job.outcome == Some(Outcome::Succeeded) { "" } else { status_word(job.state, job.outcome) };
        // A job that is not good has a line of its own below, which is not cut.
        let why = if needs_words(job) { String::new() } else { words::why(job) };
        let between = if why.is_empty() || word.is_empty() { "" } else { ": " };
        if word.is_empty() && why.is_empty() { line } else { line.and(format!("  {word}{between}{why}"), Paint::Plain) }
    };
    build.jobs.iter().map(line).collect()
}

fn lines(lines: Vec<PaintedLine>, look: &Look, width: usize) -> Vec<Shown> {
    lines.into_iter().map(|line| Shown::of_line(&line.cut(width), look.colour).and_literal("\n")).collect()
}

/// Whether a job did not succeed for a reason that a symbol cannot show.
fn needs_words(job: &JobView) -> bool {
    job.is_bad() || job.outcome == Some(Outcome::Cancelled)
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
    let step = (1..).zip(&job.steps).find(|(_, step)| words::is_bad(step.outcome));
    // If the reason names the step, it already says all.
    let step = step.filter(|_| !job.reason.starts_with("step "));
    let step =
        step.map_or_else(String::new, |(index, step)| format!("  step {index} \"{}\"  {}", step.name, step.reason()));
    let reason = if job.reason.is_empty() { String::new() } else { format!("  {}", job.reason) };
    let tests = words::tests_of(job);
    let tests = if tests.is_empty() { tests } else { format!("  {tests}") };
    look.painted(symbol, paint).and(format!(" {}{step}{reason}{tests}", job.name)).and_literal("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::views::StepView;
    use schema::values::{Exit, Time};

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
        let look = Look { terminal: true, colour: false, now: Time(1_061_000), width: 80 };
        let text: Vec<String> =
            picture(&build, &look, 80).as_str().lines().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(
            text,
            [
                "pyfoo/412  main 3f9c2ab001 \"Add zero-copy parse\"  ◐ running  1m ago",
                "                lint      test 3.11   test 3.14   publish",
                "linux-x86_64    ✓ 41.0s   ✓ 3:12      ◐ 1:01      -",
                "linux-aarch64   -         -           ✗ 4:48      -",
                "any             -         -           -           ·",
                "✗ test@linux-aarch64,3.14  step 2 \"tests\"  exit code 2",
                "· skipped   - no such job",
            ]
        );
        // T3.5: a matrix that does not fit becomes a list, and none of its words is broken.
        let text = picture(&build, &look, 54);
        let text: Vec<&str> = text.as_str().lines().skip(1).map(str::trim_end).collect();
        assert_eq!(
            text,
            [
                "✓ lint                      41.0s",
                "✓ test@linux-x86_64,3.11     3:12",
                "✗ test@linux-aarch64,3.14    4:48  failed",
                "◐ test@linux-x86_64,3.14     1:01  running",
                "· publish                          skipped",
                "✗ test@linux-aarch64,3.14  step 2 \"tests\"  exit code 2",
            ]
        );
    }

    #[test]
    fn failing_tests_are_named_below_their_job() {
        let tests = client::views::StepTests {
            passed: 1,
            failed: 1,
            failing: vec!["a.B › breaks_here".to_owned()],
            ..client::views::StepTests::default()
        };
        let mut failed = job("test", "linux", Some(Outcome::Failed), 2);
        failed.steps = vec![StepView {
            name: "t".to_owned(),
            outcome: Some(Outcome::Failed),
            exit: Exit::Code(1),
            tests: Some(tests),
            ..StepView::default()
        }];
        let build = BuildView { state: State::Finished, jobs: vec![failed], ..BuildView::default() };
        let look = Look { terminal: true, colour: false, now: Time(1_061_000), width: 80 };
        let text = picture(&build, &look, 80);
        let last = text.as_str().lines().last().unwrap();
        assert_eq!(last, "✗ test  step 1 \"t\"  exit code 1  1 of 2 tests failed: a.B › breaks_here");
    }

    /// T2.5: axes without a platform do not make a matrix of platforms. T2.7.2: the reason of a cancel is shown.
    #[test]
    fn jobs_of_one_platform_are_a_list() {
        let mut cancelled = job("test@3.14", "linux", Some(Outcome::Cancelled), 2);
        "cancelled by ada: wrong branch".clone_into(&mut cancelled.reason);
        let jobs = vec![job("test@3.11", "linux", Some(Outcome::Succeeded), 1), cancelled];
        let build = BuildView { state: State::Running, jobs, ..BuildView::default() };
        let look = Look { terminal: true, colour: false, now: Time(1_061_000), width: 80 };
        let text = picture(&build, &look, 80);
        let text: Vec<&str> = text.as_str().lines().skip(1).map(str::trim_end).collect();
        assert_eq!(
            text,
            ["✓ test@3.11    1.0s", "⊘ test@3.14    2.0s  cancelled", "⊘ test@3.14  cancelled by ada: wrong branch"]
        );
    }
}
