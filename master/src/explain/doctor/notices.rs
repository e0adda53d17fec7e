//! Checks whether the reporters can deliver their notices.

use super::{line, rough};
use crate::keep::health::DeliveryHealth;
use schema::values::{Finding, Time};
use std::rc::Rc;
use std::time::Duration;

/// How long deliveries may fail before the finding is bad, because a mail server may be away for a while.
const GRACE: Duration = Duration::from_secs(10 * 60);

pub(super) fn judge_all(reporters: &[Rc<DeliveryHealth>], now: Time) -> Vec<Finding> {
    reporters.iter().map(|health| judge(health, now)).collect()
}

pub(super) fn judge(health: &DeliveryHealth, now: Time) -> Finding {
    let subject = format!("notices by {}", health.by.shown());
    let what = &health.what;
    let Some(trouble) = health.trouble() else {
        return match health.given_up(now) {
            None => Finding::good(subject, format!("{what}: no notice is undelivered")),
            Some(given_up) => {
                let seen = format!("{what}: {}", line(&given_up));
                Finding::warned(subject, seen, health.by.remedy_given_up())
            }
        };
    };
    let failing = now.since(trouble.since);
    let seen = format!("{what}: not delivered for {}: {}", rough(failing), line(&trouble.text));
    match failing < GRACE {
        true => Finding::warned(subject, seen, health.by.remedy()),
        false => Finding::bad(subject, seen, health.by.remedy()),
    }
}
