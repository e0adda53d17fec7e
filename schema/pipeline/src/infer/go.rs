//! A project with Go modules.

use super::Guess;
use super::folder::Folder;

pub(super) fn guess(folder: &Folder) -> Option<Guess> {
    let guess = || Guess::new("go", "go.mod").step("build", "go build ./...").step("test", "go test ./...");
    folder.has("go.mod").then(guess)
}
