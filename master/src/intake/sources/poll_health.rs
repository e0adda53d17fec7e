//! How the looks at one repository go, for whoever asks. Kept in memory only: the first look after a start says it anew.

use super::git::FollowerReport;
use crate::keep::health::Trouble;
use crate::keep::mirror::RefusedRef;
use schema::values::Time;
use std::cell::RefCell;
use std::time::Duration;

/// A repository's health: how the looks at it went. The source writes it, and others read it on its thread.
#[derive(Debug, Default)]
pub struct PollHealth(RefCell<Looks>);

/// What became of the looks so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    /// When the repository is followed since; `None` means that it is not.
    pub began: Option<Time>,
    /// The time between two looks.
    pub poll: Duration,
    /// The last that went well.
    pub good: Option<Time>,
    /// When the next one is due; `None` means that it is not known yet.
    pub next: Option<Time>,
    /// What is wrong since the last look that went well.
    pub trouble: Option<Trouble>,
    /// Left out at the last look at all refs.
    pub refused: Vec<RefusedRef>,
}

impl Looks {
    /// Whether a look has ended since the repository is followed, well or not.
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
