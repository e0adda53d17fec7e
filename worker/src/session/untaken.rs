//! Decides what follows if no job could be taken: a pause, or the end of the session.

use super::{DISK_PAUSE, End, TAKE_PAUSE};
use std::io;
use std::time::Duration;

/// The number of refused `take` calls in a row after which the worker attaches anew. A master of version 0.1 may have replaced the
/// session, and still keeps its connection.
const TAKES_REFUSED_MAX: u32 = 5;

/// Why no job was taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untaken {
    #[error("the master offers nothing: {0}")]
    ByMaster(#[from] capnp::Error),
    /// This machine has no room for the job, or no more files. Another session would not have them either.
    #[error("cannot note an attempt: {0}")]
    ByMachine(io::Error),
    /// The job needs a tier of isolation that this worker does not offer. The offer goes back with its lease.
    #[error("an offer is declined: {0}")]
    BelowTier(String),
}

/// The number of times in a row that the master has refused a `take`.
#[derive(Debug, Default)]
pub(super) struct Refused(u32);

impl Refused {
    pub(super) fn forget(&mut self) {
        self.0 = 0;
    }

    /// Returns how long to wait before the next try, or why the session ends instead.
    pub(super) fn pause(&mut self, why: Untaken) -> Result<Duration, End> {
        let error = match &why {
            Untaken::ByMachine(_) => {
                self.forget();
                tracing::warn!(%why, "no job is taken");
                return Ok(DISK_PAUSE);
            }
            Untaken::BelowTier(_) => {
                self.forget();
                tracing::warn!(%why, "no job is taken");
                return Ok(TAKE_PAUSE);
            }
            Untaken::ByMaster(error) => error,
        };
        self.0 += u32::from(error.kind == capnp::ErrorKind::Failed);
        if error.kind == capnp::ErrorKind::Disconnected {
            return Err(End::Lost(error.to_string()));
        }
        if self.0 >= TAKES_REFUSED_MAX {
            return Err(End::Lost(why.to_string()));
        }
        tracing::warn!(%why, "no job is taken");
        Ok(TAKE_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Untaken {
        capnp::Error::failed("the session was replaced".to_owned()).into()
    }

    fn no_file() -> Untaken {
        Untaken::ByMachine(io::Error::other("too many open files"))
    }

    #[test]
    fn only_a_master_that_refuses_again_and_again_ends_the_session() {
        let mut refused = Refused::default();
        for _ in 0..4 {
            assert_eq!(refused.pause(failed()).unwrap(), TAKE_PAUSE);
        }
        for _ in 0..20 {
            assert_eq!(refused.pause(no_file()).unwrap(), DISK_PAUSE, "it has offered something");
        }
        for _ in 0..20 {
            let busy = capnp::Error::overloaded("too much at once".to_owned());
            assert_eq!(refused.pause(busy.into()).unwrap(), TAKE_PAUSE, "it has time");
        }
        for _ in 0..4 {
            assert_eq!(refused.pause(failed()).unwrap(), TAKE_PAUSE);
        }
        assert!(matches!(refused.pause(failed()), Err(End::Lost(_))));
        let gone = capnp::Error::disconnected("the peer is gone".to_owned());
        assert!(matches!(Refused::default().pause(gone.into()), Err(End::Lost(_))));
    }
}
