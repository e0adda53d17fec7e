//! Shows the failed tests of a job first on its page. Each has its message, and its results in the newest runs of its lane.

use super::build::job_href;
use super::{PointMark, StatusMark, strip, test_mark, tidy};
use client::views::{BuildView, FailedTest, JobView, StepTests, TestView};
use client::words::count;

/// The most lines of a test's output on a page. The log or the report has all of it.
const OUTPUT_LINES: usize = 60;

/// `JobTests` holds what is known about a job's tests beside its view.
#[derive(Debug, Default)]
pub(crate) struct JobTests {
    /// The failed tests, as many as one answer holds.
    pub(crate) failed: Vec<FailedTest>,
    /// The failing tests of the lane, with their present state.
    pub(crate) standing: Vec<TestView>,
}

/// `FailingTests` shows the failed tests of a step, and what is missing in its report.
pub(crate) struct FailingTests {
    pub(crate) step: u16,
    pub(crate) href: String,
    /// A text like `2 of 120 tests failed`. Empty means that none failed.
    pub(crate) head: String,
    pub(crate) tests: Vec<FailedLine>,
    /// The number of failed tests that are not shown.
    pub(crate) more: usize,
    pub(crate) trouble: String,
}

/// A `FailedLine` is a failed test on a job's page.
pub(crate) struct FailedLine {
    pub(crate) title: String,
    /// The page of the test. Empty means that its history was not read yet.
    pub(crate) href: String,
    /// The present state of the test in its lane. `None` means that it no longer fails there, or that its history was not read yet.
    pub(crate) mark: Option<StatusMark>,
    /// A place like `tests/a.py:12`. Empty means that the test tool did not report it.
    pub(crate) place: String,
    pub(crate) message: String,
    pub(crate) output: String,
    pub(crate) strip: Vec<PointMark>,
}

impl FailingTests {
    pub(crate) fn of(build: &BuildView, job: &JobView, known: &JobTests) -> Vec<FailingTests> {
        let tested = (1..).zip(&job.steps).filter_map(|(number, step): (u16, _)| Some((number, step.tests.as_ref()?)));
        let told = tested.filter(|(_, tests)| tests.bad() > 0 || !tests.trouble.is_empty());
        told.map(|(number, tests)| FailingTests::new(build, job, number, tests, known)).collect()
    }

    fn new(build: &BuildView, job: &JobView, step: u16, tests: &StepTests, known: &JobTests) -> FailingTests {
        let head = match tests.bad() {
            0 => String::new(),
            bad => format!("{bad} of {} failed", count(tests.all() as usize, "test")),
        };
        let failed = known.failed.iter().filter(|test| test.step == step);
        let mut lines: Vec<FailedLine> = failed.map(|test| FailedLine::new(build, test, known)).collect();
        if lines.is_empty() {
            // retention may have removed the list, but the view has some names
            lines = tests.failing.iter().map(|name| FailedLine::named(name)).collect();
        }
        FailingTests {
            step,
            href: format!("{}/{step}", job_href(build, job)),
            head,
            more: (tests.bad() as usize).saturating_sub(lines.len()),
            tests: lines,
            trouble: tidy(&tests.trouble),
        }
    }
}

impl FailedLine {
    fn new(build: &BuildView, test: &FailedTest, known: &JobTests) -> FailedLine {
        let is_it = |other: &&TestView| {
            (&other.suite, &other.name, &other.parameters) == (&test.suite, &test.name, &test.parameters)
        };
        let standing = known.standing.iter().find(is_it);
        let place = if test.line == 0 { test.file.clone() } else { format!("{}:{}", test.file, test.line) };
        FailedLine {
            title: tidy(&test.title()),
            href: standing.map_or_else(String::new, |it| format!("/p/{}/tests/{}", build.project, it.number)),
            mark: standing.map(|it| test_mark(&it.state)),
            place: if test.file.is_empty() { String::new() } else { tidy(&place) },
            message: lines(&test.message),
            output: lines(&test.output),
            strip: standing.map(|it| strip(&build.project, &it.job, &it.results)).unwrap_or_default(),
        }
    }

    fn named(name: &str) -> FailedLine {
        FailedLine {
            title: tidy(name),
            href: String::new(),
            mark: None,
            place: String::new(),
            message: String::new(),
            output: String::new(),
            strip: Vec::new(),
        }
    }
}

/// Makes a text that others wrote harmless, and keeps its last lines.
fn lines(text: &str) -> String {
    let all: Vec<String> = text.lines().map(tidy).collect();
    all[all.len().saturating_sub(OUTPUT_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::views::StepView;

    fn job(tests: StepTests) -> JobView {
        JobView { steps: vec![StepView { tests: Some(tests), ..StepView::default() }], ..JobView::default() }
    }

    #[test]
    fn a_failed_test_has_its_message_and_its_page() {
        let tests = StepTests { passed: 1, failed: 2, failing: vec!["a › b".to_owned()], ..StepTests::default() };
        let build = BuildView { project: "calc".to_owned(), number: 7, ..BuildView::default() };
        let failed = FailedTest {
            suite: "a".to_owned(),
            name: "b".to_owned(),
            step: 1,
            message: "left is\nnot right".to_owned(),
            file: "a.py".to_owned(),
            line: 3,
            ..FailedTest::default()
        };
        let standing = TestView {
            number: 4,
            suite: "a".to_owned(),
            name: "b".to_owned(),
            state: "newly-failing".to_owned(),
            ..TestView::default()
        };
        let known = JobTests { failed: vec![failed], standing: vec![standing] };
        let shown = FailingTests::of(&build, &job(tests.clone()), &known);
        let line = &shown[0].tests[0];
        assert_eq!((shown[0].head.as_str(), shown[0].more), ("2 of 3 tests failed", 1));
        assert_eq!((line.href.as_str(), line.place.as_str()), ("/p/calc/tests/4", "a.py:3"));
        assert_eq!(
            (line.message.as_str(), line.mark.as_ref().map(|mark| mark.word)),
            ("left is\nnot right", Some("newly failing"))
        );
        let shown = FailingTests::of(&build, &job(tests), &JobTests::default());
        assert_eq!((shown[0].tests[0].title.as_str(), shown[0].more), ("a › b", 1), "the names of the view are left");
        assert!(FailingTests::of(&build, &job(StepTests::default()), &JobTests::default()).is_empty());
    }
}
