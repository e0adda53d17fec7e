//! The end of the output of a test program: the names of the tests that failed, and a line with the counts of all outcomes.

use super::plain_name;
use crate::{LIST_MAX, RESULTS_MAX};

/// The indentation of each name of a list.
const INDENT: &str = "    ";

/// A line `failures:` or `successes:`, and the lines after it while they can be a list of names. A test can also print such lines.
pub(super) struct NameSection {
    /// All lines, including the first one.
    pub lines: Vec<String>,
    bytes: usize,
}

impl NameSection {
    /// Begins a list. Returns `None` if the line does not begin one.
    pub(super) fn begin(line: &str) -> Option<NameSection> {
        matches!(line, "failures:" | "successes:").then(|| NameSection { lines: vec![line.to_owned()], bytes: 0 })
    }

    /// Takes the next line. Returns `false` if the line cannot belong to the list.
    pub(super) fn take(&mut self, line: &str) -> bool {
        let has_ended = self.lines.last().is_some_and(String::is_empty);
        let is_name = line.strip_prefix(INDENT).is_some_and(|name| !name.trim().is_empty()) && !has_ended;
        let has_room = self.lines.len() <= RESULTS_MAX && self.bytes < LIST_MAX / 4;
        if !has_room || !(is_name || line.is_empty()) {
            return false;
        }
        self.bytes += line.len();
        self.lines.push(line.to_owned());
        true
    }

    /// Returns the names of the tests that failed. A list of successes gives none.
    pub(super) fn failures(&self) -> impl Iterator<Item = &str> {
        let is_of_failures = self.lines.first().is_some_and(|first| first == "failures:");
        let lines = self.lines.iter().skip(1).filter(move |_| is_of_failures);
        lines.filter_map(|line| line.strip_prefix(INDENT)).map(plain_name)
    }
}

/// The line `test result:` with its counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// The number of tests that ended, with any outcome. `None` means that the line has no counts.
    pub ran: Option<usize>,
    pub failed: Option<usize>,
}

impl Summary {
    /// Reads the counts of such a line. Returns `None` for any other line.
    pub(super) fn parse(line: &str) -> Option<Summary> {
        let mut summary = Summary::default();
        for part in line.strip_prefix("test result: ")?.split(['.', ';']) {
            let Some((count, word)) = part.trim().split_once(' ') else { continue };
            let Ok(count) = count.parse::<usize>() else { continue };
            if word == "failed" {
                summary.failed = Some(count);
            }
            if matches!(word, "passed" | "failed" | "ignored" | "measured") {
                summary.ran = Some(summary.ran.unwrap_or_default().saturating_add(count));
            }
        }
        Some(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_counts() {
        let line = "test result: FAILED. 2 passed; 1 failed; 3 ignored; 4 measured; 9 filtered out; finished in 0.61s";
        assert_eq!(Summary::parse(line), Some(Summary { ran: Some(10), failed: Some(1) }));
        assert_eq!(Summary::parse("test result: ok."), Some(Summary::default()));
        let large = format!("test result: ok. {0} passed; {0} failed", usize::MAX);
        assert_eq!(Summary::parse(&large), Some(Summary { ran: Some(usize::MAX), failed: Some(usize::MAX) }));
        assert_eq!(Summary::parse("test results"), None);
    }

    #[test]
    fn a_list_has_names_and_nothing_else() {
        let mut section = NameSection::begin("failures:").unwrap();
        for (line, wanted) in
            [("    a", true), ("    b - should panic", true), ("", true), ("    c", false), ("d", false)]
        {
            assert_eq!(section.take(line), wanted, "{line}");
        }
        assert_eq!(section.failures().collect::<Vec<_>>(), ["a", "b"]);
        let mut others = NameSection::begin("successes:").unwrap();
        assert!(others.take("    a"));
        assert_eq!(others.failures().count(), 0);
        assert!(NameSection::begin("failures").is_none());
    }
}
