//! The keys that `[defaults]` and a job share, and the readers of the values that steps and axes have as well.

use crate::limits::pipeline::{CPUS_MAX, ENV_MAX, PRIORITY_MAX, RETRY_INFRA_MAX, WANTS_MAX};
use crate::toml_file::{At, Table, Value};
use crate::values::Workspace;
use std::time::Duration;

/// Names and values of the environment, in the order of the file.
pub(super) type Env = Vec<(At<String>, At<String>)>;

#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub on: Option<At<String>>,
    pub want: Vec<At<String>>,
    pub cpus_milli: Option<u32>,
    pub memory: Option<u64>,
    pub env: Env,
    pub dir: Option<At<String>>,
    pub shell: Option<Vec<String>>,
    pub timeout: Option<Duration>,
    pub always_timeout: Option<Duration>,
    pub idle: Option<Duration>,
    pub retry_infra: Option<u16>,
    pub priority: Option<i32>,
    pub workspace: Option<Workspace>,
    pub sources: Option<bool>,
}

impl Settings {
    pub(super) fn read(table: &Table<'_>) -> Settings {
        Settings {
            on: table.get("on").and_then(|value| on(&value)),
            want: want(table),
            cpus_milli: table.get("cpus").and_then(|value| cpus_milli(&value)),
            memory: table.get("memory").and_then(|value| value.bytes()),
            env: env(table),
            dir: dir(table),
            shell: table.get("shell").and_then(|value| shell(&value)),
            timeout: limit(table, "timeout"),
            always_timeout: limit(table, "always_timeout"),
            idle: limit(table, "idle"),
            retry_infra: retry_infra(table),
            priority: table.get("priority").and_then(|value| priority(&value)),
            workspace: table.get("workspace").and_then(|value| value.choice(&WORKSPACES)),
            sources: table.get("source").and_then(|value| sources(&value)),
        }
    }
}

const WORKSPACES: [(&str, Workspace); 3] =
    [("fresh", Workspace::Fresh), ("clean", Workspace::Clean), ("kept", Workspace::Kept)];

/// A platform. A worker says its own, so that it is not checked against a list.
pub(super) fn on(value: &Value<'_>) -> Option<At<String>> {
    if value.is_array() {
        value.refuse("is one platform", "", "several are an axis: matrix = { platform = \"*\" }");
        return None;
    }
    value.text()
}

pub(super) fn want(table: &Table<'_>) -> Vec<At<String>> {
    let Some(value) = table.get("want") else { return Vec::new() };
    let wants = value.one_or_more().unwrap_or_default();
    if wants.len() > WANTS_MAX {
        value.refuse(format_args!("has {} elements, {WANTS_MAX} are allowed", wants.len()), "", "");
        return Vec::new();
    }
    wants
}

/// Above zero, so that a job which asks for some reserves some.
fn cpus_milli(value: &Value<'_>) -> Option<u32> {
    let cpus = value.number(CPUS_MAX)?;
    Some(((cpus * 1000.0).round() as u32).max(1))
}

pub(super) fn env(table: &Table<'_>) -> Env {
    let Some(env) = table.get("env").and_then(|value| value.table(format!("`env` of {}", table.place()))) else {
        return Env::new();
    };
    let named = env.named();
    if named.len() > ENV_MAX {
        let message = format!("{} has {} variables, {ENV_MAX} are allowed", env.place(), named.len());
        env.page().error(env.span(), message, "", "");
        return Env::new();
    }
    let entries = named.into_iter().filter_map(|(name, value)| {
        if !is_variable(name.value) {
            let message = format!("{} names `{}`, which is no environment variable", env.place(), name.value);
            env.page().error(name.span, message, "", "letters, digits and `_`, and no digit first");
            return None;
        }
        if name.value.starts_with("GUILD_") {
            let message = format!("{} sets `{}`: names with GUILD_ are set by guild itself", env.place(), name.value);
            env.page().error(name.span, message, "reserved", "");
            return None;
        }
        Some((At { value: name.value.to_owned(), span: name.span }, value.string()?))
    });
    entries.collect()
}

fn is_variable(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

/// A directory of the checkout.
pub(super) fn dir(table: &Table<'_>) -> Option<At<String>> {
    let value = table.get("dir")?;
    let dir = value.text()?;
    if !is_inside(&dir.value) {
        value.refuse("leaves the checkout", "", "it is relative to the checkout, with `/` and without `..`");
        return None;
    }
    Some(dir)
}

/// Whether a path stays in the directory that it is relative to, on every platform.
pub(super) fn is_inside(path: &str) -> bool {
    !path.contains(['\\', ':']) && !path.starts_with('/') && path.split('/').all(|part| part != "..")
}

/// The command that a script is given to as its last argument.
pub(super) fn shell(value: &Value<'_>) -> Option<Vec<String>> {
    let strings = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    if value.is_array() {
        let words: Vec<String> = value.strings()?.into_iter().map(|word| word.value).collect();
        if words.first().is_none_or(String::is_empty) {
            value.refuse("is empty", "", "name the program first");
            return None;
        }
        return Some(words);
    }
    value.choice(&[("sh", SH), ("bash", BASH), ("pwsh", PWSH)]).map(strings)
}

pub(super) const SH: &[&str] = &["sh", "-eu", "-c"];
const BASH: &[&str] = &["bash", "-eu", "-o", "pipefail", "-c"];
pub(super) const PWSH: &[&str] = &["pwsh", "-NoProfile", "-Command"];

/// A duration that is not zero: zero means "not given" in the plan.
pub(super) fn limit(table: &Table<'_>, key: &'static str) -> Option<Duration> {
    let value = table.get(key)?;
    let duration = value.duration()?;
    if duration.is_zero() {
        value.refuse("is zero", "", "");
        return None;
    }
    Some(duration)
}

fn retry_infra(table: &Table<'_>) -> Option<u16> {
    let retry = table.get("retry")?;
    if !retry.is_table() {
        return retry.wrong_with("a table", "write it like { infra = 3 }");
    }
    let retry = retry.table(format!("`retry` of {}", table.place()))?;
    let infra = retry.get("infra").and_then(|value| value.integer(0..=RETRY_INFRA_MAX));
    retry.close(&[]);
    infra.and_then(|infra| u16::try_from(infra).ok())
}

fn priority(value: &Value<'_>) -> Option<i32> {
    i32::try_from(value.integer(-PRIORITY_MAX..=PRIORITY_MAX)?).ok()
}

fn sources(value: &Value<'_>) -> Option<bool> {
    if value.is_table() {
        let help = "\"none\" means no checkout; without the key, the commit is checked out";
        value.refuse("as a table is not supported by this version", "of a later version", help);
        return None;
    }
    value.choice(&[("none", false)])
}
