//! The id of the current start of the machine.

/// Returns a text that is different after each start of the machine. It is empty if the kernel gives none.
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
