//! The main branch is the branch that the remote's HEAD names. It is kept, so that web pages can show it without asking the
//! remote.

use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::Mirror;
use super::git::GitError;
use super::refs::check_ref;

/// The file in the mirror's directory that keeps the main branch across restarts.
const FILE: &str = "guild.head";
/// How often a remote on another machine is asked for its HEAD, if no refs changed. Asking costs a connection. Renaming the
/// main branch is rare, and showing the old name for an hour is bearable.
const ASKED_EVERY: Duration = Duration::from_secs(3600);
/// The shortest time between two questions for the HEAD if refs changed.
const ASKED_AFTER_CHANGE: Duration = Duration::from_secs(60);

/// The name of the main branch, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct MainBranch {
    name: Option<String>,
    asked: Option<Instant>,
}

impl MainBranch {
    pub(super) fn open(dir: &Path) -> MainBranch {
        let name = std::fs::read_to_string(dir.join(FILE)).ok().filter(|name| check_ref(name).is_ok());
        MainBranch { name, asked: None }
    }
}

impl Mirror {
    /// Returns the branch that the remote's HEAD named when it was last asked, as a full ref; `None` means that it is not
    /// known.
    pub fn main_branch(&self) -> Option<String> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).name.clone()
    }

    /// Asks the remote for its HEAD if the last answer is too old.
    pub(super) async fn refresh_head(&self, has_changed: bool) -> Result<(), GitError> {
        let most = if has_changed { ASKED_AFTER_CHANGE } else { ASKED_EVERY };
        let asked = self.head.lock().unwrap_or_else(PoisonError::into_inner).asked;
        if asked.is_some_and(|asked| asked.elapsed() < most) {
            return Ok(());
        }
        let name = self.head().await?;
        self.note_head(name)
    }

    /// Keeps a new main branch. If HEAD names no branch, as in a checkout of a single commit, the known branch stays.
    pub(super) fn note_head(&self, name: Option<String>) -> Result<(), GitError> {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        head.asked = Some(Instant::now());
        let Some(name) = name.filter(|name| head.name.as_ref() != Some(name)) else {
            return Ok(());
        };
        let file = self.dir.join(FILE);
        let written = std::fs::write(&file, &name);
        head.name = Some(name);
        written.map_err(|cause| GitError::io(file.display().to_string(), cause))
    }
}

/// Returns the branch that HEAD names in a listing with `--symref`.
pub(super) fn named_by(listing: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(listing);
    let target = text.lines().find_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"));
    target.filter(|name| check_ref(name).is_ok()).map(str::to_string)
}
