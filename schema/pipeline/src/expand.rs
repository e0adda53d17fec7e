//! Expands a job and a cell to a [`JobPlan`]. Everything except `when` is decided here, when the file is loaded, so that all its
//! errors are reported at once.

use super::Branching;
use super::job::Job;
use super::matrix::{Cell, variable};
use super::placeholder::{self, fill};
use super::reports;
use super::settings::{Env, PWSH, SH, Settings, is_inside};
use super::step::{Step, Words};
use crate::limits::{ARGUMENT_MAX, NEEDS_MAX, PLAN_MAX};
use schema::limits::{self, JOB_BYTES, STEP_NAME, VIEW_BYTES};
use schema::values::{Command, JobPlan, ReportPlan, StepPlan, Want};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use toml_file::{At, Page, nearest};

/// The longest silence of a step without the key `idle`, in milliseconds. It is 20 minutes, because linkers and downloads may be
/// silent for some minutes.
const IDLE_MS: u64 = 20 * 60_000;
const RETRY_INFRA: u16 = 2;

/// Returns the jobs of all cells, in `order`, each with its `when`. `None` means that there were errors.
pub(super) fn expand(page: &Page<'_>, defaults: &Settings, jobs: Vec<Job>, order: &[usize]) -> Option<Vec<Branching>> {
    let mut expansion =
        Expansion { page, defaults, done: Vec::new(), cells: BTreeMap::new(), bytes: 0, view: 0, needs: 0 };
    let mut jobs: Vec<Option<Job>> = jobs.into_iter().map(Some).collect();
    for &at in order {
        expansion.add(jobs[at].take()?)?;
    }
    page.is_clean().then_some(expansion.done)
}

struct Expansion<'p> {
    page: &'p Page<'p>,
    defaults: &'p Settings,
    done: Vec<Branching>,
    /// The cells of each job by its name, with their indices in `done`.
    cells: BTreeMap<String, Vec<(u32, Cell)>>,
    /// The bytes of all jobs so far in memory.
    bytes: usize,
    /// The bytes of all jobs so far in the form in which a build shows them.
    view: usize,
    needs: usize,
}

impl Expansion<'_> {
    /// Adds the cells of a job. `None` means that a limit is exceeded, so nothing more is expanded.
    fn add(&mut self, job: Job) -> Option<()> {
        let when = Arc::new(job.when.clone());
        let mut placed = Vec::new();
        for cell in &job.cells {
            // an error in one cell is mostly an error in all of them, so it is reported once
            let Some(mut plan) = Draft { page: self.page, defaults: self.defaults, job: &job, cell }.plan() else {
                break;
            };
            plan.needs = self.aligned(&job, cell);
            self.check_job(&job, &plan)?;
            self.bytes = self.bytes.saturating_add(plan.size());
            self.view = self.view.saturating_add(limits::view_bytes(&plan));
            self.needs += plan.needs.len();
            self.check_limits(&job)?;
            placed.push((u32::try_from(self.done.len()).ok()?, cell.clone()));
            self.done.push(Branching { plan, when: when.clone() });
        }
        self.cells.insert(job.name.value, placed);
        Some(())
    }

    /// Returns the indices of the needed jobs' cells that have the same values on the axes that both jobs have.
    fn aligned(&self, job: &Job, cell: &Cell) -> Vec<u32> {
        let cells = job.needs.iter().filter_map(|need| self.cells.get(&need.value)).flatten();
        let mut needs: Vec<u32> = cells.filter(|(_, other)| cell.agrees(other)).map(|(index, _)| *index).collect();
        needs.sort_unstable();
        needs
    }

    /// Refuses a job that is too large, because it must go to its worker in one message.
    fn check_job(&self, job: &Job, plan: &JobPlan) -> Option<()> {
        let size = plan.size();
        if size <= JOB_BYTES {
            return Some(());
        }
        let (size, most) = (limits::grouped(size), JOB_BYTES >> 20);
        let message = format!(
            "job `{}` has {size} bytes of commands and variables; at most {most} MiB go to a worker",
            plan.name
        );
        let help = "put long commands into a script of the repository, and run that";
        self.page.error(job.name.span.clone(), message, "", help);
        None
    }

    fn check_limits(&self, job: &Job) -> Option<()> {
        let (too_much, help) = match () {
            () if self.bytes > PLAN_MAX => (format!("more than {} MiB of text", PLAN_MAX >> 20), ""),
            () if self.needs > NEEDS_MAX => (format!("more than {NEEDS_MAX} needs between jobs"), ""),
            () if self.view > VIEW_BYTES => {
                let text = format!("more than {} MiB of jobs and steps as they are shown", VIEW_BYTES >> 20);
                (text, "use fewer cells or steps; commands that always run together can be one step")
            }
            () => return Some(()),
        };
        self.page.error(
            job.name.span.clone(),
            format!("all cells together are {too_much}"),
            "this goes beyond the limit",
            help,
        );
        None
    }
}

/// One job in one cell whose plan is being made.
struct Draft<'a> {
    page: &'a Page<'a>,
    defaults: &'a Settings,
    job: &'a Job,
    cell: &'a Cell,
}

impl Draft<'_> {
    fn plan(&self) -> Option<JobPlan> {
        let on = self.on()?;
        let mut plan = JobPlan {
            name: self.name(),
            base: self.job.name.value.clone(),
            cell: self.cell.0.iter().map(|it| (it.axis.to_string(), it.value.name.clone())).collect(),
            want: self.want()?,
            retry_infra: self.retry_infra(),
            env: self.env()?,
            on,
            ..self.job.settings.plan.clone()
        };
        for (index, step) in self.job.steps.iter().enumerate() {
            plan.steps.push(self.step(&plan.on, index, step)?);
        }
        Some(plan)
    }

    /// Returns the name of the job with its cell, such as `test@linux-x86_64,3.14`.
    fn name(&self) -> String {
        let base = &self.job.name.value;
        if self.cell.0.is_empty() { base.clone() } else { format!("{base}@{}", self.cell.label()) }
    }

    fn on(&self) -> Option<String> {
        let of_axis = self.cell.0.iter().find_map(|it| it.value.on.as_ref());
        if let (Some(own), Some(_)) = (&self.job.settings.on, of_axis) {
            let message = format!("job `{}` has `on`, but an axis of its matrix has it too", self.job.name.value);
            self.page.error(own.span.clone(), message, "", "`only` picks values of the axis");
            return None;
        }
        let on = of_axis.or(self.job.settings.on.as_ref()).or(self.defaults.on.as_ref());
        on.map_or(Some(String::new()), |on| self.fill(on))
    }

    fn want(&self) -> Option<Vec<String>> {
        let of_axes = self.cell.0.iter().flat_map(|it| &it.value.want);
        let all = self.defaults.want.iter().chain(of_axes).chain(&self.job.settings.want);
        let mut wants: Vec<String> = Vec::new();
        for want in all {
            let text = self.fill(want)?;
            if Want::parse(&text).is_none() {
                let help = "write it like \"gpu\", \"python=3.14\", \"memory>=4GiB\" or \"cpus>=2\"";
                self.page.error(want.span.clone(), format!("`{text}` is neither a label nor a size"), "", help);
                return None;
            }
            if !wants.contains(&text) {
                wants.push(text);
            }
        }
        Some(wants)
    }

    fn retry_infra(&self) -> u16 {
        if self.job.settings.plan.side_effects {
            return 0;
        }
        self.job.settings.retry_infra.or(self.defaults.retry_infra).unwrap_or(RETRY_INFRA)
    }

    /// Merges the variables of the defaults, then of the axes in the order of the matrix, then of the job. Later ones win.
    fn env(&self) -> Option<Vec<(String, String)>> {
        let of_cell = self.cell.0.iter().map(|it| (variable(&it.axis), it.value.name.clone()));
        let mut env: Vec<(String, String)> = of_cell.collect();
        let of_axes = self.cell.0.iter().map(|it| &it.value.env);
        for layer in [&self.defaults.env].into_iter().chain(of_axes).chain([&self.job.settings.env]) {
            self.merge(&mut env, layer)?;
        }
        Some(env)
    }

    fn merge(&self, env: &mut Vec<(String, String)>, layer: &Env) -> Option<()> {
        for (name, value) in layer {
            let span = value.span.clone();
            let value = self.fill(value)?;
            if !self.fits(name.value.len() + 1 + value.len(), span, "a variable") {
                return None;
            }
            match env.iter_mut().find(|(known, _)| *known == name.value) {
                Some((_, old)) => *old = value,
                None => env.push((name.value.clone(), value)),
            }
        }
        Some(())
    }

    fn step(&self, on: &str, index: usize, step: &Step) -> Option<StepPlan> {
        let (own, defaults) = (&self.job.settings, self.defaults);
        let mut env = Vec::new();
        self.merge(&mut env, &step.env)?;
        Some(StepPlan {
            name: self.step_name(index, step)?,
            command: self.command(on, step)?,
            env,
            dir: self.dir(step)?,
            reports: self.reports(step)?,
            idle_ms: step.idle_ms.or(own.idle_ms).or(defaults.idle_ms).unwrap_or(IDLE_MS),
            ..step.plan.clone()
        })
    }

    fn step_name(&self, index: usize, step: &Step) -> Option<String> {
        match &step.name {
            Some(name) => self.fill(name).and_then(|filled| self.short_name(name, filled)),
            None if step.of_job => Some(self.job.name.value.clone()),
            None => Some(format!("step {}", index + 1)),
        }
    }

    /// Refuses the name of a step that is too long once its placeholders are filled in.
    fn short_name(&self, name: &At<String>, filled: String) -> Option<String> {
        if filled.len() <= STEP_NAME.most {
            return Some(filled);
        }
        let (has, most) = (limits::grouped(filled.len()), STEP_NAME.most);
        let message =
            format!("a step name of job `{}` has {has} bytes; at most {most} are allowed", self.job.name.value);
        let help = "shorten it; the name of the job already has the values of its cell";
        self.page.error(name.span.clone(), message, "with its placeholders filled in", help);
        None
    }

    fn dir(&self, step: &Step) -> Option<String> {
        let dir = step.dir.as_ref().or(self.job.settings.dir.as_ref()).or(self.defaults.dir.as_ref());
        let Some(dir) = dir else { return Some(String::new()) };
        let text = self.fill(dir)?;
        if !is_inside(&text) {
            self.page.error(dir.span.clone(), format!("`dir` is `{text}`, which leaves the checkout"), "", "");
            return None;
        }
        Some(text)
    }

    fn reports(&self, step: &Step) -> Option<Vec<ReportPlan>> {
        let mut plans = Vec::new();
        for key in &step.reports {
            let format = key.format.word().to_owned();
            let Some(pattern) = &key.pattern else {
                plans.push(ReportPlan { format, path: String::new() });
                continue;
            };
            let path = self.fill(pattern)?;
            if let Some((why, help)) = reports::mistake(&path) {
                let message =
                    format!("`{format}` of job `{}` has `{path}`, which matches nothing: {why}", self.job.name.value);
                self.page.error(pattern.span.clone(), message, "", help);
                return None;
            }
            plans.push(ReportPlan { format, path });
        }
        Some(plans)
    }

    fn command(&self, on: &str, step: &Step) -> Option<Command> {
        let run = step.run.as_ref()?;
        match run.on(on) {
            Some(Words::Script(script)) => {
                self.check_script(on, &run.span, script)?;
                Some(Command::Shell { shell: self.shell(on, step), script: script.clone() })
            }
            Some(Words::Exec(words)) => {
                let filled = |word: &At<String>| {
                    self.fill(word).filter(|text| self.fits(text.len(), word.span.clone(), "an argument"))
                };
                words.iter().map(filled).collect::<Option<_>>().map(Command::Exec)
            }
            None => {
                let platform = if on.is_empty() { "any worker" } else { on };
                let message =
                    format!("job `{}` runs on {platform}, for which `run` has no command", self.job.name.value);
                self.page.error(run.span.clone(), message, "", "give it a `default`");
                None
            }
        }
    }

    /// Refuses a script with a placeholder, because a script goes to the shell unchanged and its author expected a value there.
    fn check_script(&self, on: &str, span: &Range<usize>, script: &str) -> Option<()> {
        if !self.fits(script.len(), span.clone(), "a script") {
            return None;
        }
        let (found, help) = if let Some(axis) = placeholder::axis_in(script, self.cell) {
            let sign = if on.starts_with("windows") { "$env:" } else { "$" };
            (format!("{{{axis}}}"), format!("the shell has it as {sign}{}", variable(axis)))
        } else if script.contains("${{") {
            (
                "${{".to_owned(),
                "the shell has the value of an axis as $GUILD_AXIS_NAME, and the variables of `env`".to_owned(),
            )
        } else {
            return Some(());
        };
        let message = format!("a script of job `{}` has `{found}`, which is not replaced", self.job.name.value);
        self.page.error(span.clone(), message, "values are not put into scripts, because they would become code", help);
        None
    }

    /// Whether the system lets a program have arguments of this size.
    fn fits(&self, bytes: usize, span: Range<usize>, what: &str) -> bool {
        if bytes > ARGUMENT_MAX {
            let (has, most) = (limits::grouped(bytes), limits::grouped(ARGUMENT_MAX));
            let message = format!(
                "{what} of job `{}` has {has} bytes; at most {most} can be given to a program",
                self.job.name.value
            );
            self.page.error(span, message, "", "put it into a file of the repository");
        }
        bytes <= ARGUMENT_MAX
    }

    fn shell(&self, on: &str, step: &Step) -> Vec<String> {
        let of_axis = || self.cell.0.iter().find_map(|it| it.value.shell.as_ref());
        let given = step.shell.as_ref().or(self.job.settings.shell.as_ref()).or_else(of_axis);
        let usual = if on.starts_with("windows") { PWSH } else { SH };
        let usual = || usual.iter().map(|&word| word.to_owned()).collect();
        given.or(self.defaults.shell.as_ref()).cloned().unwrap_or_else(usual)
    }

    /// Returns the text with its placeholders replaced by the cell's values.
    fn fill(&self, text: &At<String>) -> Option<String> {
        let name = match fill(&text.value, self.cell) {
            Ok(filled) => return Some(filled),
            Err(name) => name,
        };
        let axes: Vec<&str> = self.cell.0.iter().map(|it| &*it.axis).collect();
        let help = match nearest(&name, axes) {
            Some(near) => format!("did you mean `{{{near}}}`?"),
            None => format!("braces themselves are written `{{{{{name}}}}}`"),
        };
        let message = format!("`{{{name}}}` is not an axis of job `{}`", self.job.name.value);
        self.page.error(text.span.clone(), message, "no such axis", help);
        None
    }
}
