//! Reads the steps of a job, and the commands that `run` may hold.

use super::reports::ReportKey;
use super::settings::Env;
use super::{entry, keys};
use schema::values::StepPlan;
use std::ops::Range;
use toml_file::{At, Table, Value};

/// A step as a table describes it. The fields beside `plan` also depend on the job and the cell.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    /// Whether the step is described by the job's own table.
    pub of_job: bool,
    /// The plan with the values that the table sets directly.
    pub plan: StepPlan,
    pub name: Option<At<String>>,
    /// The command. `None` means that it is missing or wrong, which was reported.
    pub run: Option<Run>,
    pub env: Env,
    pub dir: Option<At<String>>,
    pub shell: Option<Vec<String>>,
    pub idle_ms: Option<u64>,
    pub reports: Vec<ReportKey>,
}

impl Step {
    /// Reads one entry `[[job.NAME.step]]` of a job.
    pub(super) fn read(table: &Table<'_>) -> Option<Step> {
        let mut step = Step::default();
        entry::read(table, keys::STEP, &mut step);
        table.close(keys::STEP_LATER);
        if table.key_span("run").is_none() {
            table.page().error(table.span(), format!("{} has no `run`", table.place()), "", "");
        }
        step.run.is_some().then_some(step)
    }

    /// Reads the only step of a job that has `run` itself. Keys that both a job and a step can have belong to the job.
    pub(super) fn of_job(table: &Table<'_>) -> Option<Step> {
        let mut step = Step { of_job: true, ..Step::default() };
        entry::read(table, keys::ONLY_STEP, &mut step);
        step.run.is_some().then_some(step)
    }
}

/// The commands of `run`: one for each system that it names, and a default.
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
    pub(super) fn read(value: &Value<'_>) -> Option<Run> {
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

    /// Returns the command on a platform such as "linux-x86_64". An empty platform means any.
    pub(super) fn on(&self, platform: &str) -> Option<&Words> {
        let system = platform.split('-').next().unwrap_or_default();
        let own = self.systems.iter().find(|(name, _)| *name == system);
        own.map(|(_, words)| words).or(self.default.as_ref())
    }
}

/// Whether the name of a program looks like a whole command line. A path may have blanks, but then no word of it looks like an option.
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
