//! The form in which values are written: JSON Lines, lines with tabs in a pipe, and tables with colours and relative times on a
//! terminal. A column is a field of the JSON, so one description of a row serves all three. Only [`Look::of_process`] looks at the
//! process.

use crate::output::{Paint, Shown};
use crate::terminal_size::TerminalSize;
use client::views::{BuildView, JobView};
use client::words;
pub(crate) use client::words::status_word;
use schema::shown;
use schema::values::{Health, Outcome, ShortCommit, ShortRef, State, Time, TimeSpan};
use serde_json::Value;
use std::io::IsTerminal as _;
use std::time::Duration;

const TIMES: [&str; 9] =
    ["created", "started", "finished", "queued", "since", "expires", "revoked", "last_heard", "time"];
const SUBJECT_CHARS: usize = 50;
/// The width of the names before values, in characters. All names fit into it.
const LABEL: usize = 10;
/// The mark before each further line of a wrapped text. With it, text from other people does not look like a line of ours.
const GOES_ON: &str = "… ";
/// The number of spaces between two columns of a table.
const COLUMN_GAP: usize = 2;
/// The least width of a wrapped column, in characters, because narrower text cannot be read.
const COLUMN_MIN: usize = 16;

/// The reader for whom values are written: a terminal or a program, with or without colours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) terminal: bool,
    pub(crate) colour: bool,
    pub(crate) now: Time,
    /// The width of the terminal, in characters.
    pub(crate) width: usize,
}

impl Look {
    /// Returns the look for standard output, as NO_COLOR and CLICOLOR_FORCE ask for it.
    pub(crate) fn of_process() -> Look {
        let terminal = std::io::stdout().is_terminal();
        let width = TerminalSize::of_process().width;
        Look { terminal, colour: Look::has_colours(terminal), now: now(), width }
    }

    /// Whether a stream gets colours. `terminal` says whether the stream is a terminal.
    pub(crate) fn has_colours(terminal: bool) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        set("CLICOLOR_FORCE") || (terminal && !dumb && !set("NO_COLOR"))
    }

    pub(crate) fn painted(&self, text: &str, paint: Paint) -> Shown {
        Shown::painted(text, paint, self.colour)
    }

    /// Returns a line with a name and its value. Padding separates them for a person, and a tab for a program.
    pub(crate) fn field(&self, name: &str, value: &str) -> Shown {
        if !self.terminal {
            return Shown::line(name).and_literal("\t").and(value);
        }
        let label = self.painted(&format!("{name:<LABEL$}"), Paint::Quiet);
        // An indented value is a command to copy, so it is not wrapped.
        let room = self.width.saturating_sub(LABEL + GOES_ON.chars().count());
        let room = if value.starts_with("  ") { usize::MAX } else { room };
        let lines = wrapped(value, room);
        let lines = lines.iter().enumerate().map(|(index, line)| match index {
            0 => Shown::line(line),
            _ => Shown::spaces(LABEL).and(GOES_ON).and(line),
        });
        label.and(Shown::join(lines, "\n"))
    }

    /// Returns a line of several parts. Two spaces separate them for a person, and a tab for a program.
    pub(crate) fn parts(&self, parts: impl IntoIterator<Item = Shown>) -> Shown {
        Shown::join(parts, if self.terminal { "  " } else { "\t" })
    }

    /// Returns rows of one kind as a table of whole lines. Its columns are aligned on a terminal, and separated by tabs otherwise.
    pub(crate) fn table(&self, rows: &[Value], columns: &[String], headers: bool) -> Shown {
        let mut lines: Vec<Vec<Cell>> = Vec::with_capacity(rows.len() + 1);
        if headers {
            lines.push(columns.iter().map(|name| Cell::header(name)).collect());
        }
        lines.extend(rows.iter().map(|row| columns.iter().map(|name| self.cell(name, &row[name])).collect()));
        match self.terminal {
            true => self.aligned(&fitting(lines, COLUMN_GAP, self.width), COLUMN_GAP),
            false => tab_separated(&lines),
        }
    }

    /// Returns lines of aligned columns with `gap` spaces between them.
    pub(crate) fn aligned(&self, lines: &[Vec<Cell>], gap: usize) -> Shown {
        let mut widths = vec![0; lines.first().map_or(0, Vec::len)];
        for line in lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.width());
            }
        }
        let mut text = Shown::default();
        for line in lines {
            let mut padding = 0;
            for (width, cell) in widths.iter().zip(line) {
                text = text.and(Shown::spaces(padding)).and(self.painted(&cell.text, cell.paint));
                padding = width - cell.width() + gap;
            }
            text = text.and_literal("\n");
        }
        text
    }

    fn cell(&self, name: &str, value: &Value) -> Cell {
        let plain = plain_text(value);
        if !self.terminal {
            return Cell::plain(plain);
        }
        match name {
            "status" | "outcome" | "state" => status_cell(&plain),
            "verdict" => verdict_cell(&plain),
            "revision" => Cell::plain(ShortCommit::of(&plain).as_str()),
            "ref" => Cell::plain(ShortRef::of(&plain).name()),
            "subject" | "reason" => Cell::plain(shortened(&plain, SUBJECT_CHARS)),
            "duration" => Cell::plain(value.as_f64().and_then(clock).unwrap_or_default()),
            name if TIMES.contains(&name) => Cell::painted(self.relative(&plain), Paint::Quiet),
            _ => Cell::plain(plain),
        }
    }

    fn relative(&self, timestamp: &str) -> String {
        match timestamp.parse::<jiff::Timestamp>() {
            Ok(time) => self.ago(Time(u64::try_from(time.as_millisecond()).unwrap_or(0))),
            Err(_) => timestamp.to_owned(),
        }
    }

    /// Returns how far a time is from now, such as "12m ago" or "in 3d".
    pub(crate) fn ago(&self, time: Time) -> String {
        time.seen_from(self.now)
    }
}

/// One field of a table.
pub(crate) struct Cell {
    /// The text on one line.
    text: String,
    paint: Paint,
}

impl Cell {
    pub(crate) fn painted(text: impl AsRef<str>, paint: Paint) -> Cell {
        Cell { text: shown::line(text.as_ref()).into_owned(), paint }
    }

    pub(crate) fn plain(text: impl AsRef<str>) -> Cell {
        Cell::painted(text, Paint::Plain)
    }

    fn header(name: &str) -> Cell {
        Cell::painted(name.to_uppercase().replace('_', " "), Paint::Quiet)
    }

    /// Whether the cell has exactly this text.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    pub(crate) fn width(&self) -> usize {
        shown::columns(&self.text)
    }
}

/// Returns a build in one line for a person: `main 3f9c2ab814 "Add zero-copy parse"`.
pub(crate) fn one_line(build: &BuildView) -> String {
    format!("{} {} \"{}\"", build.short_ref(), ShortCommit::of(&build.revision), build.subject)
}

/// Returns a build as one row. Its `status` is the outcome, or the state if it has no outcome yet.
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

/// Returns a job as one row, with the project and the build to which it belongs.
pub(crate) fn job_row(build: &BuildView, job: &JobView) -> Value {
    let mut row = serde_json::to_value(job).unwrap_or_default();
    row["project"] = build.project.clone().into();
    row["build"] = build.number.into();
    row["selector"] = build.selector_of(job).into();
    row["status"] = status_word(job.state, job.outcome).into();
    row["duration"] = seconds(job.started, job.finished);
    row["tests"] = words::tests_of(job).into();
    row
}

/// Returns a character that differs from the others even without colours, and its colour.
pub(crate) fn symbol(state: State, outcome: Option<Outcome>) -> (&'static str, Paint) {
    (words::symbol(state, outcome), Paint::of(state, outcome))
}

/// Returns only these fields of a row, or all fields if none is named.
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
    let (symbol, paint) = match outcome.is_some() || word.is_empty() {
        true => symbol(state, outcome),
        false => standing_symbol(word).unwrap_or_else(|| symbol(state, outcome)),
    };
    let text = if word.is_empty() { String::new() } else { format!("{symbol} {word}") };
    Cell::painted(text, paint)
}

/// Returns the symbol for the state of a grant, a worker or a test. A colon and a reason may follow the state's word.
fn standing_symbol(text: &str) -> Option<(&'static str, Paint)> {
    let word = text.split_once(':').map_or(text, |(word, _)| word);
    match word {
        "in use" | "idle" => Some(("✓", Paint::Good)),
        "unredeemed" => Some(("○", Paint::Quiet)),
        "held" | "draining" => Some(("▲", Paint::Notable)),
        "revoked" | "expired" => Some(("⊘", Paint::Bad)),
        "lost" => Some(("✗", Paint::Bad)),
        "newly-failing" | "still-failing" => Some(("✗", Paint::Bad)),
        "passing" | "fixed" | "new" => Some(("✓", Paint::Good)),
        "gone" => Some(("-", Paint::Quiet)),
        _ => None,
    }
}

fn verdict_cell(word: &str) -> Cell {
    let verdict = Health::ALL.into_iter().find(|verdict| verdict.word() == word);
    let (symbol, paint) = match verdict {
        Some(Health::Good) => ("✓", Paint::Good),
        Some(Health::Warned) => ("▲", Paint::Notable),
        Some(Health::Bad) => ("✗", Paint::Bad),
        None => ("○", Paint::Plain),
    };
    Cell::painted(format!("{symbol} {word}"), paint)
}

fn plain_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain_text).collect::<Vec<_>>().join(","),
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// Returns the text in lines of at most this width, broken between words or after commas. A word that is too long stays whole.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive([' ', ',']) {
        let last = lines.last().map_or(0, |line| shown::columns(line));
        if last > 0 && last + shown::columns(word.trim_end()) > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
        }
    }
    // Only the ends of the lines are trimmed, because the indentation of a command belongs to it.
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Returns the table, with its widest column wrapped if the table is too wide.
fn fitting(lines: Vec<Vec<Cell>>, gap: usize, width: usize) -> Vec<Vec<Cell>> {
    let columns = lines.first().map_or(0, Vec::len);
    let of_column = |index: usize| lines.iter().filter_map(|line| line.get(index)).map(Cell::width).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(of_column).collect();
    let total = widths.iter().sum::<usize>() + gap * columns.saturating_sub(1);
    let Some((widest, most)) = widths.iter().enumerate().max_by_key(|(_, width)| **width) else { return lines };
    let room = most.saturating_sub(total.saturating_sub(width)).max(COLUMN_MIN);
    if total <= width || room >= *most {
        return lines;
    }
    lines.into_iter().flat_map(|line| wrapped_row(line, widest, room)).collect()
}

/// Returns one row as several rows. All rows but the first have only the wrapped column.
fn wrapped_row(mut line: Vec<Cell>, column: usize, room: usize) -> Vec<Vec<Cell>> {
    let pieces = wrapped(&line[column].text, room.saturating_sub(GOES_ON.chars().count()));
    let (paint, count) = (line[column].paint, line.len());
    let mut pieces = pieces.into_iter().map(|piece| Cell::painted(piece, paint));
    if let Some(first) = pieces.next() {
        line[column] = first;
    }
    let more = pieces.map(|piece| {
        let mut row: Vec<Cell> = (0..count).map(|_| Cell::plain("")).collect();
        row[column] = Cell::painted(format!("{GOES_ON}{}", piece.text), paint);
        row
    });
    std::iter::once(line).chain(more).collect()
}

fn tab_separated(lines: &[Vec<Cell>]) -> Shown {
    let rows = lines.iter().map(|line| {
        let cells = line.iter().map(|cell| Shown::line(&cell.text));
        Shown::join(cells, "\t").and_literal("\n")
    });
    Shown::join(rows, "")
}

fn seconds(started: Option<Time>, finished: Option<Time>) -> Value {
    match (started, finished) {
        (Some(started), Some(finished)) => finished.since(started).as_secs_f64().into(),
        _ => Value::Null,
    }
}

fn shortened(text: &str, most: usize) -> String {
    match shown::columns(text) > most {
        true => format!("{}…", shown::of_columns(text, most - 1)),
        false => text.to_owned(),
    }
}

/// Returns seconds as a clock shows them.
fn clock(seconds: f64) -> Option<String> {
    Duration::try_from_secs_f64(seconds).ok().map(|took| TimeSpan(took).clock())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn look(terminal: bool) -> Look {
        Look { terminal, colour: false, now: Time(1_700_000_000_000), width: 80 }
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
            look(false).table(&rows(), &columns(), true).as_str(),
            "SELECTOR\tSTATUS\tSUBJECT\tCREATED\tDURATION\n\
             r/12\tfailed\ta b [2J\t2023-11-14T22:01:20.000Z\t\n\
             r/9\trunning\tc\t\t65.2\n"
        );
    }

    #[test]
    fn a_terminal_gets_columns_symbols_and_relative_times() {
        let text = look(true).table(&rows(), &columns(), false);
        let lines: Vec<&str> = text.as_str().lines().map(str::trim_end).collect();
        assert_eq!(lines, ["r/12  ✗ failed   a b [2J  12m ago", "r/9   ◐ running  c                 1:05"]);
    }

    /// T3.5: text that does not fit is broken between words, and goes on under its own column.
    #[test]
    fn a_wide_table_is_wrapped_at_words() {
        let rows = [json!({"id": 2, "may": "view,run,retry,cancel,changes,events,operate", "projects": "*"})];
        let look = Look { width: 36, ..look(true) };
        let text = look.table(&rows, &["id", "may", "projects"].map(str::to_owned), true);
        let lines: Vec<&str> = text.as_str().lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "ID  MAY                PROJECTS",
                "2   view,run,retry,    *",
                "    … cancel,changes,",
                "    … events,operate"
            ]
        );
        let text = look.field("why", "all workers that could take it have no room");
        assert_eq!(text.as_str(), "why       all workers that could\n          … take it have no room");
    }

    #[test]
    fn fields_are_picked() {
        let row = json!({"a": 1, "b": 2});
        assert_eq!(pick(&row, ""), row);
        assert_eq!(pick(&row, "b,c"), json!({"b": 2, "c": null}));
    }
}
