//! Decides everything and does nothing: no I/O, no clock, no RPC, no randomness, no hash-map iteration.
//!
//! A command is refused for a reason that its caller can read, or done; what must happen outside comes out of
//! [`Coordinator::poll_effect`], in order. It is told the time. A crash is a restart from [`Loaded`].

mod absence;
mod alarms;
pub mod authority;
mod browser;
mod build;
mod by_worker;
mod check;
mod explain;
mod fit;
mod follow;
mod grant;
mod grant_list;
mod heads;
pub mod lane;
mod lease;
mod model;
mod notices;
mod overdue;
mod place;
pub mod placed;
mod pools;
mod queue;
pub mod record;
mod remedy;
mod repeat;
mod report;
mod request;
mod rest;
mod retry_guard;
mod rows;
mod tokens;
mod trigger;
mod update;
pub mod why;
mod worker;

pub use explain::explain_past;
pub use follow::{Before, HeldProject};
pub use grant::{GrantOrder, ROOT, account_of, valid_name};
pub use grant_list::GrantPage;
pub use model::{
    Arrival, Attached, Counts, Effect, Order, Planned, PoolTerms, ProjectTerms, QueueStatus, SessionId, Terms,
    WorkerStatus,
};
pub use pools::{Member, PoolStatus, Presence};
pub use report::OpenLog;
pub use request::Request;
pub use trigger::{Past, chosen};
pub use update::Origin;
pub use worker::Standing;

use absence::Asked;
use by_worker::ByWorker;
use heads::Heads;
use model::{Build, Lease, Session, Timer};
use queue::Queue;
use record::{
    Answer, BuildId, BuildRow, FollowedRow, GrantId, GrantRow, JobKey, JobRow, LeaseToken, Record, WorkerRow,
};
use request::Requests;
use rest::Rests;
use retry_guard::RetryGuard;
use rows::{Effects, Rows};
use schema::values::{Event, Fact, Refusal, Time};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use tokens::Tokens;

#[derive(Debug)]
pub struct Coordinator {
    terms: Terms,
    builds: BTreeMap<BuildId, Build>,
    /// Project -> the highest build number ever used.
    numbers: BTreeMap<String, u32>,
    heads: Heads,
    /// How the repositories of projects were followed, by project.
    followed: Rows<String, FollowedRow>,
    /// Which life of the store this is.
    incarnation: u64,
    /// Projects whose repositories were not looked at in this life.
    held: BTreeSet<String>,
    queue: Queue,
    rests: Rests,
    leases: ByWorker<LeaseToken, Lease>,
    sessions: ByWorker<SessionId, Session>,
    /// Sessions with a waiting `take`.
    ready: BTreeSet<SessionId>,
    workers: Rows<String, WorkerRow>,
    grants: Rows<GrantId, GrantRow>,
    joins: BTreeMap<[u8; 32], GrantId>,
    by_token: BTreeMap<[u8; 32], GrantId>,
    /// Grants, by the one that they are below.
    children: BTreeSet<(GrantId, GrantId)>,
    /// Those of them that are logins of browsers.
    logins: BTreeSet<(GrantId, GrantId)>,
    /// Grants of an earlier life that are over, whose rows are left.
    old_grants: Vec<GrantId>,
    /// Grants that were revoked or expired, and are kept: when, and which. Of one time children come before their parents.
    ended: BTreeSet<(Time, Reverse<GrantId>)>,
    /// How many grants are in force below one.
    in_force: BTreeMap<GrantId, usize>,
    requests: Requests,
    retry_guard: RetryGuard,
    /// Revoked workers that were asked whether all that they ran has ended.
    answering: BTreeMap<GrantId, Asked>,
    alarms: BTreeMap<alarms::Kind, alarms::Alarm>,
    timers: BTreeSet<(Time, Timer)>,
    effects: Effects,
    tokens: Tokens,
    last_build: u64,
    last_grant: u64,
    last_event: u64,
    last_session: u64,
}

impl Coordinator {
    /// The master file was read again. Jobs that wait keep their order and may go elsewhere; leases keep their terms.
    pub fn set_terms(&mut self, now: Time, terms: Terms) {
        self.terms = terms;
        self.stop_following_others();
        let waiting = self.queue.in_order(usize::MAX);
        self.queue = Queue::default();
        waiting.into_iter().for_each(|job| self.enqueue(now, job));
    }

    /// An operator changed what the master file says.
    pub fn note_file(&mut self, now: Time, request: Request, what: String) -> Result<(), Refusal> {
        self.once(now, request, |this| {
            this.audit(now, request.by, what);
            Ok(Answer::Done)
        })?;
        Ok(())
    }

    /// What must happen outside next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Coordinator::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first().map(|(time, _)| *time)
    }

    pub fn handle_timeout(&mut self, now: Time) {
        while let Some((time, timer)) = self.timers.first().copied() {
            if time > now {
                return;
            }
            self.timers.remove(&(time, timer));
            match timer {
                Timer::Lease(token) => self.lease_timeout(now, token),
                Timer::Cancel(token) => self.cancel_timeout(now, token),
                Timer::Grant(id) => self.grant_timeout(now, id),
                Timer::OldGrants => self.sweep_old_grants(now),
                Timer::Alarms => self.alarms_timeout(now),
                Timer::Overdue(token) => self.overdue_timeout(now, token),
                Timer::Rest(job) => self.rest_timeout(now, job),
                Timer::RestOf(grant) => self.rest_of_timeout(now, grant),
            }
        }
    }

    /// A build that is not finished.
    pub fn open_build_row(&self, id: BuildId) -> Option<&BuildRow> {
        self.builds.get(&id).map(|build| &*build.row)
    }

    /// The number of the newest event.
    pub fn last_event(&self) -> u64 {
        self.last_event
    }

    /// How many jobs wait for a worker.
    pub fn queue_length(&self) -> usize {
        self.queue.len()
    }

    /// Whether a job waits that a connected worker could take, had it room.
    pub fn is_short_of_room(&self) -> bool {
        self.queue.is_wanted()
    }

    /// How many attempts are offered, run, or wait for their worker to come back.
    pub fn lease_count(&self) -> usize {
        self.leases.len()
    }

    /// Changes the row of an open build, and records it.
    fn edit_build(&mut self, id: BuildId, change: impl FnOnce(&mut BuildRow)) -> &BuildRow {
        let build = self.builds.get_mut(&id).expect("an open build");
        build.row.edit(&mut self.effects, change)
    }

    /// Changes the row of a job of an open build, and records it.
    fn edit_job(&mut self, key: JobKey, change: impl FnOnce(&mut JobRow)) -> &JobRow {
        let build = self.builds.get_mut(&key.build).expect("the job's build is open");
        build.jobs[key.index as usize].row.edit(&mut self.effects, change)
    }

    /// Records what is no row of the model. Rows are recorded by their edits.
    fn record(&mut self, record: Record) {
        self.effects.push_back(Effect::Record(record));
    }

    /// An event of a build that is open.
    fn tell(&mut self, now: Time, build: BuildId, fact: Fact) {
        let row = &self.builds[&build].row;
        let (project, number) = (row.project.clone(), row.number);
        self.tell_of(now, &project, number, fact);
    }

    fn tell_of(&mut self, now: Time, project: &str, build: u32, fact: Fact) {
        self.last_event += 1;
        let event = Event { sequence: self.last_event, time: now, project: project.to_owned(), build, fact };
        self.record(Record::Event(event));
    }

    fn audit(&mut self, now: Time, by: GrantId, text: String) {
        self.record(Record::Audit { time: now, by, text });
    }
}
