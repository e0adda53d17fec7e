//! Plans and source stamps in their form on the wire.

use super::{length, write_pairs, write_texts};
use crate::change_capnp::{source, source_stamp};
use crate::limits::{self, ADDRESS, COMMIT, PLAN_LIST, PLAN_TEXT, REF, SOURCES};
use crate::plan_capnp::{job, plan, step};
use crate::values::{
    Command, JobPlan, Plan, ReportPlan, SourceRevision, SourceStamp, StepPlan, TierName, Trust, Workspace,
    known_plan_version,
};
use capnp::struct_list;

/// Writes a source stamp in its form on the wire.
pub fn write_stamp(to: source_stamp::Builder<'_>, stamp: &SourceStamp) {
    let mut sources = to.init_sources(length(stamp.sources.len()));
    for (index, source) in (0..).zip(&stamp.sources) {
        let mut to = sources.reborrow().get(index);
        to.set_repository(&source.repository);
        to.set_ref(&source.ref_name);
        to.set_revision(&source.revision);
        to.set_base(&source.base);
    }
}

/// Reads a source stamp from its form on the wire, within the limits of its fields.
pub fn read_stamp(from: source_stamp::Reader<'_>) -> capnp::Result<SourceStamp> {
    let sources = limits::structs(from.get_sources(), &SOURCES)?.map(|source: source::Reader<'_>| {
        Ok(SourceRevision {
            repository: limits::text(source.get_repository(), &ADDRESS.told())?,
            ref_name: limits::text(source.get_ref(), &REF.told())?,
            revision: limits::text(source.get_revision(), &COMMIT.told())?,
            base: limits::text(source.get_base(), &COMMIT.told())?,
        })
    });
    Ok(SourceStamp { sources: sources.collect::<capnp::Result<_>>()? })
}

/// The estimated size of a job's plan, in bytes, from which it is measured exactly. It is a quarter of the largest allowed size, so a
/// rough estimate is enough below it.
const JOB_MEASURED: usize = 256 << 10;
/// The bytes that the estimate adds for each step and each axis of a cell. A step takes fewer besides its texts.
const STEP_BYTES: usize = 256;

/// Returns the bytes that a job's plan takes on the wire. It estimates the size of a small plan, and measures a large one exactly.
pub fn job_bytes(job: &JobPlan) -> usize {
    let cells: usize = job.cell.iter().map(|(name, value)| name.len() + value.len() + STEP_BYTES).sum();
    let rest = cells + job.base.len() + job.skipped.len() + job.needs.len() * size_of::<u32>();
    let about = job.size() + job.steps.len() * STEP_BYTES + rest;
    if about < JOB_MEASURED {
        return about;
    }
    let mut message = capnp::message::Builder::new_default();
    write_job(message.init_root(), job);
    message.size_in_words() * 8
}

/// Writes a plan in its form on the wire.
pub fn write_plan(mut to: plan::Builder<'_>, plan: &Plan) {
    to.set_version(plan.version);
    to.set_trust(trust_to_wire(plan.trust));
    let mut jobs = to.init_jobs(length(plan.jobs.len()));
    for (index, job) in (0..).zip(&plan.jobs) {
        write_job(jobs.reborrow().get(index), job);
    }
}

/// Reads a plan from its form on the wire, within the limits of its fields.
pub fn read_plan(from: plan::Reader<'_>) -> capnp::Result<Plan> {
    known_plan_version(from.get_version()).map_err(|error| capnp::Error::failed(error.to_string()))?;
    Ok(Plan {
        version: from.get_version(),
        jobs: limits::structs(from.get_jobs(), &PLAN_LIST)?.map(read_job).collect::<capnp::Result<_>>()?,
        trust: trust_from_wire(from.get_trust()?),
    })
}

/// Writes a job of a plan in its form on the wire.
pub fn write_job(mut to: job::Builder<'_>, job: &JobPlan) {
    to.set_name(&job.name);
    to.set_base(&job.base);
    write_pairs(to.reborrow().init_cell(length(job.cell.len())), &job.cell);
    let mut needs = to.reborrow().init_needs(length(job.needs.len()));
    for (index, need) in (0..).zip(&job.needs) {
        needs.set(index, *need);
    }
    to.set_on(&job.on);
    write_texts(to.reborrow().init_want(length(job.want.len())), &job.want);
    to.set_cpus_milli(job.cpus_milli);
    to.set_memory(job.memory);
    to.set_timeout(job.timeout_ms);
    to.set_priority(job.priority);
    to.set_retry_infra(job.retry_infra);
    to.set_workspace(match job.workspace {
        Workspace::Fresh => job::Workspace::Fresh,
        Workspace::Clean => job::Workspace::Clean,
        Workspace::Kept => job::Workspace::Kept,
    });
    to.set_sources(job.sources);
    to.set_side_effects(job.side_effects);
    write_pairs(to.reborrow().init_env(length(job.env.len())), &job.env);
    to.set_skipped(&job.skipped);
    to.set_always_timeout(job.always_timeout_ms);
    to.set_may_fail(job.may_fail);
    to.set_isolation(job.isolation.as_ref().map_or("", TierName::word));
    let mut steps = to.init_steps(length(job.steps.len()));
    for (index, step) in (0..).zip(&job.steps) {
        write_step(steps.reborrow().get(index), step);
    }
}

/// Reads a job of a plan from its form on the wire, within the limits of its fields.
pub fn read_job(from: job::Reader<'_>) -> capnp::Result<JobPlan> {
    Ok(JobPlan {
        name: limits::text(from.get_name(), &PLAN_TEXT)?,
        base: limits::text(from.get_base(), &PLAN_TEXT)?,
        cell: limits::pairs(from.get_cell(), &PLAN_LIST, &PLAN_TEXT)?,
        needs: limits::numbers(from.get_needs(), &PLAN_LIST)?,
        on: limits::text(from.get_on(), &PLAN_TEXT)?,
        want: limits::texts(from.get_want(), &PLAN_LIST, &PLAN_TEXT)?,
        cpus_milli: from.get_cpus_milli(),
        memory: from.get_memory(),
        timeout_ms: from.get_timeout(),
        priority: from.get_priority(),
        retry_infra: from.get_retry_infra(),
        workspace: match from.get_workspace()? {
            job::Workspace::Fresh => Workspace::Fresh,
            job::Workspace::Clean => Workspace::Clean,
            job::Workspace::Kept => Workspace::Kept,
        },
        sources: from.get_sources(),
        side_effects: from.get_side_effects(),
        env: limits::pairs(from.get_env(), &PLAN_LIST, &PLAN_TEXT)?,
        steps: limits::structs(from.get_steps(), &PLAN_LIST)?.map(read_step).collect::<capnp::Result<_>>()?,
        skipped: limits::text(from.get_skipped(), &PLAN_TEXT)?,
        always_timeout_ms: from.get_always_timeout(),
        may_fail: from.get_may_fail(),
        isolation: TierName::read(limits::text(from.get_isolation(), &PLAN_TEXT)?),
        skipped_in_retry: None,
    })
}

fn write_step(mut to: step::Builder<'_>, step: &StepPlan) {
    to.set_name(&step.name);
    let mut command = to.reborrow().init_command();
    match &step.command {
        Command::Shell { shell, script } => {
            let mut group = command.init_shell();
            write_texts(group.reborrow().init_shell(length(shell.len())), shell);
            group.set_script(script);
        }
        Command::Exec(argv) => write_texts(command.reborrow().init_exec(length(argv.len())), argv),
    }
    write_pairs(to.reborrow().init_env(length(step.env.len())), &step.env);
    to.set_dir(&step.dir);
    to.set_timeout(step.timeout_ms);
    to.set_idle(step.idle_ms);
    to.set_always(step.always);
    to.set_continue_on_failure(step.continue_on_failure);
    write_reports(to.init_reports(length(step.reports.len())), &step.reports);
}

fn write_reports(mut to: struct_list::Builder<'_, step::report::Owned>, reports: &[ReportPlan]) {
    for (index, report) in (0..).zip(reports) {
        let mut to = to.reborrow().get(index);
        to.set_format(&report.format);
        to.set_path(&report.path);
    }
}

fn read_step(from: step::Reader<'_>) -> capnp::Result<StepPlan> {
    let command = match from.get_command().which()? {
        step::command::Shell(group) => Command::Shell {
            shell: limits::texts(group.get_shell(), &PLAN_LIST, &PLAN_TEXT)?,
            script: limits::text(group.get_script(), &PLAN_TEXT)?,
        },
        step::command::Exec(argv) => Command::Exec(limits::texts(argv, &PLAN_LIST, &PLAN_TEXT)?),
    };
    Ok(StepPlan {
        name: limits::text(from.get_name(), &PLAN_TEXT)?,
        command,
        env: limits::pairs(from.get_env(), &PLAN_LIST, &PLAN_TEXT)?,
        dir: limits::text(from.get_dir(), &PLAN_TEXT)?,
        timeout_ms: from.get_timeout(),
        idle_ms: from.get_idle(),
        always: from.get_always(),
        continue_on_failure: from.get_continue_on_failure(),
        reports: limits::structs(from.get_reports(), &PLAN_LIST)?.map(read_report).collect::<capnp::Result<_>>()?,
    })
}

fn read_report(from: step::report::Reader<'_>) -> capnp::Result<ReportPlan> {
    Ok(ReportPlan {
        format: limits::text(from.get_format(), &PLAN_TEXT)?,
        path: limits::text(from.get_path(), &PLAN_TEXT)?,
    })
}

pub(super) fn trust_to_wire(trust: Trust) -> plan::Trust {
    match trust {
        Trust::Trusted => plan::Trust::Trusted,
        Trust::Untrusted => plan::Trust::Untrusted,
    }
}

pub(super) fn trust_from_wire(trust: plan::Trust) -> Trust {
    match trust {
        plan::Trust::Trusted => Trust::Trusted,
        plan::Trust::Untrusted => Trust::Untrusted,
    }
}
