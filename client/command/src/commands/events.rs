//! `guild events` prints the master's events, which are numbered.

use crate::connected::Connected;
use crate::output::Shown;
use crate::printer::Printer;
use clap::Args;
use client::views::timestamp;
use client::{Error, Events as Subscription, Guild, Told};
use schema::values::{Cursor, Event, Fact, Filter};
use serde_json::Value;
use std::time::Duration;

/// The number of newest events that are printed if neither --after nor --follow is given.
const BACK: u64 = 50;
/// How long the master must be silent before the command asks whether all past events have come. The master sends them at once, so this
/// is long enough.
const SILENCE: Duration = Duration::from_secs(2);
/// The number of elements of a list that a line shows. A change can have 20 commits and 100 paths.
const LISTED: usize = 5;

#[derive(Args)]
pub(crate) struct Events {
    /// Also print the events that happen from now on
    #[arg(long, short)]
    follow: bool,
    /// Begin after the event of this number; 0 begins with the oldest that is kept
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// Print only events that match kind=..., project=... or build=...; of several values for one name, any may match
    #[arg(long, value_delimiter = ',', value_name = "NAME=VALUE")]
    filter: Vec<String>,
}

impl Events {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let filter = read_filter(&self.filter)?;
        let guild = connected.guild().await?;
        let latest = guild.latest_event().await?;
        let after = match (self.after, self.follow) {
            (Some(after), _) => after,
            (None, true) => latest.after,
            (None, false) => latest.after.saturating_sub(BACK),
        };
        let mut cursor = Cursor { after, ..latest };
        let mut events = Subscription::new(guild, filter, cursor);
        while self.follow || cursor.after < latest.after {
            let told = match self.follow {
                true => events.next().await.map(Some),
                false => next_of_past(guild, &mut events).await,
            };
            let Some(told) = told.inspect_err(|error| say_cut_off(&connected.printer, error, cursor, latest))? else {
                break;
            };
            let before = std::mem::replace(&mut cursor, told.cursor());
            match told {
                Told::Events { events, .. } => {
                    let wanted = events.iter().filter(|event| self.follow || event.sequence <= latest.after);
                    wanted.into_iter().try_for_each(|event| say(&connected.printer, event))?;
                }
                Told::Gap { first, last, .. } => {
                    connected.printer.note(match before.incarnation == cursor.incarnation {
                        true => format!("events {first} to {last} are no longer kept"),
                        false => format!("the master was restored from a backup: its events go on after event {last}"),
                    })
                }
            }
        }
        Ok(0)
    }
}

/// Returns the next event, or `None` if no more events up to now are for us. The master does not send events that the filter or the
/// grant leaves out.
async fn next_of_past(guild: &Guild, events: &mut Subscription) -> Result<Option<Told>, Error> {
    if let Some(told) = events.next_within(SILENCE).await? {
        return Ok(Some(told));
    }
    // The answer to this call comes after all that the master had sent before, so events on their way have now arrived.
    guild.latest_event().await?;
    events.next_within(Duration::ZERO).await
}

/// Says that a message cannot be read, so the events after it are not shown.
fn say_cut_off(printer: &Printer, error: &Error, cursor: Cursor, latest: Cursor) {
    if matches!(error, Error::TooLarge { .. }) {
        let most = latest.after.saturating_sub(cursor.after);
        printer.note(format!("cut off after event {}: up to {most} recorded events are not shown", cursor.after));
    }
}

fn say(printer: &Printer, event: &Event) -> Result<(), Error> {
    let row = row(event);
    if printer.wants_json() {
        return printer.say_json_of_stream(&row);
    }
    if !printer.chosen_columns().is_empty() {
        // A stream has no headers, because a caller that chooses columns knows them.
        return printer.say_whole(&printer.look.table(&[row], printer.chosen_columns(), false));
    }
    let place = match (event.project.as_str(), event.build) {
        (project, 0) => project.to_owned(),
        (project, build) => format!("{project}/{build}"),
    };
    let parts = [event.sequence.to_string(), timestamp(event.time), kind(&event.fact), place, details(&row)];
    printer.say(printer.look.parts(parts.into_iter().map(Shown::from)))
}

/// Returns an event as a program gets it, with its own fields beside the fields that every event has. `unknown` is true if this version
/// does not know the kind.
fn row(event: &Event) -> Value {
    let mut row = serde_json::to_value(event).unwrap_or_default();
    row["time"] = timestamp(event.time).into();
    if let (Some(fact), Some(fields)) = (row["fact"].take().as_object(), row.as_object_mut()) {
        fields.remove("fact");
        fields.extend(fact.clone());
    }
    if matches!(event.fact, Fact::Unknown { .. }) {
        row["unknown"] = true.into();
    }
    set_times(&mut row, &event.fact);
    row
}

/// Writes the time of each commit in the form of all other times.
fn set_times(row: &mut Value, fact: &Fact) {
    let Fact::ChangeSubmitted { commits, .. } = fact else { return };
    for (index, commit) in commits.iter().enumerate() {
        row["commits"][index]["time"] = timestamp(commit.time).into();
    }
}

fn kind(fact: &Fact) -> String {
    let Fact::Unknown { kind } = fact else { return fact.kind().to_owned() };
    format!("{kind} (unknown to this version)").trim_start().to_owned()
}

/// Returns the fields that only this kind of event has, without the empty ones.
fn details(row: &Value) -> String {
    const COMMON: [&str; 7] = ["sequence", "time", "origin", "project", "build", "kind", "unknown"];
    let Some(fields) = row.as_object() else { return String::new() };
    let own = fields.iter().filter(|(name, value)| !COMMON.contains(&name.as_str()) && says_something(value));
    let words: Vec<String> = own.map(|(name, value)| format!("{name}={}", word(value))).collect();
    words.join(" ")
}

fn says_something(value: &Value) -> bool {
    *value != Value::Bool(false) && value.as_array().is_none_or(|list| !list.is_empty())
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => beginning(list),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// Returns a list, shortened for one line. It shows commits by their subjects, and only the beginning of a long list.
fn beginning(list: &[Value]) -> String {
    let shown: Vec<Value> = list.iter().take(LISTED).map(|one| one.get("subject").unwrap_or(one).clone()).collect();
    match list.len().saturating_sub(LISTED) {
        0 => Value::Array(shown).to_string(),
        more => format!("{} and {more} more", Value::Array(shown)),
    }
}

fn read_filter(words: &[String]) -> Result<Filter, Error> {
    let mut filter = Filter::default();
    for word in words {
        let unknown = || {
            Error::usage(format!("`{word}` is not a filter")).help("write kind=buildFinished, project=NAME or build=N")
        };
        match word.split_once('=').ok_or_else(unknown)? {
            ("kind", kind) => filter.kinds.push(kind.to_owned()),
            ("project", project) => filter.projects.push(project.to_owned()),
            ("build", build) => filter.build = build.parse().map_err(|_| unknown())?,
            _ => return Err(unknown()),
        }
    }
    match filter.build > 0 && filter.projects.len() != 1 {
        true => Err(Error::usage("build=N needs exactly one project=NAME")),
        false => Ok(filter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::{Commit, Time};

    fn event(fact: Fact) -> Event {
        Event { sequence: 7, time: Time(0), origin: None, project: "r".to_owned(), build: 0, fact }
    }

    #[test]
    fn a_change_shows_its_commits_and_a_long_list_its_beginning() {
        let commit = Commit { subject: "Fix it".to_owned(), time: Time(1_000), ..Commit::default() };
        let fact = Fact::ChangeSubmitted {
            ref_name: "refs/heads/main".to_owned(),
            revision: "ab".to_owned(),
            forced: false,
            commits: vec![commit],
            more_commits: true,
            paths: (0..8).map(|index| index.to_string()).collect(),
            more_paths: false,
        };
        let row = row(&event(fact));
        let line = "commits=[\"Fix it\"] more_commits=true paths=[\"0\",\"1\",\"2\",\"3\",\"4\"] and 3 more \
                    ref=refs/heads/main revision=ab";
        assert_eq!(details(&row), line);
        assert_eq!(row["commits"][0]["time"], "1970-01-01T00:00:01.000Z");
    }

    #[test]
    fn a_kind_that_only_a_newer_version_knows_is_shown_as_unknown() {
        let fact = Fact::Unknown { kind: "approvalAsked".to_owned() };
        assert_eq!(kind(&fact), "approvalAsked (unknown to this version)");
        let row = row(&event(fact));
        assert_eq!(
            (&row["kind"], &row["unknown"], details(&row)),
            (&"approvalAsked".into(), &true.into(), String::new())
        );
        assert_eq!(kind(&Fact::Unknown { kind: String::new() }), "(unknown to this version)");
    }

    #[test]
    fn filters_are_read() {
        let words = ["kind=buildFinished", "kind=jobFinished", "project=r", "build=3"].map(str::to_owned);
        let filter = read_filter(&words).unwrap();
        assert_eq!(filter.kinds, ["buildFinished", "jobFinished"]);
        assert_eq!((filter.projects.as_slice(), filter.build), (["r".to_owned()].as_slice(), 3));
        for bad in ["kind", "colour=red", "build=3", "build=x"] {
            assert!(read_filter(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
