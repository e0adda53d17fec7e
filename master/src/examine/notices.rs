//! Whether the reporters get rid of what they have to tell.

use super::{line, rough};
use crate::reporters::Standing;
use crate::sources::Trouble;
use schema::values::{Finding, Time};
use std::rc::Rc;
use std::time::Duration;

/// A mail server may be away for a moment.
const GRACE: Duration = Duration::from_secs(10 * 60);

pub(super) fn judge_all(reporters: &[Rc<Standing>], now: Time) -> Vec<Finding> {
    reporters.iter().map(|standing| judge(&standing.what, &standing.means, standing.trouble(), now)).collect()
}

/// `what`: the events that are told; `means`: "mail", or a program.
pub(super) fn judge(what: &str, means: &str, trouble: Option<Trouble>, now: Time) -> Finding {
    let subject = format!("notices by {means}");
    let Some(trouble) = trouble else {
        return Finding::good(subject, format!("{what}: none waits to be told"));
    };
    let failing = now.since(trouble.since);
    let seen = format!("{what}: failing for {}: {}", rough(failing), line(&trouble.text));
    let remedy = match means {
        "mail" => {
            "`smtp`, `user` and `password_file` in [mail] of the master file; what waits is tried again".to_owned()
        }
        program => format!("run {program} as the master's user; `run` in [[notify]] of the master file"),
    };
    match failing < GRACE {
        true => Finding::warned(subject, seen, remedy),
        false => Finding::bad(subject, seen, remedy),
    }
}
