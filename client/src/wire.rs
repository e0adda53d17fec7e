//! Reads views from the wire. What master and worker share is read by [`schema::wire`].

use crate::error::Error;
use crate::explanation::{Act, AttemptView, Candidate, Explanation, Remedy, RemedyStep};
use crate::views::{
    BranchView, BuildView, CronView, GrantView, JobView, LaneView, ProjectView, QueueItem, StepView, WorkerView,
};
use schema::limits::{self, TOLD, TOLD_LIST};
use schema::values::Time;
use schema::wire::{
    enum_to_kind, outcome_from_wire, read_exit, read_resources, read_time, state_from_wire, told_description, told_what,
};
use schema::{grant_capnp, perspective_capnp};

pub(crate) fn read_list<'a, T, V>(
    list: capnp::struct_list::Reader<'a, T>,
    read: fn(T::Reader<'a>) -> Result<V, Error>,
) -> Result<Vec<V>, Error>
where
    T: capnp::traits::OwnedStruct + 'a,
{
    limits::structs(Ok(list), &TOLD_LIST)?.map(read).collect()
}

pub(crate) fn read_project(from: perspective_capnp::project_view::Reader<'_>) -> Result<ProjectView, Error> {
    Ok(ProjectView {
        name: limits::text(from.get_name(), &TOLD)?,
        repository: limits::text(from.get_repository(), &TOLD)?,
        aliases: limits::texts(from.get_aliases(), &TOLD_LIST, &TOLD)?,
        latest: from.get_latest(),
        main_branch: limits::text(from.get_main_branch(), &TOLD)?,
        next_look: moment(from.get_next_look()),
    })
}

pub(crate) fn read_cron(from: perspective_capnp::cron_view::Reader<'_>) -> Result<CronView, Error> {
    Ok(CronView {
        name: limits::text(from.get_name(), &TOLD)?,
        ref_name: limits::text(from.get_ref(), &TOLD)?,
        at: limits::text(from.get_at(), &TOLD)?,
        tz: limits::text(from.get_tz(), &TOLD)?,
        if_changed: from.get_if_changed(),
        next: moment(from.get_next()),
        shown: limits::text(from.get_shown(), &TOLD)?,
        fired: moment(from.get_fired()),
        build: from.get_build(),
        skipped: limits::text(from.get_skipped(), &TOLD)?,
    })
}

pub(crate) fn read_branch(from: perspective_capnp::branch_view::Reader<'_>) -> Result<BranchView, Error> {
    Ok(BranchView {
        ref_name: limits::text(from.get_ref(), &TOLD)?,
        outcome: outcome_from_wire(from.get_outcome()?),
        errored: from.get_errored(),
        tip: from.get_tip(),
        tip_revision: limits::text(from.get_tip_revision(), &TOLD)?,
        is_open: from.get_is_open(),
        lanes: read_list(from.get_lanes()?, read_lane)?,
        broken: from.get_broken(),
    })
}

fn read_lane(from: perspective_capnp::lane_view::Reader<'_>) -> Result<LaneView, Error> {
    Ok(LaneView {
        job: limits::text(from.get_job(), &TOLD)?,
        outcome: outcome_from_wire(from.get_outcome()?),
        build: from.get_build(),
        revision: limits::text(from.get_revision(), &TOLD)?,
        since: from.get_since(),
        since_revision: limits::text(from.get_since_revision(), &TOLD)?,
        last_good: from.get_last_good(),
        last_good_revision: limits::text(from.get_last_good_revision(), &TOLD)?,
        errored: from.get_errored(),
    })
}

pub(crate) fn read_build(from: perspective_capnp::build_view::Reader<'_>) -> Result<BuildView, Error> {
    Ok(BuildView {
        project: limits::text(from.get_project(), &TOLD)?,
        number: from.get_number(),
        state: state_from_wire(from.get_state()?),
        outcome: outcome_from_wire(from.get_outcome()?),
        ref_name: limits::text(from.get_ref(), &TOLD)?,
        revision: limits::text(from.get_revision(), &TOLD)?,
        subject: limits::text(from.get_subject(), &TOLD)?,
        author: limits::text(from.get_author(), &TOLD)?,
        cause: limits::text(from.get_cause(), &TOLD)?,
        created: moment(from.get_created()),
        started: moment(from.get_started()),
        finished: moment(from.get_finished()),
        diagnosis: limits::text(from.get_diagnosis(), &TOLD)?,
        jobs: read_list(from.get_jobs()?, read_job)?,
        retry_of: from.get_retry_of(),
        job_count: from.get_job_count(),
        commit_url: limits::text(from.get_commit_url(), &TOLD)?,
    })
}

fn read_job(from: perspective_capnp::job_view::Reader<'_>) -> Result<JobView, Error> {
    Ok(JobView {
        name: limits::text(from.get_name(), &TOLD)?,
        state: state_from_wire(from.get_state()?),
        outcome: outcome_from_wire(from.get_outcome()?),
        reason: limits::text(from.get_reason(), &TOLD)?,
        worker: limits::text(from.get_worker(), &TOLD)?,
        attempt: from.get_attempt(),
        queued: moment(from.get_queued()),
        started: moment(from.get_started()),
        finished: moment(from.get_finished()),
        steps: read_list(from.get_steps()?, read_step)?,
        platform: limits::text(from.get_platform(), &TOLD)?,
        needs: limits::numbers(from.get_needs(), &TOLD_LIST)?,
        carried_from: from.get_carried_from(),
        isolation: limits::text(from.get_isolation(), &TOLD)?,
    })
}

fn read_step(from: perspective_capnp::step_view::Reader<'_>) -> Result<StepView, Error> {
    Ok(StepView {
        name: limits::text(from.get_name(), &TOLD)?,
        state: state_from_wire(from.get_state()?),
        outcome: outcome_from_wire(from.get_outcome()?),
        exit: read_exit(from.get_exit()?)?,
        started: moment(from.get_started()),
        finished: moment(from.get_finished()),
        log_size: from.get_log_size(),
    })
}

pub(crate) fn read_queue_item(from: perspective_capnp::queue_item::Reader<'_>) -> Result<QueueItem, Error> {
    Ok(QueueItem {
        project: limits::text(from.get_project(), &TOLD)?,
        build: from.get_build(),
        job: limits::text(from.get_job(), &TOLD)?,
        since: moment(from.get_since()),
        reason: limits::text(from.get_reason(), &TOLD)?,
        kind: limits::text(from.get_kind(), &TOLD)?,
        remedy: limits::text(from.get_remedy(), &TOLD)?,
    })
}

pub(crate) fn read_explanation(from: perspective_capnp::explanation::Reader<'_>) -> Result<Explanation, Error> {
    Ok(Explanation {
        kind: limits::text(from.get_kind(), &TOLD)?,
        text: limits::text(from.get_text(), &TOLD)?,
        since: moment(from.get_since()),
        ahead: from.get_ahead(),
        workers: read_list(from.get_workers()?, read_candidate)?,
        worker_count: from.get_worker_count(),
        remedies: read_list(from.get_remedies()?, read_remedy)?,
        hints: limits::texts(from.get_hints(), &TOLD_LIST, &TOLD)?,
        attempts: read_list(from.get_attempts()?, read_attempt)?,
    })
}

fn read_candidate(from: perspective_capnp::candidate::Reader<'_>) -> Result<Candidate, Error> {
    Ok(Candidate {
        name: limits::text(from.get_name(), &TOLD)?,
        standing: limits::text(from.get_standing(), &TOLD)?,
        text: limits::text(from.get_text(), &TOLD)?,
        jobs: limits::texts(from.get_jobs(), &TOLD_LIST, &TOLD)?,
        since: moment(from.get_since()),
    })
}

fn read_remedy(from: perspective_capnp::remedy::Reader<'_>) -> Result<Remedy, Error> {
    Ok(Remedy { text: limits::text(from.get_text(), &TOLD)?, steps: read_list(from.get_steps()?, read_remedy_step)? })
}

fn read_remedy_step(from: perspective_capnp::remedy_step::Reader<'_>) -> Result<RemedyStep, Error> {
    use perspective_capnp::remedy_step;
    Ok(RemedyStep {
        act: match from.get_act() {
            Ok(remedy_step::Act::Wait) => Act::Wait,
            Ok(remedy_step::Act::Resume) => Act::Resume,
            Ok(remedy_step::Act::Start) => Act::Start,
            Ok(remedy_step::Act::Join) => Act::Join,
            Err(capnp::NotInSchema(_)) => Act::Other,
        },
        object: limits::text(from.get_object(), &TOLD)?,
        command: limits::text(from.get_command(), &TOLD)?,
        pool: limits::text(from.get_pool(), &TOLD)?,
        labels: limits::pairs(from.get_labels(), &TOLD_LIST, &TOLD)?,
        platform: limits::text(from.get_platform(), &TOLD)?,
        room: read_resources(from.get_room()?),
    })
}

fn read_attempt(from: perspective_capnp::attempt_view::Reader<'_>) -> Result<AttemptView, Error> {
    Ok(AttemptView {
        number: from.get_number(),
        worker: limits::text(from.get_worker(), &TOLD)?,
        started: moment(from.get_started()),
        finished: moment(from.get_finished()),
        outcome: outcome_from_wire(from.get_outcome()?),
        reason: limits::text(from.get_reason(), &TOLD)?,
        isolation: limits::text(from.get_isolation(), &TOLD)?,
        placed: limits::text(from.get_placed(), &TOLD)?,
        because: limits::text(from.get_because(), &TOLD)?,
        able: from.get_able(),
        free: from.get_free(),
        waited_ms: from.get_waited(),
        waited_for: limits::text(from.get_waited_for(), &TOLD)?,
    })
}

pub(crate) fn read_grant(from: grant_capnp::grant::Reader<'_>) -> Result<GrantView, Error> {
    Ok(GrantView {
        id: from.get_id(),
        parent: from.get_parent(),
        kind: enum_to_kind(from.get_kind()),
        name: limits::text(from.get_name(), &TOLD)?,
        what: told_what(from.get_what()?)?,
        created: moment(from.get_created()),
        expires: moment(from.get_expires()),
        revoked: moment(from.get_revoked()),
        holder: limits::text(from.get_holder(), &TOLD)?,
        reason: limits::text(from.get_reason(), &TOLD)?,
    })
}

pub(crate) fn read_worker(from: grant_capnp::worker_view::Reader<'_>) -> Result<WorkerView, Error> {
    Ok(WorkerView {
        name: limits::text(from.get_name(), &TOLD)?,
        connected: from.get_connected(),
        description: told_description(from.get_description()?)?,
        pools: limits::texts(from.get_pools(), &TOLD_LIST, &TOLD)?,
        running: limits::texts(from.get_running(), &TOLD_LIST, &TOLD)?,
        last_heard: moment(from.get_last_heard()),
        draining: from.get_draining(),
        held: limits::text(from.get_held(), &TOLD)?,
        grant: from.get_grant(),
        waits: limits::text(from.get_waits(), &TOLD)?,
        revoked: limits::text(from.get_revoked(), &TOLD)?,
        labels: limits::pairs(from.get_labels(), &TOLD_LIST, &TOLD)?,
    })
}

/// Zero on the wire is "not yet" or "never".
fn moment(time: i64) -> Option<Time> {
    Some(read_time(time)).filter(|time| time.0 > 0)
}
