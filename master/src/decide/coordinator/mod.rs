//! Decides everything and does nothing: no I/O, no clock, no RPC, no randomness, no hash-map iteration.
//!
//! [`Coordinator`] says how it is driven. Its files are its concerns: what it hears and answers about builds, leases, workers,
//! grants and refs, and what follows from that for the others. Beside it stands what it owns, each with private fields.
//! `placement` decides who gets which job, and knows tickets only; `place` and `lease` translate between the two. `grants` has
//! the tree of grants, `refs` what is known of repositories, `requests` the answers that are kept, and `alarms` what is counted.
//! `builds` knows what a build is made of, and how it goes on. A row that the store keeps is of a type in `records`, which gives
//! no way to change it without recording that. Whoever explains what it does reads a [`snapshot::CoordinatorSnapshot`]: nothing
//! here is prose, save the reasons that rows keep.

mod absence;
mod alarms;
mod artifact;
mod builds;
mod check;
mod crons;
mod grants;
mod lease;
mod limits;
mod load;
mod model;
mod notices;
mod place;
mod refs;
mod report;
mod request;
pub mod snapshot;
mod worker;

pub use super::authority;
pub use super::builds::{AddedJob, Order, Past, Planned, chosen};
pub use super::crons::FiringBranches;
pub use super::grants::{GrantOrder, GrantPage, Grants, ROOT, account_of, valid_name};
pub use super::records::{self as record, lane, placed};
pub use super::refs::{Before, HeldProject, Origin};
pub use super::requests::Request;
pub use super::terms::{ProjectTerms, Terms};
pub use crate::decide::placement::{PoolTerms, SessionId};
pub use model::{Arrival, Attached, Counts, Effect, Resumption};
pub use report::OpenLog;

use super::alarms::Alarms;
use super::builds::{Build, RetryGuard};
use super::crons::Crons;
use super::records::Rows;
use super::refs::{Followed, Heads};
use super::requests::{self, Requests};
use crate::decide::placement::Placement;
use crate::decide::steady::{Ahead, NextTimers};
use absence::RevokedWorker;
use model::{Effects, WorkerLink};
use record::{Answer, BuildId, BuildRow, GrantId, JobKey, JobRow, Record, WorkerRow};
use schema::values::{Event, Fact, Refusal, Time};
use std::collections::BTreeMap;

/// The state of the whole guild, and every rule by which it changes. It performs nothing itself: it is told what happened, and
/// answers what must happen outside.
///
/// It has no I/O, no clock and no randomness. So whoever drives it tells it the time with each call, and the same calls at the same
/// times make the same effects. Its methods fall into five groups.
///
/// - **Begin.** [`Coordinator::load`] makes one of what the store holds, after a clean stop and after a crash alike. A store
///   with no grants needs [`Coordinator::found`] once. [`Coordinator::set_terms`] takes up a master file that changed.
/// - **Commands** take `&mut self` and answer: [`Coordinator::submit_change`], [`Coordinator::run`], [`Coordinator::accept`],
///   [`Coordinator::issue`] and their like. A command that answers a [`Refusal`] has changed nothing, except that the refusal may
///   be noted, and that a worker which calls is alive. A command with a [`Request`] may be repeated, and answers as before.
/// - **Inputs** take `&mut self` and say what happened outside: [`Coordinator::plan_ready`] answers [`Effect::Plan`],
///   [`Coordinator::worker_ready`] and [`Coordinator::worker_unready`] say that a `take` waits or is gone,
///   [`Coordinator::give_back`] answers an [`Effect::Offer`] that nobody took, [`Coordinator::session_lost`],
///   [`Coordinator::revoked_answered`] and [`Coordinator::hears_again`] speak for themselves. [`Coordinator::log_grew`] alone
///   makes no effect and moves no timer.
/// - **Polls**: [`Coordinator::poll_effect`], [`Coordinator::poll_timeout`] and [`Coordinator::handle_timeout`].
/// - **Looks** take `&self` and change nothing.
///
/// A driver does the following, in this order, after `load` and after each call that takes `&mut self`:
///
/// 1. It calls `poll_effect` until that answers none. The effects up to there belong together, and those of further calls may
///    join them.
/// 2. It writes all [`Effect::Record`] of them to the store, in order and in one transaction.
/// 3. After the commit it performs the other effects, in order, and only then lets go of the answers of the commands, and of looks
///    that may have seen what was not committed. [`Effect::Plan`] and [`Effect::Offer`] alone may be performed before the
///    commit, because a restart makes them anew or does without them.
/// 4. It asks `poll_timeout` again, and calls `handle_timeout` at that time or later. A late call makes leases longer, and does no
///    harm.
///
/// Performing an effect may call the coordinator again; what follows from that is polled like everything else. A commit that fails
/// for good leaves memory ahead of the store, so the driver drops the coordinator and loads another.
///
/// Two pairs of calls frame what the driver does itself. [`Coordinator::begin_removal`] and [`Coordinator::end_removal`] stand
/// around each removal of finished builds from the store. [`Coordinator::removals`] is asked before a finished build is read for
/// [`Coordinator::retry`].
#[derive(Debug)]
pub struct Coordinator {
    terms: Terms,
    builds: BTreeMap<BuildId, Build>,
    placement: Placement<JobKey>,
    /// The facts about each session that placement does not need.
    connections: BTreeMap<SessionId, Box<WorkerLink>>,
    /// The highest build number that each project ever used.
    numbers: BTreeMap<String, u32>,
    heads: Heads,
    crons: Crons,
    following: Followed,
    workers: Rows<String, WorkerRow>,
    grants: Grants,
    requests: Requests,
    retry_guard: RetryGuard,
    /// Revoked workers that were asked whether all that they ran has ended.
    answering: BTreeMap<GrantId, RevokedWorker>,
    alarms: Alarms,
    effects: Effects,
    last_build: u64,
    last_event: u64,
    /// Rows have the times of the wall clock, and leases have the times of the steady clock.
    ahead: Ahead,
}

impl Coordinator {
    /// Says how the two clocks stand now. Call it before each call that takes the time.
    pub fn set_clocks(&mut self, ahead: Ahead) {
        self.ahead = ahead;
    }

    /// The master file was read again. Jobs that wait keep their order and may go elsewhere; leases keep their terms.
    pub fn set_terms(&mut self, now: Time, terms: Terms) {
        self.terms = terms;
        self.stop_following_others();
        let waiting = self.placement.set_terms(place::placement_terms(&self.terms));
        waiting.into_iter().for_each(|job| self.enqueue(now, job));
    }

    /// Notes that an operator changed the master file.
    pub fn note_file(&mut self, now: Time, request: Request, what: String) -> Result<(), Refusal> {
        self.once(now, request, |this| {
            this.audit(now, request.by, what);
            Ok(Answer::Done)
        })?;
        Ok(())
    }

    /// The next effect that must happen outside.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Coordinator::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.next_timers().by_wall(self.ahead)
    }

    /// The times at which [`Coordinator::poll_timeout`] has something to do, by each clock for itself.
    pub fn next_timers(&self) -> NextTimers {
        NextTimers::of([self.placement.next_timeout(), self.alarms.next_timeout()], self.grants.next_timeout())
    }

    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(time) = self.poll_timeout().filter(|time| *time <= now) {
            if self.placement.next_timeout().is_some_and(|at| self.ahead.wall(at) <= time) {
                let decision = self.placement.tick(self.ahead.steady(now));
                decision.into_iter().for_each(|decision| self.follow(now, decision));
            } else if self.grants.next_timeout().is_some_and(|at| at <= time) {
                self.grants_timeout(now);
            } else {
                self.alarms_timeout(now);
            }
        }
    }

    /// A build that is not finished.
    pub fn open_build_row(&self, id: BuildId) -> Option<&BuildRow> {
        self.builds.get(&id).map(|build| &*build.row)
    }

    /// How many jobs wait for a worker.
    pub fn queue_length(&self) -> usize {
        self.placement.gauges().waiting
    }

    /// Whether a job waits that a connected worker could take, had it room.
    pub fn is_short_of_room(&self) -> bool {
        self.placement.is_short_of_room()
    }

    /// How many attempts are offered, run, or wait for their worker to come back.
    pub fn lease_count(&self) -> usize {
        self.placement.gauges().leases
    }

    /// Changes the row of a job of an open build, and records it.
    fn edit_job(&mut self, key: JobKey, change: impl FnOnce(&mut JobRow)) -> &JobRow {
        let build = self.builds.get_mut(&key.build).expect("the job's build is open");
        build.jobs[key.index as usize].row.edit(&mut self.effects, change)
    }

    /// Records what is not a row of the model. Rows are recorded by their edits.
    fn record(&mut self, record: Record) {
        self.effects.push_back(Effect::Record(record));
    }

    /// Records an event of an open build.
    fn tell(&mut self, now: Time, build: BuildId, fact: Fact) {
        let row = &self.builds[&build].row;
        let (project, number) = (row.project.clone(), row.number);
        self.tell_of(now, &project, number, fact);
    }

    fn tell_of(&mut self, now: Time, project: &str, build: u32, fact: Fact) {
        self.last_event += 1;
        let event =
            Event { sequence: self.last_event, time: now, origin: None, project: project.to_owned(), build, fact };
        self.record(Record::Event(event));
    }

    fn audit(&mut self, now: Time, by: GrantId, text: String) {
        self.record(Record::Audit { time: now, by, text });
    }
}
