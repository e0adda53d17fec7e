//! A step, and the commands that `run` may hold.

use super::keys;
use super::settings::{self, Env};
use crate::toml_file::{At, Table, Value};
use std::ops::Range;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Step {
    /// It stands in the job's own table.
    pub of_job: bool,
    pub name: Option<At<String>>,
    pub run: Run,
    pub env: Env,
    pub dir: Option<At<String>>,
    pub shell: Option<Vec<String>>,
    pub timeout: Option<Duration>,
    pub idle: Option<Duration>,
    pub always: bool,
    pub continue_on_failure: bool,
}

impl Step {
    /// A `[[job.NAME.step]]`.
    pub(super) fn read(table: &Table<'_>) -> Option<Step> {
        let step = Step {
            of_job: false,
            name: table.get("name").and_then(|value| value.text()),
            run: Run::default(),
            env: settings::env(table),
            dir: settings::dir(table),
            shell: table.get("shell").and_then(|value| settings::shell(&value)),
            timeout: settings::limit(table, "timeout"),
            idle: settings::limit(table, "idle"),
            always: flag(table, "always"),
            continue_on_failure: flag(table, "continue"),
        };
        let run = table.get("run");
        table.close(keys::STEP_LATER);
        let Some(run) = run else {
            table.page().error(table.span(), format!("{} has no `run`", table.place()), "", "");
            return None;
        };
        Some(Step { run: Run::read(&run)?, ..step })
    }

    /// The only step of a job that has `run` itself: what both have is the job's.
    pub(super) fn of_job(table: &Table<'_>, run: &Value<'_>) -> Option<Step> {
        let (name, always, continue_on_failure) =
            (table.get("name").and_then(|value| value.text()), flag(table, "always"), flag(table, "continue"));
        let run = Run::read(run)?;
        let (env, dir, shell, timeout, idle) = (Env::new(), None, None, None, None);
        Some(Step { of_job: true, name, run, env, dir, shell, timeout, idle, always, continue_on_failure })
    }
}

fn flag(table: &Table<'_>, key: &'static str) -> bool {
    table.get(key).and_then(|value| value.boolean()).unwrap_or_default()
}

/// `run`, for each system that it names.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    pub span: Range<usize>,
    default: Option<Words>,
    systems: Vec<(&'static str, Words)>,
}

#[derive(Clone, Debug)]
pub(super) enum Words {
    Script(String),
    Exec(Vec<At<String>>),
}

const SYSTEMS: [&str; 3] = ["linux", "windows", "macos"];

impl Run {
    fn read(value: &Value<'_>) -> Option<Run> {
        let span = value.span();
        if !value.is_table() {
            return Some(Run { span, default: Some(words(value)?), systems: Vec::new() });
        }
        let table = value.table(value.what())?;
        let default = table.get("default").and_then(|value| words(&value));
        let systems = SYSTEMS.into_iter().filter_map(|system| Some((system, words(&table.get(system)?)?))).collect();
        table.close(&[]);
        Some(Run { span, default, systems })
    }

    /// The command on a platform like "linux-x86_64"; an empty one is any.
    pub(super) fn on(&self, platform: &str) -> Option<&Words> {
        let system = platform.split('-').next().unwrap_or_default();
        let own = self.systems.iter().find(|(name, _)| *name == system);
        own.map(|(_, words)| words).or(self.default.as_ref())
    }
}

/// A program's name may have blanks in its path, and then no words that look like arguments.
fn is_command_line(program: &str) -> bool {
    let Some((name, rest)) = program.trim().split_once(char::is_whitespace) else { return false };
    !name.contains(['/', '\\']) || rest.split_whitespace().any(|word| word.starts_with('-'))
}

fn words(value: &Value<'_>) -> Option<Words> {
    if value.is_array() {
        let words = value.strings()?;
        if words.first().is_none_or(|program| program.value.is_empty()) {
            value.refuse("is empty", "", "name the program first");
            return None;
        }
        if let Some(program) = words.first().filter(|program| is_command_line(&program.value)) {
            let message = format!("{} would run one program called `{}`", value.what(), program.value);
            let help = "an array is one program and its arguments; a script is a string, and several commands are [[job.NAME.step]] tables";
            value.page().error(program.span.clone(), message, "a whole command", help);
            return None;
        }
        return Some(Words::Exec(words));
    }
    if !value.is_string() {
        return value.wrong("a string for the shell, an array for exec, or a table of systems");
    }
    Some(Words::Script(value.text()?.value))
}
