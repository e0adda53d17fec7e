//! Reads views from the wire. [`schema::wire`] reads the values that master and worker share.

use crate::error::Error;
use crate::explanation::{Act, AttemptView, Candidate, Explanation, Remedy, RemedyStep};
use crate::views::{
    BranchView, BuildView, ChangeView, ClaimView, CommitView, CronView, GrantView, JobView, LaneView, ProjectView,
    QueueItem, StepTests, StepView, WorkerView,
};
use schema::limits::{
    self, ABOUT, ADDRESS, ATTEMPTS, CANDIDATE_JOBS, CANDIDATES, CAUSE, CLAIM_REASON, COMMAND, COMMIT, COMMIT_LINE,
    CRON_TEXT, CRON_TIME, DIAGNOSIS, FINGERPRINT, HINTS, HOLDER, JOB, JOBS, LABEL, LABELS, LABELS_IN_FORCE, Limit,
    PAGES, PATTERNS, POOL, POOLS, PROJECT, REASON, REF, REMEDIES, REMEDY_STEPS, REVOCATION, RUNNING, SELECTOR,
    SENTENCE, SKIPPED, STEP_NAME, STEPS, WORD_TOLD, WORKER,
};
use schema::values::{TestsReported, Time};
use schema::wire::{
    enum_to_kind, outcome_from_wire, read_exit, read_resources, read_time, state_from_wire, told_description, told_what,
};
use schema::{change_capnp, grant_capnp, perspective_capnp};

pub(crate) fn read_list<'a, T, V>(
    list: capnp::Result<capnp::struct_list::Reader<'a, T>>,
    most: &Limit,
    read: fn(T::Reader<'a>) -> Result<V, Error>,
) -> Result<Vec<V>, Error>
where
    T: capnp::traits::OwnedStruct + 'a,
{
    limits::structs(list, most)?.map(read).collect()
}

pub(crate) fn read_project(from: perspective_capnp::project_view::Reader<'_>) -> Result<ProjectView, Error> {
    Ok(ProjectView {
        name: limits::text(from.get_name(), &PROJECT.told())?,
        repository: limits::text(from.get_repository(), &ADDRESS.told())?,
        aliases: limits::texts(from.get_aliases(), &PATTERNS.told(), &ADDRESS.told())?,
        latest: from.get_latest(),
        main_branch: limits::text(from.get_main_branch(), &REF.told())?,
        next_look: moment(from.get_next_look()),
    })
}

pub(crate) fn read_cron(from: perspective_capnp::cron_view::Reader<'_>) -> Result<CronView, Error> {
    Ok(CronView {
        name: limits::text(from.get_name(), &CRON_TEXT)?,
        ref_name: limits::text(from.get_ref(), &REF.told())?,
        at: limits::text(from.get_at(), &CRON_TEXT)?,
        tz: limits::text(from.get_tz(), &CRON_TEXT)?,
        if_changed: from.get_if_changed(),
        next: moment(from.get_next()),
        shown: limits::text(from.get_shown(), &CRON_TIME)?,
        fired: moment(from.get_fired()),
        build: from.get_build(),
        skipped: limits::text(from.get_skipped(), &SENTENCE)?,
    })
}

pub(crate) fn read_change(from: change_capnp::change::Reader<'_>) -> Result<ChangeView, Error> {
    let change = schema::wire::read_change(from)?;
    let commits = change.commits.into_iter().map(|commit| CommitView {
        revision: commit.revision,
        author: commit.author,
        time: (commit.time > Time(0)).then_some(commit.time),
        subject: commit.subject,
    });
    Ok(ChangeView {
        project: change.project,
        ref_name: change.ref_name,
        revision: change.revision,
        before: change.before,
        forced: change.forced,
        commits: commits.collect(),
        paths: change.paths,
    })
}

pub(crate) fn read_branch(from: perspective_capnp::branch_view::Reader<'_>) -> Result<BranchView, Error> {
    Ok(BranchView {
        ref_name: limits::text(from.get_ref(), &REF.told())?,
        outcome: outcome_from_wire(from.get_outcome()?),
        errored: from.get_errored(),
        tip: from.get_tip(),
        tip_revision: limits::text(from.get_tip_revision(), &COMMIT.told())?,
        is_open: from.get_is_open(),
        lanes: read_list(from.get_lanes(), &JOBS.told(), read_lane)?,
        broken: from.get_broken(),
    })
}

fn read_lane(from: perspective_capnp::lane_view::Reader<'_>) -> Result<LaneView, Error> {
    Ok(LaneView {
        job: limits::text(from.get_job(), &JOB.told())?,
        outcome: outcome_from_wire(from.get_outcome()?),
        build: from.get_build(),
        revision: limits::text(from.get_revision(), &COMMIT.told())?,
        since: from.get_since(),
        since_revision: limits::text(from.get_since_revision(), &COMMIT.told())?,
        last_good: from.get_last_good(),
        last_good_revision: limits::text(from.get_last_good_revision(), &COMMIT.told())?,
        errored: from.get_errored(),
        claim: read_claim(from)?,
    })
}

fn read_claim(from: perspective_capnp::lane_view::Reader<'_>) -> Result<Option<ClaimView>, Error> {
    let claim = ClaimView {
        name: limits::text(from.get_claimed_by(), &HOLDER.told())?,
        since: moment(from.get_claimed()),
        until: moment(from.get_claim_until()),
        reason: limits::text(from.get_claim_reason(), &CLAIM_REASON.told())?,
    };
    Ok(Some(claim).filter(|claim| !claim.name.is_empty() || !claim.reason.is_empty()))
}

pub(crate) fn read_build(from: perspective_capnp::build_view::Reader<'_>) -> Result<BuildView, Error> {
    Ok(BuildView {
        project: limits::text(from.get_project(), &PROJECT.told())?,
        number: from.get_number(),
        state: state_from_wire(from.get_state()?),
        outcome: outcome_from_wire(from.get_outcome()?),
        ref_name: limits::text(from.get_ref(), &REF.told())?,
        revision: limits::text(from.get_revision(), &COMMIT.told())?,
        subject: limits::text(from.get_subject(), &COMMIT_LINE)?,
        author: limits::text(from.get_author(), &COMMIT_LINE)?,
        cause: limits::text(from.get_cause(), &CAUSE)?,
        created: moment(from.get_created()),
        started: moment(from.get_started()),
        finished: moment(from.get_finished()),
        diagnosis: limits::text(from.get_diagnosis(), &DIAGNOSIS)?,
        jobs: read_list(from.get_jobs(), &JOBS.told(), read_job)?,
        retry_of: from.get_retry_of(),
        job_count: from.get_job_count(),
        commit_url: limits::text(from.get_commit_url(), &PAGES)?,
    })
}

fn read_job(from: perspective_capnp::job_view::Reader<'_>) -> Result<JobView, Error> {
    Ok(JobView {
        name: limits::text(from.get_name(), &JOB.told())?,
        state: state_from_wire(from.get_state()?),
        outcome: outcome_from_wire(from.get_outcome()?),
        reason: limits::text(from.get_reason(), &SKIPPED)?,
        worker: limits::text(from.get_worker(), &WORKER.told())?,
        attempt: from.get_attempt(),
        queued: moment(from.get_queued()),
        started: moment(from.get_started()),
        finished: moment(from.get_finished()),
        steps: read_list(from.get_steps(), &STEPS, read_step)?,
        platform: limits::text(from.get_platform(), &ABOUT)?,
        needs: limits::numbers(from.get_needs(), &JOBS.told())?,
        carried_from: from.get_carried_from(),
        isolation: limits::text(from.get_isolation(), &ABOUT.told())?,
    })
}

fn read_step(from: perspective_capnp::step_view::Reader<'_>) -> Result<StepView, Error> {
    Ok(StepView {
        name: limits::text(from.get_name(), &STEP_NAME.told())?,
        state: state_from_wire(from.get_state()?),
        outcome: outcome_from_wire(from.get_outcome()?),
        exit: read_exit(from.get_exit()?)?,
        started: moment(from.get_started()),
        finished: moment(from.get_finished()),
        log_size: from.get_log_size(),
        tests: if from.has_tests() { Some(told_tests(schema::wire::read_tests(from.get_tests()?)?)) } else { None },
    })
}

fn told_tests(from: TestsReported) -> StepTests {
    StepTests {
        passed: from.counts.passed,
        failed: from.counts.failed,
        errored: from.counts.errored,
        skipped: from.counts.skipped,
        duration_us: from.duration_us,
        failing: from.failing,
        trouble: from.trouble,
        list: from.list.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

pub(crate) fn read_queue_item(from: perspective_capnp::queue_item::Reader<'_>) -> Result<QueueItem, Error> {
    Ok(QueueItem {
        project: limits::text(from.get_project(), &PROJECT.told())?,
        build: from.get_build(),
        job: limits::text(from.get_job(), &JOB.told())?,
        since: moment(from.get_since()),
        reason: limits::text(from.get_reason(), &SENTENCE)?,
        kind: limits::text(from.get_kind(), &WORD_TOLD)?,
        remedy: limits::text(from.get_remedy(), &SENTENCE)?,
    })
}

pub(crate) fn read_explanation(from: perspective_capnp::explanation::Reader<'_>) -> Result<Explanation, Error> {
    Ok(Explanation {
        kind: limits::text(from.get_kind(), &WORD_TOLD)?,
        text: limits::text(from.get_text(), &SENTENCE)?,
        since: moment(from.get_since()),
        ahead: from.get_ahead(),
        workers: read_list(from.get_workers(), &CANDIDATES, read_candidate)?,
        worker_count: from.get_worker_count(),
        remedies: read_list(from.get_remedies(), &REMEDIES, read_remedy)?,
        hints: limits::texts(from.get_hints(), &HINTS, &SENTENCE)?,
        attempts: read_list(from.get_attempts(), &ATTEMPTS, read_attempt)?,
    })
}

fn read_candidate(from: perspective_capnp::candidate::Reader<'_>) -> Result<Candidate, Error> {
    Ok(Candidate {
        name: limits::text(from.get_name(), &WORKER.told())?,
        standing: limits::text(from.get_standing(), &WORD_TOLD)?,
        text: limits::text(from.get_text(), &SENTENCE)?,
        jobs: limits::texts(from.get_jobs(), &CANDIDATE_JOBS, &SELECTOR)?,
        since: moment(from.get_since()),
    })
}

fn read_remedy(from: perspective_capnp::remedy::Reader<'_>) -> Result<Remedy, Error> {
    Ok(Remedy {
        text: limits::text(from.get_text(), &SENTENCE)?,
        steps: read_list(from.get_steps(), &REMEDY_STEPS, read_remedy_step)?,
    })
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
        object: limits::text(from.get_object(), &SELECTOR)?,
        command: limits::text(from.get_command(), &COMMAND)?,
        pool: limits::text(from.get_pool(), &POOL.told())?,
        labels: limits::pairs(from.get_labels(), &LABELS.told(), &LABEL.told())?,
        platform: limits::text(from.get_platform(), &ABOUT)?,
        room: read_resources(from.get_room()?),
    })
}

fn read_attempt(from: perspective_capnp::attempt_view::Reader<'_>) -> Result<AttemptView, Error> {
    Ok(AttemptView {
        number: from.get_number(),
        worker: limits::text(from.get_worker(), &WORKER.told())?,
        started: moment(from.get_started()),
        finished: moment(from.get_finished()),
        outcome: outcome_from_wire(from.get_outcome()?),
        reason: limits::text(from.get_reason(), &REASON)?,
        isolation: limits::text(from.get_isolation(), &ABOUT)?,
        placed: limits::text(from.get_placed(), &SENTENCE)?,
        because: limits::text(from.get_because(), &WORD_TOLD)?,
        able: from.get_able(),
        free: from.get_free(),
        waited_ms: from.get_waited(),
        waited_for: limits::text(from.get_waited_for(), &SENTENCE)?,
    })
}

pub(crate) fn read_grant(from: grant_capnp::grant::Reader<'_>) -> Result<GrantView, Error> {
    Ok(GrantView {
        id: from.get_id(),
        parent: from.get_parent(),
        kind: enum_to_kind(from.get_kind()),
        name: limits::text(from.get_name(), &HOLDER.told())?,
        what: told_what(from.get_what()?)?,
        created: moment(from.get_created()),
        expires: moment(from.get_expires()),
        revoked: moment(from.get_revoked()),
        holder: limits::text(from.get_holder(), &FINGERPRINT)?,
        reason: limits::text(from.get_reason(), &REVOCATION.told())?,
    })
}

pub(crate) fn read_worker(from: grant_capnp::worker_view::Reader<'_>) -> Result<WorkerView, Error> {
    Ok(WorkerView {
        name: limits::text(from.get_name(), &WORKER.told())?,
        connected: from.get_connected(),
        description: told_description(from.get_description()?)?,
        pools: limits::texts(from.get_pools(), &POOLS.told(), &POOL.told())?,
        running: limits::texts(from.get_running(), &RUNNING, &SELECTOR)?,
        last_heard: moment(from.get_last_heard()),
        draining: from.get_draining(),
        held: limits::text(from.get_held(), &SENTENCE)?,
        grant: from.get_grant(),
        waits: limits::text(from.get_waits(), &SENTENCE)?,
        revoked: limits::text(from.get_revoked(), &REVOCATION.told())?,
        labels: limits::pairs(from.get_labels(), &LABELS_IN_FORCE, &LABEL.told())?,
    })
}

/// Reads an answer as each kind of view, and returns how many of them could be read, for `tests/fuzz`.
#[cfg(feature = "fuzz")]
pub fn read_as_any_view(from: capnp::any_pointer::Reader<'_>) -> usize {
    macro_rules! readable {
        ($($read:ident)*) => {
            [$(from.get_as().map_err(Error::from).and_then($read).is_ok()),*].into_iter().filter(|is_ok| *is_ok).count()
        };
    }
    readable! { read_project read_cron read_branch read_build read_queue_item read_explanation read_grant read_worker }
}

/// Reads a time. Zero on the wire means "not yet" or "never".
pub(crate) fn moment(time: i64) -> Option<Time> {
    Some(read_time(time)).filter(|time| time.0 > 0)
}
