//! Changes, events, filters and cursors.

use super::state::{outcome_from_wire, outcome_to_wire};
use super::{length, read_texts, read_time, time, write_texts};
use crate::change_capnp::change;
use crate::common_capnp;
use crate::event_capnp::{cursor, event, filter};
use crate::values::{Change, Commit, Cursor, Event, Fact, Filter, Outcome};

/// The version of an event's shape.
const VERSION: u16 = 1;

pub fn write_cursor(mut to: cursor::Builder<'_>, cursor: Cursor) {
    to.set_incarnation(cursor.incarnation);
    to.set_after(cursor.after);
}

pub fn read_cursor(from: cursor::Reader<'_>) -> Cursor {
    Cursor { incarnation: from.get_incarnation(), after: from.get_after() }
}

pub fn write_filter(mut to: filter::Builder<'_>, filter: &Filter) {
    write_texts(to.reborrow().init_projects(length(filter.projects.len())), &filter.projects);
    to.set_build(filter.build);
    write_texts(to.init_kinds(length(filter.kinds.len())), &filter.kinds);
}

pub fn read_filter(from: filter::Reader<'_>) -> capnp::Result<Filter> {
    Ok(Filter {
        projects: read_texts(from.get_projects()?)?,
        build: from.get_build(),
        kinds: read_texts(from.get_kinds()?)?,
    })
}

pub fn write_change(mut to: change::Builder<'_>, change: &Change) {
    to.set_project(&change.project);
    to.set_ref(&change.ref_name);
    to.set_revision(&change.revision);
    to.set_before(&change.before);
    to.set_forced(change.forced);
    let mut commits = to.reborrow().init_commits(length(change.commits.len()));
    for (index, commit) in (0..).zip(&change.commits) {
        let mut to = commits.reborrow().get(index);
        to.set_revision(&commit.revision);
        to.set_author(&commit.author);
        to.set_time(time(commit.time));
        to.set_subject(&commit.subject);
    }
    write_texts(to.init_paths(length(change.paths.len())), &change.paths);
}

pub fn read_change(from: change::Reader<'_>) -> capnp::Result<Change> {
    let commits = from.get_commits()?.iter().map(|commit| {
        Ok(Commit {
            revision: commit.get_revision()?.to_string()?,
            author: commit.get_author()?.to_string()?,
            time: read_time(commit.get_time()),
            subject: commit.get_subject()?.to_string()?,
        })
    });
    Ok(Change {
        project: from.get_project()?.to_string()?,
        ref_name: from.get_ref()?.to_string()?,
        revision: from.get_revision()?.to_string()?,
        before: from.get_before()?.to_string()?,
        forced: from.get_forced(),
        commits: commits.collect::<capnp::Result<_>>()?,
        paths: read_texts(from.get_paths()?)?,
    })
}

pub fn write_event(mut to: event::Builder<'_>, event: &Event) {
    to.set_sequence(event.sequence);
    to.set_time(time(event.time));
    to.set_version(VERSION);
    to.set_project(&event.project);
    to.set_build(event.build);
    write_fact(to, &event.fact);
}

/// None: an event of a kind that this build does not know.
pub fn read_event(from: event::Reader<'_>) -> capnp::Result<Option<Event>> {
    let Some(fact) = read_fact(from)? else {
        return Ok(None);
    };
    Ok(Some(Event {
        sequence: from.get_sequence(),
        time: read_time(from.get_time()),
        project: from.get_project()?.to_string()?,
        build: from.get_build(),
        fact,
    }))
}

fn write_fact(to: event::Builder<'_>, fact: &Fact) {
    match fact {
        Fact::ChangeSubmitted { ref_name, revision, forced } => {
            let mut to = to.init_change_submitted();
            to.set_ref(ref_name);
            to.set_revision(revision);
            to.set_forced(*forced);
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
        Fact::StepFinished { job, attempt, step, outcome } => {
            let mut to = to.init_step_finished();
            to.set_job(job);
            to.set_attempt(*attempt);
            to.set_step(*step);
            to.set_outcome(outcome_to_wire(Some(*outcome)));
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
    }
}

fn read_fact(from: event::Reader<'_>) -> capnp::Result<Option<Fact>> {
    let which = match from.which() {
        Ok(which) => which,
        Err(capnp::NotInSchema(_)) => return Ok(None),
    };
    Ok(Some(match which {
        event::Unknown(()) => return Ok(None),
        event::ChangeSubmitted(from) => Fact::ChangeSubmitted {
            ref_name: from.get_ref()?.to_string()?,
            revision: from.get_revision()?.to_string()?,
            forced: from.get_forced(),
        },
        event::RefDeleted(from) => Fact::RefDeleted { ref_name: from.get_ref()?.to_string()? },
        event::BuildCreated(from) => Fact::BuildCreated {
            cause: from.get_cause()?.to_string()?,
            ref_name: from.get_ref()?.to_string()?,
            revision: from.get_revision()?.to_string()?,
        },
        event::BuildPlanned(from) => Fact::BuildPlanned { jobs: read_texts(from.get_jobs()?)? },
        event::JobQueued(from) => Fact::JobQueued { job: from.get_job()?.to_string()? },
        event::JobStarted(from) => Fact::JobStarted {
            job: from.get_job()?.to_string()?,
            attempt: from.get_attempt(),
            worker: from.get_worker()?.to_string()?,
        },
        event::AttemptLost(from) => Fact::AttemptLost {
            job: from.get_job()?.to_string()?,
            attempt: from.get_attempt(),
            worker: from.get_worker()?.to_string()?,
            reason: from.get_reason()?.to_string()?,
        },
        event::StepStarted(from) => Fact::StepStarted {
            job: from.get_job()?.to_string()?,
            attempt: from.get_attempt(),
            step: from.get_step(),
            name: from.get_name()?.to_string()?,
        },
        event::StepFinished(from) => Fact::StepFinished {
            job: from.get_job()?.to_string()?,
            attempt: from.get_attempt(),
            step: from.get_step(),
            outcome: finished(from.get_outcome()?)?,
        },
        event::JobFinished(from) => Fact::JobFinished {
            job: from.get_job()?.to_string()?,
            outcome: finished(from.get_outcome()?)?,
            reason: from.get_reason()?.to_string()?,
        },
        event::BuildFinished(from) => Fact::BuildFinished { outcome: finished(from.get_outcome()?)? },
        event::WorkerAttached(from) => Fact::WorkerAttached { worker: from.get_worker()?.to_string()? },
        event::WorkerLost(from) => {
            Fact::WorkerLost { worker: from.get_worker()?.to_string()?, reason: from.get_reason()?.to_string()? }
        }
        event::GrantIssued(from) => Fact::GrantIssued {
            grant: from.get_grant(),
            name: from.get_name()?.to_string()?,
            grant_kind: from.get_kind()?.to_string()?,
        },
        event::GrantRedeemed(from) => {
            Fact::GrantRedeemed { grant: from.get_grant(), name: from.get_name()?.to_string()? }
        }
        event::GrantRevoked(from) => Fact::GrantRevoked {
            grant: from.get_grant(),
            name: from.get_name()?.to_string()?,
            reason: from.get_reason()?.to_string()?,
        },
        event::Alarm(from) => Fact::Alarm { text: from.get_text()?.to_string()? },
    }))
}

fn finished(outcome: common_capnp::Outcome) -> capnp::Result<Outcome> {
    outcome_from_wire(outcome).ok_or_else(|| capnp::Error::failed("the event lacks its outcome".to_owned()))
}
