//! Jobs that wait for what does not come by itself.

use super::{count, rough};
use crate::explain::{QueueStatus, Why};
use schema::values::{Finding, Selector, Time};
use std::time::Duration;

/// How long a worker that is started again, or a person who steers, may take.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

pub(super) fn judge(queue: &[QueueStatus], now: Time) -> Finding {
    let stuck: Vec<&QueueStatus> =
        queue.iter().filter(|job| now.since(job.since) > PATIENCE && is_stuck(&job.why)).collect();
    let Some(oldest) = stuck.iter().min_by_key(|job| job.since) else {
        let seen = match queue.len() {
            0 => "no jobs are waiting".to_owned(),
            waiting => format!(
                "{} waiting, none of them longer than {} without a suitable worker",
                count(waiting, "job"),
                rough(PATIENCE)
            ),
        };
        return Finding::good("queue", seen);
    };
    let selector = Selector::build(&oldest.project, oldest.build).job(&oldest.job).to_string();
    let since = rough(now.since(oldest.since));
    let seen = format!(
        "{} waiting without a suitable worker; {selector} since {since}: {}",
        count(stuck.len(), "job"),
        oldest.why.text()
    );
    let remedy = format!("{}; `guild explain {selector}` says how, `guild queue` shows all", oldest.why.remedy());
    Finding::bad("queue", seen, remedy)
}

/// Whether somebody has to do something: a worker that is busy will come by itself.
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
        // told of the repository
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
