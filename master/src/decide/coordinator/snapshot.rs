//! The state of the coordinator as plain facts, for the room that explains it to people. Nothing here changes anything, and nothing
//! here is a text for people.

pub(crate) use crate::decide::placement::{
    Ability, Class, Fault, LeaseState, Need, Pools, Rank, Resting, Session, TierNeed, USUAL_TIER,
};

use super::Coordinator;
use super::record::{AttemptRow, BuildId, BuildRow, GrantId, GrantRow, JobKey, JobRow, WorkerRow};
use crate::decide::machine_notes::MachineNotes;
use crate::decide::placement::Lease;
use crate::decide::steady::Steady;
use schema::values::{JobPlan, Time};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// A lease with its attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseView<'a> {
    pub job: JobKey,
    pub attempt: &'a AttemptRow,
    pub state: LeaseState,
    /// Whether no session holds the lease.
    pub is_away: bool,
    /// Why somebody cancelled the attempt. `None` means that nobody did.
    pub cancelled: Option<&'a str>,
}

/// The reason why a job is placed again only when its lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// The worker was revoked a moment ago, and the master has asked it whether everything it ran has ended.
    Answer,
    /// The worker was revoked, and has not answered that everything it ran has ended.
    Silence,
    /// The worker is connected and does not know the job, or a copy of the worker is connected.
    Elsewhere,
    /// The worker is not connected.
    Away,
}

/// A `CoordinatorSnapshot` is a read-only view of the coordinator at one moment.
///
/// Its methods are of four kinds, in this order: builds and jobs, the queue, workers with their leases, and the terms of the master
/// file. The key of a job must belong to an open build, unless the method says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct CoordinatorSnapshot<'a> {
    it: &'a Coordinator,
    /// The moment of the view, by the steady clock, which leases use.
    pub(crate) now: Steady,
}

impl Coordinator {
    pub fn snapshot(&self, now: Time) -> CoordinatorSnapshot<'_> {
        CoordinatorSnapshot { it: self, now: self.ahead.steady(now) }
    }

    pub(super) fn leases(&self) -> impl Iterator<Item = LeaseView<'_>> {
        self.placement.leases().filter_map(|(_, lease)| self.view(lease))
    }

    pub(super) fn leases_of(&self, worker: &str) -> impl Iterator<Item = LeaseView<'_>> {
        self.placement.leases_of(worker).filter_map(|(_, lease)| self.view(lease))
    }

    fn view(&self, lease: &Lease<JobKey>) -> Option<LeaseView<'_>> {
        let Lease { owner, state, session, .. } = lease;
        let attempt = self.attempt(*owner)?;
        let (is_away, cancelled) = (session.is_none(), attempt.cancelled());
        Some(LeaseView { job: *owner, attempt: &attempt.row, state: *state, is_away, cancelled })
    }
}

impl<'a> CoordinatorSnapshot<'a> {
    /// A build that is not finished.
    pub(crate) fn build(self, id: BuildId) -> Option<&'a BuildRow> {
        self.it.open_build_row(id)
    }

    /// The jobs of an open build, in the order of their indices. A finished build has none.
    pub(crate) fn jobs(self, id: BuildId) -> impl Iterator<Item = &'a JobRow> {
        self.it.builds.get(&id).into_iter().flat_map(|build| &build.jobs).map(|job| &*job.row)
    }

    /// The row of a job. `None` means that its build is not open, or has no such job.
    pub(crate) fn find_job(self, key: JobKey) -> Option<&'a JobRow> {
        let build = self.it.builds.get(&key.build)?;
        build.jobs.get(key.index as usize).map(|job| &*job.row)
    }

    pub(crate) fn job(self, key: JobKey) -> &'a JobRow {
        &self.it.job(key).row
    }

    pub(crate) fn project_of(self, key: JobKey) -> &'a str {
        &self.it.builds[&key.build].row.project
    }

    pub(crate) fn plan(self, key: JobKey) -> &'a JobPlan {
        self.it.job_plan(key)
    }

    /// The jobs that this one needs and that are not finished.
    pub(crate) fn open_needs(self, key: JobKey) -> impl Iterator<Item = &'a JobRow> {
        self.it.open_needs(key)
    }

    /// The needs that the job would have if it were queued now.
    pub(crate) fn need_of(self, key: JobKey) -> Need {
        self.it.need_of(key)
    }

    /// The selector of a job, such as `pyfoo/412/test`.
    pub(crate) fn selector(self, key: JobKey) -> String {
        self.it.selector(key)
    }

    /// Whether the build waits for the first look at its repository since the master was restored. `false` for a finished build.
    pub(crate) fn is_held(self, build: BuildId) -> bool {
        self.it.holds(build)
    }

    /// The lease of the job. It is an offer, or it runs, or its term is over and the job waits again.
    pub(crate) fn lease_of(self, key: JobKey) -> Option<LeaseView<'a>> {
        self.it.view(self.it.placement.lease_of(key)?.1)
    }

    /// The needs of a queued job. `None` means that the job is not in the queue.
    pub(crate) fn queued(self, job: JobKey) -> Option<&'a Need> {
        self.it.placement.need(job)
    }

    /// The first jobs of the queue, in the order in which they would be placed.
    pub(crate) fn in_order(self, limit: usize) -> Vec<JobKey> {
        self.it.placement.in_order(limit)
    }

    /// The jobs that would be in the queue if their builds were not held back.
    pub(crate) fn held_jobs(self) -> impl Iterator<Item = JobKey> + 'a {
        self.it.held_jobs()
    }

    /// The rank of the job in the queue, or the rank that it would have if it came now.
    pub(crate) fn rank(self, key: JobKey) -> Rank<JobKey> {
        self.it.placement.rank(key, self.plan(key).priority)
    }

    /// The needs of the jobs before this rank, in order. They are those that `could` accepts, and at most `limit`.
    pub(crate) fn before(self, rank: Rank<JobKey>, could: impl Fn(&Need) -> bool, limit: usize) -> Vec<&'a Need> {
        self.it.placement.before(rank, could, limit)
    }

    /// The connected workers that could take this queued job once they have room.
    pub(crate) fn able(self, job: JobKey) -> impl Iterator<Item = &'a Session> {
        self.it.placement.able(job)
    }

    /// The disconnected workers that could meet this need, as the sessions that they would have if they were connected.
    pub(crate) fn able_and_away(self, need: &Need) -> impl Iterator<Item = Session> {
        self.it.placement.able_among(need, self.it.away())
    }

    /// All workers that are connected or may come back. `true` means connected. Otherwise the worker would have this session.
    pub(crate) fn known(self) -> impl Iterator<Item = (Cow<'a, Session>, bool)> {
        let here = self.it.placement.sessions().map(|(_, session)| (Cow::Borrowed(session), true));
        here.chain(self.it.away().map(|session| (Cow::Owned(session), false)))
    }

    /// The rows of all workers that were not forgotten, by name.
    pub(crate) fn worker_rows(self) -> impl Iterator<Item = &'a WorkerRow> {
        self.it.workers.values().filter(|row| !row.forgotten)
    }

    pub(crate) fn worker(self, name: &str) -> Option<&'a WorkerRow> {
        self.it.workers.get(name)
    }

    /// The session of a worker. `None` means that the worker is not connected.
    pub(crate) fn session_of(self, worker: &str) -> Option<&'a Session> {
        self.it.placement.session_of(worker).map(|(_, session)| session)
    }

    /// The notes that a connected worker sent on its machine. `None` means that the worker is not connected.
    pub(crate) fn machine_of(self, worker: &str) -> Option<&'a MachineNotes> {
        self.it.connection_of(worker).map(|connection| &connection.machine)
    }

    /// The labels in force of a worker that is not connected.
    pub(crate) fn labels_of(self, row: &WorkerRow) -> Vec<(String, String)> {
        self.it.labels_of(row)
    }

    /// Until when the worker comes last for all jobs, and for which fault. `None` means that it does not come last.
    pub(crate) fn resting(self, session: &Session) -> Option<Resting> {
        self.it.placement.resting(&session.worker)
    }

    /// The worker that keeps its room free for this job, which is first in the queue and has waited long.
    pub(crate) fn keeper_of(self, job: JobKey) -> Option<&'a str> {
        self.it.placement.keeper_of(job)
    }

    /// The job for which the worker keeps its room free, or will do so when it next asks for work.
    pub(crate) fn keeps_for(self, session: &Session) -> Option<JobKey> {
        self.it.placement.keeps_next(self.now, &session.worker)
    }

    /// The workers that are passed over for this job alone, because its attempts failed there.
    pub(crate) fn passed_over(self, job: JobKey) -> impl Iterator<Item = &'a str> {
        self.it.placement.passed_over(job)
    }

    pub(crate) fn leases_of(self, worker: &str) -> impl Iterator<Item = LeaseView<'a>> {
        self.it.leases_of(worker)
    }

    /// Returns why the job is placed again only when this lease ends. `None` means that a session holds the lease, or it is not
    /// running.
    pub(crate) fn waits(self, lease: &LeaseView<'_>) -> Option<Waits> {
        self.it.waits(lease)
    }

    pub(crate) fn grant(self, id: GrantId) -> Option<&'a GrantRow> {
        self.it.grants.get(id)
    }

    pub(crate) fn pools(self) -> &'a Pools {
        &self.it.terms.pools
    }

    /// The projects that the master file has.
    pub(crate) fn projects(self) -> impl Iterator<Item = &'a str> {
        self.it.terms.projects.keys().map(String::as_str)
    }

    /// The pools in which jobs of this project may run.
    pub(crate) fn pools_of(self, project: &str) -> BTreeSet<String> {
        self.it.pools_of(project)
    }
}
