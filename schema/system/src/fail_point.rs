//! Places where a process dies when a test says so, to see that what comes after a crash there is as promised. Only with the
//! feature `fail-points`; without it there is nothing of this in a program.
//!
//! `GUILD_FAIL=NAME:COUNT` ends a process at once, as `kill -9` does, when it comes to NAME for the COUNTth time (from 1).
//! Nothing is flushed, and nothing is said. Before that it makes the file `GUILD_FAIL_LOG`; where that is there already it lives.

/// Every place there is, in the order in which a step's life passes them.
pub const FAIL_POINTS: &[&str] = &[
    "master-before-commit",
    "master-after-commit",
    "master-before-offer",
    "master-before-seal",
    "master-after-seal",
    "worker-taken",
    "worker-entered",
    "worker-accepted",
    "worker-before-start",
    "worker-started",
    "worker-step-ended",
    "worker-before-report",
    "worker-after-report",
    "worker-before-complete",
    "worker-after-complete",
    "supervisor-before-exec",
    "supervisor-after-exec",
    "supervisor-exited",
    "supervisor-journalled",
];

/// Dies here, if that is asked for.
#[cfg(not(feature = "fail-points"))]
#[inline(always)]
pub fn fail_point(_: &'static str) {}

#[cfg(feature = "fail-points")]
pub fn fail_point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    static ASKED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let asked = ASKED.get_or_init(|| {
        let asked = std::env::var("GUILD_FAIL").ok()?;
        let (name, count) = asked.split_once(':')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    debug_assert!(FAIL_POINTS.contains(&name), "{name} is not in the list");
    let is_here =
        |(asked, count): &(String, u32)| asked == name && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *count;
    if asked.as_ref().is_some_and(is_here) && is_first(name) {
        std::process::abort();
    }
}

/// Whether this process is the first: of several processes that are told the same, one dies.
#[cfg(feature = "fail-points")]
fn is_first(name: &str) -> bool {
    use std::io::Write as _;
    let Some(log) = std::env::var_os("GUILD_FAIL_LOG") else { return true };
    let made = std::fs::File::options().write(true).create_new(true).open(log);
    made.and_then(|mut log| log.write_all(name.as_bytes())).is_ok()
}
