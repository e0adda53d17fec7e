//! Runs the target that `GUILD_FUZZ` names under libFuzzer, which looks for inputs that reach new code. `campaign` starts it.

#![no_main]

mod targets;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use targets::{TARGETS, Target};

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("GUILD_FUZZ").unwrap_or_default();
    let found = TARGETS.iter().find(|(target, _)| *target == name).map(|(_, target)| *target);
    found.unwrap_or_else(|| panic!("GUILD_FUZZ names no target: {}", TARGETS.map(|(target, _)| target).join(", ")))
});

fuzz_target!(|data: &[u8]| CHOSEN(data));
