//! The channels by which a notice goes, as the master file names them: the word of each in `by`, its keys, their check and help. How
//! a channel tells stands in `serve/reporters`, in a file of its own.

use super::read::{Part, required, values};
use super::told::texts;
use lettre::Address;
use schema::toml_file::reference::{Absent, Form, Key};
use schema::toml_file::{Table, Value};
use serde::Serialize;
use std::path::Path;

/// How one `[[notice]]` is told. Its JSON is a part of the reporter's name in the store, so a variant keeps its form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// A program and its arguments.
    Command(Vec<String>),
    Mail(Vec<Recipient>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipient {
    /// Those who made the commits in question, and those who put them there.
    Blame,
    Address(String),
}

impl Means {
    /// What people call this channel: "mail", or the program.
    pub fn shown(&self) -> &str {
        match self {
            Means::Command(argv) => argv.first().map_or("command", String::as_str),
            Means::Mail(_) => "mail",
        }
    }

    /// What a person can do where this channel fails.
    pub fn remedy(&self) -> String {
        match self {
            Means::Command(_) => {
                let program = self.shown();
                format!("run {program} as the master's user; `run` in [[notice]] of the master file")
            }
            Means::Mail(_) => {
                "`smtp`, `user` and `password_file` in [mail] of the master file; what waits is tried again".to_owned()
            }
        }
    }

    /// What a person can do where this channel gave up on a notice.
    pub fn remedy_given_up(&self) -> &'static str {
        match self {
            Means::Command(_) => "mend the program; this notice is not tried any more",
            Means::Mail(_) => "mend the mailbox, or take its address out of `to`; this is not tried any more",
        }
    }

    /// The key and the path of the secret that this channel reads. The password for mail belongs to `[mail]`.
    pub fn secret_file(&self) -> Option<(&'static str, &Path)> {
        match self {
            Means::Command(_) | Means::Mail(_) => None,
        }
    }

    /// Tells the keys of this channel with their values.
    pub(super) fn tell(&self, tell: &mut dyn FnMut(&str, String)) {
        match self {
            Means::Command(run) => tell("run", texts(run)),
            Means::Mail(to) => tell("to", texts(to.iter().map(Recipient::word))),
        }
    }
}

impl Recipient {
    fn word(&self) -> &str {
        match self {
            Recipient::Blame => BLAME,
            Recipient::Address(address) => address,
        }
    }
}

/// The words of `by`, and those that a later version will know.
pub(super) const WORDS: [&str; CHANNELS.len()] = [CHANNELS[0].word, CHANNELS[1].word];
const LATER: [&str; 2] = ["webhook", "status"];

/// The keys of `[[notice]]` that belong to channels.
pub(super) const KEYS: &[Key] = &[
    Key::new(
        "by",
        Form::OneOf(&WORDS),
        Absent::Required,
        "\"command\"",
        "how; `\"webhook\"` and `\"status\"` are of a later version",
    ),
    Key::new(
        "to",
        Form::LIST,
        Absent::Means("must be there for mail"),
        "[\"blame\", \"team@example.org\"]",
        "addresses; `\"blame\"` stands for the authors of the commits in question",
    ),
    Key::new(
        "run",
        Form::LIST,
        Absent::Means("must be there for a command"),
        "[\"/usr/local/bin/tell\", \"--room\", \"builds\"]",
        "the program and its arguments; it gets the notice on stdin",
    ),
];

/// What the reader of a channel's keys may look at.
struct Entry<'t> {
    table: &'t Table<'t>,
    /// The value of `by`.
    by: &'t Value<'t>,
    /// The master file itself.
    main: &'t Part<'t>,
}

/// One channel: its word, the keys that are its own, and their reader.
struct ChannelForm {
    word: &'static str,
    keys: &'static [&'static str],
    read: fn(&Entry<'_>) -> Option<Means>,
}

const CHANNELS: [ChannelForm; 2] = [
    ChannelForm { word: "mail", keys: &["to"], read: recipients },
    ChannelForm { word: "command", keys: &["run"], read: command },
];

/// Reads `by` and the keys of its channel, and refuses the keys of the others.
pub(super) fn means(table: &Table<'_>, main: &Part<'_>) -> Option<Means> {
    let by = required(table, "by")?;
    let name = by.text()?;
    let choices = CHANNELS.each_ref().map(|channel| (channel.word, channel));
    let chosen = super::read::known(&by, &name, &choices, &LATER);
    for channel in &CHANNELS {
        let is_other = chosen.is_some_and(|chosen| chosen.word != channel.word);
        // every key is known, whatever `by` says
        for value in channel.keys.iter().filter_map(|key| table.get(key)).filter(|_| is_other) {
            value.refuse(format_args!("is for by = \"{}\"", channel.word), "", "");
        }
    }
    (chosen?.read)(&Entry { table, by: &by, main })
}

fn command(entry: &Entry<'_>) -> Option<Means> {
    let value = required(entry.table, "run")?;
    let words = value.one_or_more()?;
    match words.first() {
        None => value.refuse("is empty", "", "a program and its arguments"),
        Some(program) if program.value.trim().is_empty() => {
            entry.table.page().error(program.span.clone(), format!("{} names no program", value.what()), "", "");
        }
        Some(_) => {}
    }
    Some(Means::Command(values(words)))
}

const BLAME: &str = "blame";

fn recipients(entry: &Entry<'_>) -> Option<Means> {
    if entry.main.root.key_span("mail").is_none() {
        entry.by.refuse("is \"mail\", and the file has no [mail]", "", "it says the server and the sender");
    }
    let value = required(entry.table, "to")?;
    let names = value.one_or_more()?;
    if names.is_empty() {
        value.refuse("is empty", "", "addresses, or \"blame\" for the authors of the commits");
    }
    for name in names.iter().filter(|name| name.value != BLAME && !is_address(&name.value)) {
        let message = format!("{} has `{}`, which is no mail address", value.what(), name.value);
        let help = "like \"team@example.org\"; \"blame\" is the authors";
        entry.table.page().error(name.span.clone(), message, "", help);
    }
    let recipient = |name: String| if name == BLAME { Recipient::Blame } else { Recipient::Address(name) };
    Some(Means::Mail(values(names).into_iter().map(recipient).collect()))
}

fn is_address(text: &str) -> bool {
    text.is_ascii() && text.parse::<Address>().is_ok()
}
