//! Alarms that outsiders can cause at will. The audit table and subscribers get the first of a kind, and then only hourly counts.

use super::Coordinator;
use super::record::GrantId;
use crate::decide::alarms::AlarmNote;
use schema::sturdy_ref::Fingerprint;
use schema::values::{Fact, Time};

impl Coordinator {
    /// Raises an alarm about the holder of a grant, such as a second process that shows the key of a worker.
    pub fn alarm(&mut self, now: Time, grant: GrantId, text: &str) {
        self.raise(now, grant, None, text);
    }

    pub(super) fn raise(&mut self, now: Time, grant: GrantId, key: Option<Fingerprint>, text: &str) {
        let note = self.alarms.raise(self.ahead.steady(now), grant, key, text);
        self.write_notes(now, note);
    }

    /// Notes a normal event that may happen often. Only the audit table gets it, and repetitions are only counted.
    pub(super) fn audit_often(&mut self, now: Time, grant: GrantId, text: &str) {
        let note = self.alarms.count(self.ahead.steady(now), grant, text);
        self.write_notes(now, note);
    }

    pub(super) fn alarms_timeout(&mut self, now: Time) {
        let notes = self.alarms.tick(self.ahead.steady(now));
        self.write_notes(now, notes);
    }

    fn write_notes(&mut self, now: Time, notes: impl IntoIterator<Item = AlarmNote>) {
        for AlarmNote { grant, text, is_alarm } in notes {
            self.audit(now, grant, text.clone());
            if is_alarm {
                self.tell_of(now, "", 0, Fact::Alarm { text });
            }
        }
    }
}
