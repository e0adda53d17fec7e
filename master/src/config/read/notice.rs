//! Reads `[mail]` and `[[notice]]` of a master file.

use super::{Part, duration, names, port, required, values};
use crate::config::secret::secret;
use crate::config::{MailConfig, NoticeConfig, ProjectConfig, channel};
use crate::decide::coordinator::record::Transition;
use lettre::message::Mailbox;
use std::collections::BTreeMap;
use std::path::Path;
use toml_file::{At, Table, Value};

const TURNS: [(&str, Transition); 2] = [("newly-failing", Transition::NewlyFailing), ("fixed", Transition::Fixed)];
/// The events that a later version will support.
const TURNS_LATER: [&str; 4] = ["every", "worker-missing", "regression", "flaky"];

/// Returns the word for a transition in a file.
pub(in crate::config) const fn turn_word(turn: Transition) -> &'static str {
    match turn {
        Transition::NewlyFailing => TURNS[0].0,
        Transition::Fixed => TURNS[1].0,
    }
}

pub(super) fn mail(root: &Table<'_>, base: &Path) -> Option<MailConfig> {
    let table = root.get("mail")?.table("[mail]")?;
    let server = required(&table, "smtp").and_then(|value| server(&value));
    let from = required(&table, "from").and_then(|value| {
        let from = value.text()?;
        let is_one = from.value.is_ascii() && from.value.parse::<Mailbox>().is_ok();
        if !is_one {
            value.refuse(
                "is not a mail address",
                "",
                "write it like \"guild@example.org\" or \"Guild <guild@example.org>\"",
            );
        }
        is_one.then_some(from.value)
    });
    let user = table.get("user").and_then(|value| value.text()).map(|user| user.value);
    let file = table.get("password_file").and_then(|value| value.text()).map(|file| secret(base, &file.value));
    for (key, other, lacks) in [("user", "password_file", file.is_none()), ("password_file", "user", user.is_none())] {
        if let Some(span) = table.key_span(key).filter(|_| lacks && table.key_span(other).is_none()) {
            table.page().error(span, format!("[mail] has `{key}` without `{other}`"), "", "give both keys or neither");
        }
    }
    table.close(&[]);
    let (host, port) = server?;
    Some(MailConfig { host, port, from: from?, login: user.zip(file) })
}

fn server(value: &Value<'_>) -> Option<(String, u16)> {
    let text = value.text()?.value;
    let Some(port) = port(&text).filter(|port| *port > 0) else {
        value.refuse("is not HOST:PORT", "", "write it like \"localhost:25\" or \"mail.example.org:587\"");
        return None;
    };
    let host = text.rsplit_once(':').map_or("", |(host, _)| host);
    Some((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
}

/// Reads the notices, and returns them with the warnings. A file may have tables of both names.
pub(super) fn notices(main: &Part<'_>, projects: &BTreeMap<String, ProjectConfig>) -> (Vec<NoticeConfig>, Vec<String>) {
    let (mut notices, mut warnings) = (Vec::new(), Vec::new());
    for key in ["notice", "notify"] {
        let Some(value) = main.root.get(key) else { continue };
        if key == "notify" {
            warnings.push("`[[notify]]` is the old name: write `[[notice]]`".to_owned());
        }
        let tables = value.array().into_iter().flatten().filter_map(|value| value.table("[[notice]]"));
        notices.extend(tables.filter_map(|table| entry(&table, main, projects)));
    }
    (notices, warnings)
}

fn entry(table: &Table<'_>, main: &Part<'_>, projects: &BTreeMap<String, ProjectConfig>) -> Option<NoticeConfig> {
    let events = required(table, "events").and_then(|value| events(&value));
    let by = channel::means(table, main);
    let named = table.get("projects").and_then(|value| value.one_or_more());
    let branches = names(table, "branches");
    check_projects(table, named.as_deref().unwrap_or_default(), projects);
    let remind = duration(table, "remind");
    check_remind(table, events.as_deref());
    table.close(&[]);
    let all = || vec!["*".to_owned()];
    Some(NoticeConfig {
        events: events?,
        by: by?,
        projects: named.map_or_else(all, values),
        branches: branches.unwrap_or_else(all),
        remind,
    })
}

fn events(value: &Value<'_>) -> Option<Vec<Transition>> {
    let names = value.one_or_more()?;
    if names.is_empty() {
        value.refuse("is empty", "", "write \"newly-failing\", \"fixed\", or both");
    }
    let turns = names.iter().filter_map(|name| known(value, name, &TURNS, &TURNS_LATER));
    let mut turns: Vec<Transition> = turns.collect();
    turns.sort();
    turns.dedup();
    Some(turns)
}

/// Refuses reminders without the news that a branch fails, because people are reminded only of what they were told.
fn check_remind(table: &Table<'_>, events: Option<&[Transition]>) {
    let is_told = events.is_none_or(|events| events.is_empty() || events.contains(&Transition::NewlyFailing));
    if let Some(span) = table.key_span("remind").filter(|_| !is_told) {
        let message = format!("{} has `remind` without the event \"newly-failing\"", table.place());
        table.page().error(span, message, "nobody would be reminded", "add \"newly-failing\" to `events`");
    }
}

/// Refuses a project that does not exist, because it is a typing error and no notice would ever be sent.
fn check_projects(table: &Table<'_>, patterns: &[At<String>], projects: &BTreeMap<String, ProjectConfig>) {
    for name in patterns.iter().filter(|name| !name.value.contains('*') && !projects.contains_key(&name.value)) {
        let message = format!("{} names the project `{}`, which is not defined", table.place(), name.value);
        let known = projects.keys().map(String::as_str);
        table.page().unknown(name.span.clone(), message, "no such project", &name.value, known);
    }
}

/// Returns the choice that the name means, or reports an error. `later` has the names that are reserved.
pub(in crate::config) fn known<T: Copy>(
    value: &Value<'_>,
    name: &At<String>,
    choices: &[(&str, T)],
    later: &[&str],
) -> Option<T> {
    let found = choices.iter().find(|(choice, _)| *choice == name.value);
    if found.is_none() {
        let page = value.page();
        if later.contains(&name.value.as_str()) {
            let message = format!("\"{}\" in {} is not supported by this version", name.value, value.what());
            page.error(name.span.clone(), message, "reserved for a later version", "");
        } else {
            let message = format!("{} has `{}`, which is not known", value.what(), name.value);
            let names: Vec<_> = choices.iter().map(|(choice, _)| format!("\"{choice}\"")).collect();
            page.error(name.span.clone(), message, "", format!("it must be one of {}", names.join(", ")));
        }
    }
    found.map(|(_, choice)| *choice)
}
