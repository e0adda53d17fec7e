//! Alarms: things that outsiders can make happen as often as they like, and that an operator should know. Examples are the refusal of a
//! copied credential and the login of a browser. The first of a kind is written at once. Repetitions within the hour are counted, and
//! their number is written when the hour is over.

use super::records::GrantId;
use crate::decide::steady::Steady;
use schema::sturdy_ref::Fingerprint;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long repetitions of an alarm are only counted, and not written. So a flood of one kind writes about one row in an hour.
const COUNTED_FOR: Duration = Duration::from_secs(3600);
/// The most kinds that are counted separately. Beyond them, all keys of a grant, such as a thief's many keys, count as one kind. An
/// entry takes about 300 bytes.
const KINDS_MAX: usize = 1_000;
/// The most keys that are counted separately for one grant. A thief makes a new key for each try, and each key costs two rows in an
/// hour.
const KEYS_MAX: usize = 16;

/// The kind of an alarm: the grant, the key that was shown, and what was done.
type Kind = (GrantId, Option<Fingerprint>, String);

/// The note of an alarm that happened once, or of several that were counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::decide) struct AlarmNote {
    pub grant: GrantId,
    pub text: String,
    /// Whether subscribers get an event about this too.
    pub is_alarm: bool,
}

#[derive(Debug)]
struct Alarm {
    /// The moment at which the hour of counting is over.
    until: Steady,
    again: u64,
    is_alarm: bool,
}

/// The counts of what happened within the hour, by kind.
#[derive(Debug, Default)]
pub(in crate::decide) struct Alarms {
    alarms: BTreeMap<Kind, Alarm>,
    /// The earliest moment at which the hour of a kind is over.
    next: Option<Steady>,
}

impl Alarms {
    /// Notes an alarm, which subscribers get as an event. `None` means that it was only counted, and is not to be written.
    pub(in crate::decide) fn raise(
        &mut self,
        now: Steady,
        grant: GrantId,
        key: Option<Fingerprint>,
        text: &str,
    ) -> Option<AlarmNote> {
        self.note(now, self.kind_of(grant, key, text), true)
    }

    /// Counts an event that is not an alarm. `None` means that the event was only counted, and is not to be written.
    pub(in crate::decide) fn count(&mut self, now: Steady, grant: GrantId, text: &str) -> Option<AlarmNote> {
        self.note(now, (grant, None, text.to_owned()), false)
    }

    /// The time at which [`Alarms::tick`] next has something to do.
    pub(in crate::decide) fn next_timeout(&self) -> Option<Steady> {
        self.next
    }

    /// Ends the hours that are over. Returns a note for each alarm that repeated within its hour.
    pub(in crate::decide) fn tick(&mut self, now: Steady) -> Vec<AlarmNote> {
        let over = self.alarms.iter().filter(|(_, alarm)| alarm.until <= now).map(|(kind, _)| kind.clone());
        let over: Vec<Kind> = over.collect();
        let notes = over.into_iter().filter_map(|kind| self.end_hour(now, kind)).collect();
        self.next = self.alarms.values().map(|alarm| alarm.until).min();
        notes
    }

    /// Ends the hour of one kind. `None` means that nothing of this kind happened again within the hour.
    fn end_hour(&mut self, now: Steady, kind: Kind) -> Option<AlarmNote> {
        let Alarm { again, is_alarm, .. } = self.alarms.remove(&kind)?;
        let times = match again {
            0 => return None,
            1 => "once".to_owned(),
            _ => format!("{again} times"),
        };
        let text = format!("{}: {times} again within the hour", kind.2);
        let note = AlarmNote { grant: kind.0, text, is_alarm };
        self.begin_hour(now, kind, is_alarm);
        Some(note)
    }

    fn note(&mut self, now: Steady, kind: Kind, is_alarm: bool) -> Option<AlarmNote> {
        if let Some(alarm) = self.alarms.get_mut(&kind) {
            alarm.again += 1;
            return None;
        }
        let note = AlarmNote { grant: kind.0, text: kind.2.clone(), is_alarm };
        self.begin_hour(now, kind, is_alarm);
        Some(note)
    }

    fn begin_hour(&mut self, now: Steady, kind: Kind, is_alarm: bool) {
        let until = now.after(COUNTED_FOR);
        self.next = Some(self.next.map_or(until, |next| next.min(until)));
        self.alarms.insert(kind, Alarm { until, again: 0, is_alarm });
    }

    /// The kind under which an alarm is counted. If a grant has too many keys, all further keys count as one.
    fn kind_of(&self, grant: GrantId, key: Option<Fingerprint>, text: &str) -> Kind {
        let kind = (grant, key, text.to_owned());
        let keys = self.alarms.range((grant, None, String::new())..).take_while(|(kind, _)| kind.0 == grant);
        let has_room = self.alarms.len() < KINDS_MAX && keys.take(KEYS_MAX).count() < KEYS_MAX;
        if has_room || self.alarms.contains_key(&kind) { kind } else { (grant, None, kind.2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn note(text: &str, is_alarm: bool) -> Option<AlarmNote> {
        Some(AlarmNote { grant: GrantId(7), text: text.to_owned(), is_alarm })
    }

    #[test]
    fn what_happens_again_within_the_hour_is_counted() {
        let mut alarms = Alarms::default();
        assert_eq!(alarms.raise(Steady(0), GrantId(7), None, "a copy"), note("a copy", true));
        assert_eq!(alarms.count(Steady(5), GrantId(7), "a login"), note("a login", false));
        assert_eq!(alarms.raise(Steady(9), GrantId(7), None, "a copy"), None);
        assert_eq!((alarms.next_timeout(), alarms.tick(Steady(HOUR - 1))), (Some(Steady(HOUR)), Vec::new()));
        let counted = note("a copy: once again within the hour", true);
        assert_eq!(alarms.tick(Steady(HOUR)), counted.into_iter().collect::<Vec<_>>());
        assert_eq!((alarms.next_timeout(), alarms.tick(Steady(HOUR + 5))), (Some(Steady(HOUR + 5)), Vec::new()));
        assert_eq!(alarms.next_timeout(), Some(Steady(2 * HOUR)), "the count begins a new hour");
        assert_eq!((alarms.tick(Steady(2 * HOUR)), alarms.next_timeout()), (Vec::new(), None));
    }
}
