//! Support for tests of file permissions. Root ignores permissions, so such a test gives up that power first.

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// The capabilities that let root ignore permissions.
const PASSES: [CapabilitySet; 2] = [CapabilitySet::DAC_OVERRIDE, CapabilitySet::DAC_READ_SEARCH];

/// Runs a test on a thread for which permissions hold. They also hold for the programs that the test starts. If the thread
/// cannot give up the power of root, the test does not run, and a message says so.
pub fn as_ordinary_user(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let ran = scope.spawn(|| {
            give_up_passing();
            match permissions_hold() {
                true => test(),
                false => eprintln!("not run: permissions do not hold for this user, and cannot be made to"),
            }
        });
        if let Err(panicked) = ran.join() {
            std::panic::resume_unwind(panicked);
        }
    });
}

fn give_up_passing() {
    for capability in PASSES {
        // without this, a program that root starts would get the capability again
        let _ = remove_capability_from_bounding_set(capability);
    }
    let passes = PASSES.into_iter().fold(CapabilitySet::empty(), |all, one| all | one);
    if let Ok(now) = capabilities(None) {
        let without = CapabilitySets {
            effective: now.effective - passes,
            permitted: now.permitted - passes,
            inheritable: now.inheritable - passes,
        };
        let _ = set_capabilities(None, without);
    }
}

fn permissions_hold() -> bool {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let closed = dir.path().join("closed");
    std::fs::create_dir(&closed).expect("a directory");
    close(&closed, 0o500);
    let own = std::fs::write(closed.join("own"), "");
    let touched = Command::new("touch").arg(closed.join("touched")).output();
    close(&closed, 0o700);
    own.is_err() && touched.is_ok_and(|done| !done.status.success())
}

/// Sets the mode of a directory.
pub fn close(dir: &Path, mode: u32) {
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).expect("a directory of ours");
}
