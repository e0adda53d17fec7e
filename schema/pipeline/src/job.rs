//! Reads the tables `[job.NAME]`, with the cells of each job.

use super::axis::{Axes, check_name};
use super::matrix::{self, Cell};
use super::settings::Settings;
use super::step::Step;
use super::when::{Room, When};
use super::{entry, keys};
use crate::limits::{JOBS_MAX, STEPS_MAX};
use toml_file::{At, Table, Value};

pub(super) struct Job {
    pub name: At<String>,
    pub settings: Settings,
    pub needs: Vec<At<String>>,
    pub cells: Vec<Cell>,
    pub when: When,
    pub steps: Vec<Step>,
}

pub(super) fn read_all(root: &Table<'_>, defaults: &Settings, axes: &Axes, room: &Room) -> Vec<Job> {
    let Some(value) = root.get("job") else {
        root.page().error(0..0, "there is no job", "", "[job.test]\nrun = \"make test\"".replace('\n', " "));
        return Vec::new();
    };
    let Some(table) = value.table("[job]") else { return Vec::new() };
    let named = table.named();
    if named.is_empty() || named.len() > JOBS_MAX {
        value.refuse(format_args!("has {} jobs, but 1 to {JOBS_MAX} are allowed", named.len()), "", "");
        return Vec::new();
    }
    let mut jobs = Vec::new();
    let mut cells = 0;
    for (name, value) in named {
        let Some(table) = value.table(format!("job `{}`", name.value)) else { continue };
        check_name(table.page(), &name, "a job");
        let job = read(name, &table, defaults, axes, room);
        cells += job.cells.len();
        if cells > JOBS_MAX {
            let message = format!("all cells together are more than {JOBS_MAX} jobs");
            table.page().error(job.name.span, message, "this goes beyond the limit", "");
            return jobs;
        }
        jobs.push(job);
    }
    jobs
}

fn read(name: At<&str>, table: &Table<'_>, defaults: &Settings, axes: &Axes, room: &Room) -> Job {
    let job = Job {
        name: At { value: name.value.to_owned(), span: name.span },
        settings: settings(table, defaults),
        needs: needs(table),
        cells: matrix::cells(table, axes),
        when: When::read(table, room),
        steps: steps(table),
    };
    if job.settings.plan.side_effects && job.settings.retry_infra.is_some_and(|times| times > 0) {
        let message = format!("{} has side effects: it is never run a second time by itself", table.place());
        let span = table.key_span("retry").unwrap_or(table.span());
        table.page().error(span, message, "contradicts `side_effects`", "remove `retry`, or `side_effects`");
    }
    let later = [keys::JOB_LATER, keys::STEP_LATER].concat();
    table.close(&later);
    job
}

/// Reads the settings of a job on top of the plan of the defaults, so that the job's own keys win.
fn settings(table: &Table<'_>, defaults: &Settings) -> Settings {
    let mut settings = Settings::beginning_with(defaults.plan.clone());
    entry::read(table, keys::SETTINGS, &mut settings);
    entry::read(table, keys::JOB, &mut settings);
    settings
}

fn needs(table: &Table<'_>) -> Vec<At<String>> {
    let Some(elements) = table.get("needs").and_then(|value| value.array()) else { return Vec::new() };
    if elements.len() > JOBS_MAX {
        let message = format!("{} needs more than {JOBS_MAX} jobs", table.place());
        table.page().error(table.key_span("needs").unwrap_or_default(), message, "", "");
        return Vec::new();
    }
    let mut needs: Vec<At<String>> = Vec::new();
    for element in elements {
        if element.is_table() {
            element.refuse("as a table is not supported by this version", "reserved for a later version", "");
            continue;
        }
        let Some(name) = element.string() else { continue };
        if needs.iter().any(|need| need.value == name.value) {
            element.refuse(format_args!("repeats `{}`", name.value), "", "");
            continue;
        }
        needs.push(name);
    }
    needs
}

fn steps(table: &Table<'_>) -> Vec<Step> {
    let (run, steps) = (table.get("run"), table.get("step"));
    match (run, steps) {
        (Some(_), None) => Step::of_job(table).into_iter().collect(),
        (None, Some(steps)) => listed(table, &steps),
        (Some(run), Some(_)) => {
            run.refuse("cannot be used together with steps", "", "a job has either `run`, or [[job.NAME.step]] tables");
            Vec::new()
        }
        (None, None) => {
            let help = "give it `run`, or [[job.NAME.step]] tables";
            table.page().error(table.span(), format!("{} has nothing to run", table.place()), "", help);
            Vec::new()
        }
    }
}

fn listed(table: &Table<'_>, value: &Value<'_>) -> Vec<Step> {
    let Some(elements) = value.array() else { return Vec::new() };
    if elements.is_empty() || elements.len() > STEPS_MAX {
        value.refuse(format_args!("has {} steps, but 1 to {STEPS_MAX} are allowed", elements.len()), "", "");
        return Vec::new();
    }
    let place = |index: usize| format!("step {} of {}", index + 1, table.place());
    let tables = elements.iter().enumerate().filter_map(|(index, element)| element.table(place(index)));
    tables.filter_map(|table| Step::read(&table)).collect()
}
