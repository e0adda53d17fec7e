//! How states, durations, distances in time and sizes read, in a terminal as on a page. Pure.

use schema::values::{Outcome, State, Time};

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
        (Some(started), Some(end)) => clock(end.since(started).as_secs_f64()),
        _ => String::new(),
    }
}

/// Seconds as a clock: `3:05`, `1:02:07`.
pub fn clock(seconds: f64) -> String {
    // durations are far below the range where this would lose a second
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, not negative")]
    let whole = seconds.max(0.0).round() as u64;
    match whole / 3_600 {
        0 => format!("{}:{:02}", whole / 60, whole % 60),
        hours => format!("{hours}:{:02}:{:02}", whole / 60 % 60, whole % 60),
    }
}

/// A number of bytes, to a tenth of its unit: `12.3 MiB`.
pub fn bytes(count: u64) -> String {
    match count {
        0..1_024 => format!("{count} B"),
        1_024..1_048_576 => format!("{:.1} KiB", count as f64 / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
    }
}

/// A number and its noun: `3 workers`, `1 worker`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The distance of a time from `now`: `12m ago`, `in 3d`.
pub fn ago(now: Time, time: Time) -> String {
    match now >= time {
        true => format!("{} ago", rough(now.since(time).as_secs())),
        false => format!("in {}", rough(time.since(now).as_secs())),
    }
}

/// A number of seconds, rounded down to its greatest unit: `12m`, and `47h` up to two days.
pub fn rough(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_a_clock() {
        assert_eq!(clock(41.4), "0:41");
        assert_eq!(clock(3727.0), "1:02:07");
    }

    #[test]
    fn distances_are_rough() {
        let now = Time(1_000_000_000);
        assert_eq!(ago(now, Time(now.0 - 12 * 60_000)), "12m ago");
        assert_eq!(ago(now, Time(now.0 + 3 * 86_400_000)), "in 3d");
    }
}
