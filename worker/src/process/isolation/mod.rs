//! The isolation of a step: how its process starts, how its supervisor sets up a tier, and how all of its processes end.

pub(crate) mod descent;
pub(crate) mod launch;
mod origin;
pub(crate) mod spawn;
pub(crate) mod usage;

use rustix::process::{getpid, set_child_subreaper};
use schema::values::Tier;
use std::io;

/// Makes this process the supervisor of steps of a tier. An error means that the system does not allow it, and no step of the tier
/// may begin.
pub(crate) fn establish(tier: Tier) -> io::Result<()> {
    match tier {
        Tier::Guard => set_child_subreaper(Some(getpid()))
            .map_err(|error| io::Error::other(format!("this system does not make it a subreaper: {error}"))),
        Tier::Plain => {
            // A supervisor that had another step before may still be a subreaper. A system without subreapers has nothing to undo.
            let _ = set_child_subreaper(None);
            Ok(())
        }
    }
}
