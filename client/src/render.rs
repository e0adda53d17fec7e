//! How values look: JSON Lines, tab-separated where piped, tables with colours and relative times on a terminal. A column
//! is a field of the JSON: one description of a row serves all three. Pure, save [`Look::of_process`].

use client::views::{BuildView, JobView, short_ref};
use client::words;
pub(crate) use client::words::{clock, harmless, status_word};
use schema::values::{Outcome, State, Time, Verdict};
use serde_json::Value;
use std::io::IsTerminal as _;

const TIMES: [&str; 9] =
    ["created", "started", "finished", "queued", "since", "expires", "revoked", "last_heard", "time"];
const SUBJECT_CHARS: usize = 50;
const REVISION_CHARS: usize = 10;

/// For whom it is rendered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) terminal: bool,
    pub(crate) colour: bool,
    pub(crate) now: Time,
}

impl Look {
    /// As standard output, NO_COLOR and CLICOLOR_FORCE have it.
    pub(crate) fn of_process() -> Look {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        let terminal = std::io::stdout().is_terminal();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = set("CLICOLOR_FORCE") || (terminal && !dumb && !set("NO_COLOR"));
        Look { terminal, colour, now: now() }
    }

    pub(crate) fn painted(&self, text: &str, paint: Paint) -> String {
        match (self.colour, paint) {
            (true, Paint::Good) => format!("\x1b[32m{text}\x1b[0m"),
            (true, Paint::Bad) => format!("\x1b[31m{text}\x1b[0m"),
            (true, Paint::Notable) => format!("\x1b[33m{text}\x1b[0m"),
            (true, Paint::Quiet) => format!("\x1b[2m{text}\x1b[0m"),
            (true, Paint::Strong) => format!("\x1b[1m{text}\x1b[0m"),
            (false, _) | (true, Paint::Plain) => text.to_owned(),
        }
    }

    /// The name of a value on a line of its own: padded for a person, with a tab for a program.
    pub(crate) fn label(&self, name: &str) -> String {
        match self.terminal {
            true => self.painted(&format!("{name:<10}"), Paint::Quiet),
            false => format!("{name}\t"),
        }
    }

    /// Rows of one kind as a table: aligned on a terminal, tab-separated otherwise.
    pub(crate) fn table(&self, rows: &[Value], columns: &[String], headers: bool) -> String {
        let mut lines: Vec<Vec<Cell>> = Vec::with_capacity(rows.len() + 1);
        if headers {
            lines.push(columns.iter().map(|name| Cell::header(name)).collect());
        }
        lines.extend(rows.iter().map(|row| columns.iter().map(|name| self.cell(name, &row[name])).collect()));
        match self.terminal {
            true => self.aligned(&lines),
            false => tab_separated(&lines),
        }
    }

    fn aligned(&self, lines: &[Vec<Cell>]) -> String {
        let mut widths = vec![0; lines.first().map_or(0, Vec::len)];
        for line in lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let mut text = String::new();
        for line in lines {
            let mut padding = 0;
            for (width, cell) in widths.iter().zip(line) {
                text.push_str(&" ".repeat(padding));
                text.push_str(&self.painted(&cell.text, cell.paint));
                padding = width - cell.text.chars().count() + 2;
            }
            text.push('\n');
        }
        text
    }

    fn cell(&self, name: &str, value: &Value) -> Cell {
        let plain = plain_text(value);
        if !self.terminal {
            return Cell { text: plain, paint: Paint::Plain };
        }
        match name {
            "status" | "outcome" | "state" => status_cell(&plain),
            "verdict" => verdict_cell(&plain),
            "revision" => Cell::plain(plain.chars().take(REVISION_CHARS).collect()),
            "ref" => Cell::plain(short_ref(&plain).to_owned()),
            "subject" | "reason" => Cell::plain(shortened(&plain, SUBJECT_CHARS)),
            "duration" => Cell::plain(value.as_f64().map_or_else(String::new, clock)),
            name if TIMES.contains(&name) => Cell { text: self.relative(&plain), paint: Paint::Quiet },
            _ => Cell::plain(plain),
        }
    }

    fn relative(&self, timestamp: &str) -> String {
        match timestamp.parse::<jiff::Timestamp>() {
            Ok(time) => self.ago(Time(u64::try_from(time.as_millisecond()).unwrap_or(0))),
            Err(_) => timestamp.to_owned(),
        }
    }

    /// "12m ago", "in 3d".
    pub(crate) fn ago(&self, time: Time) -> String {
        words::ago(self.now, time)
    }
}

/// What a piece of text is, not which colour it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Good,
    Bad,
    Notable,
    Quiet,
    Strong,
}

struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    fn plain(text: String) -> Cell {
        Cell { text, paint: Paint::Plain }
    }

    fn header(name: &str) -> Cell {
        Cell { text: name.to_uppercase().replace('_', " "), paint: Paint::Quiet }
    }
}

/// A build as one row. `status`: the outcome, or where there is none yet, the state.
pub(crate) fn build_row(build: &BuildView) -> Value {
    let mut row = serde_json::to_value(build).unwrap_or_default();
    row["selector"] = build.selector().into();
    row["status"] = status_word(build.state, build.outcome).into();
    row["duration"] = seconds(build.started, build.finished);
    if build.jobs.is_empty()
        && let Some(fields) = row.as_object_mut()
    {
        fields.remove("jobs");
    }
    row
}

/// A job as one row.
pub(crate) fn job_row(build: &BuildView, job: &JobView) -> Value {
    let mut row = serde_json::to_value(job).unwrap_or_default();
    row["project"] = build.project.clone().into();
    row["build"] = build.number.into();
    row["selector"] = format!("{}/{}", build.selector(), job.name).into();
    row["status"] = status_word(job.state, job.outcome).into();
    row["duration"] = seconds(job.started, job.finished);
    row
}

/// One character that tells apart without colour, and its colour.
pub(crate) fn symbol(state: State, outcome: Option<Outcome>) -> (&'static str, Paint) {
    let paint = match (outcome, state) {
        (Some(Outcome::Succeeded), _) => Paint::Good,
        (Some(Outcome::Failed | Outcome::Errored), _) => Paint::Bad,
        (Some(Outcome::Warned | Outcome::Cancelled), _) | (None, State::Running) => Paint::Notable,
        (Some(Outcome::Skipped), _)
        | (None, State::Planning | State::Waiting | State::Queued | State::Offered | State::Finished) => Paint::Quiet,
    };
    (words::symbol(state, outcome), paint)
}

/// Only these fields of a row; all where none is named.
pub(crate) fn pick(row: &Value, fields: &str) -> Value {
    let names = fields.split(',').map(str::trim).filter(|name| !name.is_empty());
    let picked: serde_json::Map<String, Value> = names.map(|name| (name.to_owned(), row[name].clone())).collect();
    match picked.is_empty() {
        true => row.clone(),
        false => Value::Object(picked),
    }
}

pub(crate) fn now() -> Time {
    Time(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0))
}

fn status_cell(word: &str) -> Cell {
    let outcome =
        [Outcome::Skipped, Outcome::Succeeded, Outcome::Warned, Outcome::Failed, Outcome::Errored, Outcome::Cancelled]
            .into_iter()
            .find(|outcome| outcome.word() == word);
    let state = if word == State::Running.word() { State::Running } else { State::Waiting };
    let (symbol, paint) = symbol(state, outcome);
    let text = if word.is_empty() { String::new() } else { format!("{symbol} {word}") };
    Cell { text, paint }
}

fn verdict_cell(word: &str) -> Cell {
    let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.word() == word);
    let (symbol, paint) = match verdict {
        Some(Verdict::Good) => ("✓", Paint::Good),
        Some(Verdict::Warned) => ("▲", Paint::Notable),
        Some(Verdict::Bad) => ("✗", Paint::Bad),
        None => ("○", Paint::Plain),
    };
    Cell { text: format!("{symbol} {word}"), paint }
}

fn plain_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => harmless(text),
        Value::Array(items) => items.iter().map(plain_text).collect::<Vec<_>>().join(","),
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        Value::Number(_) | Value::Object(_) => harmless(&value.to_string()),
    }
}

fn tab_separated(lines: &[Vec<Cell>]) -> String {
    let mut text = String::new();
    for line in lines {
        let cells: Vec<&str> = line.iter().map(|cell| cell.text.as_str()).collect();
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    text
}

fn seconds(started: Option<Time>, finished: Option<Time>) -> Value {
    match (started, finished) {
        (Some(started), Some(finished)) => finished.since(started).as_secs_f64().into(),
        _ => Value::Null,
    }
}

fn shortened(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn look(terminal: bool) -> Look {
        Look { terminal, colour: false, now: Time(1_700_000_000_000) }
    }

    fn rows() -> Vec<Value> {
        vec![
            json!({"selector": "r/12", "status": "failed", "subject": "a\tb\u{1b}[2J", "created": "2023-11-14T22:01:20.000Z"}),
            json!({"selector": "r/9", "status": "running", "subject": "c", "created": null, "duration": 65.2}),
        ]
    }

    fn columns() -> Vec<String> {
        ["selector", "status", "subject", "created", "duration"].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_pipe_gets_tabs_and_whole_times() {
        assert_eq!(
            look(false).table(&rows(), &columns(), true),
            "SELECTOR\tSTATUS\tSUBJECT\tCREATED\tDURATION\n\
             r/12\tfailed\ta b [2J\t2023-11-14T22:01:20.000Z\t\n\
             r/9\trunning\tc\t\t65.2\n"
        );
    }

    #[test]
    fn a_terminal_gets_columns_symbols_and_relative_times() {
        let text = look(true).table(&rows(), &columns(), false);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines, ["r/12  ✗ failed   a b [2J  12m ago", "r/9   ◐ running  c                 1:05"]);
    }

    #[test]
    fn fields_are_picked() {
        let row = json!({"a": 1, "b": 2});
        assert_eq!(pick(&row, ""), row);
        assert_eq!(pick(&row, "b,c"), json!({"b": 2, "c": null}));
    }
}
