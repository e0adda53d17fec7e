//! Makes every decision and performs nothing: no I/O, no clock, no RPC, no randomness, no iteration over hash maps.
//!
//! [`Coordinator`] says how a driver uses it. Each file here has the commands about one subject, such as builds, leases, workers, grants
//! or refs, and their consequences for the other subjects. The parts of the coordinator are modules beside this one, with private fields.
//! `placement` decides who gets which job. It knows only tickets, so `place` and `lease` translate between jobs and tickets. `grants` has
//! the tree of grants, `refs` the known state of repositories, `requests` the answers to repeated calls, and `alarms` the counts of
//! alarms. `builds` knows the parts of a build, and how it proceeds. A row that the store keeps has a type of `records`, which records
//! every change to it. Code that explains decisions reads a [`snapshot::CoordinatorSnapshot`]. Nothing here is text for people, except
//! the reasons in rows.

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
pub use super::claims::CLAIM_LASTS;
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
use super::claims::LaneClaims;
use super::crons::Crons;
use super::records::Rows;
use super::refs::{Followed, Heads};
use super::requests::{self, Requests};
use crate::decide::placement::Placement;
use crate::decide::steady::{Ahead, NextTimers};
use absence::RevokedWorker;
use model::{Effects, WorkerLink};
use record::{BuildId, BuildRow, GrantId, JobKey, JobRow, Record, WorkerRow};
use schema::values::{Event, Fact, Time};
use std::collections::BTreeMap;

/// `Coordinator` holds the state of the whole guild, and every rule by which the state changes. It performs nothing itself: a driver
/// tells it what happened, and it says what the driver must do.
///
/// It has no I/O, no clock and no randomness. The driver passes the time with each call, so the same calls at the same times make the
/// same effects. Its methods fall into six groups.
///
/// - **Begin.** [`Coordinator::load`] makes a coordinator from the contents of the store, after a clean stop and after a crash alike. A
///   store with no grants needs [`Coordinator::found`] once. [`Coordinator::set_terms`] takes a changed master file.
/// - **Commands** take `&mut self` and return an answer: [`Coordinator::submit_change`], [`Coordinator::run`], [`Coordinator::accept`],
///   [`Coordinator::issue`] and others. A command that returns a [`schema::values::Refusal`] has changed nothing, except that it may
///   note the refusal, and that the calling worker is alive. A command with a [`Request`] may be repeated, with the same answer.
/// - **Inputs** take `&mut self` and report what happened outside. [`Coordinator::plan_ready`] answers [`Effect::Plan`].
///   [`Coordinator::worker_ready`] and [`Coordinator::worker_unready`] report that a `take` waits or was dropped, and
///   [`Coordinator::give_back`] that nobody took an [`Effect::Offer`]. After [`Coordinator::log_grew`] there is nothing to poll,
///   because it makes no effect and moves no timer.
/// - **Polls** are [`Coordinator::poll_effect`], [`Coordinator::poll_timeout`] and [`Coordinator::handle_timeout`].
/// - **Looks** take `&self` and change nothing.
/// - **Guards** of retries: [`Coordinator::begin_removal`] and [`Coordinator::end_removal`] enclose each removal of finished builds
///   from the store. Before a finished build is read for [`Coordinator::retry`], the caller reads [`Coordinator::removals`].
///
/// A driver does the following, in this order, after `load` and after each call that takes `&mut self`:
///
/// 1. It calls `poll_effect` until that returns `None`. These effects belong together, and effects of further calls may join them.
/// 2. It writes every [`Effect::Record`] among them to the store, in order and in one transaction.
/// 3. After the commit it performs the other effects, in order. Only then does it release the answers of commands, and of looks that
///    may have seen uncommitted state. [`Effect::Plan`] and [`Effect::Offer`] alone may be performed before the commit, because a
///    restart repeats them or does without them.
/// 4. It asks `poll_timeout` again, and calls `handle_timeout` at that time or later. A late call makes leases longer, and does no
///    harm.
///
/// Performing an effect may call the coordinator again. The driver polls the effects of that call like all others. If a commit fails
/// for good, memory is ahead of the store, so the driver drops the coordinator and loads another.
#[derive(Debug)]
pub struct Coordinator {
    pub(in crate::decide) terms: Terms,
    builds: BTreeMap<BuildId, Build>,
    placement: Placement<JobKey>,
    /// The facts about each session that placement does not need.
    connections: BTreeMap<SessionId, Box<WorkerLink>>,
    /// The highest build number that each project ever used.
    numbers: BTreeMap<String, u32>,
    heads: Heads,
    crons: Crons,
    pub(in crate::decide) claims: LaneClaims,
    following: Followed,
    workers: Rows<String, WorkerRow>,
    grants: Grants,
    requests: Requests,
    retry_guard: RetryGuard,
    /// The revoked workers that the master has asked whether everything they ran has ended.
    answering: BTreeMap<GrantId, RevokedWorker>,
    alarms: Alarms,
    pub(in crate::decide) effects: Effects,
    last_build: u64,
    last_event: u64,
    /// The difference between the clocks. Rows have times of the wall clock, and leases have times of the steady clock.
    ahead: Ahead,
}

impl Coordinator {
    /// Takes the present difference of the two clocks. Call it before each call that takes the time.
    pub fn set_clocks(&mut self, ahead: Ahead) {
        self.ahead = ahead;
    }

    /// Takes the terms of a changed master file. Queued jobs keep their order and may go elsewhere, and leases keep their terms.
    pub fn set_terms(&mut self, now: Time, terms: Terms) {
        self.terms = terms;
        self.stop_following_others();
        self.end_claims_of_others(now);
        let waiting = self.placement.set_terms(place::placement_terms(&self.terms));
        waiting.into_iter().for_each(|job| self.enqueue(now, job));
    }

    /// Takes out the next effect that the driver must perform.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The time at which [`Coordinator::handle_timeout`] next has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.next_timers().by_wall(self.ahead)
    }

    /// The times at which [`Coordinator::handle_timeout`] next has something to do, one by each clock.
    pub fn next_timers(&self) -> NextTimers {
        let wall = [self.grants.next_timeout(), self.claims.next_timeout()].into_iter().flatten().min();
        NextTimers::of([self.placement.next_timeout(), self.alarms.next_timeout()], wall)
    }

    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(time) = self.poll_timeout().filter(|time| *time <= now) {
            if self.placement.next_timeout().is_some_and(|at| self.ahead.wall(at) <= time) {
                let decision = self.placement.tick(self.ahead.steady(now));
                decision.into_iter().for_each(|decision| self.follow(now, decision));
            } else if self.grants.next_timeout().is_some_and(|at| at <= time) {
                self.grants_timeout(now);
            } else if self.claims.next_timeout().is_some_and(|at| at <= time) {
                let ended = self.claims.tick(now, &mut self.effects);
                ended.into_iter().for_each(|(project, fact)| self.tell_of(now, &project, 0, fact));
            } else {
                self.alarms_timeout(now);
            }
        }
    }

    /// The row of a build that is not finished.
    pub fn open_build_row(&self, id: BuildId) -> Option<&BuildRow> {
        self.builds.get(&id).map(|build| &*build.row)
    }

    /// The number of jobs that wait for a worker.
    pub fn queue_length(&self) -> usize {
        self.placement.gauges().waiting
    }

    /// Whether a job waits that a connected worker could take if it had room.
    pub fn is_short_of_room(&self) -> bool {
        self.placement.is_short_of_room()
    }

    /// The number of attempts that are offered, that run, or whose worker is away.
    pub fn lease_count(&self) -> usize {
        self.placement.gauges().leases
    }

    /// Changes the row of a job of an open build, and records it.
    fn edit_job(&mut self, key: JobKey, change: impl FnOnce(&mut JobRow)) -> &JobRow {
        let build = self.builds.get_mut(&key.build).expect("the job's build is open");
        build.jobs[key.index as usize].row.edit(&mut self.effects, change)
    }

    /// Records something that is not a row in memory, such as an event. Rows in memory are recorded by their edits.
    fn record(&mut self, record: Record) {
        self.effects.push_back(Effect::Record(record));
    }

    /// Records an event of an open build.
    fn tell(&mut self, now: Time, build: BuildId, fact: Fact) {
        let row = &self.builds[&build].row;
        let (project, number) = (row.project.clone(), row.number);
        self.tell_of(now, &project, number, fact);
    }

    pub(in crate::decide) fn tell_of(&mut self, now: Time, project: &str, build: u32, fact: Fact) {
        self.last_event += 1;
        let event =
            Event { sequence: self.last_event, time: now, origin: None, project: project.to_owned(), build, fact };
        self.record(Record::Event(event));
    }

    pub(in crate::decide) fn audit(&mut self, now: Time, by: GrantId, text: String) {
        self.record(Record::Audit { time: now, by, text });
    }
}
