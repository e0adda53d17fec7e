//! The words for states and durations, on a terminal and on a page.

use crate::views::{CommitView, JobView, StepTests};
use schema::values::{Outcome, ShortCommit, State, Time, TimeSpan};

/// Returns the word for the outcome, or for the state if there is no outcome yet.
pub fn status_word(state: State, outcome: Option<Outcome>) -> &'static str {
    outcome.map_or(state.word(), Outcome::word)
}

/// Returns one character that distinguishes outcomes and states without colour.
pub fn symbol(state: State, outcome: Option<Outcome>) -> &'static str {
    match (outcome, state) {
        (Some(Outcome::Succeeded), _) => "✓",
        (Some(Outcome::Warned), _) => "▲",
        (Some(Outcome::Failed), _) => "✗",
        (Some(Outcome::Errored), _) => "!",
        (Some(Outcome::Cancelled), _) => "⊘",
        (Some(Outcome::Skipped), _) => "·",
        (None, State::Running) => "◐",
        (None, State::Planning | State::Waiting | State::Queued | State::Offered | State::Finished) => "○",
    }
}

/// Returns a duration as a clock shows it: of something that has ended, or up to `now` while it runs. Returns "" if it has not begun.
pub fn duration(started: Option<Time>, finished: Option<Time>, is_finished: bool, now: Time) -> String {
    match (started, finished.or((!is_finished).then_some(now))) {
        (Some(started), Some(end)) => TimeSpan(end.since(started)).clock(),
        _ => String::new(),
    }
}

/// Returns a number with its noun: `3 workers`, `1 worker`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Returns the name of an author, without the mail address.
pub fn author_name(author: &str) -> &str {
    author.split_once(" <").map_or(author, |(name, _)| name)
}

/// Returns the short id of a commit, its subject and the name of its author, in one line.
pub fn commit_line(commit: &CommitView) -> String {
    format!("{} {} ({})", ShortCommit::of(&commit.revision), commit.subject, author_name(&commit.author))
}

/// Whether the code or the infrastructure failed.
pub fn is_bad(outcome: Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Failed | Outcome::Errored))
}

/// The number of failing tests that a line names. More do not fit into a terminal.
const NAMED_MAX: usize = 3;

/// Returns the result of a step's reports in one line: `1 of 2 tests failed: a.B › breaks_here`. Returns "" if there is nothing to say.
pub fn tests_line(tests: &StepTests) -> String {
    let bad = match (tests.bad(), tests.failing.as_slice()) {
        (0, _) => String::new(),
        (bad, []) => format!("{bad} of {} failed", count(tests.all() as usize, "test")),
        (bad, names) => format!("{bad} of {} failed: {}", count(tests.all() as usize, "test"), named(names, bad)),
    };
    match (bad.is_empty(), tests.trouble.as_str()) {
        (_, "") => bad,
        (true, trouble) => format!("the report is incomplete: {trouble}"),
        (false, trouble) => format!("{bad}; the report is incomplete: {trouble}"),
    }
}

fn named(names: &[String], all: u32) -> String {
    let shown = &names[..names.len().min(NAMED_MAX)];
    match (all as usize).saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Returns the failing tests in the reports of a job, step by step. Returns "" if there is nothing to say.
pub fn tests_of(job: &JobView) -> String {
    let said = reason(job);
    let lines = job.steps.iter().filter_map(|step| step.tests.as_ref()).map(|tests| tests_line(&beyond(tests, &said)));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Returns the tests of a step without a trouble that the reason of its job already says, for example that a report was not written.
pub(crate) fn beyond(tests: &StepTests, reason: &str) -> StepTests {
    let trouble = if reason.contains(&tests.trouble) { String::new() } else { tests.trouble.clone() };
    StepTests { trouble, ..tests.clone() }
}

/// Returns why a job ended as it did, or why it waits, in one sentence, with the tests that failed. Returns "" if there is nothing to
/// say.
pub fn why(job: &JobView) -> String {
    let (reason, tests) = (reason(job), tests_of(job));
    let between = if reason.is_empty() || tests.is_empty() { "" } else { "; " };
    reason + between + &tests
}

/// Returns why a job ended as it did, or why it waits: its reason, or else the step that failed. Returns "" if there is nothing to say.
pub fn reason(job: &JobView) -> String {
    if !job.reason.is_empty() {
        return job.reason.clone();
    }
    let failed = (1..).zip(&job.steps).find(|(_, step)| is_bad(step.outcome));
    failed.map_or_else(String::new, |(index, step): (u16, _)| {
        format!("step {index} \"{}\": {}", step.name, step.reason())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::StepView;
    use schema::values::Exit;

    fn tests(passed: u32, failing: &[&str], trouble: &str) -> StepTests {
        StepTests {
            passed,
            failed: u32::try_from(failing.len()).unwrap(),
            failing: failing.iter().map(|name| (*name).to_owned()).collect(),
            trouble: trouble.to_owned(),
            ..StepTests::default()
        }
    }

    /// The step's command exits with 0, which does not say why the step failed.
    #[test]
    fn a_step_that_lacks_its_report_says_so_once() {
        let step = StepView {
            name: "t".to_owned(),
            outcome: Some(Outcome::Failed),
            exit: Exit::Code(0),
            tests: Some(tests(0, &[], "py.xml was not written")),
            ..StepView::default()
        };
        let mut job = JobView { outcome: Some(Outcome::Failed), steps: vec![step], ..JobView::default() };
        assert_eq!(why(&job), "step 1 \"t\": py.xml was not written");
        "step 1 `t`: py.xml was not written".clone_into(&mut job.reason);
        assert_eq!(why(&job), "step 1 `t`: py.xml was not written");
        job.steps[0].exit = Exit::Code(3);
        "step 1 `t`: exit code 3".clone_into(&mut job.reason);
        assert_eq!(why(&job), "step 1 `t`: exit code 3; the report is incomplete: py.xml was not written");
    }

    #[test]
    fn failing_tests_are_named() {
        let none = tests_line(&tests(9, &[], ""));
        assert_eq!(none, "", "a job whose tests pass is good");
        assert_eq!(tests_line(&tests(1, &["a.B › breaks"], "")), "1 of 2 tests failed: a.B › breaks");
        assert_eq!(tests_line(&tests(0, &["a"], "")), "1 of 1 test failed: a");
        assert_eq!(tests_line(&tests(0, &["a", "b", "c", "d", "e"], "")), "5 of 5 tests failed: a, b, c and 2 more");
        let trouble = "py.xml was not written";
        assert_eq!(tests_line(&tests(0, &[], trouble)), "the report is incomplete: py.xml was not written");
        let both = "1 of 2 tests failed: a; the report is incomplete: py.xml was not written";
        assert_eq!(tests_line(&tests(1, &["a"], trouble)), both);
        let unnamed = StepTests { failing: Vec::new(), ..tests(1, &["a"], "") };
        assert_eq!(tests_line(&unnamed), "1 of 2 tests failed", "a large build names none");
    }
}
