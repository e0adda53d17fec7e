//! Random histories from a seed, and the simplest definition of the builds that must stay.

use super::NOW;
use crate::decide::coordinator::record::*;
use crate::keep::store::tests::rows::{Dice, head};
use crate::program::retention::policy::GRACE;
use schema::values::{Change, Event, Fact, Outcome, Plan, SourceRevision, SourceStamp, State, Tier, Time, Trust};
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) struct Past {
    pub(super) row: BuildRow,
    pub(super) jobs: Vec<JobRow>,
    /// One log of each job.
    pub(super) logs: Vec<SealRow>,
}

/// `World` is a random history. Its builds are in the order of their ids.
pub(super) struct World {
    pub(super) builds: Vec<Past>,
    /// The refs that exist, each as its project and its name.
    pub(super) heads: BTreeSet<(String, String)>,
}

impl World {
    pub(super) fn draw(dice: &mut Dice, most: u64) -> World {
        let mut world = World { builds: Vec::new(), heads: BTreeSet::new() };
        let count = 1 + dice.below(most);
        for id in 1..=count {
            let build = world.draw_build(dice, id);
            world.builds.push(build);
        }
        for project in ["p0", "p1"] {
            for number in (0..6).filter(|_| dice.below(3) > 0) {
                world.heads.insert((project.to_owned(), format!("refs/heads/{number}")));
            }
        }
        world
    }

    fn draw_build(&self, dice: &mut Dice, id: u64) -> Past {
        let project = format!("p{}", dice.below(2));
        let number = u32::try_from(self.of(&project).count()).unwrap() + 1;
        let mut row = build(id, &project, number, &format!("refs/heads/{}", dice.below(6)));
        // builds ended within 40 days, and some of them less than an hour ago
        row.finished = (dice.below(8) > 0).then(|| match dice.below(6) {
            0 => Time(NOW.0 - dice.below(GRACE.as_millis() as u64 + 2)),
            _ => Time(row.created.0 + dice.below(3_600_000)),
        });
        row.state = if row.finished.is_some() { State::Finished } else { State::Running };
        row.job_count = if dice.below(4) > 0 { 1 + dice.below(3) as u32 } else { 0 };
        let jobs: Vec<JobRow> = (0..row.job_count).map(|index| self.draw_job(dice, &row, index)).collect();
        let logs = jobs.iter().filter(|job| job.carried_from == 0).map(|job| seal(dice, job.key)).collect();
        Past { row, jobs, logs }
    }

    fn draw_job(&self, dice: &mut Dice, of: &BuildRow, index: u32) -> JobRow {
        let carries = of.number > 1 && dice.below(4) == 0;
        let carried_from = if carries { 1 + dice.below(u64::from(of.number) - 1) as u32 } else { 0 };
        JobRow { carried_from, ..job(JobKey { build: of.id, index }) }
    }

    pub(super) fn of<'a>(&'a self, project: &'a str) -> impl Iterator<Item = &'a Past> + 'a {
        self.builds.iter().filter(move |build| build.row.project == project)
    }

    /// Returns the builds that refer to jobs of this build.
    pub(super) fn carriers<'a>(&'a self, of: &'a Past) -> impl Iterator<Item = &'a Past> + 'a {
        let carries = |build: &&Past| build.jobs.iter().any(|job| job.carried_from == of.row.number);
        self.of(&of.row.project).filter(carries)
    }

    pub(super) fn is_tip(&self, of: &Past) -> bool {
        let ref_name = &of.row.stamp.sources[0].ref_name;
        let same = |build: &&Past| build.row.stamp.sources[0].ref_name == *ref_name;
        let newest = self.of(&of.row.project).filter(same).last();
        let built = self.of(&of.row.project).filter(same);
        let built = built.filter(|build| build.row.state == State::Finished && build.row.job_count > 0).last();
        self.heads.contains(&(of.row.project.clone(), ref_name.clone()))
            && [newest, built].into_iter().flatten().any(|tip| tip.row.id == of.row.id)
    }

    /// Returns the builds that must be removed: all but those that must stay. The set of those grows until no other build follows from it.
    pub(super) fn going(&self, project: &str, kept: u32) -> BTreeSet<BuildId> {
        let all: Vec<&Past> = self.of(project).collect();
        let newest = all.len().saturating_sub(kept as usize);
        let mut stay: BTreeSet<BuildId> = all[newest..].iter().map(|build| build.row.id).collect();
        let young = |build: &Past| build.row.finished.is_none_or(|finished| NOW.since(finished) <= GRACE);
        stay.extend(all.iter().filter(|build| young(build) || self.is_tip(build)).map(|build| build.row.id));
        loop {
            let follows = |build: &&&Past| self.carriers(build).any(|carrier| stay.contains(&carrier.row.id));
            let more: Vec<BuildId> = all.iter().filter(follows).map(|build| build.row.id).collect();
            if more.iter().all(|id| stay.contains(id)) {
                return all.iter().map(|build| build.row.id).filter(|id| !stay.contains(id)).collect();
            }
            stay.extend(more);
        }
    }

    /// Returns the records of the history for a store, with the logs, steps and attempts of builds.
    pub(super) fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for (project, ref_name) in &self.heads {
            records.push(head(project, ref_name, &"a".repeat(40)));
        }
        for build in &self.builds {
            let (id, time) = (build.row.id, build.row.created);
            records.push(Record::Build(build.row.clone()));
            let plan = Plan { version: 1, jobs: Vec::new(), trust: Trust::Trusted };
            records.push(Record::Plan { build: id, plan });
            let change = Change { project: build.row.project.clone(), ..Change::default() };
            records.push(Record::Change { build: Some(id), change: change.clone(), time });
            records.push(Record::Change { build: None, change, time });
            records.extend(build.jobs.iter().cloned().map(Record::Job));
            for seal in &build.logs {
                records.push(Record::Attempt(attempt(seal.key)));
                records.push(Record::Step(step(seal.key)));
                records.push(Record::Seal(seal.clone()));
            }
            let fact = Fact::BuildFinished { outcome: Outcome::Succeeded };
            let (project, build) = (build.row.project.clone(), build.row.number);
            records.push(Record::Event(Event { sequence: id.0, time, origin: None, project, build, fact }));
        }
        records
    }
}

/// Returns a build. The times of builds follow their ids, over 40 days.
pub(crate) fn build(id: u64, project: &str, number: u32, ref_name: &str) -> BuildRow {
    let source =
        SourceRevision { repository: project.to_owned(), ref_name: ref_name.to_owned(), ..SourceRevision::default() };
    BuildRow {
        id: BuildId(id),
        project: project.to_owned(),
        number,
        stamp: SourceStamp { sources: vec![source] },
        cause: BuildCause::Change,
        trust: Trust::Trusted,
        state: State::Finished,
        outcome: Some(Outcome::Succeeded),
        created: Time(NOW.0 - 40 * 86_400_000 + id * 60_000),
        started: None,
        finished: Some(Time(NOW.0 - 40 * 86_400_000 + id * 60_000)),
        subject: String::new(),
        author: String::new(),
        diagnosis: String::new(),
        job_count: 1,
        by: GrantId(1),
        update: 0,
    }
}

pub(crate) fn job(key: JobKey) -> JobRow {
    JobRow {
        key,
        name: format!("j{}", key.index),
        state: State::Finished,
        outcome: Some(Outcome::Succeeded),
        reason: String::new(),
        attempt: 1,
        worker: "w".to_owned(),
        ..JobRow::default()
    }
}

pub(crate) fn attempt(key: StepKey) -> AttemptRow {
    AttemptRow {
        job: key.job,
        number: key.attempt,
        token: LeaseToken([0; 16]),
        grant: GrantId(1),
        worker: "w".to_owned(),
        started: Time(1),
        finished: Some(Time(2)),
        outcome: Some(Outcome::Succeeded),
        reason: String::new(),
        isolation: Some(Tier::Guard.into()),
        placed: None,
        term: Duration::from_secs(600),
        home: None,
    }
}

pub(super) fn step(key: StepKey) -> StepRow {
    StepRow {
        key,
        name: "make".to_owned(),
        state: State::Finished,
        outcome: Some(Outcome::Succeeded),
        exit: schema::values::Exit::Code(0),
        started: Some(Time(1)),
        finished: Some(Time(2)),
        log_size: 0,
        log_hash: Vec::new(),
        tests: None,
    }
}

/// Returns the seal of a random log. Half of the logs are small, so their bytes are in the store.
fn seal(dice: &mut Dice, job: JobKey) -> SealRow {
    let key = StepKey { job, attempt: 1, step: 0 };
    match dice.below(2) {
        0 => SealRow { key, size: 10_000, hash: [0; 32], bytes: Some(vec![b'x'; 10_000]) },
        _ => SealRow { key, size: 70_000 + dice.below(60_000), hash: [0; 32], bytes: None },
    }
}
