//! Refusals that somebody should know of, as of a copied credential. The first of a kind is written at once; those that repeat
//! it within the hour are counted, and their number is written when the hour is over.

use super::Coordinator;
use super::model::Timer;
use super::record::GrantId;
use schema::sturdy_ref::Fingerprint;
use schema::values::{Fact, Time};
use std::time::Duration;

/// For so long repetitions are only counted.
const COUNTED_FOR: Duration = Duration::from_secs(3600);
/// Kinds that are counted apart, at most: whoever shows a new key each time is counted as one. An entry has some 300 bytes.
const KINDS_MAX: usize = 1_000;

/// What makes two refusals the same: the grant, the key that was shown, and what was done.
pub(super) type Kind = (GrantId, Option<Fingerprint>, String);

#[derive(Debug)]
pub(super) struct Alarm {
    /// When the hour is over.
    until: Time,
    again: u64,
}

impl Coordinator {
    /// A second process showed a worker's key while the first still answered.
    pub fn alarm(&mut self, now: Time, grant: GrantId, text: &str) {
        self.raise(now, grant, None, text);
    }

    pub(super) fn raise(&mut self, now: Time, grant: GrantId, key: Option<Fingerprint>, text: &str) {
        let kind = (grant, key, text.to_owned());
        let is_known = self.alarms.contains_key(&kind);
        let kind = if is_known || self.alarms.len() < KINDS_MAX { kind } else { (grant, None, text.to_owned()) };
        if let Some(alarm) = self.alarms.get_mut(&kind) {
            alarm.again += 1;
            return;
        }
        self.write_alarm(now, grant, text.to_owned());
        self.count_again(now, kind);
    }

    pub(super) fn alarms_timeout(&mut self, now: Time) {
        let over: Vec<Kind> =
            self.alarms.iter().filter(|(_, alarm)| alarm.until <= now).map(|(kind, _)| kind.clone()).collect();
        for kind in over {
            let again = self.alarms.remove(&kind).map_or(0, |alarm| alarm.again);
            if again > 0 {
                let times = if again == 1 { "once".to_owned() } else { format!("{again} times") };
                self.write_alarm(now, kind.0, format!("{}: {times} again within the hour", kind.2));
                self.count_again(now, kind);
            }
        }
    }

    fn count_again(&mut self, now: Time, kind: Kind) {
        let until = now.after(COUNTED_FOR);
        self.timers.insert((until, Timer::Alarms));
        self.alarms.insert(kind, Alarm { until, again: 0 });
    }

    fn write_alarm(&mut self, now: Time, grant: GrantId, text: String) {
        self.audit(now, grant, text.clone());
        self.tell_of(now, "", 0, Fact::Alarm { text });
    }
}
