//! The health of recurring work that the master retries, such as notices and the polls of change sources. This module lies
//! below the rooms that do the work and those that report on it. It is kept in memory only: after a start, everything is tried
//! again.

use crate::config::Means;
use schema::values::Time;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long the doctor shows that somebody did not get a notice: 4 days, which is longer than a long weekend.
const SHOWN: Duration = Duration::from_secs(4 * 24 * 3600);
/// The number of given-up notices that are kept in memory, the newest ones; the master's log has them all.
const GIVEN_UP_MAX: usize = 16;

/// A piece of work that keeps failing, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub since: Time,
    /// The error of the newest try.
    pub text: String,
}

impl Trouble {
    /// Returns the trouble after a failure at `now`. `before` is the trouble since the last success; its start time is kept.
    pub(crate) fn after(before: Option<Trouble>, now: Time, text: String) -> Trouble {
        Trouble { since: before.map_or(now, |before| before.since), text }
    }
}

/// A reporter's health: the notices that it could not deliver. The reporter writes it, and others read it on its thread.
#[derive(Debug)]
pub struct DeliveryHealth {
    /// The events that the reporter announces, such as "newly-failing, fixed".
    pub what: String,
    /// The channel by which the reporter sends its notices.
    pub by: Means,
    /// The troubles by the name of what fails, which is a project or a mailbox. An empty name means the reporter itself.
    troubles: RefCell<BTreeMap<String, Trouble>>,
    given_up: RefCell<VecDeque<(Time, String)>>,
}

impl DeliveryHealth {
    pub(crate) fn new(what: String, by: Means) -> DeliveryHealth {
        DeliveryHealth { what, by, troubles: RefCell::default(), given_up: RefCell::default() }
    }

    pub(crate) fn fails(&self, of: &str, now: Time, why: &str) {
        let mut troubles = self.troubles.borrow_mut();
        let before = troubles.remove(of);
        troubles.insert(of.to_owned(), Trouble::after(before, now, why.to_owned()));
    }

    pub(crate) fn is_well(&self, of: &str) {
        self.troubles.borrow_mut().remove(of);
    }

    pub(crate) fn gives_up(&self, now: Time, what: String) {
        let mut given_up = self.given_up.borrow_mut();
        given_up.push_back((now, what));
        if given_up.len() > GIVEN_UP_MAX {
            given_up.pop_front();
        }
    }

    /// Returns the trouble that has lasted longest; `None` means that nothing fails.
    pub fn trouble(&self) -> Option<Trouble> {
        let troubles = self.troubles.borrow();
        let (of, oldest) = troubles.iter().min_by_key(|(_, trouble)| trouble.since)?;
        let text = if of.is_empty() { oldest.text.clone() } else { format!("{of}: {}", oldest.text) };
        Some(Trouble { since: oldest.since, text })
    }

    /// Returns the newest notice that could not be delivered, while it is younger than four days.
    pub fn given_up(&self, now: Time) -> Option<String> {
        let given_up = self.given_up.borrow();
        given_up.back().filter(|(time, _)| now.since(*time) < SHOWN).map(|(_, what)| what.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_well_does_not_hide_what_fails() {
        let health = DeliveryHealth::new("fixed".to_owned(), Means::Mail(Vec::new()));
        let shown = |health: &DeliveryHealth| health.trouble().map(|it| (it.since.0, it.text));
        health.fails("p", Time(5), "no way");
        health.fails("q", Time(7), "down");
        health.fails("p", Time(9), "still no way");
        assert_eq!(shown(&health), Some((5, "p: still no way".to_owned())));
        health.is_well("p");
        assert_eq!(shown(&health), Some((7, "q: down".to_owned())));
        health.is_well("q");
        assert_eq!(shown(&health), None);
    }

    #[test]
    fn who_got_no_notice_is_shown_for_some_days() {
        let health = DeliveryHealth::new("fixed".to_owned(), Means::Mail(Vec::new()));
        assert_eq!(health.given_up(Time(0)), None);
        (0..100).for_each(|number| health.gives_up(Time(number), number.to_string()));
        assert_eq!(health.given_up(Time(200)), Some("99".to_owned()));
        assert_eq!(health.given_up(Time(99).after(SHOWN)), None);
    }
}
