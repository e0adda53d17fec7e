//! How many files the worker may have open: as many as the system lets it, while its steps have what they would have without
//! that. A step's program may use `select`, which knows no descriptor above 1,023.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::Command;
use std::sync::OnceLock;

/// Tells a supervisor the soft limit that its steps have; unset: its own.
const VARIABLE: &str = "GUILD_SOFT_FILES";

/// The soft limit with which this process was started, where it was raised.
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Raises the soft limit of this process to its hard one.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let (Some(current), true) = (limit.current, limit.current != limit.maximum) else { return };
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => drop(BEFORE.set(current)),
        Err(error) => tracing::warn!(%error, current, "no more files can be open than before"),
    }
}

/// Tells a supervisor the limit that was in force before.
pub(crate) fn tell(command: &mut Command) {
    if let Some(before) = BEFORE.get() {
        command.env(VARIABLE, before.to_string());
    }
}

/// Takes the soft limit back that the worker had, in a supervisor, before that starts anything.
pub(crate) fn take_back() {
    let Some(before) = std::env::var(VARIABLE).ok().and_then(|text| text.parse::<u64>().ok()) else { return };
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(before, |most| before.min(most));
    // If this fails, a step has more open files than it needs, which does no harm.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit });
}
