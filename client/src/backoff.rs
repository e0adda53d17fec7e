//! The wait before the next try to connect. It is a pure function, because the randomness is an argument.

use std::time::Duration;

const SHORTEST_MS: u64 = 500;
const LONGEST_MS: u64 = 8_000;

/// Returns the wait before a try. It doubles from 0.5 s up to 8 s. It is spread over the upper half of that, so that a thousand clients
/// do not return at once.
fn delay(attempt: u32, random: u32) -> Duration {
    let whole = SHORTEST_MS.saturating_mul(1 << attempt.min(5)).min(LONGEST_MS);
    let half = whole / 2;
    Duration::from_millis(half + u64::from(random) % half)
}

/// Returns [`delay`] with the system's randomness.
pub(crate) fn jittered(attempt: u32) -> Duration {
    delay(attempt, u32::from_le_bytes(system::chance::bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_stays_within_its_bounds() {
        for attempt in 0..40 {
            for random in [0, 1, 12_345, u32::MAX] {
                let delay = delay(attempt, random);
                assert!(delay >= Duration::from_millis(250), "{attempt}: {delay:?}");
                assert!(delay < Duration::from_secs(8), "{attempt}: {delay:?}");
            }
        }
        assert!(delay(4, 0) > delay(0, u32::MAX));
    }
}
