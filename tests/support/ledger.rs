//! A store in memory, made of a few maps. It takes records like the real store, and returns the state from which a coordinator
//! starts. It also checks promises about records: finished builds and jobs never change, and events have no gaps.

use master::decide::coordinator::record::{
    AttemptRow, BuildId, BuildRow, ClaimKey, ClaimRow, CronKey, CronRow, FollowedRow, GrantRow, HeadRow, JobKey,
    JobRow, Loaded, Record, RequestRow, StepKey, StepRow, WorkerRow,
};
use schema::values::{Event, Fact, Plan, State};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub builds: BTreeMap<BuildId, BuildRow>,
    pub plans: BTreeMap<BuildId, Plan>,
    pub jobs: BTreeMap<JobKey, JobRow>,
    pub attempts: BTreeMap<(JobKey, u16), AttemptRow>,
    pub steps: BTreeMap<StepKey, StepRow>,
    pub grants: BTreeMap<u64, GrantRow>,
    pub workers: BTreeMap<String, WorkerRow>,
    pub heads: BTreeMap<(String, String), HeadRow>,
    pub followed: BTreeMap<String, FollowedRow>,
    pub crons: BTreeMap<CronKey, CronRow>,
    pub claims: BTreeMap<ClaimKey, ClaimRow>,
    pub requests: Vec<RequestRow>,
    pub events: Vec<Event>,
}

impl Ledger {
    pub fn write(&mut self, record: Record) {
        match record {
            Record::Build(row) => self.write_build(row),
            Record::Plan { build, plan } => {
                let jobs = plan.jobs.clone();
                let before = self.plans.insert(build, plan).map(|plan| plan.jobs).unwrap_or_default();
                let is_longer = before.is_empty() || before.len() < jobs.len();
                assert!(is_longer && jobs.starts_with(&before), "{build:?} is planned twice");
            }
            Record::Job(row) => self.write_job(row),
            Record::Attempt(row) => self.write_attempt(row),
            Record::Head(row) => {
                self.heads.insert((row.project.clone(), row.ref_name.clone()), row);
            }
            Record::HeadForgotten { project, ref_name } => {
                self.heads.remove(&(project, ref_name));
            }
            Record::Followed(row) => {
                self.followed.insert(row.project.clone(), row);
            }
            Record::Cron(row) => {
                self.crons.insert(row.key.clone(), row);
            }
            Record::CronForgotten(key) => {
                self.crons.remove(&key);
            }
            Record::Claim(row) => {
                self.claims.insert(row.key.clone(), row);
            }
            Record::ClaimForgotten(key) => {
                self.claims.remove(&key);
            }
            Record::Grant(row) => {
                self.grants.insert(row.id.0, row);
            }
            Record::GrantForgotten(id) => {
                self.grants.remove(&id.0);
            }
            Record::Worker(row) => {
                self.workers.insert(row.name.clone(), row);
            }
            Record::Request(row) => self.requests.push(row),
            Record::Event(event) => {
                assert_eq!(event.sequence, self.events.len() as u64 + 1, "the events have a gap");
                let of_step = matches!(event.fact, Fact::StepStarted { .. } | Fact::StepFinished { .. });
                let is_same = |other: &Event| other.fact == event.fact && other.build == event.build;
                assert!(!of_step || !self.events.iter().any(is_same), "told twice: {event:?}");
                self.events.push(event);
            }
            Record::Step(row) => {
                let before = self.steps.insert(row.key, row);
                assert!(before.is_none_or(|before| before.state != State::Finished), "a finished step changed");
            }
            Record::Seal(_) | Record::Blob(_) | Record::Change { .. } | Record::Audit { .. } => {}
            // reporters write these records; the coordinator does not
            Record::Lane { .. } | Record::Reporter(_) | Record::Told(_) | Record::Reporters(_) => {}
        }
    }

    /// Returns the state from which a coordinator starts after a crash.
    pub fn load(&self) -> Loaded {
        let open = self.builds.values().filter(|row| row.state != State::Finished);
        let builds = open.map(|row| {
            let jobs: Vec<JobRow> = self.jobs.values().filter(|job| job.key.build == row.id).cloned().collect();
            let latest = jobs.iter().filter_map(|job| self.attempts.get(&(job.key, job.attempt)));
            let latest = latest.map(|attempt| (attempt.clone(), self.steps_of(attempt))).collect();
            (row.clone(), Ok(self.plans.get(&row.id).cloned()), jobs, latest)
        });
        let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
        for row in self.builds.values() {
            let number = numbers.entry(row.project.clone()).or_default();
            *number = row.number.max(*number);
        }
        Loaded {
            incarnation: 1,
            builds: builds.collect(),
            grants: self.grants.values().cloned().collect(),
            workers: self.workers.values().cloned().collect(),
            heads: self.heads.values().cloned().collect(),
            followed: self.followed.values().cloned().collect(),
            crons: self.crons.values().cloned().collect(),
            claims: self.claims.values().cloned().collect(),
            requests: self.requests.clone(),
            numbers: numbers.into_iter().collect(),
            last_build: self.builds.keys().next_back().map_or(0, |id| id.0),
            last_grant: self.grants.keys().next_back().copied().unwrap_or(0),
            last_event: self.events.len() as u64,
        }
    }

    fn steps_of(&self, attempt: &AttemptRow) -> Vec<StepRow> {
        let is_of = |row: &&StepRow| row.key.job == attempt.job && row.key.attempt == attempt.number;
        self.steps.values().filter(is_of).cloned().collect()
    }

    fn write_build(&mut self, row: BuildRow) {
        let before = self.builds.insert(row.id, row.clone());
        if let Some(before) = before {
            assert!(before.state != State::Finished, "finished build {:?} changed", row.id);
            assert_eq!((before.number, &before.stamp), (row.number, &row.stamp), "a build became another");
        }
    }

    fn write_job(&mut self, row: JobRow) {
        let before = self.jobs.insert(row.key, row.clone());
        if let Some(before) = before {
            assert!(before.state != State::Finished, "finished job {} changed", row.name);
        }
    }

    fn write_attempt(&mut self, row: AttemptRow) {
        let before = self.attempts.insert((row.job, row.number), row.clone());
        if let Some(before) = before {
            assert_eq!(before.token, row.token, "attempt {} of {:?} has two leases", row.number, row.job);
            assert!(before.finished.is_none(), "attempt {} of {:?} ended twice", row.number, row.job);
        }
    }
}
