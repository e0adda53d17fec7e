//! Writes rows to the wire, as people see them.

use super::detail::JobDetail;
use super::room::RUNNING_SHOWN;
use crate::decide::coordinator::record::{BuildRow, GrantRow, StepRow};
use crate::explain::{QueueStatus, WorkerStatus};
use capnp::struct_list;
use schema::grant_capnp::{grant, worker_view};
use schema::limits::{ABOUT, CAUSE, COMMIT_LINE, REVOCATION, SENTENCE, SKIPPED, STEP_NAME};
use schema::perspective_capnp::{build_view, job_view, queue_item, step_view};
use schema::values::{TierName, Time};
use schema::wire;

/// Writes a build. `diagnosis` is an argument, because lists show a shorter one than the row has.
pub(super) fn write_build(mut to: build_view::Builder<'_>, row: &BuildRow, diagnosis: &str) {
    let source = row.stamp.sources.first().cloned().unwrap_or_default();
    to.set_project(&row.project);
    to.set_number(row.number);
    to.set_state(wire::state_to_wire(row.state));
    to.set_outcome(wire::outcome_to_wire(row.outcome));
    to.set_ref(&source.ref_name);
    to.set_revision(&source.revision);
    to.set_subject(COMMIT_LINE.cut(&row.subject));
    to.set_author(COMMIT_LINE.cut(&row.author));
    to.set_cause(CAUSE.cut(&row.cause.to_string()));
    to.set_created(wire::time(row.created));
    to.set_started(maybe(row.started));
    to.set_finished(maybe(row.finished));
    to.set_diagnosis(diagnosis);
    to.set_retry_of(row.cause.repeats());
    to.set_job_count(row.job_count);
}

pub(super) fn write_jobs(to: build_view::Builder<'_>, jobs: &[JobDetail]) {
    let mut list = to.init_jobs(wire::length(jobs.len()));
    for (index, job) in (0..).zip(jobs) {
        write_job(list.reborrow().get(index), job);
    }
}

pub(super) fn write_grant(mut to: grant::Builder<'_>, row: &GrantRow) {
    to.set_id(row.id.0);
    to.set_parent(row.parent.map_or(0, |parent| parent.0));
    to.set_kind(wire::kind_to_enum(row.kind));
    to.set_name(&row.name);
    wire::write_what(to.reborrow().init_what(), &row.what);
    to.set_created(wire::time(row.created));
    to.set_expires(maybe(row.expires));
    to.set_revoked(maybe(row.revoked));
    to.set_holder(row.holder.map(|holder| holder.to_string()).unwrap_or_default());
    to.set_reason(REVOCATION.cut(&row.reason));
}

/// Writes as many workers as the list has room for.
pub(super) fn write_workers(mut list: struct_list::Builder<'_, worker_view::Owned>, workers: &[WorkerStatus]) {
    for (index, worker) in (0..list.len()).zip(workers) {
        write_worker(list.reborrow().get(index), worker);
    }
}

fn write_worker(mut to: worker_view::Builder<'_>, worker: &WorkerStatus) {
    to.set_name(&worker.name);
    to.set_connected(worker.connected);
    wire::write_description(to.reborrow().init_description(), &worker.description);
    wire::write_texts(to.reborrow().init_pools(wire::length(worker.pools.len())), &worker.pools);
    let running = &worker.running[..worker.running.len().min(RUNNING_SHOWN)];
    wire::write_texts(to.reborrow().init_running(wire::length(running.len())), running);
    to.set_last_heard(wire::time(worker.last_heard));
    to.set_draining(worker.draining);
    to.set_held(SENTENCE.cut(&worker.held));
    to.set_grant(worker.grant.0);
    to.set_waits(SENTENCE.cut(&worker.waits));
    to.set_revoked(&worker.revoked);
    wire::write_pairs(to.init_labels(wire::length(worker.labels.len())), &worker.labels);
}

pub(super) fn write_queue_item(mut to: queue_item::Builder<'_>, item: &QueueStatus) {
    to.set_project(&item.project);
    to.set_build(item.build);
    to.set_job(&item.job);
    to.set_since(wire::time(item.since));
    to.set_reason(SENTENCE.cut(&item.why.text()));
    to.set_kind(item.why.kind());
    to.set_remedy(SENTENCE.cut(&item.why.remedy()));
}

fn write_job(mut to: job_view::Builder<'_>, job: &JobDetail) {
    let row = &job.row;
    to.set_name(&row.name);
    to.set_state(wire::state_to_wire(row.state));
    to.set_outcome(wire::outcome_to_wire(row.outcome));
    to.set_reason(SKIPPED.cut(if job.waits.is_empty() { &row.reason } else { &job.waits }));
    to.set_worker(&row.worker);
    to.set_attempt(row.attempt);
    to.set_queued(maybe(row.queued));
    to.set_started(maybe(row.started));
    to.set_finished(maybe(row.finished));
    to.set_platform(ABOUT.cut(&row.platform));
    to.set_carried_from(row.carried_from);
    to.set_isolation(row.isolation.as_ref().map_or("", TierName::word));
    let mut needs = to.reborrow().init_needs(wire::length(job.needs.len()));
    for (index, need) in (0..).zip(&job.needs) {
        needs.set(index, *need);
    }
    let mut steps = to.init_steps(wire::length(job.steps.len()));
    for (index, step) in (0..).zip(&job.steps) {
        write_step(steps.reborrow().get(index), step);
    }
}

fn write_step(mut to: step_view::Builder<'_>, row: &StepRow) {
    to.set_name(STEP_NAME.cut(&row.name));
    to.set_state(wire::state_to_wire(row.state));
    to.set_outcome(wire::outcome_to_wire(row.outcome));
    wire::write_exit(to.reborrow().init_exit(), &row.exit);
    to.set_started(maybe(row.started));
    to.set_finished(maybe(row.finished));
    to.set_log_size(row.log_size);
    if let Some(tests) = &row.tests {
        wire::write_tests(to.init_tests(), tests);
    }
}

fn maybe(time: Option<Time>) -> i64 {
    time.map_or(0, wire::time)
}
