//! Updates of refs: which one a build belongs to. An update is named by the number of the build that it opened first, so
//! a later update of the same ref has a greater number.

use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::lane::LaneResult;
use crate::decide::coordinator::model::Order;
use crate::decide::coordinator::record::{BuildId, BuildRow, Head, JobKey, Record};
use schema::values::{Outcome, SourceRevision, State, Time, Trust};

/// How a build comes by its update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Its ref moved, which is an update.
    Moved,
    /// Somebody asked for the tip of its ref, as it was when it was looked up.
    Tip,
    /// Somebody named the commit, which may be any.
    Named,
    /// It repeats a build of this update.
    Again(u32),
}

impl Coordinator {
    /// The update that a new build with this number belongs to; 0: none. What is built of the acknowledged tip belongs to
    /// the newest update, whoever asked for it.
    pub(in crate::decide::coordinator) fn update_of(&self, order: &Order, number: u32) -> u32 {
        let source = order.stamp.sources.first().cloned().unwrap_or_default();
        if source.ref_name.is_empty() {
            return 0;
        }
        let head = self.heads.get(&order.project, &source.ref_name).filter(|head| head.gone.is_none());
        let is_head = head.is_some_and(|head| head.revision == source.revision);
        match (order.origin, head.map_or(0, |head| head.update)) {
            (Origin::Moved, _) => number,
            (_, update) if is_head && update > 0 => update,
            (Origin::Again(update), _) => update,
            (Origin::Tip, _) => number,
            (Origin::Named, _) if is_head => number,
            (Origin::Named, _) => 0,
        }
    }

    /// The first build of a tip that was acknowledged without one opens its update.
    pub(in crate::decide::coordinator) fn note_update(&mut self, build: BuildId) {
        let row = &self.builds[&build].row;
        let (project, update, source) = (row.project.clone(), row.update, first_source(row));
        let Some(head) = self.heads.get(&project, &source.ref_name).cloned() else { return };
        if update > 0 && head.update == 0 && head.revision == source.revision && head.gone.is_none() {
            self.set_head(&project, &source.ref_name, Head { update, ..head });
        }
    }

    /// Tells the lane of a job that has just finished. Only what trusted sources say counts for a branch, and nothing that
    /// began before the ref was made anew.
    pub(in crate::decide::coordinator) fn note_lane(&mut self, now: Time, key: JobKey, outcome: Outcome) {
        let build = &self.builds[&key.build];
        let job = &build.jobs[key.index as usize].row;
        debug_assert!(job.state == State::Finished, "a lane has results of finished jobs");
        if build.row.update == 0 || build.row.trust != Trust::Trusted || outcome == Outcome::Skipped {
            return;
        }
        let source = first_source(&build.row);
        let head = self.heads.get(&build.row.project, &source.ref_name);
        if head.is_some_and(|head| build.row.update < head.since) {
            return;
        }
        let (update, number) = (build.row.update, build.row.number);
        let result = LaneResult { update, build: number, outcome, finished: now, revision: source.revision };
        let (project, job) = (build.row.project.clone(), job.name.clone());
        self.record(Record::Lane { project, ref_name: source.ref_name, job, result });
    }
}

fn first_source(row: &BuildRow) -> SourceRevision {
    row.stamp.sources.first().cloned().unwrap_or_default()
}
