//! Collects the tests of one step while its reports are read one after the other.

use crate::cut::{cut, cut_name};
use crate::{LIST_MAX, MESSAGE_MAX, NAME_MAX, OUTPUT_MAX, RESULTS_MAX, TestList, TestOutcome, TestResult};
use std::fmt::Display;
use std::io::{self, Write};

/// The most bytes of the text that says what is wrong with the reports of a step. The master keeps fewer.
const TROUBLE_MAX: usize = 4 << 10;

/// The size of a list, in bytes, from which it takes results without their outputs. So the names of later failures still fit.
const OUTPUTS_MAX: usize = LIST_MAX / 2;

/// The most bytes of [`LIST_MAX`] that the results may take. The first line, which holds the trouble, needs the rest.
const LINES_MAX: usize = LIST_MAX - 2 * TROUBLE_MAX;

/// The tests of one step, within the bounds of a list.
#[derive(Debug, Default)]
pub struct Collection {
    list: TestList,
    /// The bytes of the results in their stored form.
    size: usize,
    /// The directory to which the files of tests are relative, with `/` at its end. Empty means that it is not known.
    root: String,
    /// The directory below `root` in which the tool ran, with `/` at its end. Empty means `root` itself.
    dir: String,
    /// Whether the list takes no more results.
    is_full: bool,
    has_left_out_outputs: bool,
}

/// An error in a report, with its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// The number of the line, from 1. 0 means that no line can be named.
    pub line: usize,
    pub why: String,
}

impl Flaw {
    pub(crate) fn at(line: usize, why: impl Into<String>) -> Flaw {
        Flaw { line, why: why.into() }
    }
}

impl Collection {
    /// Makes an empty collection of tests whose files are below the directory `root`. Their tools ran in `dir`, which is relative
    /// to `root`.
    pub fn below(root: &str, dir: &str) -> Collection {
        let with_slash = |path: &str| match path.trim_start_matches("./").trim_end_matches('/') {
            "" | "." => String::new(),
            path => format!("{path}/"),
        };
        Collection { root: with_slash(root), dir: with_slash(dir), ..Collection::default() }
    }

    /// Adds a reason why the list is not complete.
    pub fn add_trouble(&mut self, why: impl Display) {
        let trouble = &mut self.list.trouble;
        if trouble.len() < TROUBLE_MAX {
            let between = if trouble.is_empty() { "" } else { "; " };
            trouble.push_str(&format!("{between}{why}"));
            cut(trouble, TROUBLE_MAX);
        }
    }

    /// Adds a reason why the list is not complete, before the reasons so far.
    pub fn put_trouble_first(&mut self, why: impl Display) {
        let later = std::mem::take(&mut self.list.trouble);
        self.add_trouble(why);
        if !later.is_empty() {
            self.add_trouble(later);
        }
    }

    /// Returns the number of results so far.
    pub fn len(&self) -> usize {
        self.list.results.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.results.is_empty()
    }

    /// Whether the list takes no more results.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    pub fn finish(self) -> TestList {
        self.list
    }

    /// Adds a result. Fails with a text for people if the list is full.
    pub(crate) fn push(&mut self, mut result: TestResult) -> Result<(), String> {
        self.shorten(&mut result);
        if self.size > OUTPUTS_MAX && !result.output.is_empty() {
            self.leave_out(&mut result);
        }
        let size = size_of(&result);
        if self.list.results.len() == RESULTS_MAX || self.size + size > LINES_MAX {
            self.is_full = true;
            let (count, most) = (self.list.results.len(), LIST_MAX >> 20);
            return Err(format!(
                "the rest is not read: a list has at most {RESULTS_MAX} results and {most} MiB, and {count} were read"
            ));
        }
        self.size += size;
        self.list.results.push(result);
        Ok(())
    }

    fn leave_out(&mut self, result: &mut TestResult) {
        result.output.clear();
        if !std::mem::replace(&mut self.has_left_out_outputs, true) {
            self.add_trouble(format_args!(
                "the outputs of tests have more than {} MiB, and the rest is left out",
                OUTPUTS_MAX >> 20
            ));
        }
    }

    fn shorten(&self, result: &mut TestResult) {
        for name in [&mut result.id.suite, &mut result.id.name, &mut result.id.parameters] {
            cut_name(name, NAME_MAX);
        }
        if matches!(result.outcome, TestOutcome::Passed | TestOutcome::Skipped) {
            // nobody needs the output of such a test, and the report itself has it
            result.output.clear();
        }
        // most forms have no attempts and leave the number 0
        result.attempt = result.attempt.max(1);
        cut(&mut result.message, MESSAGE_MAX);
        cut(&mut result.output, OUTPUT_MAX);
        result.file = self.within(&result.file);
        if result.file.is_empty() {
            result.line = 0;
        }
    }

    /// Returns the path of a file relative to the root. It is empty if the file is not below the root.
    fn within(&self, file: &str) -> String {
        let below_root = file.strip_prefix(&self.root).filter(|_| !self.root.is_empty());
        let mut file = match below_root {
            Some(file) => file.to_owned(),
            None if file.is_empty() || file.starts_with('/') => file.to_owned(),
            None => format!("{}{}", self.dir, file.trim_start_matches("./").replace('\\', "/")),
        };
        let is_elsewhere = file.starts_with('/') || file.contains(':') || file.len() > NAME_MAX;
        if is_elsewhere {
            file.clear();
        }
        file
    }
}

/// Returns the number of bytes of a result in its stored form.
fn size_of(result: &TestResult) -> usize {
    let mut counted = Counted(0);
    // writing to a counter cannot fail
    let _ = serde_json::to_writer(&mut counted, result);
    counted.0 + 1
}

/// A writer that only counts the bytes that are written to it.
struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
