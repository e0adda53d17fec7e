//! Which start of the machine this is.

/// A text that differs after each start of the machine. Empty means that it cannot be said.
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
