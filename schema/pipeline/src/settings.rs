//! The settings of `[defaults]` and of a job, and the readers of values that steps and axes have too.

use crate::limits::{CPUS_MAX, ENV_MAX, PRIORITY_MAX, RETRY_INFRA_MAX, WANTS_MAX};
use schema::values::{ALWAYS_TIMEOUT_MS, JobPlan, Workspace};
use std::time::Duration;
use toml_file::{At, Value};

/// The time of a job without the key `timeout`, in milliseconds. It is an hour, which is longer than most test suites take.
const TIMEOUT_MS: u64 = 3_600_000;

/// The names and values of environment variables, in the order of the file.
pub(super) type Env = Vec<(At<String>, At<String>)>;

/// The settings of a job that one table holds. The fields beside `plan` also depend on the cell or the step, and are merged when the
/// job is expanded.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The plan with the values that the table sets directly. A key that the table lacks keeps the value that the plan has at first.
    pub plan: JobPlan,
    pub on: Option<At<String>>,
    pub want: Vec<At<String>>,
    pub env: Env,
    pub dir: Option<At<String>>,
    pub shell: Option<Vec<String>>,
    pub idle_ms: Option<u64>,
    pub retry_infra: Option<u16>,
}

impl Settings {
    /// Returns the settings of a job for which no table has a key.
    pub(super) fn usual() -> Settings {
        Settings::beginning_with(JobPlan {
            timeout_ms: TIMEOUT_MS,
            sources: true,
            always_timeout_ms: ALWAYS_TIMEOUT_MS,
            ..JobPlan::default()
        })
    }

    /// Returns the settings with which reading a table on top of this plan begins.
    pub(super) fn beginning_with(plan: JobPlan) -> Settings {
        Settings {
            plan,
            on: None,
            want: Vec::new(),
            env: Env::new(),
            dir: None,
            shell: None,
            idle_ms: None,
            retry_infra: None,
        }
    }
}

pub(super) const WORKSPACES: [(&str, Workspace); 3] =
    [("fresh", Workspace::Fresh), ("clean", Workspace::Clean), ("kept", Workspace::Kept)];

/// Reads a platform. It is not checked against a list, because each worker names its own platform.
pub(super) fn on(value: &Value<'_>) -> Option<At<String>> {
    if value.is_array() {
        value.refuse("must be one platform", "", "for several platforms, use an axis: matrix = { platform = \"*\" }");
        return None;
    }
    value.text()
}

pub(super) fn want(value: &Value<'_>) -> Vec<At<String>> {
    let wants = value.one_or_more().unwrap_or_default();
    if wants.len() > WANTS_MAX {
        value.refuse(format_args!("has {} elements, but only {WANTS_MAX} are allowed", wants.len()), "", "");
        return Vec::new();
    }
    wants
}

/// Reads a number of cores in thousandths. It is at least 1, so that a job which asks for a part of a core always reserves some.
pub(super) fn cpus_milli(value: &Value<'_>) -> Option<u32> {
    let cpus = value.number(CPUS_MAX)?;
    Some(((cpus * 1000.0).round() as u32).max(1))
}

pub(super) fn env(value: &Value<'_>) -> Env {
    let Some(env) = value.table(value.what()) else { return Env::new() };
    let named = env.named();
    if named.len() > ENV_MAX {
        let message = format!("{} has {} variables, but only {ENV_MAX} are allowed", env.place(), named.len());
        env.page().error(env.span(), message, "", "");
        return Env::new();
    }
    let entries = named.into_iter().filter_map(|(name, value)| {
        if !is_variable(name.value) {
            let message = format!("{} names `{}`, which is not an environment variable", env.place(), name.value);
            env.page().error(name.span, message, "", "use letters, digits and `_`, and no digit first");
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

/// Reads the path of a directory within the checkout.
pub(super) fn dir(value: &Value<'_>) -> Option<At<String>> {
    let dir = value.text()?;
    if !is_inside(&dir.value) {
        value.refuse(
            "leaves the checkout",
            "",
            "write it relative to the checkout, without `..` and with `/` between its parts",
        );
        return None;
    }
    Some(dir)
}

/// Whether a path stays within the directory to which it is relative, on every platform.
pub(super) fn is_inside(path: &str) -> bool {
    !path.contains(['\\', ':']) && !path.starts_with('/') && path.split('/').all(|part| part != "..")
}

/// Reads a shell: the command that gets a script as its last argument.
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

/// Reads a duration in milliseconds. It must not be zero, because zero means "not given" in the plan.
pub(super) fn limit_ms(value: &Value<'_>) -> Option<u64> {
    let duration = value.duration()?;
    if duration.is_zero() {
        value.refuse("is zero", "", "");
        return None;
    }
    Some(ms(duration))
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn retry_infra(retry: &Value<'_>) -> Option<u16> {
    if !retry.is_table() {
        return retry.wrong_with("a table", "write it like { infra = 3 }");
    }
    let retry = retry.table(retry.what())?;
    let infra = retry.get("infra").and_then(|value| value.integer(0..=RETRY_INFRA_MAX));
    retry.close(&[]);
    infra.and_then(|infra| u16::try_from(infra).ok())
}

pub(super) fn priority(value: &Value<'_>) -> Option<i32> {
    i32::try_from(value.integer(-PRIORITY_MAX..=PRIORITY_MAX)?).ok()
}

pub(super) fn sources(value: &Value<'_>) -> Option<bool> {
    if value.is_table() {
        let help = "\"none\" means no checkout; without the key, the commit is checked out";
        value.refuse("as a table is not supported by this version", "reserved for a later version", help);
        return None;
    }
    value.choice(&[("none", false)])
}
