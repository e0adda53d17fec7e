//! Places at which a test can crash a process, to check that everything after the crash is as promised. They exist only with the
//! feature `fail-points`.
//!
//! `GUILD_FAIL=NAME:COUNT` ends a process at once, like `kill -9`, when it passes NAME for the COUNTth time, counted from 1.
//! Nothing is flushed. If `GUILD_FAIL_LOG` names a file, the process first creates it, and lives on if the file already exists.

/// The names of all fail points, in the order in which a step passes them.
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

/// Does nothing, because this program is built without the feature `fail-points`.
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

/// Whether this process is the first one here. If several processes have the same orders, only one of them dies.
#[cfg(feature = "fail-points")]
fn is_first(name: &str) -> bool {
    use std::io::Write as _;
    let Some(log) = std::env::var_os("GUILD_FAIL_LOG") else { return true };
    let made = std::fs::File::options().write(true).create_new(true).open(log);
    made.and_then(|mut log| log.write_all(name.as_bytes())).is_ok()
}
