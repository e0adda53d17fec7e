//! Keeps retries and removals of finished builds apart. The coordinator does not hold finished builds, but a retry refers to one, and
//! retention removes them. So a retry says how many removals had ended when it read the store, and a removal says how many retries had
//! been made. Each is refused if one of the other kind came between.

use crate::decide::records::{BuildId, BuildRow, JobRow};
use schema::values::{Outcome, Plan, Refusal, RefusalCode, State};
use std::collections::BTreeSet;

/// A finished build that was read from history to be retried.
#[derive(Clone, Debug)]
pub struct Past {
    pub row: BuildRow,
    pub plan: Plan,
    pub jobs: Vec<JobRow>,
    /// The number of removals that had ended before the build was read.
    pub removals: u64,
}

/// The plan of a retry, with the jobs that it does not repeat.
pub(in crate::decide) struct Retried {
    pub plan: Plan,
    /// The indices and rows of the jobs that the retry does not repeat. They are finished from the start, and say in which build they
    /// ran.
    pub carried: Vec<(usize, JobRow)>,
}

impl Past {
    /// The jobs and results with which a retry begins, if it repeats the jobs of these indices and the jobs that need them.
    pub(in crate::decide) fn retried(self, again: &[usize], id: BuildId) -> Retried {
        let carried = self.carried(again, id);
        let mut plan = self.plan;
        for (index, job) in plan.jobs.iter_mut().enumerate() {
            let is_carried = carried.binary_search_by_key(&index, |(index, _)| *index).is_ok();
            // `when` may depend on the cause of the build, and a retry has another cause.
            if let Some(skipped) = job.skipped_in_retry.as_ref().filter(|_| !is_carried) {
                job.skipped.clone_from(skipped);
            }
        }
        Retried { plan, carried }
    }

    fn carried(&self, again: &[usize], id: BuildId) -> Vec<(usize, JobRow)> {
        let mut repeat = vec![false; self.plan.jobs.len()];
        for index in again {
            repeat[*index] = true;
        }
        for (index, job) in self.plan.jobs.iter().enumerate() {
            // A job stands after the jobs that it needs, so one pass is enough.
            repeat[index] |= job.needs.iter().any(|need| repeat[*need as usize]);
        }
        let kept = self.jobs.iter().enumerate().filter(|(index, row)| !repeat[*index] && row.state == State::Finished);
        kept.map(|(index, row)| (index, carried_by(row, id, self.row.number))).collect()
    }
}

/// The row of a job that ran in the build with the number `from`, as the retry `id` carries it.
fn carried_by(row: &JobRow, id: BuildId, from: u32) -> JobRow {
    let mut row = row.clone();
    row.key.build = id;
    if row.carried_from == 0 {
        row.carried_from = from;
    }
    row
}

/// The indices of the jobs that a retry of a finished build repeats: the named jobs, the jobs that did not succeed, or all.
pub fn chosen(past: &Past, names: &[String], failed: bool) -> Result<Vec<usize>, Refusal> {
    for name in names {
        if !past.jobs.iter().any(|row| row.name == *name) {
            let what = format!("build {}/{} has no job `{name}`", past.row.project, past.row.number);
            return Err(Refusal::new(RefusalCode::NotFound, what));
        }
    }
    let wanted = |row: &JobRow| match (names.is_empty(), failed) {
        (false, _) => names.contains(&row.name),
        (true, true) => row.outcome.is_none_or(|outcome| !matches!(outcome, Outcome::Succeeded | Outcome::Warned)),
        (true, false) => true,
    };
    Ok(past.jobs.iter().enumerate().filter(|(_, row)| wanted(row)).map(|(index, _)| index).collect())
}

/// Keeps retries and removals of finished builds apart.
#[derive(Debug, Default)]
pub(in crate::decide) struct RetryGuard {
    /// The number of retries that were made.
    retries: u64,
    /// The number of removals that have ended.
    removals: u64,
    /// The builds that the present removal is removing.
    going: BTreeSet<BuildId>,
}

impl RetryGuard {
    /// Notes a retry of this build. Refuses it if a removal came between.
    pub(in crate::decide) fn retry(&mut self, past: &Past) -> Result<(), Refusal> {
        if past.removals != self.removals || self.going.contains(&past.row.id) {
            let text = "old builds were removed while this one was read";
            return Err(Refusal::new(RefusalCode::Unavailable, text).help("ask again"));
        }
        self.retries += 1;
        Ok(())
    }

    /// The number of times that a finished build was retried since the start of the master.
    pub(in crate::decide) fn retries(&self) -> u64 {
        self.retries
    }

    /// The number of removals that have ended since the start.
    pub(in crate::decide) fn removals(&self) -> u64 {
        self.removals
    }

    /// Begins to remove builds that were chosen when this number of retries had been made. Returns the builds that may be removed now.
    /// There are none if another retry was made since. There is one removal at a time.
    pub(in crate::decide) fn begin_removal(&mut self, retries: u64, builds: Vec<BuildId>) -> Vec<BuildId> {
        assert!(self.going.is_empty(), "one removal at a time");
        if retries != self.retries {
            return Vec::new();
        }
        self.going = builds.iter().copied().collect();
        builds
    }

    /// Ends the removal, whether it was committed or abandoned.
    pub(in crate::decide) fn end_removal(&mut self) {
        if !std::mem::take(&mut self.going).is_empty() {
            self.removals += 1;
        }
    }
}
