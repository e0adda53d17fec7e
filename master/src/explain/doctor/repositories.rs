//! Judges the repositories, by what their change sources last saw.

use super::{DoctorAccess, count, line, rough};
use crate::explain::quoted;
use crate::intake::sources::Looks;
use schema::values::{Finding, Time};
use std::time::Duration;

/// How long looks may fail before the finding is bad, because one look may fail and a large one takes its time.
const GRACE: Duration = Duration::from_secs(10 * 60);

pub(super) fn judge_all(reach: &DoctorAccess, now: Time) -> Vec<Finding> {
    let seen = reach.repositories.all().into_iter().filter(|repository| reach.what.sees(&repository.project));
    seen.flat_map(|it| judge(&it.project, &it.address, &it.health.looks(), now)).collect()
}

pub(super) fn judge(project: &str, address: &str, looks: &Looks, now: Time) -> Vec<Finding> {
    let looked = judge_looks(project, address, looks, now);
    looked.into_iter().chain(judge_refused(project, looks)).collect()
}

fn judge_looks(project: &str, address: &str, looks: &Looks, now: Time) -> Option<Finding> {
    let began = looks.began?;
    let subject = format!("repository of {project}");
    if let Some(trouble) = &looks.trouble {
        let last = looks.good.map_or("never read since the start".to_owned(), |good| ago("last read", good, now));
        let seen = format!("unreadable for {}, {last}: {}", rough(now.since(trouble.since)), line(&trouble.text));
        let remedy = format!(
            "try `git ls-remote {}` as the master's user; check `repo`, `credential_file` and the like in [project.{project}]",
            quoted(address)
        );
        // A short trouble may pass by itself.
        return Some(match looks.good.is_some_and(|good| now.since(good) < GRACE) {
            true => Finding::warned(subject, seen, remedy),
            false => Finding::bad(subject, seen, remedy),
        });
    }
    let is_late = now.since(looks.good.unwrap_or(began)) > looks.poll.saturating_mul(2).saturating_add(GRACE);
    let seen = match looks.good {
        Some(good) => ago("looked at", good, now),
        None => format!("being looked at for the first time, for {}", rough(now.since(began))),
    };
    Some(match is_late {
        true => Finding::warned(
            subject,
            seen,
            "read the master's log to see whether git still runs; `guild notify` makes the master look now",
        ),
        false => Finding::good(subject, seen),
    })
}

fn judge_refused(project: &str, looks: &Looks) -> Option<Finding> {
    let first = looks.refused.first()?;
    let name = line(&first.name);
    let seen = format!("{} left out, as {name}: {}", count(looks.refused.len(), "ref"), line(&first.why));
    let remedy = format!("rename or delete them in the repository: git push --delete REMOTE {}", quoted(&name));
    Some(Finding::warned(format!("refs of {project}"), seen, remedy))
}

fn ago(what: &str, time: Time, now: Time) -> String {
    format!("{what} {}", time.seen_from(now))
}
