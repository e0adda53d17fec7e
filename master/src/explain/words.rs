//! Words that several explanations use.

use schema::values::Resources;

/// The most names in a sentence.
const NAMED: usize = 10;

pub(super) fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| name.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}

/// The first ones of many names, as a person lists them.
pub(super) fn few(names: &[String]) -> String {
    match names.len() > NAMED {
        true => format!("{} and {} more", listed(&names[..NAMED]), names.len() - NAMED),
        false => listed(names),
    }
}

/// "4 cpus and 512 MiB of memory"
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

/// The project in a selector: `pyfoo` of `pyfoo/412/test`.
pub fn project_of(selector: &str) -> &str {
    selector.split('/').next().unwrap_or_default()
}

/// A text as one word of a shell: labels come from the pipeline, and a command is there to be copied.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-=@%+,:/".contains(c);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
