//! Whether the reporters get rid of what they have to tell.

use super::{line, rough};
use crate::keep::health::{DeliveryHealth, Trouble};
use schema::values::{Finding, Time};
use std::rc::Rc;
use std::time::Duration;

/// A mail server may be away for a moment.
const GRACE: Duration = Duration::from_secs(10 * 60);

pub(super) fn judge_all(reporters: &[Rc<DeliveryHealth>], now: Time) -> Vec<Finding> {
    let judged = reporters.iter().map(|health| {
        let of = (health.what.as_str(), health.means.as_str());
        judge(of, health.trouble(), health.given_up(now), now)
    });
    judged.collect()
}

/// `what`: the events that are told; `means`: "mail", or a program; `given_up`: who did not get a notice.
pub(super) fn judge(
    (what, means): (&str, &str),
    trouble: Option<Trouble>,
    given_up: Option<String>,
    now: Time,
) -> Finding {
    let subject = format!("notices by {means}");
    let Some(trouble) = trouble else {
        return match given_up {
            None => Finding::good(subject, format!("{what}: none waits to be told")),
            Some(given_up) => {
                let remedy = "mend the mailbox, or take its address out of `to`; this is not tried any more";
                Finding::warned(subject, format!("{what}: {}", line(&given_up)), remedy)
            }
        };
    };
    let failing = now.since(trouble.since);
    let seen = format!("{what}: failing for {}: {}", rough(failing), line(&trouble.text));
    let remedy = match means {
        "mail" => {
            "`smtp`, `user` and `password_file` in [mail] of the master file; what waits is tried again".to_owned()
        }
        program => format!("run {program} as the master's user; `run` in [[notice]] of the master file"),
    };
    match failing < GRACE {
        true => Finding::warned(subject, seen, remedy),
        false => Finding::bad(subject, seen, remedy),
    }
}
