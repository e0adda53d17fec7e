//! A Rust project that cargo builds.

use super::Guess;
use super::folder::Folder;

pub(super) fn guess(folder: &Folder) -> Option<Guess> {
    if !folder.has("Cargo.toml") {
        return None;
    }
    let manifest = folder.toml("Cargo.toml");
    // if the top of a workspace is a package too, `cargo test` leaves the other members out
    let all = manifest.contains_key("workspace") && manifest.contains_key("package");
    let guess = Guess::new("rust", "Cargo.toml")
        .key("workspace = \"clean\" # ignored files stay: only what changed is compiled again");
    Some(guess.step("test", if all { "cargo test --workspace" } else { "cargo test" }))
}
