//! How a state and a duration read, in a terminal as on a page. Pure.

use crate::views::JobView;
use schema::values::{Outcome, State, Time, TimeSpan};

/// The word for the outcome, or for the state if there is no outcome yet.
pub fn status_word(state: State, outcome: Option<Outcome>) -> &'static str {
    outcome.map_or(state.word(), Outcome::word)
}

/// One character that tells outcomes and states apart without colour.
pub fn symbol(state: State, outcome: Option<Outcome>) -> &'static str {
    match (outcome, state) {
        (Some(Outcome::Succeeded), _) => "✓",
        (Some(Outcome::Warned), _) => "▲",
        (Some(Outcome::Failed), _) => "✗",
        (Some(Outcome::Errored), _) => "!",
        (Some(Outcome::Cancelled), _) => "⊘",
        (Some(Outcome::Skipped), _) => "·",
        (None, State::Running) => "◐",
        (None, State::Planning | State::Waiting | State::Queued | State::Offered | State::Finished) => "○",
    }
}

/// How long something took, as a clock; or how long it has run up to `now`. "" if it has not begun.
pub fn duration(started: Option<Time>, finished: Option<Time>, is_finished: bool, now: Time) -> String {
    match (started, finished.or((!is_finished).then_some(now))) {
        (Some(started), Some(end)) => TimeSpan(end.since(started)).clock(),
        _ => String::new(),
    }
}

/// `3 workers`, `1 worker`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The name of an author without the address behind it.
pub fn author_name(author: &str) -> &str {
    author.split_once(" <").map_or(author, |(name, _)| name)
}

/// Whether the code or the infrastructure failed.
pub fn is_bad(outcome: Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Failed | Outcome::Errored))
}

/// Why a job ended as it did, or why it waits, in one sentence: its reason, or else the step that failed. "" if nothing is to be
/// said.
pub fn why(job: &JobView) -> String {
    if !job.reason.is_empty() {
        return job.reason.clone();
    }
    let failed = (1..).zip(&job.steps).find(|(_, step)| is_bad(step.outcome));
    failed.map_or_else(String::new, |(index, step): (u16, _)| format!("step {index} \"{}\": {}", step.name, step.exit))
}
