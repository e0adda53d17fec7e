//! The channels by which a notice goes, as the master file names them: their words in `by`, their keys, checks and help. Each channel
//! sends from a file of its own in `serve/reporters/channel`.

use super::read::{Part, is_web_address, required, values};
use super::secret::secret;
use super::told::{path, text, texts};
use hyper::Uri;
use lettre::Address;
use serde::Serialize;
use std::path::{Path, PathBuf};
use toml_file::reference::{Absent, Form, Key};
use toml_file::{Table, Value};

/// The channel of one `[[notice]]`. Its JSON is a part of the reporter's name in the store, so the form of a variant must not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// A program and its arguments.
    Command(Vec<String>),
    Mail(Vec<Recipient>),
    Webhook(WebhookConfig),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipient {
    /// The people who wrote the commits in question, and the people who committed them.
    Blame,
    Address(String),
}

/// A `WebhookConfig` describes a receiver of signed notices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct WebhookConfig {
    /// The address of the receiver. It begins with `https://` or `http://`, and has no user and no password.
    pub url: String,
    /// The file with the secrets. The JSON leaves it out, because a master that runs elsewhere may have another path for the same
    /// receiver.
    #[serde(skip)]
    pub secret_file: PathBuf,
    /// Whether the name in `url` may lead into a private network.
    pub private: bool,
}

impl Means {
    /// Returns the name of this channel for people: "mail", the program, or the host. The path of a web address may be a secret.
    pub fn shown(&self) -> &str {
        match self {
            Means::Command(argv) => argv.first().map_or("command", String::as_str),
            Means::Mail(_) => "mail",
            Means::Webhook(hook) => authority(&hook.url),
        }
    }

    /// Returns what a person can do if this channel fails.
    pub fn remedy(&self) -> String {
        match self {
            Means::Command(_) => {
                let program = self.shown();
                format!("try to run {program} as the master's user; check `run` in [[notice]] of the master file")
            }
            Means::Mail(_) => {
                "check `smtp`, `user` and `password_file` in [mail] of the master file; notices that wait are tried again".to_owned()
            }
            Means::Webhook(_) => {
                "check `url` and `secret_file` in [[notice]] of the master file, and the log of the receiver; notices that wait are tried again"
                    .to_owned()
            }
        }
    }

    /// Returns what a person can do if this channel gave up on a notice.
    pub fn remedy_given_up(&self) -> &'static str {
        match self {
            Means::Command(_) => "correct the program; this notice is not sent again",
            Means::Webhook(_) => {
                "remove this [[notice]] from the master file, or change its `url`, because the receiver wants no more notices"
            }
            Means::Mail(_) => "correct the mailbox, or remove its address from `to`; this mail is not sent again",
        }
    }

    /// Returns the key and the path of the secret that this channel reads. The password for mail belongs to `[mail]`.
    pub fn secret_file(&self) -> Option<(&'static str, &Path)> {
        match self {
            Means::Command(_) | Means::Mail(_) => None,
            Means::Webhook(hook) => Some(("secret_file", &hook.secret_file)),
        }
    }

    /// Passes each key of this channel with its value to `tell`.
    pub(super) fn tell(&self, tell: &mut dyn FnMut(&str, String)) {
        match self {
            Means::Command(run) => tell("run", texts(run)),
            Means::Mail(to) => tell("to", texts(to.iter().map(Recipient::word))),
            Means::Webhook(WebhookConfig { url, secret_file, private }) => {
                tell("url", text(url));
                tell("secret_file", path(secret_file));
                tell("private", private.to_string());
            }
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

/// The words of the key `by` that this version knows, as the reference lists them.
pub(super) const WORDS: [&str; CHANNELS.len()] = [CHANNELS[0].word, CHANNELS[1].word, CHANNELS[2].word];
const LATER: [&str; 1] = ["status"];

/// The keys of `[[notice]]` that belong to channels.
pub(super) const KEYS: &[Key] = &[
    Key::new(
        "by",
        Form::OneOf(&WORDS),
        Absent::Required,
        "\"command\"",
        "how the notice is sent; `\"status\"` is reserved for a later version",
    ),
    Key::new(
        "to",
        Form::LIST,
        Absent::Means("must be there for mail"),
        "[\"blame\", \"team@example.org\"]",
        "mail addresses; `\"blame\"` means the authors of the commits in question",
    ),
    Key::new(
        "run",
        Form::LIST,
        Absent::Means("must be there for a command"),
        "[\"/usr/local/bin/tell\", \"--room\", \"builds\"]",
        "the program and its arguments; it gets the notice on stdin",
    ),
    Key::new(
        "url",
        Form::Text,
        Absent::Means("must be there for a webhook"),
        "\"https://chat.example.org/hooks/guild\"",
        "the address to which the notice is sent by [POST](../notices.md#by-a-webhook); redirects are not followed",
    ),
    Key::new(
        "secret_file",
        Form::Text,
        Absent::Means("must be there for a webhook"),
        "\"webhook.secret\"",
        "a file with 1 to 4 secrets, one per line; each is `whsec_` followed by 24 to 64 bytes in base64",
    ),
    Key::new(
        "private",
        Form::Flag,
        Absent::Is("false"),
        "true",
        "whether the name in `url` may lead into a private network",
    ),
];

/// An `Entry` is what the reader of a channel's keys may look at.
struct Entry<'t> {
    table: &'t Table<'t>,
    /// The value of the key `by`.
    by: &'t Value<'t>,
    /// The master file itself, without what it includes.
    main: &'t Part<'t>,
}

/// A `ChannelForm` describes one channel: its word, its own keys, and their reader.
struct ChannelForm {
    word: &'static str,
    keys: &'static [&'static str],
    read: fn(&Entry<'_>) -> Option<Means>,
}

const CHANNELS: [ChannelForm; 3] = [
    ChannelForm { word: "mail", keys: &["to"], read: recipients },
    ChannelForm { word: "command", keys: &["run"], read: command },
    ChannelForm { word: "webhook", keys: &["url", "secret_file", "private"], read: webhook },
];

/// Reads `by` and the keys of its channel, and refuses the keys of the others.
pub(super) fn means(table: &Table<'_>, main: &Part<'_>) -> Option<Means> {
    let by = required(table, "by")?;
    let name = by.text()?;
    let choices = CHANNELS.each_ref().map(|channel| (channel.word, channel));
    let chosen = super::read::known(&by, &name, &choices, &LATER);
    for channel in &CHANNELS {
        let is_other = chosen.is_some_and(|chosen| chosen.word != channel.word);
        // all keys are known, whatever `by` says, so a key of another channel is not called unknown
        for value in channel.keys.iter().filter_map(|key| table.get(key)).filter(|_| is_other) {
            value.refuse(format_args!("is only for by = \"{}\"", channel.word), "", "");
        }
    }
    (chosen?.read)(&Entry { table, by: &by, main })
}

fn command(entry: &Entry<'_>) -> Option<Means> {
    let value = required(entry.table, "run")?;
    let words = value.one_or_more()?;
    match words.first() {
        None => value.refuse("is empty", "", "give a program and its arguments"),
        Some(program) if program.value.trim().is_empty() => {
            entry.table.page().error(program.span.clone(), format!("{} does not name a program", value.what()), "", "");
        }
        Some(_) => {}
    }
    Some(Means::Command(values(words)))
}

const BLAME: &str = "blame";

fn recipients(entry: &Entry<'_>) -> Option<Means> {
    if entry.main.root.key_span("mail").is_none() {
        entry.by.refuse("is \"mail\", but the file has no [mail]", "", "add [mail] with the server and the sender");
    }
    let value = required(entry.table, "to")?;
    let names = value.one_or_more()?;
    if names.is_empty() {
        value.refuse("is empty", "", "give addresses, or \"blame\" for the authors of the commits");
    }
    for name in names.iter().filter(|name| name.value != BLAME && !is_address(&name.value)) {
        let message = format!("{} has `{}`, which is not a mail address", value.what(), name.value);
        let help = "write it like \"team@example.org\"; \"blame\" means the authors";
        entry.table.page().error(name.span.clone(), message, "", help);
    }
    let recipient = |name: String| if name == BLAME { Recipient::Blame } else { Recipient::Address(name) };
    Some(Means::Mail(values(names).into_iter().map(recipient).collect()))
}

fn is_address(text: &str) -> bool {
    text.is_ascii() && text.parse::<Address>().is_ok()
}

fn webhook(entry: &Entry<'_>) -> Option<Means> {
    let url = required(entry.table, "url").and_then(|value| web_address(&value));
    let file = required(entry.table, "secret_file").and_then(|value| value.text());
    let private = entry.table.get("private").and_then(|value| value.boolean()).unwrap_or(false);
    Some(Means::Webhook(WebhookConfig { url: url?, secret_file: secret(entry.main.base, &file?.value), private }))
}

fn web_address(value: &Value<'_>) -> Option<String> {
    let url = value.text()?.value;
    let mistake = match url.parse::<Uri>() {
        Ok(_) if url.contains('#') => "has a part after `#`, which is not sent",
        Ok(uri) if uri.host().is_none_or(str::is_empty) || !is_web_address(&url) => "is not a web address",
        Ok(_) if authority(&url).contains('@') => {
            "has a user, which is not sent; the receiver checks the signature instead"
        }
        Ok(uri) if uri.port_u16() == Some(0) || uri.port().is_none() && has_port(authority(&url)) => {
            "has no valid port"
        }
        Ok(_) => return Some(url),
        Err(_) => "is not a web address",
    };
    value.refuse(mistake, "", "write it like \"https://chat.example.org/hooks/guild\"");
    None
}

/// Returns the `host:port` of a web address.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'))
}
