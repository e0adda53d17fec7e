//! What others can make happen as often as they like, and somebody should know of: the refusal of a copied credential, the login
//! of a browser. The first of a kind is written at once. Those that repeat it within the hour are counted, and their number is
//! written when the hour is over.

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
/// Keys that are counted apart for one grant. A thief makes a new key for each try, and each key costs two rows in an hour.
const KEYS_MAX: usize = 16;

/// What makes two refusals the same: the grant, the key that was shown, and what was done.
pub(super) type Kind = (GrantId, Option<Fingerprint>, String);

#[derive(Debug)]
pub(super) struct Alarm {
    /// When the hour is over.
    until: Time,
    again: u64,
    /// Whether subscribers hear of it too.
    is_alarm: bool,
}

impl Coordinator {
    /// A second process showed a worker's key while the first still answered.
    pub fn alarm(&mut self, now: Time, grant: GrantId, text: &str) {
        self.raise(now, grant, None, text);
    }

    pub(super) fn raise(&mut self, now: Time, grant: GrantId, key: Option<Fingerprint>, text: &str) {
        self.note_often(now, self.kind_of(grant, key, text), true);
    }

    /// What is well, and may happen often: for the audit table alone.
    pub(super) fn audit_often(&mut self, now: Time, grant: GrantId, text: &str) {
        self.note_often(now, (grant, None, text.to_owned()), false);
    }

    /// Beyond the keys that are counted apart, all others are counted as one.
    fn kind_of(&self, grant: GrantId, key: Option<Fingerprint>, text: &str) -> Kind {
        let kind = (grant, key, text.to_owned());
        let keys = self.alarms.range((grant, None, String::new())..).take_while(|(kind, _)| kind.0 == grant);
        let has_room = self.alarms.len() < KINDS_MAX && keys.take(KEYS_MAX).count() < KEYS_MAX;
        if has_room || self.alarms.contains_key(&kind) { kind } else { (grant, None, kind.2) }
    }

    fn note_often(&mut self, now: Time, kind: Kind, is_alarm: bool) {
        if let Some(alarm) = self.alarms.get_mut(&kind) {
            alarm.again += 1;
            return;
        }
        self.write_note(now, kind.0, kind.2.clone(), is_alarm);
        self.count_again(now, kind, is_alarm);
    }

    pub(super) fn alarms_timeout(&mut self, now: Time) {
        let over: Vec<Kind> =
            self.alarms.iter().filter(|(_, alarm)| alarm.until <= now).map(|(kind, _)| kind.clone()).collect();
        for kind in over {
            let Some(Alarm { again, is_alarm, .. }) = self.alarms.remove(&kind) else { continue };
            if again > 0 {
                let times = if again == 1 { "once".to_owned() } else { format!("{again} times") };
                self.write_note(now, kind.0, format!("{}: {times} again within the hour", kind.2), is_alarm);
                self.count_again(now, kind, is_alarm);
            }
        }
        if let Some(next) = self.alarms.values().map(|alarm| alarm.until).min() {
            self.timers.arm(Timer::Alarms, next);
        }
    }

    fn count_again(&mut self, now: Time, kind: Kind, is_alarm: bool) {
        let until = now.after(COUNTED_FOR);
        self.timers.arm_by(Timer::Alarms, until);
        self.alarms.insert(kind, Alarm { until, again: 0, is_alarm });
    }

    fn write_note(&mut self, now: Time, grant: GrantId, text: String, is_alarm: bool) {
        self.audit(now, grant, text.clone());
        if is_alarm {
            self.tell_of(now, "", 0, Fact::Alarm { text });
        }
    }
}
