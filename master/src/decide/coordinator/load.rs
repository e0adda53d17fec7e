//! Makes the coordinator from the store, after a clean stop and after a crash alike.

use crate::decide::alarms::Alarms;
use crate::decide::builds::{Build, OpenAttempt, RetryGuard};
use crate::decide::claims::LaneClaims;
use crate::decide::coordinator::model::Effects;
use crate::decide::coordinator::place::placement_terms;
use crate::decide::coordinator::record::{BuildRow, JobKey, JobRow, Loaded, LoadedAttempt, LoadedBuild, StoredPlan};
use crate::decide::coordinator::{Coordinator, Terms};
use crate::decide::crons::Crons;
use crate::decide::grants::Grants;
use crate::decide::placement::{Placement, Restored};
use crate::decide::records::{Row, Rows, Steps};
use crate::decide::refs::{Followed, Heads};
use crate::decide::requests::Requests;
use crate::decide::steady::Ahead;
use schema::values::{Outcome, Plan, State, Time, UnreadablePlan};
use std::collections::BTreeMap;

impl Coordinator {
    /// Makes the coordinator from the contents of the store. Every lease gets a full term from `now`, and plans that were asked for
    /// before are asked for again. `key` has 32 random bytes, from which lease tokens are drawn.
    pub fn load(now: Time, terms: Terms, loaded: Loaded, key: [u8; 32]) -> Coordinator {
        Coordinator::load_by(now, Ahead::default(), terms, loaded, key)
    }

    /// Like [`Coordinator::load`], but with the present difference of the two clocks. Somebody may have set the wall clock since the
    /// start, for example while a large store was migrated.
    pub fn load_by(now: Time, ahead: Ahead, terms: Terms, loaded: Loaded, key: [u8; 32]) -> Coordinator {
        let (following, mut effects) = (Followed::load(&loaded), Effects::new());
        let mut this = Coordinator {
            placement: Placement::new(placement_terms(&terms), key),
            connections: BTreeMap::new(),
            terms,
            builds: BTreeMap::new(),
            numbers: loaded.numbers.into_iter().collect(),
            heads: Heads::load(loaded.heads),
            crons: Crons::load(loaded.crons),
            claims: LaneClaims::load(loaded.claims),
            following,
            workers: Rows::loaded(loaded.workers, |row| row.name.clone()),
            grants: Grants::load(now, loaded.grants, loaded.last_grant, &mut effects),
            requests: Requests::load(loaded.requests),
            retry_guard: RetryGuard::default(),
            answering: BTreeMap::new(),
            alarms: Alarms::default(),
            effects,
            last_build: loaded.last_build,
            last_event: loaded.last_event,
            ahead,
        };
        for build in loaded.builds {
            this.load_build(now, build);
        }
        this
    }

    fn load_build(&mut self, now: Time, (row, plan, jobs, attempts): LoadedBuild) {
        let id = row.id;
        let (plan, unreadable) = known_plan(plan, &jobs);
        let build = loaded_build(row, plan, jobs);
        let (planning, count) = (build.row.state == State::Planning, build.jobs.len());
        self.builds.insert(id, build);
        if planning {
            self.ask_for_plan(id);
            return;
        }
        for attempt in attempts.into_iter().filter(|(attempt, _)| attempt.finished.is_none()) {
            self.load_lease(now, attempt);
        }
        for index in (0..).take(count) {
            self.load_job(now, JobKey { build: id, index });
        }
        match unreadable {
            Some(error) => self.fail_open_jobs(now, id, &error.to_string()),
            None => self.settle(now, id),
        }
    }

    fn load_lease(&mut self, now: Time, (mut attempt, steps): LoadedAttempt) {
        let (job, token) = (attempt.job, attempt.token);
        let lapsed = self.job(job).row.state != State::Running;
        if attempt.term.is_zero() {
            attempt.term = self.terms.longest_lease();
        }
        let is_cancelled = attempt.outcome == Some(Outcome::Cancelled);
        let restored = Restored {
            owner: job,
            need: self.need_of(job),
            worker: attempt.worker.clone(),
            term: attempt.term,
            has_lapsed: lapsed,
            ends_by: is_cancelled.then(|| self.cancel_within(now, job, std::time::Duration::MAX)),
            limits: self.limits_at_most(job),
        };
        self.placement.restore(self.ahead.steady(now), token, restored);
        self.job_mut(job).attempt = Some(OpenAttempt { row: Row::loaded(attempt), steps: Steps::loaded(steps) });
    }

    /// Queues a job again if it waited for a worker. A job that was offered at a crash also does, because offers are not recorded.
    fn load_job(&mut self, now: Time, key: JobKey) {
        // The end of an earlier job may have ended the whole build.
        let job = self.builds.get(&key.build).map(|build| &build.jobs[key.index as usize]);
        if job.is_some_and(|job| job.row.state == State::Queued) {
            self.enqueue(now, key);
        }
    }
}

/// Returns the plan as far as it is known. If this version cannot read it, a plan with the names of the job rows takes its place, so
/// that the jobs can be ended.
fn known_plan(plan: StoredPlan, jobs: &[JobRow]) -> (Option<Plan>, Option<UnreadablePlan>) {
    match plan {
        Ok(plan) => (plan, None),
        Err(error) => (Some(Plan::of_names(jobs.iter().map(|row| row.name.as_str()))), Some(error)),
    }
}

fn loaded_build(row: BuildRow, plan: Option<Plan>, jobs: Vec<JobRow>) -> Build {
    let mut build = Build::new(Row::loaded(row));
    if let Some(plan) = plan {
        build.take_plan(plan, jobs.into_iter().map(Row::loaded).collect());
    }
    build
}
