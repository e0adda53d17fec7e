//! The last screen of a build: its jobs with their times, and the ends of the logs that say why it is not good. It also says in
//! which build that began, and what to do next. [`Summary::of`] asks the master for these, and [`Summary::lines`] only writes them.

use crate::error::Error;
use crate::guild::Guild;
use crate::logs::{LogAddress, last_lines};
use crate::painted::{Paint, PaintedLine};
use crate::views::{BranchView, BuildView, JobView, LaneView, StepTests};
use crate::words::{self, status_word};
use schema::shown::{self, Screen};
use schema::values::{Outcome, ShortCommit, Time};
use std::collections::{BTreeMap, BTreeSet};

/// The limit for the failures whose logs are shown. More logs do not fit on a screen.
const FAILURES_MAX: usize = 4;
/// The number of lines that are shown of each failed step's log. The message of a failed test and the summary after it fit into them.
const LINES_MAX: u32 = 12;
/// The number of failing tests of each step that are named. A screen has room for them beside the logs.
const TESTS_MAX: usize = 5;
/// The number of jobs that are listed. If there are more, the jobs that succeeded are only counted.
const JOBS_MAX: usize = 24;

/// A finished build, and what a person wants to know about it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    build: BuildView,
    /// The branch as it is now, which may have had further builds since.
    branch: Option<BranchView>,
    /// The builds in which lanes began to fail, by their numbers.
    since: BTreeMap<u32, BuildView>,
    ends: Vec<LogEnd>,
    /// The address of the master's pages, or "" if it serves none.
    pages: String,
}

/// The end of the log of a step that failed.
#[derive(Clone, Debug, Default)]
struct LogEnd {
    /// The title: the job with its cell, and the step's number and name.
    title: String,
    lines: Vec<String>,
}

impl Summary {
    /// Asks the master for all that the last screen of a build shows. Optional parts, such as the branch, may be missing.
    ///
    /// # Errors
    /// Like [`Guild::build`].
    pub async fn of(guild: &Guild, project: &str, number: u32) -> Result<Summary, Error> {
        let build = guild.build(project, number).await?;
        let mut summary = Summary { ends: log_ends(guild, &build).await, ..Summary::default() };
        summary.pages = guild.whoami().await.map(|who| who.pages).unwrap_or_default();
        if !build.ref_name.is_empty() {
            summary.branch = guild.branch(project, &build.ref_name).await.ok();
        }
        let lanes = build.jobs.iter().filter_map(|job| failing(summary.branch.as_ref(), job, number));
        let begun: BTreeSet<u32> = lanes.map(|lane| lane.since).collect();
        for number in begun.into_iter().filter(|begun| *begun != number) {
            if let Ok(first) = guild.build(project, number).await {
                summary.since.insert(number, first);
            }
        }
        summary.build = build;
        Ok(summary)
    }

    /// Returns the build of this summary.
    pub fn build(&self) -> &BuildView {
        &self.build
    }

    /// Returns the lines of the screen, for a terminal of this width. `next` has the commands to type if the build is not good.
    pub fn lines(&self, width: usize, next: &[String]) -> Vec<PaintedLine> {
        let mut lines = vec![rule(&self.build, width)];
        lines.extend(self.build.diagnosis.lines().map(PaintedLine::plain));
        lines.extend(self.job_lines());
        for end in &self.ends {
            lines.push(PaintedLine::new());
            lines.push(PaintedLine::new().and(&end.title, Paint::Bad));
            lines.extend(end.lines.iter().map(|line| PaintedLine::new().and("│ ", Paint::Bad).and(line, Paint::Plain)));
        }
        if !self.ends.is_empty() {
            lines.push(PaintedLine::new());
        }
        lines.push(self.result());
        if !self.pages.is_empty() {
            lines.push(field("page", &format!("{}/p/{}", self.pages, self.build.selector())));
        }
        let is_good = matches!(self.build.outcome, Some(Outcome::Succeeded | Outcome::Warned | Outcome::Skipped));
        let next = next.iter().filter(|_| !is_good).enumerate();
        lines.extend(next.map(|(index, command)| field(if index == 0 { "next" } else { "" }, command)));
        lines.into_iter().map(|line| line.cut(width)).collect()
    }

    fn job_lines(&self) -> Vec<PaintedLine> {
        let jobs = &self.build.jobs;
        let is_shown = |job: &&JobView| jobs.len() <= JOBS_MAX || !matches!(job.outcome, Some(Outcome::Succeeded));
        let name = jobs.iter().filter(is_shown).map(|job| shown::columns(&job.name)).max().unwrap_or(0);
        let shown = jobs.iter().filter(is_shown);
        let mut lines: Vec<PaintedLine> = shown.clone().flat_map(|job| self.lines_of(job, name)).collect();
        let left_out = jobs.len() - shown.count();
        if left_out > 0 {
            let paint = Paint::of(schema::values::State::Finished, Some(Outcome::Succeeded));
            lines.push(PaintedLine::new().and("✓ ", paint).and(format!("{left_out} more succeeded"), Paint::Quiet));
        }
        lines
    }

    fn lines_of(&self, job: &JobView, name: usize) -> Vec<PaintedLine> {
        let paint = Paint::of(job.state, job.outcome);
        let took = words::duration(job.started, job.finished, true, Time::default());
        let line = PaintedLine::new().and(format!("{} ", words::symbol(job.state, job.outcome)), paint);
        let line = line.and(&job.name, Paint::Plain).padded(name + 4).and(format!("{took:>6}"), Paint::Plain);
        let mut lines = vec![match words::reason(job) {
            reason if reason.is_empty() => line,
            reason => line.and(format!("  {reason}"), if job.is_bad() { Paint::Plain } else { Paint::Quiet }),
        }];
        let said = words::reason(job);
        let tests = job.steps.iter().filter_map(|step| step.tests.as_ref());
        let tests = tests.flat_map(|tests| test_lines(&words::beyond(tests, &said)));
        lines.extend(tests.map(|(text, paint)| PaintedLine::new().padded(name + 12).and(text, paint)));
        let begun = failing(self.branch.as_ref(), job, self.build.number).map(|lane| self.begun(lane));
        lines.extend(begun.map(|text| PaintedLine::new().padded(name + 12).and(text, Paint::Notable)));
        lines
    }

    /// Says since which build a lane fails, and whose commit made it fail.
    fn begun(&self, lane: &LaneView) -> String {
        let project = &self.build.project;
        match (lane.since == self.build.number, lane.last_good, self.since.get(&lane.since)) {
            (true, 0, _) => "new: it was never good on this branch".to_owned(),
            (true, good, _) => format!("new: it was good in {project}/{good}"),
            (false, _, None) => format!("since {project}/{}", lane.since),
            (false, _, Some(first)) => format!(
                "since {} {} \"{}\" by {}",
                first.selector(),
                ShortCommit::of(&first.revision),
                first.subject,
                words::author_name(&first.author)
            ),
        }
    }

    /// Returns a line such as `calc/2 failed after 0.5s: 1 failed, 2 succeeded`.
    fn result(&self) -> PaintedLine {
        let build = &self.build;
        let paint = Paint::of(build.state, build.outcome);
        let took = words::duration(build.started, build.finished, true, Time::default());
        let took = if took.is_empty() { took } else { format!(" after {took}") };
        let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
        build.jobs.iter().filter_map(|job| job.outcome).for_each(|outcome| *counts.entry(outcome).or_default() += 1);
        let counts: Vec<String> = counts.iter().rev().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
        PaintedLine::new()
            .and(format!("{} ", words::symbol(build.state, build.outcome)), paint)
            .and(build.selector(), Paint::Strong)
            .and(format!(" {}", status_word(build.state, build.outcome)), paint)
            .and(format!("{took}{counts}"), Paint::Plain)
    }
}

/// Returns the failed tests of a step, one below the other.
fn test_lines(tests: &StepTests) -> Vec<(String, Paint)> {
    let shown = tests.failing.iter().take(TESTS_MAX);
    let mut lines: Vec<_> = shown.map(|name| (format!("✗ {name}"), Paint::Bad)).collect();
    let left_out = (tests.bad() as usize).saturating_sub(lines.len());
    if left_out > 0 {
        lines.push((format!("{left_out} more of {} failed", words::count(tests.all() as usize, "test")), Paint::Bad));
    }
    if !tests.trouble.is_empty() {
        lines.push((format!("the report is incomplete: {}", tests.trouble), Paint::Plain));
    }
    lines
}

/// Returns the line that introduces a build.
pub fn rule(build: &BuildView, width: usize) -> PaintedLine {
    let title = format!(
        " {} {} {} \"{}\" ",
        build.selector(),
        build.short_ref(),
        ShortCommit::of(&build.revision),
        build.subject
    );
    let line = PaintedLine::new().and("──", Paint::Quiet).and(title, Paint::Strong);
    let rest = width.saturating_sub(line.width());
    line.and("─".repeat(rest.max(2)), Paint::Quiet).cut(width)
}

fn field(name: &str, text: &str) -> PaintedLine {
    PaintedLine::new().and(format!("{name:<6}"), Paint::Quiet).and(text, Paint::Plain)
}

/// Returns the lane of a job that is bad. Returns none if the lane has not failed without a break since this build or an earlier one.
fn failing<'a>(branch: Option<&'a BranchView>, job: &JobView, number: u32) -> Option<&'a LaneView> {
    let is_it = |lane: &&LaneView| lane.job == job.name && (1..=number).contains(&lane.since);
    branch?.lanes.iter().find(|lane| job.is_bad() && is_it(lane))
}

async fn log_ends(guild: &Guild, build: &BuildView) -> Vec<LogEnd> {
    let mut ends = Vec::new();
    for job in build.jobs.iter().filter(|job| job.is_bad() && job.carried_from == 0) {
        let steps = (1..).zip(&job.steps);
        let Some((index, step)) = { steps }.find(|(_, step)| words::is_bad(step.outcome) && step.started.is_some())
        else {
            continue;
        };
        let address = LogAddress {
            project: build.project.clone(),
            build: build.number,
            job: job.name.clone(),
            attempt: job.attempt,
            step: index,
        };
        // Retention may have removed the log.
        let Ok(end) = last_lines(guild, &address, LINES_MAX).await else { continue };
        let name = if step.name == job.base() { String::new() } else { format!(", step {index} {}", step.name) };
        ends.push(LogEnd { title: format!("✗ {}{name}", job.name), lines: plain_lines(&end.bytes) });
        if ends.len() == FAILURES_MAX {
            break;
        }
    }
    ends
}

/// Returns the lines of a log as a terminal would finally show them, without colours.
fn plain_lines(bytes: &[u8]) -> Vec<String> {
    let mut screen = Screen::new();
    let text = screen.push(bytes) + &screen.finish();
    text.lines().map(|line| without_colours(line.trim_end_matches('\r').rsplit('\r').next().unwrap_or(line))).collect()
}

/// Removes the sequences of colours from a line. The screen has already removed all other sequences.
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut pieces = line.split('\u{1b}');
    plain.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain.replace('\t', "    ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::StepView;
    use schema::values::{Exit, State};

    fn job(name: &str, outcome: Outcome, milliseconds: u64) -> JobView {
        let ran = milliseconds > 0;
        JobView {
            name: name.to_owned(),
            state: State::Finished,
            outcome: Some(outcome),
            started: ran.then_some(Time(1_000)),
            finished: ran.then_some(Time(1_000 + milliseconds)),
            ..JobView::default()
        }
    }

    fn build(jobs: Vec<JobView>) -> BuildView {
        BuildView {
            project: "calc".to_owned(),
            number: 8,
            state: State::Finished,
            outcome: jobs.iter().filter_map(|job| job.outcome).max(),
            ref_name: "refs/heads/main".to_owned(),
            revision: "ca79dca01b22".to_owned(),
            subject: "a test of the median".to_owned(),
            author: "Grace".to_owned(),
            started: Some(Time(1_000)),
            finished: Some(Time(1_530)),
            jobs,
            ..BuildView::default()
        }
    }

    fn lane(job: &str, since: u32, last_good: u32) -> LaneView {
        LaneView { job: job.to_owned(), since, last_good, ..LaneView::default() }
    }

    fn text(summary: &Summary, width: usize) -> Vec<String> {
        let next = ["guild logs calc/8 --failed".to_owned(), "guild retry calc/8 --failed".to_owned()];
        summary.lines(width, &next).iter().map(|line| line.written(false).trim_end().to_owned()).collect()
    }

    fn failed() -> Summary {
        let mut skipped = job("publish", Outcome::Skipped, 0);
        skipped.reason = "runs only for tags v*".to_owned();
        let mut fast = job("test@3.11", Outcome::Failed, 410);
        fast.steps = vec![StepView {
            name: "tests".to_owned(),
            outcome: Some(Outcome::Failed),
            exit: Exit::Code(1),
            tests: Some(StepTests {
                passed: 1,
                failed: 7,
                failing: vec!["a.B › breaks".to_owned()],
                ..StepTests::default()
            }),
            ..StepView::default()
        }];
        let jobs = vec![job("lint", Outcome::Succeeded, 70), fast, job("test@3.14", Outcome::Failed, 95_000), skipped];
        let branch =
            BranchView { lanes: vec![lane("test@3.11", 6, 5), lane("test@3.14", 8, 7)], ..BranchView::default() };
        let first = BuildView {
            project: "calc".to_owned(),
            number: 6,
            revision: "01e5695aa977".to_owned(),
            subject: "add: simplify".to_owned(),
            author: "Ada".to_owned(),
            ..BuildView::default()
        };
        let lines = plain_lines(b"\x1b[31mE  assert\x1b[0m 0 == 3\n10%\r20%\n\tlast");
        Summary {
            build: build(jobs),
            branch: Some(branch),
            since: BTreeMap::from([(6, first)]),
            ends: vec![LogEnd { title: "✗ test@3.11, step 1 tests".to_owned(), lines }],
            pages: "http://127.0.0.1:8080".to_owned(),
        }
    }

    /// The last screen of `up`, `watch`, `logs -f` and `run --wait`.
    #[test]
    fn the_last_screen_has_times_failures_blame_and_what_is_next() {
        assert_eq!(
            text(&failed(), 80),
            [
                "── calc/8 main ca79dca01b \"a test of the median\" ───────────────────────────────",
                "✓ lint         0.1s",
                "✗ test@3.11    0.4s  step 1 \"tests\": exit code 1",
                "                     ✗ a.B › breaks",
                "                     6 more of 8 tests failed",
                "                     since calc/6 01e5695aa9 \"add: simplify\" by Ada",
                "✗ test@3.14    1:35",
                "                     new: it was good in calc/7",
                "· publish            runs only for tags v*",
                "",
                "✗ test@3.11, step 1 tests",
                "│ E  assert 0 == 3",
                "│ 20%",
                "│     last",
                "",
                "✗ calc/8 failed after 0.5s: 2 failed, 1 succeeded, 1 skipped",
                "page  http://127.0.0.1:8080/p/calc/8",
                "next  guild logs calc/8 --failed",
                "      guild retry calc/8 --failed",
            ]
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [0, 1, 20, 40, 80, 200] {
            let lines = failed().lines(width, &["guild logs calc/8 --failed".to_owned()]);
            assert!(lines.iter().all(|line| line.width() <= width), "{width}: {lines:?}");
        }
    }

    #[test]
    fn a_good_build_of_many_jobs_is_short() {
        let jobs = (0..40).map(|index| job(&format!("test@{index}"), Outcome::Succeeded, 100)).collect();
        let text = text(&Summary { build: build(jobs), ..Summary::default() }, 60);
        assert_eq!(text[1..], ["✓ 40 more succeeded", "✓ calc/8 succeeded after 0.5s: 40 succeeded"]);
    }
}
