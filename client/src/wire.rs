//! Reads views from the wire. What master and worker share is read by [`schema::wire`].

use crate::error::Error;
use crate::explanation::{Act, AttemptView, Candidate, Explanation, Remedy, Step};
use crate::views::{BranchView, BuildView, GrantView, JobView, LaneView, ProjectView, QueueItem, StepView, WorkerView};
use schema::values::Time;
use schema::wire::{
    enum_to_kind, outcome_from_wire, read_description, read_exit, read_pairs, read_resources, read_texts, read_time,
    read_what, state_from_wire,
};
use schema::{grant_capnp, perspective_capnp};

pub(crate) fn read_list<'a, T, V>(
    list: capnp::struct_list::Reader<'a, T>,
    read: fn(T::Reader<'a>) -> Result<V, Error>,
) -> Result<Vec<V>, Error>
where
    T: capnp::traits::OwnedStruct + 'a,
{
    list.iter().map(read).collect()
}

pub(crate) fn read_project(from: perspective_capnp::project_view::Reader<'_>) -> Result<ProjectView, Error> {
    Ok(ProjectView {
        name: from.get_name()?.to_string()?,
        repository: from.get_repository()?.to_string()?,
        aliases: read_texts(from.get_aliases()?)?,
        latest: from.get_latest(),
        main_branch: from.get_main_branch()?.to_string()?,
    })
}

pub(crate) fn read_branch(from: perspective_capnp::branch_view::Reader<'_>) -> Result<BranchView, Error> {
    Ok(BranchView {
        ref_name: from.get_ref()?.to_string()?,
        outcome: outcome_from_wire(from.get_outcome()?),
        errored: from.get_errored(),
        tip: from.get_tip(),
        tip_revision: from.get_tip_revision()?.to_string()?,
        is_open: from.get_is_open(),
        lanes: read_list(from.get_lanes()?, read_lane)?,
        broken: from.get_broken(),
    })
}

fn read_lane(from: perspective_capnp::lane_view::Reader<'_>) -> Result<LaneView, Error> {
    Ok(LaneView {
        job: from.get_job()?.to_string()?,
        outcome: outcome_from_wire(from.get_outcome()?),
        build: from.get_build(),
        revision: from.get_revision()?.to_string()?,
        since: from.get_since(),
        since_revision: from.get_since_revision()?.to_string()?,
        last_good: from.get_last_good(),
        last_good_revision: from.get_last_good_revision()?.to_string()?,
        errored: from.get_errored(),
    })
}

pub(crate) fn read_build(from: perspective_capnp::build_view::Reader<'_>) -> Result<BuildView, Error> {
    Ok(BuildView {
        project: from.get_project()?.to_string()?,
        number: from.get_number(),
        state: state_from_wire(from.get_state()?),
        outcome: outcome_from_wire(from.get_outcome()?),
        ref_name: from.get_ref()?.to_string()?,
        revision: from.get_revision()?.to_string()?,
        subject: from.get_subject()?.to_string()?,
        author: from.get_author()?.to_string()?,
        cause: from.get_cause()?.to_string()?,
        created: moment(from.get_created()),
        started: moment(from.get_started()),
        finished: moment(from.get_finished()),
        diagnosis: from.get_diagnosis()?.to_string()?,
        jobs: read_list(from.get_jobs()?, read_job)?,
        retry_of: from.get_retry_of(),
        job_count: from.get_job_count(),
    })
}

fn read_job(from: perspective_capnp::job_view::Reader<'_>) -> Result<JobView, Error> {
    Ok(JobView {
        name: from.get_name()?.to_string()?,
        state: state_from_wire(from.get_state()?),
        outcome: outcome_from_wire(from.get_outcome()?),
        reason: from.get_reason()?.to_string()?,
        worker: from.get_worker()?.to_string()?,
        attempt: from.get_attempt(),
        queued: moment(from.get_queued()),
        started: moment(from.get_started()),
        finished: moment(from.get_finished()),
        steps: read_list(from.get_steps()?, read_step)?,
        platform: from.get_platform()?.to_string()?,
        needs: from.get_needs()?.iter().collect(),
        carried_from: from.get_carried_from(),
    })
}

fn read_step(from: perspective_capnp::step_view::Reader<'_>) -> Result<StepView, Error> {
    Ok(StepView {
        name: from.get_name()?.to_string()?,
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
        project: from.get_project()?.to_string()?,
        build: from.get_build(),
        job: from.get_job()?.to_string()?,
        since: moment(from.get_since()),
        reason: from.get_reason()?.to_string()?,
        kind: from.get_kind()?.to_string()?,
        remedy: from.get_remedy()?.to_string()?,
    })
}

pub(crate) fn read_explanation(from: perspective_capnp::explanation::Reader<'_>) -> Result<Explanation, Error> {
    Ok(Explanation {
        kind: from.get_kind()?.to_string()?,
        text: from.get_text()?.to_string()?,
        since: moment(from.get_since()),
        ahead: from.get_ahead(),
        workers: read_list(from.get_workers()?, read_candidate)?,
        worker_count: from.get_worker_count(),
        remedies: read_list(from.get_remedies()?, read_remedy)?,
        hints: read_texts(from.get_hints()?)?,
        attempts: read_list(from.get_attempts()?, read_attempt)?,
    })
}

fn read_candidate(from: perspective_capnp::candidate::Reader<'_>) -> Result<Candidate, Error> {
    Ok(Candidate {
        name: from.get_name()?.to_string()?,
        standing: from.get_standing()?.to_string()?,
        text: from.get_text()?.to_string()?,
        jobs: read_texts(from.get_jobs()?)?,
        since: moment(from.get_since()),
    })
}

fn read_remedy(from: perspective_capnp::remedy::Reader<'_>) -> Result<Remedy, Error> {
    Ok(Remedy { text: from.get_text()?.to_string()?, steps: read_list(from.get_steps()?, read_remedy_step)? })
}

fn read_remedy_step(from: perspective_capnp::step::Reader<'_>) -> Result<Step, Error> {
    use perspective_capnp::step;
    Ok(Step {
        act: match from.get_act() {
            Ok(step::Act::Wait) => Act::Wait,
            Ok(step::Act::Resume) => Act::Resume,
            Ok(step::Act::Start) => Act::Start,
            Ok(step::Act::Join) => Act::Join,
            Err(capnp::NotInSchema(_)) => Act::Other,
        },
        object: from.get_object()?.to_string()?,
        command: from.get_command()?.to_string()?,
        pool: from.get_pool()?.to_string()?,
        labels: read_pairs(from.get_labels()?)?,
        platform: from.get_platform()?.to_string()?,
        room: read_resources(from.get_room()?),
    })
}

fn read_attempt(from: perspective_capnp::attempt_view::Reader<'_>) -> Result<AttemptView, Error> {
    Ok(AttemptView {
        number: from.get_number(),
        worker: from.get_worker()?.to_string()?,
        started: moment(from.get_started()),
        finished: moment(from.get_finished()),
        outcome: outcome_from_wire(from.get_outcome()?),
        reason: from.get_reason()?.to_string()?,
        isolation: from.get_isolation()?.to_string()?,
        placed: from.get_placed()?.to_string()?,
        because: from.get_because()?.to_string()?,
        able: from.get_able(),
        free: from.get_free(),
        waited_ms: from.get_waited(),
        waited_for: from.get_waited_for()?.to_string()?,
    })
}

pub(crate) fn read_grant(from: grant_capnp::grant::Reader<'_>) -> Result<GrantView, Error> {
    Ok(GrantView {
        id: from.get_id(),
        parent: from.get_parent(),
        kind: enum_to_kind(from.get_kind()?),
        name: from.get_name()?.to_string()?,
        what: read_what(from.get_what()?)?,
        created: moment(from.get_created()),
        expires: moment(from.get_expires()),
        revoked: moment(from.get_revoked()),
        holder: from.get_holder()?.to_string()?,
        reason: from.get_reason()?.to_string()?,
    })
}

pub(crate) fn read_worker(from: grant_capnp::worker_view::Reader<'_>) -> Result<WorkerView, Error> {
    Ok(WorkerView {
        name: from.get_name()?.to_string()?,
        connected: from.get_connected(),
        description: read_description(from.get_description()?)?,
        pools: read_texts(from.get_pools()?)?,
        running: read_texts(from.get_running()?)?,
        last_heard: moment(from.get_last_heard()),
        draining: from.get_draining(),
        held: from.get_held()?.to_string()?,
        grant: from.get_grant(),
        waits: from.get_waits()?.to_string()?,
        labels: read_pairs(from.get_labels()?)?,
    })
}

/// Zero on the wire is "not yet" or "never".
fn moment(time: i64) -> Option<Time> {
    Some(read_time(time)).filter(|time| time.0 > 0)
}
