//! The pause before a repository is read again after a failure.

use std::time::Duration;

/// The pause after the first failed look, or `poll` if that is shorter. It doubles with each failure, because most troubles are short.
const AGAIN_FIRST: Duration = Duration::from_secs(2);
/// The longest pause after a failed look. It bounds the wait of a person who has mended the repository.
const AGAIN_MAX: Duration = Duration::from_secs(10 * 60);
/// The longest pause after a failed look, as a multiple of `poll`.
const BACKOFF_FACTOR_MAX: u32 = 4;

/// Returns the pause after this many failed looks in a row.
pub(super) fn again_after(poll: Duration, failures: u32) -> Duration {
    let longest = poll.saturating_mul(BACKOFF_FACTOR_MAX).min(AGAIN_MAX);
    let pause = AGAIN_FIRST.min(poll).saturating_mul(2u32.saturating_pow(failures.saturating_sub(1)));
    pause.min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_look_is_made_again_soon_and_then_more_rarely() {
        let seconds = |poll: u64| {
            let poll = Duration::from_secs(poll);
            [1, 2, 3, 8, 9, 100].map(|failures| again_after(poll, failures).as_secs())
        };
        assert_eq!(seconds(6 * 3600), [2, 4, 8, 256, 512, 600]);
        assert_eq!(seconds(60), [2, 4, 8, 240, 240, 240]);
        assert_eq!(seconds(1), [1, 2, 4, 4, 4, 4]);
    }
}
