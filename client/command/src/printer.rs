//! What a command says: data to standard output, as lines, fields, tables or JSON; progress and errors to standard error.

use crate::options::Options;
use crate::output::{self, LogOutput, Shown, note};
use crate::render::{self, Look};
use client::Error;
use client::painted::PaintedLine;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::IsTerminal as _;

/// The way in which a command speaks to whoever called it: to a person or to a program, and in which form.
pub(crate) struct Printer {
    pub(crate) look: Look,
    /// The fields that `--json` asks for, with commas between them; none is all of them. `None` asks for no JSON.
    json: Option<String>,
    /// The columns that were chosen. Where there are none, the columns of the command hold.
    columns: Vec<String>,
    has_headers: bool,
    /// Whether standard error shows colours.
    has_colours_in_notes: bool,
}

impl Printer {
    pub(crate) fn new(options: &Options) -> Printer {
        Printer {
            look: Look::of_process(),
            json: options.json.clone(),
            columns: options.columns.clone(),
            has_headers: !options.no_headers,
            has_colours_in_notes: Look::has_colours(std::io::stderr().is_terminal()),
        }
    }

    /// Data: a line to standard output, now.
    pub(crate) fn say(&self, line: impl Into<Shown>) -> Result<(), Error> {
        output::say(&line.into().and_literal("\n"))
    }

    /// Data that has its own line ends.
    pub(crate) fn say_whole(&self, text: &Shown) -> Result<(), Error> {
        output::say(text)
    }

    /// A value behind its name.
    pub(crate) fn say_field(&self, name: &str, value: &str) -> Result<(), Error> {
        self.say(self.look.field(name, value))
    }

    /// Progress and hints: a line to standard error.
    pub(crate) fn note(&self, text: impl Into<Shown>) {
        note(text);
    }

    /// As [`Printer::note`], of a line in colours.
    pub(crate) fn note_line(&self, line: &PaintedLine) {
        note(Shown::of_line(line, self.has_colours_in_notes));
    }

    /// As [`Printer::note`], of a text of several lines.
    pub(crate) fn note_lines(&self, text: &str) {
        note(Shown::lines(text));
    }

    /// Where the bytes of logs go: every byte to a program, or where `is_raw` asks for it.
    pub(crate) fn log_output(&self, is_raw: bool) -> LogOutput {
        output::log_output(is_raw || !self.look.terminal)
    }

    /// An error, and what to do about it.
    pub(crate) fn complain(&self, error: &Error) {
        note(format!("error: {error}"));
        if !error.way_out().is_empty() {
            note(Shown::literal("help: ").and(Shown::lines(error.way_out())));
        }
    }

    /// The columns that were chosen in place of the command's own.
    pub(crate) fn chosen_columns(&self) -> &[String] {
        &self.columns
    }

    pub(crate) fn wants_json(&self) -> bool {
        self.json.is_some()
    }

    /// One row as JSON, with the fields that were asked for, all of which it must have.
    pub(crate) fn say_json(&self, row: &Value) -> Result<(), Error> {
        self.check_fields(std::slice::from_ref(row))?;
        self.say_json_of_stream(row)
    }

    /// As [`Printer::say_json`], of a row among others that have other fields: what it lacks is null.
    pub(crate) fn say_json_of_stream(&self, row: &Value) -> Result<(), Error> {
        let fields = self.json.as_deref().unwrap_or_default();
        self.say(Shown::json(&render::pick(row, fields)))
    }

    /// Checks that a row has the fields and columns that were asked for. A name that was misspelt would be empty everywhere.
    fn check_fields(&self, rows: &[Value]) -> Result<(), Error> {
        let of_json = self.json.as_deref().unwrap_or_default().split(',').map(str::trim);
        let asked = of_json.filter(|name| !name.is_empty()).chain(self.columns.iter().map(String::as_str));
        let is_known = |name: &str| rows.iter().any(|row| row.get(name).is_some());
        let Some(unknown) = { asked }.find(|name| !rows.is_empty() && !is_known(name)) else { return Ok(()) };
        let fields: BTreeSet<&str> =
            rows.iter().filter_map(Value::as_object).flat_map(|row| row.keys().map(String::as_str)).collect();
        let fields = fields.into_iter().collect::<Vec<_>>().join(", ");
        Err(Error::usage(format!("there is no field `{unknown}`")).help(format!("choose one of: {fields}")))
    }

    /// Rows as JSON Lines or as a table with these columns where no others were asked for.
    pub(crate) fn say_rows(&self, rows: &[Value], columns: &[&str]) -> Result<(), Error> {
        self.check_fields(rows)?;
        if self.wants_json() {
            return rows.iter().try_for_each(|row| self.say_json_of_stream(row));
        }
        let columns = match self.columns.as_slice() {
            [] => columns.iter().map(|name| (*name).to_owned()).collect(),
            chosen => chosen.to_vec(),
        };
        self.say_whole(&self.look.table(rows, &columns, self.has_headers))
    }
}
