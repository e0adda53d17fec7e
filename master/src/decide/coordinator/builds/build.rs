//! The life of a build: its plan arrives, its jobs become ready and finish, and the build finishes with its last job.

use crate::decide::builds::{AddedJob, AfterNeeds, Build, Job, OpenAttempt, Planned};
use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::model::Effect;
use crate::decide::coordinator::record::{AttemptRow, BuildId, JobKey, JobRow, LeaseToken};
use crate::decide::placement::{Ending, LeaseState};
use schema::limits::DIAGNOSIS;
use schema::values::{Fact, JobPlan, Outcome, Plan, Refusal, RefusalCode, State, Time};
use std::collections::VecDeque;

impl Coordinator {
    /// Takes the answer to [`Effect::Plan`]. It is ignored if the build is no longer planning, because it was cancelled.
    pub fn plan_ready(&mut self, now: Time, id: BuildId, planned: Planned) {
        if self.builds.get(&id).is_none_or(|build| build.row.state != State::Planning) {
            return;
        }
        match planned {
            Planned::Plan(plan) => self.adopt(now, id, plan, Vec::new()),
            Planned::Skip(why) => self.finish_unplanned(now, id, Outcome::Skipped, why),
            Planned::Broken(diagnosis) => self.finish_unplanned(now, id, Outcome::Failed, diagnosis),
            Planned::Trouble(why) => self.finish_unplanned(now, id, Outcome::Errored, why),
        }
    }

    /// Cancels a build, or one of its jobs. The master asks running attempts to end, and fences those that do not.
    pub(in crate::decide::coordinator) fn cancel_jobs(
        &mut self,
        now: Time,
        id: BuildId,
        only: Option<&str>,
        why: &str,
    ) -> Result<(), Refusal> {
        let build = self.builds.get(&id).ok_or_else(finished)?;
        if build.row.state == State::Planning {
            self.finish_unplanned(now, id, Outcome::Cancelled, why.to_owned());
            return Ok(());
        }
        let jobs = build.open_jobs().filter(|job| only.is_none_or(|name| job.row.name == name));
        let keys: Vec<JobKey> = jobs.map(|job| job.row.key).collect();
        if keys.is_empty() {
            return Err(match only {
                Some(name) if !build.jobs.iter().any(|job| job.row.name == name) => no_such_job(name),
                Some(_) | None => finished(),
            });
        }
        for key in keys {
            self.cancel_job(now, key, why);
        }
        Ok(())
    }

    /// Cancels the jobs of a build that no worker has been offered yet, and lets the others go on. If it has no plan yet, it ends.
    pub(in crate::decide::coordinator) fn cancel_waiting(&mut self, now: Time, id: BuildId, why: &str) {
        let Some(build) = self.builds.get(&id) else {
            return;
        };
        if build.row.state == State::Planning {
            return self.finish_unplanned(now, id, Outcome::Cancelled, why.to_owned());
        }
        let idle = |job: &&Job| matches!(job.row.state, State::Waiting | State::Queued);
        let keys: Vec<JobKey> = build.jobs.iter().filter(idle).map(|job| job.row.key).collect();
        for key in keys {
            self.cancel_job(now, key, why);
        }
    }

    /// Returns the queued jobs of this build that no worker could ever take, whether the workers are connected or away.
    pub fn unplaceable(&self, id: BuildId) -> Vec<JobKey> {
        let jobs = self.builds.get(&id).into_iter().flat_map(|build| &build.jobs);
        let queued = jobs.filter(|job| job.row.state == State::Queued).map(|job| job.row.key);
        queued.filter(|job| !self.is_placeable(*job)).collect()
    }

    /// Ends a job as errored if no worker could ever take it. `why` is the reason that its row keeps.
    pub fn fail_unplaceable(&mut self, now: Time, job: JobKey, why: &str) {
        if !self.is_placeable(job) {
            self.finish_job(now, job, Outcome::Errored, why);
        }
    }

    /// Ends the open jobs of a build as errored, because they cannot run any more.
    pub(in crate::decide::coordinator) fn fail_open_jobs(&mut self, now: Time, id: BuildId, why: &str) {
        let open = self.builds.get(&id).into_iter().flat_map(Build::open_jobs);
        let open: Vec<JobKey> = open.map(|job| job.row.key).collect();
        open.into_iter().for_each(|key| self.close_job(now, key, Outcome::Errored, why));
        self.settle_build(now, id);
    }

    /// The jobs that this one needs and that are not finished.
    pub(in crate::decide::coordinator) fn open_needs(&self, key: JobKey) -> impl Iterator<Item = &JobRow> {
        self.builds[&key.build].open_needs(key.index)
    }

    /// Gives a build the jobs of its plan. `carried` has the indices and rows of the jobs that a retry does not repeat.
    pub(in crate::decide::coordinator) fn adopt(
        &mut self,
        now: Time,
        id: BuildId,
        plan: Plan,
        carried: Vec<(usize, JobRow)>,
    ) {
        let build = self.builds.get_mut(&id).expect("a build that is being planned");
        let jobs = build.adopt(plan, carried, &mut self.effects);
        self.tell(now, id, Fact::BuildPlanned { jobs });
        self.settle(now, id);
    }

    /// Adds all of these jobs to a build that is planned and not finished, or adds none. The existing jobs of the build keep their
    /// keys. The whole plan is recorded and announced again.
    pub fn append(&mut self, now: Time, id: BuildId, jobs: Vec<AddedJob>) -> Result<(), Refusal> {
        let build = self.builds.get_mut(&id).ok_or_else(finished)?;
        let (first, jobs) = build.append(jobs, &mut self.effects)?;
        self.tell(now, id, Fact::BuildPlanned { jobs });
        self.settle_from(now, id, first);
        Ok(())
    }

    /// Queues each waiting job whose needs are met, and skips each whose needs cannot be met. Ends the build if all its jobs have
    /// finished.
    pub(in crate::decide::coordinator) fn settle(&mut self, now: Time, id: BuildId) {
        self.settle_from(now, id, 0);
    }

    /// Like [`Coordinator::settle`], but only for the jobs from the index `first` on.
    fn settle_from(&mut self, now: Time, id: BuildId, first: u32) {
        let count = self.builds.get(&id).map_or(0, |build| build.jobs.len());
        self.settle_jobs(now, id, (0..).take(count).skip(first as usize).collect());
        self.settle_build(now, id);
    }

    /// Ends a job in any state. Then settles the jobs that need it, and the build.
    pub(in crate::decide::coordinator) fn finish_job(
        &mut self,
        now: Time,
        key: JobKey,
        outcome: Outcome,
        reason: &str,
    ) {
        self.close_job(now, key, outcome, reason);
        let needed_by = self.job(key).needed_by.iter().copied().collect();
        self.settle_jobs(now, key.build, needed_by);
        self.settle_build(now, key.build);
    }

    /// Queues or skips the waiting jobs with these indices, as their needs allow, and then the jobs that need a skipped one. It does not
    /// recurse, because a chain of needs may be as long as a plan.
    fn settle_jobs(&mut self, now: Time, build: BuildId, mut open: VecDeque<u32>) {
        while let Some(index) = open.pop_front() {
            let key = JobKey { build, index };
            if let Some((outcome, why)) = self.settle_job(now, key) {
                self.close_job(now, key, outcome, &why);
                open.extend(&self.job(key).needed_by);
            }
        }
    }

    /// Queues a job whose needs are met. If the job ends at once instead, returns its outcome and the reason.
    fn settle_job(&mut self, now: Time, key: JobKey) -> Option<(Outcome, String)> {
        match self.builds.get(&key.build).map_or(AfterNeeds::Stays, |build| build.after_needs(key.index)) {
            AfterNeeds::Stays => None,
            AfterNeeds::Ready => self.make_ready(now, key).map(|why| (Outcome::Errored, why)),
            AfterNeeds::Skipped(why) => Some((Outcome::Skipped, why)),
        }
    }

    /// Marks the build as running, because a job of it has started.
    pub(in crate::decide::coordinator) fn begin_build(&mut self, now: Time, id: BuildId) {
        self.builds.get_mut(&id).expect("a job of it started").begin(now, &mut self.effects);
    }

    /// Queues a job. If no worker may take the job, returns the reason.
    fn make_ready(&mut self, now: Time, key: JobKey) -> Option<String> {
        let name = self.set_queued(now, key).name.clone();
        self.tell(now, key.build, Fact::JobQueued { job: name });
        self.try_enqueue(now, key)
    }

    /// Marks the job as queued: it waits for a worker from now on.
    pub(in crate::decide::coordinator) fn set_queued(&mut self, now: Time, key: JobKey) -> &JobRow {
        self.edit_job(key, |row| (row.state, row.queued) = (State::Queued, Some(now)))
    }

    fn close_job(&mut self, now: Time, key: JobKey, outcome: Outcome, reason: &str) {
        match self.placement.withdraw(self.ahead.steady(now), key) {
            Some((token, lease)) if lease.state == LeaseState::Offered => self.drop_offer(token, &lease, reason),
            Some((token, lease)) => self.end_lease(now, token, &lease, outcome, reason),
            None => {}
        }
        let build = self.builds.get_mut(&key.build).expect("the job's build is open");
        let (name, reason) = build.close_job(now, key.index, outcome, reason, &mut self.effects);
        let build = &self.builds[&key.build];
        self.effects.extend(build.reports_tests(key.index).then_some(Effect::Tested));
        if let Some(of_lane) = build.told_to_lane(key.index as usize) {
            self.note_lane(now, key, of_lane);
        }
        self.tell(now, key.build, Fact::JobFinished { job: name, outcome, reason });
    }

    fn settle_build(&mut self, now: Time, id: BuildId) {
        if let Some(outcome) = self.builds.get(&id).and_then(Build::outcome) {
            self.finish_build(now, id, outcome, String::new());
        }
    }

    fn finish_unplanned(&mut self, now: Time, id: BuildId, outcome: Outcome, diagnosis: String) {
        self.finish_build(now, id, outcome, DIAGNOSIS.cut(&diagnosis).into_owned());
    }

    /// Finishes the build. `diagnosis` says why there is no plan, and is empty if there is a plan.
    fn finish_build(&mut self, now: Time, id: BuildId, outcome: Outcome, diagnosis: String) {
        let build = self.builds.remove(&id).expect("a build finishes once");
        let (project, number) = (build.row.project.clone(), build.row.number);
        build.finish(now, outcome, diagnosis, &mut self.effects);
        self.tell_of(now, &project, number, Fact::BuildFinished { outcome });
        self.effects.push_back(Effect::Finished { build: id });
    }

    fn cancel_job(&mut self, now: Time, key: JobKey, why: &str) {
        // An earlier cancellation may have finished this job, or the whole build.
        let open = self.builds.get(&key.build).and_then(|build| build.jobs.get(key.index as usize));
        let Some(job) = open.filter(|job| job.row.state != State::Finished) else {
            return;
        };
        debug_assert!(job.row.key == key, "jobs stand at their index");
        match self.placement.lease_of(key) {
            Some((token, lease)) if lease.state == LeaseState::Running => self.ask_to_end(now, token, key, why),
            Some(_) | None => self.finish_job(now, key, Outcome::Cancelled, why),
        }
    }

    /// Asks the worker to end an attempt. If it was asked before, the `always` steps must end too. The first reason stays.
    fn ask_to_end(&mut self, now: Time, token: LeaseToken, job: JobKey, why: &str) {
        let first = self.attempt(job).and_then(OpenAttempt::cancelled).map(str::to_owned);
        let deadline = match first {
            None => self.cancel_deadline(now, job),
            Some(_) => self.ahead.steady(now).after(self.terms.cancel),
        };
        let Some(Ending { is_urgent, .. }) = self.placement.end_by(token, deadline) else { return };
        if first.is_none() {
            // The cancellation is recorded with the attempt, so that a restart of the master remembers it.
            let ended = (Some(Outcome::Cancelled), why.to_owned());
            self.edit_attempt(job, |row| (row.outcome, row.reason) = ended);
        }
        if let Some(session) = self.placement.lease(token).and_then(|lease| lease.session) {
            let reason = first.unwrap_or_else(|| why.to_owned());
            self.effects.push_back(Effect::Cancel { session, token, reason, now: is_urgent });
        }
    }

    /// Changes and records the attempt of a job that has a lease. Returns the number of the attempt, and its worker.
    pub(in crate::decide::coordinator) fn edit_attempt(
        &mut self,
        key: JobKey,
        change: impl FnOnce(&mut AttemptRow),
    ) -> (u16, String) {
        let build = self.builds.get_mut(&key.build).expect("the job's build is open");
        let attempt = build.jobs[key.index as usize].attempt.as_mut().expect("a lease has its attempt");
        let row = attempt.row.edit(&mut self.effects, change);
        (row.number, row.worker.clone())
    }

    pub(in crate::decide::coordinator) fn find_job(&self, key: JobKey) -> Option<&Job> {
        self.builds.get(&key.build)?.jobs.get(key.index as usize)
    }

    pub(in crate::decide::coordinator) fn job(&self, key: JobKey) -> &Job {
        &self.builds[&key.build].jobs[key.index as usize]
    }

    pub(in crate::decide::coordinator) fn job_mut(&mut self, key: JobKey) -> &mut Job {
        &mut self.builds.get_mut(&key.build).expect("the job's build is open").jobs[key.index as usize]
    }

    pub(in crate::decide::coordinator) fn job_plan(&self, key: JobKey) -> &JobPlan {
        self.builds[&key.build].job_plan(key.index)
    }
}

pub(super) fn finished() -> Refusal {
    Refusal::new(RefusalCode::Conflict, "it has already finished")
}

fn no_such_job(name: &str) -> Refusal {
    Refusal::new(RefusalCode::NotFound, format!("the build has no job `{name}`"))
}
