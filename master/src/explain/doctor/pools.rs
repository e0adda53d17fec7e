//! The pools that jobs may ask for, and the workers in them.

use super::{DAY, count, rough};
use crate::explain::{Member, PoolStatus, Presence, WorkerStatus, quoted};
use schema::values::{Finding, Time};

/// The most names that one sentence lists, so that it stays short.
const NAMED: usize = 5;

pub(super) fn judge(pool: &PoolStatus, now: Time) -> Finding {
    let subject = format!("pool {}", pool.name);
    let of = |presence: Presence| names(pool.workers.iter().filter(|member| member.presence == presence));
    let (takes, stopped) = (of(Presence::Takes), of(Presence::Stopped));
    let away: Vec<&Member> =
        pool.workers.iter().filter(|member| matches!(member.presence, Presence::Away(_))).collect();
    if pool.workers.is_empty() {
        let seen = format!("no worker is in it; {} waits for one", some(&pool.projects));
        let name = quoted(&pool.name);
        let remedy = format!("guild grant issue --kind worker --name NAME --pool {name} -o NAME.cap");
        return Finding::bad(subject, seen, remedy);
    }
    if takes.is_empty() && stopped.is_empty() {
        let last = away.iter().filter_map(|member| heard(member)).max();
        let last = last.map(|time| format!(", last heard of {}", time.seen_from(now))).unwrap_or_default();
        let away = names(away.iter().copied());
        let seen = format!("no worker is connected: {}{last}; {} waits", some(&away), some(&pool.projects));
        return Finding::bad(subject, seen, format!("guild-worker run     (on the machine of {})", some(&away)));
    }
    let here = count(takes.len() + stopped.len(), "worker");
    if takes.is_empty() {
        let seen = format!("{here} connected, all drained or held: {}", some(&stopped));
        return Finding::warned(subject, seen, format!("guild worker resume {}", quoted(&stopped[0])));
    }
    let parts = [(stopped.len(), "drained or held"), (away.len(), "away")];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0);
    let parts: String = parts.map(|(number, word)| format!(", {number} {word}")).collect();
    Finding::good(subject, format!("{here} connected{parts}"))
}

/// Reports a worker that has been away for more than a day and is still in the lists.
pub(super) fn judge_worker(worker: &WorkerStatus, now: Time) -> Option<Finding> {
    let silent = now.since(worker.last_heard);
    (!worker.connected && silent > DAY).then(|| {
        let seen = format!("not heard from for {}", rough(silent));
        let remedy = format!(
            "run `guild-worker run` on its machine; if it is gone for good, run `guild worker forget {}`",
            worker.name
        );
        Finding::warned(format!("worker {}", worker.name), seen, remedy)
    })
}

/// Reports a worker that most jobs cannot use, because it does not offer the usual tier of isolation.
pub(super) fn judge_tier(worker: &str, lack: &str) -> Finding {
    let seen = format!("takes only jobs for which `plain` is enough: it lacks {lack}");
    let remedy =
        "`isolation = \"plain\"` of its pool in the master file lets other jobs run there too, with less isolation";
    Finding::warned(format!("worker {worker}"), seen, remedy)
}

fn heard(member: &Member) -> Option<Time> {
    match member.presence {
        Presence::Away(time) => Some(time),
        Presence::Takes | Presence::Stopped => None,
    }
}

fn names<'m>(members: impl Iterator<Item = &'m Member>) -> Vec<String> {
    members.map(|member| member.worker.clone()).collect()
}

/// Lists the names, such as `a, b`. If there are many, it lists only the first ones.
fn some(names: &[String]) -> String {
    match names.len() > NAMED {
        true => format!("{} and {} more", names[..NAMED].join(", "), names.len() - NAMED),
        false => names.join(", "),
    }
}
