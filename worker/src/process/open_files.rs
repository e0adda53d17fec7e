//! The number of files that the worker may have open, which is as high as the system allows. Steps keep the limit with which the
//! worker was started, because their programs may use `select`, which knows no descriptor above 1,023.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::Command;
use std::sync::OnceLock;

/// The variable that tells a supervisor the soft limit of its steps. If it is not set, the steps have the supervisor's own limit.
const VARIABLE: &str = "GUILD_SOFT_FILES";

/// The soft limit with which this process was started, if [`raise`] has raised it.
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Raises the soft limit of this process to its hard one.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let (Some(current), true) = (limit.current, limit.current != limit.maximum) else { return };
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => drop(BEFORE.set(current)),
        Err(error) => tracing::warn!(%error, current, "cannot raise the limit for open files"),
    }
}

/// Tells a supervisor the limit that was in force before [`raise`].
pub(crate) fn tell(command: &mut Command) {
    if let Some(before) = BEFORE.get() {
        command.env(VARIABLE, before.to_string());
    }
}

/// Restores the soft limit that the worker had at its start. A supervisor calls it before it starts anything.
pub(crate) fn take_back() {
    let Some(before) = std::env::var(VARIABLE).ok().and_then(|text| text.parse::<u64>().ok()) else { return };
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(before, |most| before.min(most));
    // If this fails, a step has more open files than it needs, which does no harm.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit });
}
