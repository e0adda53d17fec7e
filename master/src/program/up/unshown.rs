//! The builds that `guild-master up` has not shown yet, in their order.

use crate::decide::coordinator::record::BuildRow;
use crate::keep::store::BuildFilter;
use crate::keep::turns::PROGRAM;
use crate::program::wiring::MasterParts;
use schema::values::{Cursor, Event, Fact};
use std::collections::VecDeque;
use std::rc::Rc;

/// How many of the newest builds are searched for open ones at the start. A checkout of one person seldom has more than a few.
const SEARCHED: u32 = 50;

/// The builds of a project that are still to be shown: those that were open at the start, and then each new one.
pub(super) struct Unshown {
    /// The numbers of the builds that were open at the start, the oldest first.
    open: VecDeque<u32>,
    /// The place in the sequence of events from which new builds are read.
    cursor: Cursor,
    /// The largest number that this list has given out. It keeps a build that was found in both ways from being shown twice.
    last: u32,
}

impl Unshown {
    pub(super) async fn begin(parts: &MasterParts, project: &str) -> Unshown {
        // the cursor comes first, so a build that is created meanwhile is in one of the two, or in both
        let cursor = Cursor { incarnation: parts.incarnation, after: parts.feed.last() };
        let filter = BuildFilter { project: Some(project.to_owned()), ..BuildFilter::default() };
        let newest = parts.readers.of(PROGRAM).builds(filter, SEARCHED).await.unwrap_or_default();
        Unshown { open: open_numbers(&newest), cursor, last: 0 }
    }

    /// Waits for the next build and returns its number. `None` means that the master is ending.
    pub(super) async fn next(&mut self, parts: &MasterParts, project: &str) -> Option<u32> {
        let number = match self.open.pop_front() {
            Some(number) => number,
            None => self.next_created(parts, project).await?,
        };
        self.last = number;
        Some(number)
    }

    async fn next_created(&mut self, parts: &MasterParts, project: &str) -> Option<u32> {
        loop {
            let batch = parts.feed.next(PROGRAM, self.cursor, 1).await.ok()?;
            self.cursor = batch.end(parts.incarnation);
            let is_new = |event: &&Rc<Event>| is_created(event, project) && event.build > self.last;
            if let Some(event) = batch.events().iter().find(is_new) {
                return Some(event.build);
            }
        }
    }
}

fn is_created(event: &Event, project: &str) -> bool {
    event.project == project && matches!(event.fact, Fact::BuildCreated { .. })
}

/// Returns the numbers of the open builds, the oldest first. `newest` has the newest build first.
fn open_numbers(newest: &[BuildRow]) -> VecDeque<u32> {
    newest.iter().rev().filter(|row| row.outcome.is_none()).map(|row| row.number).collect()
}
