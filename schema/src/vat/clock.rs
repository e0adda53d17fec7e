//! Decides when a connection must ping its peer or end because time has passed. Pure: the times are arguments.

use std::time::Duration;

use tokio::time::Instant;

use super::link::Pulse;
use super::{CloseReason, Limits};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing is due before this moment.
    At(Instant),
    Ping,
    Close(CloseReason),
}

pub(super) fn due(now: Instant, limits: &Limits, pulse: &Pulse, pinged: Instant) -> Due {
    let silent = pulse.heard.max(pulse.drained) + limits.silence;
    if now >= silent {
        return Due::Close(CloseReason::Silent(limits.silence));
    }
    let late = pulse.begun.map(|(since, bytes)| since + allowed(limits, bytes));
    if late.is_some_and(|late| now >= late) {
        return Due::Close(CloseReason::MessageLate);
    }
    let patience = pulse.paused.map(|since| since + limits.patience);
    if patience.is_some_and(|end| now >= end) {
        let text = "too many unfinished calls or bytes for too long".to_owned();
        return Due::Close(CloseReason::Overload(text));
    }
    let ping = pulse.heard.max(pinged) + limits.heartbeat;
    if now >= ping {
        return Due::Ping;
    }
    let waits = [Some(silent), late, patience, Some(ping)];
    Due::At(waits.into_iter().flatten().min().unwrap_or(ping))
}

/// Returns how long a message may take of which `bytes` have come. Arriving bytes earn time, so that a slow link is not cut off.
fn allowed(limits: &Limits, bytes: usize) -> Duration {
    let earned = bytes.checked_div(limits.pace_bytes).unwrap_or(0);
    limits.message + Duration::from_secs(earned as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, change: impl FnOnce(&mut Pulse)) -> Due {
        let start = Instant::now();
        let mut pulse = Pulse { heard: start, drained: start, begun: None, paused: None };
        change(&mut pulse);
        let later = start + Duration::from_secs(seconds);
        due(later, &Limits::known(), &pulse, start + Duration::from_secs(15))
    }

    #[test]
    fn silence_is_pinged_and_then_ends() {
        assert!(matches!(at(39, |_| ()), Due::At(_)));
        assert_eq!(at(40, |_| ()), Due::Ping);
        assert!(matches!(at(45, |_| ()), Due::Close(CloseReason::Silent(_))));
    }

    #[test]
    fn a_peer_that_reads_is_alive() {
        let read = |pulse: &mut Pulse| pulse.drained += Duration::from_secs(20);
        assert_eq!(at(64, read), Due::Ping);
    }

    #[test]
    fn a_message_earns_time_by_coming() {
        let begun = |bytes| move |pulse: &mut Pulse| pulse.begun = Some((pulse.heard, bytes));
        assert_eq!(at(30, begun(9)), Due::Close(CloseReason::MessageLate));
        assert!(matches!(at(30, begun(4096)), Due::At(_)));
        assert_eq!(at(31, begun(4096)), Due::Close(CloseReason::MessageLate));
    }

    #[test]
    fn patience_ends() {
        let paused = |pulse: &mut Pulse| pulse.paused = Some(pulse.heard);
        assert!(matches!(at(30, paused), Due::Close(CloseReason::Overload(_))));
    }
}
