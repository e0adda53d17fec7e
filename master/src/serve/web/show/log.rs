//! Shows a job with the logs of its steps, and one step's log in blocks.

use super::build::job_href;
use super::failing_tests::{FailingTests, JobTests};
use super::{BuildLine, Frame, Piece, StatusMark, When, duration, pieces, tidy};
use crate::serve::web::text;
use askama::Template;
use client::explanation::{AttemptView, Explanation};
use client::logs::Lines;
use client::views::{BuildView, JobView, StepView};
use schema::values::{Bytes, Outcome, State};
use std::collections::BTreeMap;

/// The most lines of a log on its own page, so that a browser can show the page at once.
pub(crate) const LINES: u32 = 500;

/// The number of lines at the end of each log that a job's page does not fold away. They show an error and its cause, and fit on one
/// screen.
const JOB_LINES_SHOWN: usize = 40;

#[derive(Template)]
#[template(path = "job.html")]
pub(crate) struct JobPage {
    frame: Frame,
    project: String,
    line: BuildLine,
    name: String,
    mark: StatusMark,
    reason: Vec<Piece>,
    worker: String,
    platform: String,
    attempt: u16,
    /// The tier in which the attempt runs or ran. Empty means that it is not known.
    isolation: String,
    duration: String,
    is_finished: bool,
    started: Option<When>,
    finished: Option<When>,
    needs: Vec<(String, String)>,
    carried_from: u32,
    /// The advice on how to get the job placed: sentences, and commands to type.
    advice: Vec<AdviceLine>,
    /// The attempts. The list is empty if there was at most one.
    attempts: Vec<AttemptLine>,
    failing: Vec<FailingTests>,
    steps: Vec<StepBlock>,
}

struct AdviceLine {
    text: String,
    is_command: bool,
}

struct AttemptLine {
    number: u16,
    mark: StatusMark,
    worker: String,
    reason: Vec<Piece>,
    started: Option<When>,
    duration: String,
    /// The command that prints the attempt's logs.
    command: String,
}

struct StepBlock {
    number: u16,
    href: String,
    name: String,
    mark: StatusMark,
    exit: String,
    duration: String,
    size: String,
    is_open: bool,
    /// The lines right before `lines`, folded away so that a reader sees the end first.
    folded: Vec<LogLine>,
    lines: Vec<LogLine>,
    /// The number of lines before those that are shown.
    before: u64,
    /// Whether the step has a log, and this page shows no line of it.
    is_elsewhere: bool,
}

/// A `LogLine` is one line of a log. [`text::lines`] makes its HTML.
struct LogLine {
    number: u64,
    html: String,
}

impl JobPage {
    pub(crate) fn new(
        frame: Frame,
        build: &BuildView,
        job: &JobView,
        logs: &BTreeMap<u16, Lines>,
        told: &Explanation,
    ) -> JobPage {
        let open = steps_by_interest(job).first().copied();
        let needs = job.needs.iter().filter_map(|index| build.jobs.get(*index as usize));
        let steps = (1..).zip(&job.steps).map(|(number, step)| {
            let is_open = Some(number) == open || is_bad(step);
            StepBlock::new(job_href(build, job), number, step, logs.get(&number), is_open, JOB_LINES_SHOWN)
        });
        JobPage {
            frame,
            project: build.project.clone(),
            line: BuildLine::new(build),
            name: tidy(&job.name),
            mark: StatusMark::new(job.state, job.outcome),
            reason: pieces(&job.reason),
            worker: tidy(&job.worker),
            platform: tidy(&job.platform),
            attempt: job.attempt,
            isolation: tidy(&job.isolation),
            duration: duration(job.started, job.finished, job.is_finished()),
            is_finished: job.is_finished(),
            started: When::new(job.started),
            finished: When::new(job.finished),
            needs: needs.map(|need| (job_href(build, need), tidy(&need.name))).collect(),
            carried_from: job.carried_from,
            advice: advice(build, job, told),
            attempts: attempts(build, job, told),
            failing: Vec::new(),
            steps: steps.collect(),
        }
    }

    /// Adds the failed tests of the job.
    pub(crate) fn with_tests(mut self, build: &BuildView, job: &JobView, tests: &JobTests) -> JobPage {
        self.failing = FailingTests::of(build, job, tests);
        self
    }
}

/// Returns the part of the explanation that says what to do. It is empty if the job does not wait.
fn advice(build: &BuildView, job: &JobView, told: &Explanation) -> Vec<AdviceLine> {
    let lines = told.lines(build, job, |_| String::new()).into_iter();
    let lines =
        lines.skip_while(|(label, _)| *label != "do").take_while(|(label, _)| matches!(*label, "do" | "or" | ""));
    lines.map(|(label, text)| AdviceLine { text: tidy(text.trim()), is_command: label.is_empty() }).collect()
}

fn attempts(build: &BuildView, job: &JobView, told: &Explanation) -> Vec<AttemptLine> {
    let line = |attempt: &AttemptView| AttemptLine {
        number: attempt.number,
        mark: StatusMark::new(attempt.outcome.map_or(State::Running, |_| State::Finished), attempt.outcome),
        worker: tidy(&attempt.worker),
        reason: pieces(&attempt.reason),
        started: When::new(attempt.started),
        duration: duration(attempt.started, attempt.finished, attempt.outcome.is_some()),
        command: format!("guild logs {} --attempt {}", tidy(&build.selector_of(job)), attempt.number),
    };
    if told.attempts.len() > 1 { told.attempts.iter().map(line).collect() } else { Vec::new() }
}

impl StepBlock {
    /// Makes the block of a step. `shown` is the number of last lines that are not folded away.
    fn new(job: String, number: u16, step: &StepView, log: Option<&Lines>, is_open: bool, shown: usize) -> StepBlock {
        let mut folded = log.map(numbered).unwrap_or_default();
        let lines = folded.split_off(folded.len().saturating_sub(shown));
        StepBlock {
            number,
            href: format!("{job}/{number}"),
            name: tidy(&step.name),
            mark: StatusMark::new(step.state, step.outcome),
            exit: step.outcome.map(|_| tidy(&step.reason())).unwrap_or_default(),
            duration: duration(step.started, step.finished, step.outcome.is_some()),
            size: if step.log_size > 0 { Bytes(step.log_size).to_string() } else { String::new() },
            is_open,
            before: log.map_or(0, |log| log.first.saturating_sub(1)),
            is_elsewhere: log.is_none() && step.log_size > 0,
            folded,
            lines,
        }
    }
}

fn numbered(log: &Lines) -> Vec<LogLine> {
    (log.first..).zip(text::lines(&log.bytes)).map(|(number, html)| LogLine { number, html }).collect()
}

fn is_bad(step: &StepView) -> bool {
    matches!(step.outcome, Some(Outcome::Failed | Outcome::Errored))
}

/// Returns the steps, counted from 1, in the order in which people look for their logs: failed, running, and then the others from the
/// end.
pub(crate) fn steps_by_interest(job: &JobView) -> Vec<u16> {
    let numbered: Vec<(u16, &StepView)> = (1..).zip(&job.steps).collect();
    let bad = numbered.iter().filter(|(_, step)| is_bad(step));
    let running = numbered.iter().filter(|(_, step)| step.started.is_some() && step.outcome.is_none());
    let others = numbered.iter().rev();
    let mut order = Vec::new();
    for (number, _) in bad.chain(running).chain(others) {
        if !order.contains(number) {
            order.push(*number);
        }
    }
    order
}

#[derive(Template)]
#[template(path = "step.html")]
pub(crate) struct StepPage {
    frame: Frame,
    project: String,
    line: BuildLine,
    job: String,
    job_href: String,
    block: StepBlock,
    /// The addresses of the previous and of the next block. Empty means that there is none.
    earlier: String,
    later: String,
    is_end: bool,
    /// The size of the original test reports. Empty means that none are kept.
    reports: String,
}

impl StepPage {
    /// Makes the page of a step. `is_end` says that the visitor asked for the end of the log.
    pub(crate) fn new(
        frame: Frame,
        build: &BuildView,
        job: &JobView,
        number: u16,
        log: &Lines,
        is_end: bool,
    ) -> StepPage {
        let at = usize::from(number).saturating_sub(1);
        let step = job.steps.get(at).cloned().unwrap_or_default();
        let block = StepBlock::new(job_href(build, job), number, &step, Some(log), true, usize::MAX);
        let count = block.lines.len() as u64;
        let earlier = match log.first {
            0 | 1 => String::new(),
            first => format!("{}?first={}", block.href, first.saturating_sub(u64::from(LINES)).max(1)),
        };
        let later = match is_end || count == 0 {
            true => String::new(),
            false => format!("{}?first={}", block.href, log.first + count),
        };
        StepPage {
            frame,
            project: build.project.clone(),
            line: BuildLine::new(build),
            job: tidy(&job.name),
            job_href: job_href(build, job),
            block,
            earlier,
            later,
            is_end,
            reports: String::new(),
        }
    }

    /// Adds a link to the original test reports of the step, which have this size.
    pub(crate) fn with_reports(mut self, bytes: Option<u64>) -> StepPage {
        self.reports = bytes.map(|bytes| Bytes(bytes).to_string()).unwrap_or_default();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::web::bridge::Visitor;
    use schema::values::Time;

    /// The page distinguishes a step without output from a part that begins after the end of a log.
    #[test]
    fn an_empty_page_of_a_log_says_why() {
        let page = |log_size, first| {
            let step = StepView { log_size, ..StepView::default() };
            let job = JobView { steps: vec![step], ..JobView::default() };
            let (build, log) = (BuildView::default(), Lines { first, ..Lines::default() });
            StepPage::new(Frame::new("step", Visitor::default()), &build, &job, 1, &log, true).render().unwrap()
        };
        assert!(page(0, 1).contains("This step has written no output."));
        assert!(page(70, 900).contains("The log has no lines from line 900 on."));
    }

    #[test]
    fn what_failed_comes_first() {
        let step = |started: bool, outcome: Option<Outcome>| StepView {
            started: started.then_some(Time(1)),
            outcome,
            ..StepView::default()
        };
        let (good, bad) = (Some(Outcome::Succeeded), Some(Outcome::Failed));
        let job = |steps: Vec<StepView>| JobView { steps, ..JobView::default() };
        assert_eq!(steps_by_interest(&job(vec![step(true, good), step(true, bad), step(true, good)])), [2, 3, 1]);
        assert_eq!(steps_by_interest(&job(vec![step(true, good), step(true, None)])), [2, 1]);
        assert_eq!(steps_by_interest(&job(vec![])), [] as [u16; 0]);
    }
}
