//! The order for a new build, before the build is planned.

use super::Trigger;
use crate::decide::records::{BuildCause, BuildId, BuildRow, GrantId};
use crate::decide::refs::Origin;
use schema::values::{Change, Commit, SourceRevision, SourceStamp, State, Time};

/// The order for a build, before the build is planned.
#[derive(Clone, Debug)]
pub struct Order {
    pub project: String,
    pub stamp: SourceStamp,
    pub tip: Commit,
    pub by: GrantId,
    pub origin: Origin,
}

impl Order {
    /// The order for a build of the new tip of a ref.
    pub(in crate::decide) fn of_change(change: &Change, by: GrantId) -> Order {
        let source = SourceRevision {
            repository: change.project.clone(),
            ref_name: change.ref_name.clone(),
            revision: change.revision.clone(),
            base: change.before.clone(),
        };
        Order {
            project: change.project.clone(),
            stamp: SourceStamp { sources: vec![source] },
            tip: change.commits.first().cloned().unwrap_or_default(),
            by,
            origin: Origin::Moved,
        }
    }

    /// The order that repeats the build of this row.
    pub(in crate::decide) fn again(row: &BuildRow, by: GrantId) -> Order {
        let tip = Commit { subject: row.subject.clone(), author: row.author.clone(), ..Commit::default() };
        let origin = Origin::Again(row.update);
        Order { project: row.project.clone(), stamp: row.stamp.clone(), tip, by, origin }
    }

    /// The first source of the build. The build belongs to an update of the ref of this source.
    pub(in crate::decide) fn source(&self) -> SourceRevision {
        self.stamp.sources.first().cloned().unwrap_or_default()
    }

    /// The row of the build, whose plan is still to be made.
    pub(in crate::decide) fn row(
        self,
        now: Time,
        id: BuildId,
        (number, update): (u32, u32),
        cause: BuildCause,
        trigger: Trigger,
    ) -> BuildRow {
        BuildRow {
            id,
            project: self.project,
            number,
            stamp: self.stamp,
            cause,
            trust: trigger.trust(),
            state: State::Planning,
            outcome: None,
            created: now,
            started: None,
            finished: None,
            subject: self.tip.subject,
            author: self.tip.author,
            diagnosis: String::new(),
            job_count: 0,
            by: self.by,
            update,
        }
    }
}
