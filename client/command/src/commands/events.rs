//! `guild events`: the master's numbered facts.

use crate::connected::Connected;
use crate::output::Shown;
use crate::printer::Printer;
use clap::Args;
use client::views::timestamp;
use client::{Error, Events as Subscription, Guild, Told};
use schema::values::{Cursor, Event, Filter};
use serde_json::Value;
use std::time::Duration;

/// How far back, where neither --after nor --follow says it.
const BACK: u64 = 50;
/// What is past comes at once; after this much silence there is no more.
const SILENCE: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(crate) struct Events {
    /// Go on with what happens from now on
    #[arg(long, short)]
    follow: bool,
    /// Begin after this event; 0: with the first that is kept
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// kind=..., project=..., build=...; several of one name: any of them
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
                        false => format!("the master was restored from a backup: it goes on after event {last}"),
                    })
                }
            }
        }
        Ok(0)
    }
}

/// None: nothing more up to now is for us. A master does not tell of events that the filter or the grant drops.
async fn next_of_past(guild: &Guild, events: &mut Subscription) -> Result<Option<Told>, Error> {
    if let Some(told) = events.next_within(SILENCE).await? {
        return Ok(Some(told));
    }
    // an answer comes after what the master had sent before, so that what is still on its way is waited for
    guild.latest_event().await?;
    events.next_within(Duration::ZERO).await
}

/// Where a message cannot be read, what follows it is not shown.
fn say_cut_off(printer: &Printer, error: &Error, cursor: Cursor, latest: Cursor) {
    if matches!(error, Error::TooLarge { .. }) {
        let most = latest.after.saturating_sub(cursor.after);
        printer
            .note(format!("cut off after event {}: up to {most} events that are recorded are not shown", cursor.after));
    }
}

fn say(printer: &Printer, event: &Event) -> Result<(), Error> {
    let mut row = serde_json::to_value(event).unwrap_or_default();
    row["time"] = timestamp(event.time).into();
    if let (Some(fact), Some(fields)) = (row["fact"].take().as_object(), row.as_object_mut()) {
        fields.remove("fact");
        fields.extend(fact.clone());
    }
    if printer.wants_json() {
        return printer.say_json(&row);
    }
    if !printer.chosen_columns().is_empty() {
        // a stream has no headers: who asks for columns knows them
        return printer.say_whole(&printer.look.table(&[row], printer.chosen_columns(), false));
    }
    let place = match (event.project.as_str(), event.build) {
        (project, 0) => project.to_owned(),
        (project, build) => format!("{project}/{build}"),
    };
    let parts = [event.sequence.to_string(), timestamp(event.time), event.fact.kind().to_owned(), place, details(&row)];
    printer.say(printer.look.parts(parts.into_iter().map(Shown::from)))
}

/// What the kind adds to every event's fields.
fn details(row: &Value) -> String {
    const COMMON: [&str; 5] = ["sequence", "time", "project", "build", "kind"];
    let Some(fields) = row.as_object() else { return String::new() };
    let own = fields.iter().filter(|(name, _)| !COMMON.contains(&name.as_str()));
    let words: Vec<String> = own
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                format!("{name}={value}")
            }
        })
        .collect();
    words.join(" ")
}

fn read_filter(words: &[String]) -> Result<Filter, Error> {
    let mut filter = Filter::default();
    for word in words {
        let unknown = || {
            Error::usage(format!("`{word}` filters nothing")).help("write kind=buildFinished, project=NAME or build=N")
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
