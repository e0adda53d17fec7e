//! Words that several explanations use.

use schema::values::Resources;

/// The most names that one sentence lists, so that it stays short.
const NAMED: usize = 10;

pub(super) fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| name.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}

/// Lists names as a person does. If there are many, it lists only the first ones.
pub(super) fn few(names: &[String]) -> String {
    match names.len() > NAMED {
        true => format!("{} and {} more", listed(&names[..NAMED]), names.len() - NAMED),
        false => listed(names),
    }
}

/// Describes an amount of room, such as "4 cpus and 512 MiB of memory".
pub(super) fn room(room: &Resources) -> String {
    let cpus = f64::from(room.cpus_milli) / 1000.0;
    let memory = room.memory >> 20;
    match (room.cpus_milli, memory) {
        (0, 0) => "a slot".to_owned(),
        (_, 0) => format!("{cpus} cpus"),
        (0, _) => format!("{memory} MiB of memory"),
        (_, _) => format!("{cpus} cpus and {memory} MiB of memory"),
    }
}

/// The project in a selector, such as `pyfoo` in `pyfoo/412/test`.
pub fn project_of(selector: &str) -> &str {
    selector.split('/').next().unwrap_or_default()
}

/// Quotes a text as one word of a shell. Labels come from the pipeline, and people copy the commands that are shown.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-=@%+,:/".contains(c);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
