//! Decides when the mirror of a project is tidied. Mirrors are tidied one at a time, so each project has a moment of its own.

use crate::keep::mirror::Mirror;
use sha2::{Digest as _, Sha256};
use std::rc::Rc;
use std::time::Duration;

/// The time between two tidyings of a mirror. It is long, so that enough small fetches gather to be worth the work.
pub(super) const EVERY: Duration = Duration::from_secs(6 * 3600);

/// Returns the time from the start of following to the first tidying. It follows from the project's name, so that the projects of one
/// master spread over [`EVERY`].
pub(super) fn first_after(project: &str) -> Duration {
    let hash: [u8; 32] = Sha256::new().chain_update(project).finalize().into();
    let [first, second, third, fourth, ..] = hash;
    let part = u32::from_be_bytes([first, second, third, fourth]);
    Duration::from_secs(u64::from(part) % EVERY.as_secs())
}

pub(super) async fn tidy(mirror: Rc<Mirror>) {
    if let Err(error) = mirror.tidy().await {
        tracing::warn!(address = %mirror.remote().address, %error, "a mirror could not be tidied");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn projects_are_tidied_at_different_moments_of_the_period() {
        let moments: Vec<Duration> = (0..100).map(|number| first_after(&format!("project-{number}"))).collect();
        assert!(moments.iter().all(|moment| *moment < EVERY));
        let hours: BTreeSet<u64> = moments.iter().map(|moment| moment.as_secs() / 3600).collect();
        assert_eq!(hours.len(), 6, "each hour has some: {moments:?}");
        assert_eq!(first_after("a"), first_after("a"));
    }
}
