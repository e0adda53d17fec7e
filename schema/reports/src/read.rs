//! Hands a report to the reader of its form, within the bound of its size.

use crate::{Collection, REPORT_MAX, junit, libtest, subunit, tap};
use schema::values::ReportFormat;
use std::io::{self, Read};

impl Collection {
    /// Reads a report as far as it can be read. `name` is its path as people know it, and empty for the output of the step. An error of
    /// the report or of `from` ends the reading, and is added to the trouble of the list.
    pub fn read(&mut self, format: ReportFormat, name: &str, from: impl Read) {
        if self.is_full() {
            return;
        }
        let mut from = Bounded { from, left: REPORT_MAX };
        let read = match format {
            ReportFormat::Junit => junit::read(&mut from, self),
            ReportFormat::Tap => tap::read(&mut from, stem(name), self),
            ReportFormat::Subunit => subunit::read(&mut from, self),
            ReportFormat::Libtest => libtest::read(&mut from, self),
        };
        if let Err(flaw) = read {
            let name = if name.is_empty() { "the step's output" } else { name };
            let place = if flaw.line == 0 { name.to_owned() } else { format!("{name}:{}", flaw.line) };
            self.add_trouble(format_args!("{place}: {}", flaw.why));
        }
    }
}

/// Returns the name of a file without its directories and its extension.
fn stem(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// A report that is read only up to a bound. Reading further is an error.
struct Bounded<R> {
    from: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !into.is_empty() {
            return match self.from.read(&mut into[..1])? {
                0 => Ok(0),
                _ => Err(io::Error::other(format!(
                    "it has more than {} MiB, and the rest is not read",
                    REPORT_MAX >> 20
                ))),
            };
        }
        let most = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.from.read(&mut into[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}
