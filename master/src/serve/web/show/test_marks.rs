//! Shows the state of tests and the results of their runs, each by a symbol, a word and a colour.

use super::StatusMark;
use client::views::{PointOutcome, TestPoint};
use schema::values::TimeSpan;
use std::time::Duration;

/// A `PointMark` shows one run in the row of a test's newest results.
pub(crate) struct PointMark {
    pub(crate) href: String,
    pub(crate) build: u32,
    pub(crate) symbol: &'static str,
    pub(crate) word: &'static str,
    pub(crate) class: &'static str,
    /// The duration of the test. Empty means that it is not known.
    pub(crate) duration: String,
}

/// Returns the mark for the state of a test, which is given by its word.
pub(crate) fn test_mark(state: &str) -> StatusMark {
    let (symbol, word, class) = match state {
        "newly-failing" => ("✗", "newly failing", "bad"),
        "still-failing" => ("✗", "still failing", "bad"),
        "fixed" => ("✓", "fixed", "good"),
        "new" => ("✓", "new", "good"),
        "passing" => ("✓", "passing", "good"),
        "skipped" => ("·", "skipped", "skipped"),
        "gone" => ("–", "gone", "skipped"),
        // a newer master may have more words
        _ => ("○", "unknown", "waiting"),
    };
    StatusMark { symbol, word, class }
}

/// Returns the runs that contained the test, the oldest first.
pub(crate) fn strip(project: &str, job: &str, points: &[TestPoint]) -> Vec<PointMark> {
    let there = points.iter().rev().filter(|point| point.outcome != PointOutcome::Absent);
    there.map(|point| mark_of(format!("/p/{project}/{}/{job}", point.build), point)).collect()
}

fn mark_of(href: String, point: &TestPoint) -> PointMark {
    let class = match point.outcome {
        PointOutcome::Passed => "good",
        PointOutcome::Failed => "bad",
        PointOutcome::Errored => "broken",
        PointOutcome::Mixed => "warned",
        PointOutcome::Skipped | PointOutcome::Absent => "skipped",
    };
    let word = if point.outcome == PointOutcome::Mixed { "failed, then passed" } else { point.outcome.word() };
    let duration = test_duration(point.duration_us);
    PointMark { href, build: point.build, symbol: point.outcome.symbol(), word, class, duration }
}

/// Returns a duration like `1.5s`, or in milliseconds below a tenth of a second. Empty means that it is not known.
pub(crate) fn test_duration(microseconds: Option<u64>) -> String {
    match microseconds {
        None => String::new(),
        Some(short) if short < 1_000 => "<1ms".to_owned(),
        Some(short) if short < 100_000 => format!("{}ms", short / 1_000),
        Some(long) => TimeSpan(Duration::from_micros(long)).clock(),
    }
}

/// Returns a text like `7 of 120 trees`. Empty means that the test is not flaky.
pub(crate) fn trees(flaky: u32, trees: u32) -> String {
    if flaky == 0 { String::new() } else { format!("{flaky} of {trees} trees") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_without_the_test_are_left_out_of_its_strip() {
        let point = |build, outcome| TestPoint { build, outcome, duration_us: None };
        let points = [point(3, PointOutcome::Failed), point(2, PointOutcome::Absent), point(1, PointOutcome::Mixed)];
        let marks = strip("calc", "test@3", &points);
        let told: Vec<_> = marks.iter().map(|mark| (mark.href.as_str(), mark.symbol, mark.word)).collect();
        assert_eq!(told, [("/p/calc/1/test@3", "~", "failed, then passed"), ("/p/calc/3/test@3", "✗", "failed")]);
    }

    #[test]
    fn durations_are_short() {
        let told = [None, Some(9), Some(42_000), Some(1_500_000)].map(test_duration);
        assert_eq!(told, ["", "<1ms", "42ms", "1.5s"]);
        assert_eq!((trees(0, 5), trees(7, 120)), (String::new(), "7 of 120 trees".to_owned()));
    }
}
