//! The tests of one step, as its reports are read one after the other.

use crate::cut::{cut, cut_name};
use crate::{LIST_MAX, MESSAGE_MAX, NAME_MAX, OUTPUT_MAX, RESULTS_MAX, TestList, TestOutcome, TestResult};
use std::fmt::Display;
use std::io::{self, Write};

/// The bytes of all that is wrong with the reports of a step. Its master keeps fewer.
const TROUBLE_MAX: usize = 4 << 10;

/// From so many bytes on a list takes results without their outputs, so that later failures still have their names.
const OUTPUTS_MAX: usize = LIST_MAX / 2;

/// What of [`LIST_MAX`] the results may take: the first line needs the rest.
const LINES_MAX: usize = LIST_MAX - 2 * TROUBLE_MAX;

/// The tests of one step, within the bounds of a list.
#[derive(Debug, Default)]
pub struct Collection {
    list: TestList,
    /// The bytes that the results take as they are stored.
    size: usize,
    /// The directory to which the files of tests are relative, with `/` at its end; empty: it is not known.
    root: String,
    /// The directory below it in which the tool ran, with `/` at its end; empty: the root itself.
    dir: String,
    /// Whether the list takes no more.
    is_full: bool,
    has_left_out_outputs: bool,
}

/// What is wrong with a report, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// From 1; 0: no line can be named.
    pub line: usize,
    pub why: String,
}

impl Flaw {
    pub(crate) fn at(line: usize, why: impl Into<String>) -> Flaw {
        Flaw { line, why: why.into() }
    }
}

impl Collection {
    /// An empty collection of tests whose files lie below the directory `root`. Their tools ran in `dir`, which is relative
    /// to it.
    pub fn below(root: &str, dir: &str) -> Collection {
        let with_slash = |path: &str| match path.trim_start_matches("./").trim_end_matches('/') {
            "" | "." => String::new(),
            path => format!("{path}/"),
        };
        Collection { root: with_slash(root), dir: with_slash(dir), ..Collection::default() }
    }

    /// Notes why the list is not whole.
    pub fn add_trouble(&mut self, why: impl Display) {
        let trouble = &mut self.list.trouble;
        if trouble.len() < TROUBLE_MAX {
            let between = if trouble.is_empty() { "" } else { "; " };
            trouble.push_str(&format!("{between}{why}"));
            cut(trouble, TROUBLE_MAX);
        }
    }

    /// Notes why the list is not whole, before what was noted so far.
    pub fn put_trouble_first(&mut self, why: impl Display) {
        let later = std::mem::take(&mut self.list.trouble);
        self.add_trouble(why);
        if !later.is_empty() {
            self.add_trouble(later);
        }
    }

    /// How many results were read so far.
    pub fn len(&self) -> usize {
        self.list.results.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.results.is_empty()
    }

    /// Whether the list takes no more.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    pub fn finish(self) -> TestList {
        self.list
    }

    /// Takes a result. An error says that the list is full.
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
            // nobody looks for it, and the report itself has it
            result.output.clear();
        }
        // most forms know of no attempts
        result.attempt = result.attempt.max(1);
        cut(&mut result.message, MESSAGE_MAX);
        cut(&mut result.output, OUTPUT_MAX);
        result.file = self.within(&result.file);
        if result.file.is_empty() {
            result.line = 0;
        }
    }

    /// A file relative to the root; empty: it lies elsewhere.
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

/// How many bytes a result takes as it is stored.
fn size_of(result: &TestResult) -> usize {
    let mut counted = Counted(0);
    // nothing that it writes to can fail
    let _ = serde_json::to_writer(&mut counted, result);
    counted.0 + 1
}

/// Counts the bytes that are written to it.
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
