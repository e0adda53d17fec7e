//! Reports jobs that wait for something that does not happen by itself.

use super::{count, rough};
use crate::explain::{QueueStatus, Why};
use schema::values::{Finding, Selector, Time};
use std::time::Duration;

/// How long a job may wait before it is reported. A worker that restarts, or an operator who holds one, may take this long.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

pub(super) fn judge(queue: &[QueueStatus], now: Time) -> Finding {
    let stuck: Vec<&QueueStatus> =
        queue.iter().filter(|job| now.since(job.since) > PATIENCE && is_stuck(&job.why)).collect();
    let Some(oldest) = stuck.iter().min_by_key(|job| job.since) else {
        let seen = match queue.len() {
            0 => "no jobs are waiting".to_owned(),
            jobs => format!(
                "{}, and none has been without a suitable worker for longer than {}",
                waiting(jobs),
                rough(PATIENCE)
            ),
        };
        return Finding::good("queue", seen);
    };
    let selector = Selector::build(&oldest.project, oldest.build).job(&oldest.job).to_string();
    let since = rough(now.since(oldest.since));
    let seen = format!(
        "{} without a suitable worker; the oldest, {selector}, has waited for {since}: {}",
        waiting(stuck.len()),
        oldest.why.text()
    );
    let remedy = format!(
        "{}; `guild explain {selector}` says how, and `guild queue` shows all jobs that wait",
        oldest.why.remedy()
    );
    Finding::bad("queue", seen, remedy)
}

/// Writes a number of jobs that wait, such as "1 job waits" or "3 jobs wait".
fn waiting(jobs: usize) -> String {
    format!("{} {}", count(jobs, "job"), if jobs == 1 { "waits" } else { "wait" })
}

/// Whether somebody has to do something, because no worker will be free for the job by itself.
fn is_stuck(why: &Why) -> bool {
    match why {
        Why::Silent(_)
        | Why::Unready { .. }
        | Why::Resting { .. }
        | Why::Stopped { .. }
        | Why::Away(_)
        | Why::Room(_)
        | Why::Pool(_)
        | Why::Platform { .. }
        | Why::Label { .. }
        | Why::Tier { .. }
        | Why::Together => true,
        Why::Needs(_)
        | Why::Busy(_)
        // The finding for the repository reports this.
        | Why::Restored(_)
        | Why::Offered(_)
        | Why::Runs(_)
        | Why::Ran(_)
        | Why::Carried(_)
        | Why::When(_)
        | Why::Need(_)
        | Why::Ended(_) => false,
    }
}
