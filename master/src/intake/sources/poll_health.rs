//! The health of the looks at one repository. It is kept in memory only, because the first look after a start renews it.

use super::git::FollowerReport;
use crate::keep::health::Trouble;
use crate::keep::mirror::RefusedRef;
use schema::values::Time;
use std::cell::RefCell;
use std::time::Duration;

/// A `PollHealth` records how the looks at a repository went. The source writes it, and others read it on the same thread.
#[derive(Debug, Default)]
pub struct PollHealth(RefCell<Looks>);

/// `Looks` is the result of the looks so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    /// The time since which the repository is followed; `None` means that it is not followed.
    pub began: Option<Time>,
    /// The time between two looks.
    pub poll: Duration,
    /// The time of the last look that went well.
    pub good: Option<Time>,
    /// The time when the next look is due; `None` means that it is not known yet.
    pub next: Option<Time>,
    /// The trouble since the last look that went well.
    pub trouble: Option<Trouble>,
    /// The refs that the last look at all refs left out.
    pub refused: Vec<RefusedRef>,
}

impl Looks {
    /// Whether a look has ended, well or not, since following began.
    pub(super) fn has_ended_one(&self) -> bool {
        self.good.is_some() || self.trouble.is_some()
    }
}

impl PollHealth {
    pub(super) fn begin(&self, now: Time, poll: Duration) {
        *self.0.borrow_mut() = Looks { began: Some(now), poll, ..Looks::default() };
    }

    pub(super) fn note(&self, now: Time, notice: FollowerReport) {
        let mut looks = self.0.borrow_mut();
        match notice {
            FollowerReport::Looked(Ok(())) => (looks.good, looks.trouble) = (Some(now), None),
            FollowerReport::Looked(Err(text)) => {
                looks.trouble = Some(Trouble::after(looks.trouble.take(), now, text));
            }
            FollowerReport::Next(wait) => looks.next = Some(now.after(wait)),
            FollowerReport::LeftOut(refused) => looks.refused = refused,
            FollowerReport::Trouble(_)
            | FollowerReport::Recovered
            | FollowerReport::RefusedRef(_)
            | FollowerReport::RefusedChange { .. } => {}
        }
    }

    pub fn looks(&self) -> Looks {
        self.0.borrow().clone()
    }
}
