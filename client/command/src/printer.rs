//! Prints the results of a command. Data goes to standard output as lines, fields, tables or JSON, and progress and errors go to
//! standard error.

use crate::options::Options;
use crate::output::{self, LogOutput, Shown, note};
use crate::render::{self, Look};
use client::Error;
use client::painted::PaintedLine;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::IsTerminal as _;

/// The form in which a command writes, for a person or for a program.
pub(crate) struct Printer {
    pub(crate) look: Look,
    /// The fields that `--json` asks for, with commas between them. An empty text asks for all fields, and `None` for no JSON.
    json: Option<String>,
    /// The columns that the user chose. If there are none, the command chooses.
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

    /// Writes a line of data to standard output at once.
    pub(crate) fn say(&self, line: impl Into<Shown>) -> Result<(), Error> {
        output::say(&line.into().and_literal("\n"))
    }

    /// Writes data that has its own line ends.
    pub(crate) fn say_whole(&self, text: &Shown) -> Result<(), Error> {
        output::say(text)
    }

    /// Writes a value after its name.
    pub(crate) fn say_field(&self, name: &str, value: &str) -> Result<(), Error> {
        self.say(self.look.field(name, value))
    }

    /// Writes a line of progress, or a hint, to standard error.
    pub(crate) fn note(&self, text: impl Into<Shown>) {
        note(text);
    }

    /// Like [`Printer::note`], but for a line in colours.
    pub(crate) fn note_line(&self, line: &PaintedLine) {
        note(Shown::of_line(line, self.has_colours_in_notes));
    }

    /// Like [`Printer::note`], but for a text of several lines.
    pub(crate) fn note_lines(&self, text: &str) {
        note(Shown::lines(text));
    }

    /// Returns the output for the bytes of logs. A program gets every byte, and a terminal only if `is_raw`.
    pub(crate) fn log_output(&self, is_raw: bool) -> LogOutput {
        output::log_output(is_raw || !self.look.terminal)
    }

    /// Writes an error, and what to do about it.
    pub(crate) fn complain(&self, error: &Error) {
        note(format!("error: {error}"));
        if !error.way_out().is_empty() {
            note(Shown::literal("help: ").and(Shown::lines(error.way_out())));
        }
    }

    /// Returns the columns that the user chose. If there are none, the command uses its own.
    pub(crate) fn chosen_columns(&self) -> &[String] {
        &self.columns
    }

    pub(crate) fn wants_json(&self) -> bool {
        self.json.is_some()
    }

    /// Writes one row as JSON with the fields that the user asked for. Fails if the row lacks one of them.
    pub(crate) fn say_json(&self, row: &Value) -> Result<(), Error> {
        self.check_fields(std::slice::from_ref(row))?;
        self.say_json_of_stream(row)
    }

    /// Like [`Printer::say_json`], but for a row among others with other fields. A field that the row lacks is null.
    pub(crate) fn say_json_of_stream(&self, row: &Value) -> Result<(), Error> {
        let fields = self.json.as_deref().unwrap_or_default();
        self.say(Shown::json(&render::pick(row, fields)))
    }

    /// Checks that the rows have the fields and columns that the user asked for, because a misspelt name would be empty in every row.
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

    /// Writes rows as JSON Lines, or as a table. The table has these columns if the user chose no others.
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
