//! How a state and a duration read, in a terminal as on a page. Pure.

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
