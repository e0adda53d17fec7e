//! A branch as its newest builds show it: its commits, and of each lane what every commit came to. Pure.

use super::lanes::{Run, Said, Verdict};
use crate::coordinator::record::{BuildRow, JobRow, ToldRow, Turn};
use crate::store::reporters::Window;
use schema::values::{Outcome, State, Time};
use std::collections::{BTreeMap, BTreeSet};

/// The builds of a branch by commit.
#[derive(Debug, Default)]
pub(super) struct Branch {
    /// Whole ids, each once.
    pub(super) commits: Vec<String>,
    pub(super) is_whole: bool,
    /// Of each commit its builds, the newest first.
    builds: Vec<Vec<Built>>,
}

#[derive(Debug)]
struct Built {
    row: BuildRow,
    jobs: BTreeMap<String, JobRow>,
}

/// A lane's result of one commit, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decided<'a> {
    pub(super) build: &'a BuildRow,
    pub(super) job: &'a JobRow,
}

impl Branch {
    pub(super) fn of(window: Window) -> Branch {
        let mut branch = Branch { is_whole: window.is_whole, ..Branch::default() };
        let mut places = BTreeMap::new();
        for (row, jobs) in window.builds {
            let Some(source) = row.stamp.sources.first() else { continue };
            let place = *places.entry(source.revision.clone()).or_insert(branch.commits.len());
            if place == branch.commits.len() {
                branch.commits.push(source.revision.clone());
                branch.builds.push(Vec::new());
            }
            let jobs = jobs.into_iter().map(|job| (job.name.clone(), job)).collect();
            branch.builds[place].push(Built { row, jobs });
        }
        branch
    }

    /// The names of all jobs that ran, or will.
    pub(super) fn lanes(&self) -> BTreeSet<&str> {
        let jobs = self.builds.iter().flatten().flat_map(|built| built.jobs.values());
        jobs.filter(|job| job.carried_from == 0).map(|job| job.name.as_str()).collect()
    }

    /// Of each commit.
    pub(super) fn runs(&self, lane: &str) -> Vec<Run> {
        (0..self.commits.len()).map(|place| self.run(lane, place)).collect()
    }

    /// What gave a commit its verdict.
    pub(super) fn result(&self, lane: &str, place: usize) -> Option<Decided<'_>> {
        let built = self.builds[place].iter().find(|built| verdict(built, lane).is_some_and(is_conclusive))?;
        Some(Decided { build: &built.row, job: built.jobs.get(lane)? })
    }

    /// What was told of a lane; `rows` in the order of time.
    pub(super) fn said(&self, lane: &str, rows: &[ToldRow]) -> Said {
        let mut said = Said::default();
        for row in rows.iter().filter(|row| row.job == lane) {
            match (self.commits.iter().position(|commit| *commit == row.revision), row.turn) {
                (Some(place), Turn::NewlyFailing) => drop(said.failing.insert(place)),
                (Some(place), Turn::Fixed) => drop(said.fixed.insert(place)),
                (None, turn) => said.is_failing_before = turn == Turn::NewlyFailing,
            }
        }
        said
    }

    /// The newest build that came to something counts; else whatever is still open.
    fn run(&self, lane: &str, place: usize) -> Run {
        let verdicts: Vec<Verdict> = self.builds[place].iter().filter_map(|built| verdict(built, lane)).collect();
        let has = |wanted| verdicts.contains(&wanted);
        let verdict = match verdicts.iter().copied().find(|verdict| is_conclusive(*verdict)) {
            Some(verdict) => verdict,
            None if has(Verdict::Open) => Verdict::Open,
            None if has(Verdict::Absent) => Verdict::Absent,
            None => Verdict::Silent,
        };
        let ended = self.result(lane, place).and_then(|result| result.job.finished);
        Run { verdict, ended: ended.unwrap_or(Time(0)) }
    }
}

/// None: the build has nothing to say of the lane, and never will.
fn verdict(built: &Built, lane: &str) -> Option<Verdict> {
    if built.row.state == State::Planning {
        return Some(Verdict::Open);
    }
    let Some(job) = built.jobs.get(lane) else {
        return (built.row.job_count > 0).then_some(Verdict::Absent);
    };
    match (job.state, job.outcome) {
        // it ran in another build, which counts
        _ if job.carried_from > 0 => None,
        (State::Finished, Some(Outcome::Succeeded | Outcome::Warned)) => Some(Verdict::Good),
        (State::Finished, Some(Outcome::Failed)) => Some(Verdict::Bad),
        (State::Finished, _) => Some(Verdict::Silent),
        _ => Some(Verdict::Open),
    }
}

fn is_conclusive(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Good | Verdict::Bad)
}

#[cfg(test)]
#[path = "branch_tests.rs"]
mod tests;
