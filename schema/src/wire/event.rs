//! Changes, events, filters and cursors in their form on the wire.

use super::state::{outcome_from_wire, outcome_to_wire};
use super::{length, read_time, time, write_texts};
use crate::change_capnp::{change, commit};
use crate::common_capnp;
use crate::event_capnp::{cursor, event, filter, test_counts};
use crate::limits::{
    self, CAUSE, CLAIM_REASON, COMMIT, COMMIT_LINE, COMMITS, CRON_TEXT, EVENT_COMMITS, EVENT_PATHS, EVENT_TEXT,
    FOLLOWED, HOLDER, JOB, JOBS, KIND, KINDS, Limit, ORIGIN, PATHS, PROJECT, REASON, REF, REVOCATION, SENTENCE,
    STEP_NAME, WORD_TOLD, WORKER,
};
use crate::sturdy_ref::Fingerprint;
use crate::values::{Change, Commit, Cursor, Event, Fact, Filter, Outcome, TestCounts, Time};
use capnp::struct_list;

/// The version of the form of an event, which each written event carries.
const VERSION: u16 = 1;

/// Writes a cursor in its form on the wire.
pub fn write_cursor(mut to: cursor::Builder<'_>, cursor: Cursor) {
    to.set_incarnation(cursor.incarnation);
    to.set_after(cursor.after);
}

/// Reads a cursor from its form on the wire, within the limits of its fields.
pub fn read_cursor(from: cursor::Reader<'_>) -> Cursor {
    Cursor { incarnation: from.get_incarnation(), after: from.get_after() }
}

/// Writes a filter of events in its form on the wire.
pub fn write_filter(mut to: filter::Builder<'_>, filter: &Filter) {
    write_texts(to.reborrow().init_projects(length(filter.projects.len())), &filter.projects);
    to.set_build(filter.build);
    write_texts(to.init_kinds(length(filter.kinds.len())), &filter.kinds);
}

/// Reads a filter of events from its form on the wire, within the limits of its fields.
pub fn read_filter(from: filter::Reader<'_>) -> capnp::Result<Filter> {
    Ok(Filter {
        projects: limits::texts(from.get_projects(), &FOLLOWED, &PROJECT)?,
        build: from.get_build(),
        kinds: limits::texts(from.get_kinds(), &KINDS, &KIND)?,
    })
}

/// Writes a change in its form on the wire.
pub fn write_change(mut to: change::Builder<'_>, change: &Change) {
    to.set_project(&change.project);
    to.set_ref(&change.ref_name);
    to.set_revision(&change.revision);
    to.set_before(&change.before);
    to.set_forced(change.forced);
    write_commits(to.reborrow().init_commits(length(change.commits.len())), &change.commits);
    // Paths are cut, because a thousand paths of 4 KiB would not fit into a message.
    write_texts(to.init_paths(length(change.paths.len())), change.paths.iter().map(|path| EVENT_TEXT.cut(path)));
}

/// Reads a change from its form on the wire, within the limits of its fields.
pub fn read_change(from: change::Reader<'_>) -> capnp::Result<Change> {
    Ok(Change {
        project: limits::text(from.get_project(), &PROJECT.told())?,
        ref_name: limits::text(from.get_ref(), &REF.told())?,
        revision: limits::text(from.get_revision(), &COMMIT.told())?,
        before: limits::text(from.get_before(), &COMMIT.told())?,
        forced: from.get_forced(),
        commits: read_commits(from.get_commits(), &COMMITS)?,
        paths: limits::texts(from.get_paths(), &PATHS, &EVENT_TEXT)?,
    })
}

fn write_commits(mut to: struct_list::Builder<'_, commit::Owned>, commits: &[Commit]) {
    for (index, commit) in (0..).zip(commits) {
        let mut to = to.reborrow().get(index);
        to.set_revision(&commit.revision);
        to.set_author(&commit.author);
        to.set_time(time(commit.time));
        to.set_subject(&commit.subject);
    }
}

fn read_commits(
    from: capnp::Result<struct_list::Reader<'_, commit::Owned>>,
    most: &Limit,
) -> capnp::Result<Vec<Commit>> {
    let one = |commit: commit::Reader<'_>| {
        Ok(Commit {
            revision: limits::text(commit.get_revision(), &COMMIT.told())?,
            author: limits::text(commit.get_author(), &COMMIT_LINE)?,
            time: read_time(commit.get_time()),
            subject: limits::text(commit.get_subject(), &COMMIT_LINE)?,
        })
    };
    limits::structs(from, most)?.map(one).collect()
}

/// Writes an event in its form on the wire. `teller` is the key of the master that writes it, which is the origin if the event names
/// none.
pub fn write_event(mut to: event::Builder<'_>, event: &Event, teller: &Fingerprint) {
    to.set_sequence(event.sequence);
    to.set_time(time(event.time));
    to.set_version(VERSION);
    to.set_project(&event.project);
    to.set_build(event.build);
    to.set_origin(&event.origin.as_ref().unwrap_or(teller).0);
    to.set_kind(event.fact.kind());
    write_fact(to, &event.fact);
}

/// Reads an event from its form on the wire. An event of a kind that this version does not know becomes [`Fact::Unknown`].
pub fn read_event(from: event::Reader<'_>) -> capnp::Result<Event> {
    Ok(Event {
        sequence: from.get_sequence(),
        time: read_time(from.get_time()),
        origin: read_origin(limits::data(from.get_origin(), &ORIGIN)?),
        project: limits::text(from.get_project(), &PROJECT.told())?,
        build: from.get_build(),
        fact: read_fact(from)?,
    })
}

/// Reads the key of the master at which an event happened. `None` means that a master up to version 0.2 sent its own event.
fn read_origin(bytes: &[u8]) -> Option<Fingerprint> {
    bytes.try_into().ok().map(Fingerprint)
}

fn write_fact(mut to: event::Builder<'_>, fact: &Fact) {
    match fact {
        Fact::ChangeSubmitted { ref_name, revision, forced, commits, more_commits, paths, more_paths } => {
            let mut to = to.init_change_submitted();
            to.set_ref(ref_name);
            to.set_revision(revision);
            to.set_forced(*forced);
            write_commits(to.reborrow().init_commits(length(commits.len())), commits);
            to.set_more_commits(*more_commits);
            write_texts(to.reborrow().init_paths(length(paths.len())), paths);
            to.set_more_paths(*more_paths);
        }
        Fact::RefDeleted { ref_name } => to.init_ref_deleted().set_ref(ref_name),
        Fact::BuildCreated { cause, ref_name, revision } => {
            let mut to = to.init_build_created();
            to.set_cause(cause);
            to.set_ref(ref_name);
            to.set_revision(revision);
        }
        Fact::BuildPlanned { jobs } => write_texts(to.init_build_planned().init_jobs(length(jobs.len())), jobs),
        Fact::JobQueued { job } => to.init_job_queued().set_job(job),
        Fact::JobStarted { job, attempt, worker } => {
            let mut to = to.init_job_started();
            to.set_job(job);
            to.set_attempt(*attempt);
            to.set_worker(worker);
        }
        Fact::AttemptLost { job, attempt, worker, reason } => {
            let mut to = to.init_attempt_lost();
            to.set_job(job);
            to.set_attempt(*attempt);
            to.set_worker(worker);
            to.set_reason(reason);
        }
        Fact::StepStarted { job, attempt, step, name } => {
            let mut to = to.init_step_started();
            to.set_job(job);
            to.set_attempt(*attempt);
            to.set_step(*step);
            to.set_name(name);
        }
        Fact::StepFinished { job, attempt, step, outcome, reason, tests } => {
            let mut to = to.init_step_finished();
            to.set_job(job);
            to.set_attempt(*attempt);
            to.set_step(*step);
            to.set_outcome(outcome_to_wire(Some(*outcome)));
            to.set_reason(reason);
            if let Some(tests) = tests {
                write_counts(to.init_tests(), *tests);
            }
        }
        Fact::JobFinished { job, outcome, reason } => {
            let mut to = to.init_job_finished();
            to.set_job(job);
            to.set_outcome(outcome_to_wire(Some(*outcome)));
            to.set_reason(reason);
        }
        Fact::BuildFinished { outcome } => to.init_build_finished().set_outcome(outcome_to_wire(Some(*outcome))),
        Fact::WorkerAttached { worker } => to.init_worker_attached().set_worker(worker),
        Fact::WorkerLost { worker, reason } => {
            let mut to = to.init_worker_lost();
            to.set_worker(worker);
            to.set_reason(reason);
        }
        Fact::GrantIssued { grant, name, grant_kind } => {
            let mut to = to.init_grant_issued();
            to.set_grant(*grant);
            to.set_name(name);
            to.set_kind(grant_kind);
        }
        Fact::GrantRedeemed { grant, name } => {
            let mut to = to.init_grant_redeemed();
            to.set_grant(*grant);
            to.set_name(name);
        }
        Fact::GrantRevoked { grant, name, reason } => {
            let mut to = to.init_grant_revoked();
            to.set_grant(*grant);
            to.set_name(name);
            to.set_reason(reason);
        }
        Fact::Alarm { text } => to.init_alarm().set_text(text),
        Fact::CronSkipped { name, ref_name, reason } => {
            let mut to = to.init_cron_skipped();
            to.set_name(name);
            to.set_ref(ref_name);
            to.set_reason(reason);
        }
        Fact::Claimed { ref_name, job, name, until, reason } => {
            let mut to = to.init_claimed();
            to.set_ref(ref_name);
            to.set_job(job);
            to.set_name(name);
            to.set_until(super::time(Time(*until)));
            to.set_reason(reason);
        }
        Fact::ClaimReleased { ref_name, job, name, reason } => {
            let mut to = to.init_claim_released();
            to.set_ref(ref_name);
            to.set_job(job);
            to.set_name(name);
            to.set_reason(reason);
        }
        Fact::Unknown { .. } => to.set_unknown(()),
    }
}

fn read_fact(from: event::Reader<'_>) -> capnp::Result<Fact> {
    let unknown = || Ok(Fact::Unknown { kind: limits::text(from.get_kind(), &KIND.told())? });
    let which = match from.which() {
        Ok(which) => which,
        Err(capnp::NotInSchema(_)) => return unknown(),
    };
    Ok(match which {
        event::Unknown(()) => return unknown(),
        event::ChangeSubmitted(from) => Fact::ChangeSubmitted {
            ref_name: limits::text(from.get_ref(), &REF.told())?,
            revision: limits::text(from.get_revision(), &COMMIT.told())?,
            forced: from.get_forced(),
            commits: read_commits(from.get_commits(), &EVENT_COMMITS)?,
            more_commits: from.get_more_commits(),
            paths: limits::texts(from.get_paths(), &EVENT_PATHS, &EVENT_TEXT)?,
            more_paths: from.get_more_paths(),
        },
        event::RefDeleted(from) => Fact::RefDeleted { ref_name: limits::text(from.get_ref(), &REF.told())? },
        event::BuildCreated(from) => Fact::BuildCreated {
            cause: limits::text(from.get_cause(), &CAUSE)?,
            ref_name: limits::text(from.get_ref(), &REF.told())?,
            revision: limits::text(from.get_revision(), &COMMIT.told())?,
        },
        event::BuildPlanned(from) => {
            Fact::BuildPlanned { jobs: limits::texts(from.get_jobs(), &JOBS.told(), &JOB.told())? }
        }
        event::JobQueued(from) => Fact::JobQueued { job: limits::text(from.get_job(), &JOB.told())? },
        event::JobStarted(from) => Fact::JobStarted {
            job: limits::text(from.get_job(), &JOB.told())?,
            attempt: from.get_attempt(),
            worker: limits::text(from.get_worker(), &WORKER.told())?,
        },
        event::AttemptLost(from) => Fact::AttemptLost {
            job: limits::text(from.get_job(), &JOB.told())?,
            attempt: from.get_attempt(),
            worker: limits::text(from.get_worker(), &WORKER.told())?,
            reason: limits::text(from.get_reason(), &REASON)?,
        },
        event::StepStarted(from) => Fact::StepStarted {
            job: limits::text(from.get_job(), &JOB.told())?,
            attempt: from.get_attempt(),
            step: from.get_step(),
            name: limits::text(from.get_name(), &STEP_NAME.told())?,
        },
        event::StepFinished(from) => Fact::StepFinished {
            job: limits::text(from.get_job(), &JOB.told())?,
            attempt: from.get_attempt(),
            step: from.get_step(),
            outcome: finished(from.get_outcome()?)?,
            reason: limits::text(from.get_reason(), &REASON)?,
            tests: if from.has_tests() { Some(read_counts(from.get_tests()?)) } else { None },
        },
        event::JobFinished(from) => Fact::JobFinished {
            job: limits::text(from.get_job(), &JOB.told())?,
            outcome: finished(from.get_outcome()?)?,
            reason: limits::text(from.get_reason(), &REASON)?,
        },
        event::BuildFinished(from) => Fact::BuildFinished { outcome: finished(from.get_outcome()?)? },
        event::WorkerAttached(from) => {
            Fact::WorkerAttached { worker: limits::text(from.get_worker(), &WORKER.told())? }
        }
        event::WorkerLost(from) => Fact::WorkerLost {
            worker: limits::text(from.get_worker(), &WORKER.told())?,
            reason: limits::text(from.get_reason(), &REASON)?,
        },
        event::GrantIssued(from) => Fact::GrantIssued {
            grant: from.get_grant(),
            name: limits::text(from.get_name(), &HOLDER.told())?,
            grant_kind: limits::text(from.get_kind(), &WORD_TOLD)?,
        },
        event::GrantRedeemed(from) => {
            Fact::GrantRedeemed { grant: from.get_grant(), name: limits::text(from.get_name(), &HOLDER.told())? }
        }
        event::GrantRevoked(from) => Fact::GrantRevoked {
            grant: from.get_grant(),
            name: limits::text(from.get_name(), &HOLDER.told())?,
            reason: limits::text(from.get_reason(), &REVOCATION.told())?,
        },
        event::Alarm(from) => Fact::Alarm { text: limits::text(from.get_text(), &SENTENCE)? },
        event::CronSkipped(from) => Fact::CronSkipped {
            name: limits::text(from.get_name(), &CRON_TEXT)?,
            ref_name: limits::text(from.get_ref(), &REF.told())?,
            reason: limits::text(from.get_reason(), &SENTENCE)?,
        },
        event::Claimed(from) => Fact::Claimed {
            ref_name: limits::text(from.get_ref(), &REF.told())?,
            job: limits::text(from.get_job(), &JOB.told())?,
            name: limits::text(from.get_name(), &HOLDER.told())?,
            until: super::read_time(from.get_until()).0,
            reason: limits::text(from.get_reason(), &CLAIM_REASON.told())?,
        },
        event::ClaimReleased(from) => Fact::ClaimReleased {
            ref_name: limits::text(from.get_ref(), &REF.told())?,
            job: limits::text(from.get_job(), &JOB.told())?,
            name: limits::text(from.get_name(), &HOLDER.told())?,
            reason: limits::text(from.get_reason(), &SENTENCE)?,
        },
    })
}

fn write_counts(mut to: test_counts::Builder<'_>, tests: TestCounts) {
    to.set_passed(tests.passed);
    to.set_failed(tests.failed);
    to.set_errored(tests.errored);
    to.set_skipped(tests.skipped);
}

fn read_counts(from: test_counts::Reader<'_>) -> TestCounts {
    TestCounts {
        passed: from.get_passed(),
        failed: from.get_failed(),
        errored: from.get_errored(),
        skipped: from.get_skipped(),
    }
}

fn finished(outcome: common_capnp::Outcome) -> capnp::Result<Outcome> {
    outcome_from_wire(outcome).ok_or_else(|| capnp::Error::failed("the event lacks its outcome".to_owned()))
}
