//! The failed tests of a job in a notice. Newly failing tests come first, because the change is to blame for them. Pure.

use super::lines::{line, on_one_line};
use serde::Serialize;

/// The failed tests of a job, sorted by their earlier runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NoticeTests {
    /// The first tests that fail newly and are not flaky, at most 20.
    pub newly_failing: Vec<NoticeTest>,
    /// The number of tests that fail newly and are not flaky.
    pub newly_failing_count: u32,
    /// The number of failing tests that also failed in their previous run.
    pub still_failing_count: u32,
    /// The number of tests that fail newly and are left out, because they are flaky.
    pub flaky_count: u32,
}

/// What the history of tests knows about the tests that failed in a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailedTests {
    /// The master has not read the lists of the job yet.
    Unread,
    /// The history knows nothing about the job.
    Unknown,
    Known(NoticeTests),
}

/// A test that a notice names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeTest {
    /// The number of the test in its project, as `guild test show` takes it.
    pub number: u32,
    /// The suite of the test, its name and its parameters.
    pub name: String,
}

impl NoticeTests {
    /// Writes the numbers on one line, and below it the tests that fail newly.
    pub(super) fn write(&self, text: &mut String) {
        line(text, "failed", &self.counts());
        for test in &self.newly_failing {
            line(text, "", &format!("{} (test {})", on_one_line(&test.name), test.number));
        }
        let named = u32::try_from(self.newly_failing.len()).unwrap_or(u32::MAX);
        match (self.newly_failing_count.saturating_sub(named), named) {
            (0, _) | (_, 0) => {}
            (more, _) => line(text, "", &format!("and {more} more")),
        }
    }

    fn counts(&self) -> String {
        let new = match self.newly_failing_count {
            0 => "no test newly".to_owned(),
            1 => "1 test newly".to_owned(),
            count => format!("{count} tests newly"),
        };
        let before = (self.still_failing_count > 0).then(|| format!("{} failed before", self.still_failing_count));
        let flaky = match self.flaky_count {
            0 => None,
            1 => Some("1 is flaky and left out".to_owned()),
            count => Some(format!("{count} are flaky and left out")),
        };
        [Some(new), before, flaky].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(new: &[&str], counts: (u32, u32, u32)) -> String {
        let test = |(number, name): (u32, &&str)| NoticeTest { number, name: format!("a.B › {name}") };
        let (newly_failing_count, still_failing_count, flaky_count) = counts;
        let newly_failing = (7..).zip(new).map(test).collect();
        let mut text = String::new();
        NoticeTests { newly_failing, newly_failing_count, still_failing_count, flaky_count }.write(&mut text);
        text
    }

    #[test]
    fn tests_that_fail_newly_are_named_and_others_are_counted() {
        assert_eq!(text(&["breaks"], (1, 0, 0)), "  failed    1 test newly\n            a.B › breaks (test 7)\n");
        let wanted = "  failed    9 tests newly, 3 failed before, 2 are flaky and left out\n\
            \x20           a.B › one (test 7)\n\
            \x20           a.B › two of   mine (test 8)\n\
            \x20           and 7 more\n";
        assert_eq!(text(&["one", "two of\n\n mine"], (9, 3, 2)), wanted);
        assert_eq!(text(&[], (0, 0, 1)), "  failed    no test newly, 1 is flaky and left out\n");
    }
}
