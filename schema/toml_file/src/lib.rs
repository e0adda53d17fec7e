//! Reads TOML files that people write, and finds all their errors at once, each with its place and a way out. This crate knows the
//! keys of no file: `pipeline` knows those of `guild.toml`, and the master those of `master.toml`.
//!
//! serde stops at the first unknown key, so the owner of a file walks [`Table`]s and [`Value`]s instead. Keys that it asks for are
//! known, [`Table::close`] reports all others, and the [`Page`] collects every error.

mod diagnostic;
mod json_schema;
mod line_ends;
pub mod reference;
mod table;
mod value;
pub mod witness;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use json_schema::json_schema;
pub use line_ends::with_plain_line_ends;
pub use table::Table;
pub use value::Value;

pub use schema::limits::{FILE_MAX, NAME_MAX};

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;
use toml::Spanned;
use toml::de::DeTable;

/// The most errors that are reported for one file. Nobody mends more at once.
const ERRORS_MAX: usize = 100;
/// The most syntax errors that are reported. They are few, because one syntax error often causes others.
const SYNTAX_ERRORS_MAX: usize = 20;
/// The largest text, in bytes, for which more than one syntax error is reported. Each error costs memory before it can be counted.
const SYNTAX_ERRORS_TEXT_MAX: usize = 64 << 10;

/// A value and its place in the file.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub value: T,
    pub span: Range<usize>,
}

/// One file's text, and the errors found in it.
pub struct Page<'t> {
    file: &'t str,
    /// The text of the file as it was written.
    written: &'t str,
    /// The file with plain line ends. All spans are positions in this text, except the spans of diagnostics.
    text: Cow<'t, str>,
    found: RefCell<Vec<Diagnostic>>,
    advice: Advice,
}

/// A function that gets an unknown or future key and returns advice on what to write instead. `None` means that the nearest name is
/// suggested.
pub type Advice = fn(&str) -> Option<&'static str>;

impl<'t> Page<'t> {
    /// Opens a file. Refuses one that is too large or is not UTF-8. A line end `\r\n` is read as `\n`, so that a file means the same
    /// wherever it was saved.
    pub fn open(file: &'t str, bytes: &'t [u8]) -> Result<Page<'t>, Diagnostics> {
        let page = |written| Page {
            file,
            written,
            text: with_plain_line_ends(written),
            found: RefCell::default(),
            advice: |_| None,
        };
        let valid = match std::str::from_utf8(bytes) {
            Ok(text) if text.len() <= FILE_MAX => return Ok(page(text)),
            Ok(_) => {
                let page = page("");
                let message = format!("{file} has {} bytes, but only {FILE_MAX} are allowed", bytes.len());
                page.error(0..0, message, "", "");
                return Err(page.into_diagnostics());
            }
            Err(error) => &bytes[..error.valid_up_to().min(FILE_MAX)],
        };
        // the text before the first bad byte shows where it is
        let page = page(std::str::from_utf8(valid).unwrap_or_default());
        page.error(valid.len()..valid.len(), format!("{file} is not UTF-8"), "the first bad byte", "save it as UTF-8");
        Err(page.into_diagnostics())
    }

    /// Returns the same page with advice for keys that people know from other programs.
    #[must_use]
    pub fn with_advice(mut self, advice: Advice) -> Page<'t> {
        self.advice = advice;
        self
    }

    /// Parses the file. Its tree is the argument of [`Page::root`]. If there are syntax errors, it reports only them.
    pub fn parse(&self) -> Result<Spanned<DeTable<'_>>, Diagnostics> {
        if let Some(at) = self.text.find('\r') {
            self.error(at..at, "a carriage return has no line feed after it", "no line ends here", line_ends::WAY_OUT);
            return Err(self.diagnostics());
        }
        let first = match DeTable::parse(&self.text) {
            Ok(tree) => return Ok(tree),
            Err(first) => first,
        };
        // a large text may have a million errors, and each costs memory before it can be counted
        let errors = match self.text.len() {
            0..=SYNTAX_ERRORS_TEXT_MAX => DeTable::parse_recoverable(&self.text).1,
            _ => vec![first],
        };
        for error in errors.into_iter().take(SYNTAX_ERRORS_MAX) {
            self.error(error.span().unwrap_or(0..0), error.message().to_owned(), "", "");
        }
        Err(self.diagnostics())
    }

    pub fn root(&'t self, tree: &'t Spanned<DeTable<'t>>) -> Table<'t> {
        Table::new(self, "the top level".to_owned(), tree.span(), tree.get_ref())
    }

    /// Notes an error. `label` is the text beside the mark, and `help` the text below. Both may be empty.
    pub fn error(&self, span: Range<usize>, message: impl Into<String>, label: &str, help: impl Into<String>) {
        let mut found = self.found.borrow_mut();
        if found.len() < ERRORS_MAX {
            let mut diagnostic = Diagnostic::locate(self.file, &self.text, span, &message.into(), label, &help.into());
            if matches!(self.text, Cow::Owned(_)) {
                diagnostic.span = line_ends::as_written(self.written, diagnostic.span);
            }
            found.push(diagnostic);
        }
    }

    /// Notes the error that `name` is not among `known`, and suggests the nearest known name.
    pub fn unknown<'k>(
        &self,
        span: Range<usize>,
        message: String,
        label: &str,
        name: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        let help = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
        self.error(span, message, label, help.unwrap_or_default());
    }

    pub fn is_clean(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// Returns `value`, or the errors if there were any.
    pub fn judge<T>(self, value: Option<T>) -> Result<T, Diagnostics> {
        match value {
            Some(value) if self.is_clean() => Ok(value),
            Some(_) | None => Err(self.into_diagnostics()),
        }
    }

    pub fn diagnostics(&self) -> Diagnostics {
        Diagnostics::sorted(self.found.borrow().clone())
    }

    fn into_diagnostics(self) -> Diagnostics {
        Diagnostics::sorted(self.found.into_inner())
    }
}

/// Returns the known name that `name` was probably meant to be. `None` if none is near enough.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let name: Vec<char> = name.chars().take(NAME_MAX + 1).collect();
    let allowed = 1 + name.len() / 4;
    let near = known.into_iter().map(|known| (distance(&name, known), known));
    near.filter(|(distance, _)| *distance <= allowed).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// Whether `name` matches `[A-Za-z0-9._-]+` and is not too long. `.` and `..` are not names, because they are directories.
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(allowed) && !matches!(name, "." | "..")
}

/// Returns the optimal string alignment distance: the number of insertions, deletions, substitutions and swaps of neighbours.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().take(NAME_MAX + 1).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}
