//! The files that differ from HEAD, read from the output of `git status` in the format `--porcelain=v2` (git-status(1)).

use super::SnapshotError;
use super::git::{Git, text_of};
use std::path::Path;

#[derive(Debug, Default)]
pub(super) struct Status {
    pub(super) changed: usize,
    pub(super) submodules: Vec<String>,
    unmerged: Option<String>,
    untracked: Vec<String>,
}

impl Status {
    pub(super) fn read(git: &Git) -> Result<Status, SnapshotError> {
        let output = git.run(&["status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames"])?;
        let mut status = Status::default();
        output
            .split(|byte| *byte == 0)
            .filter(|entry| !entry.is_empty())
            .for_each(|entry| status.note(&text_of(entry)));
        Ok(status)
    }

    /// Notes one entry. It is a kind and fields between blanks. The second field is the state of a submodule, and the last the path.
    fn note(&mut self, entry: &str) {
        let (kind, rest) = entry.split_once(' ').unwrap_or((entry, ""));
        let field = |count: usize| rest.splitn(count, ' ').last().unwrap_or_default().to_owned();
        match kind {
            "1" => {
                let state = rest.split(' ').nth(1).unwrap_or_default();
                // the letters of `S<c><m><u>` say whether the submodule has another commit, modified files and untracked files
                if state.starts_with('S') && (state.contains('M') || state.contains('U')) {
                    self.submodules.push(field(8));
                }
            }
            "u" => self.unmerged = Some(field(10)),
            "?" => self.untracked.push(rest.to_owned()),
            _ => return,
        }
        self.changed += 1;
    }

    /// Returns the files that git does not know, each with its size in bytes.
    pub(super) fn sizes(&self, top: &Path) -> Vec<(String, u64)> {
        let size = |path: &String| top.join(path).symlink_metadata().map_or(0, |found| found.len());
        self.untracked.iter().map(|path| (path.clone(), size(path))).collect()
    }

    pub(super) fn check(&self, top: &Path, untracked_max: u64) -> Result<(), SnapshotError> {
        if let Some(path) = &self.unmerged {
            return Err(SnapshotError::Unmerged { path: path.clone() });
        }
        let new = self.sizes(top);
        let bytes = new.iter().map(|(_, size)| size).sum();
        let largest = new.iter().max_by_key(|(_, size)| *size);
        match largest {
            Some((path, _)) if bytes > untracked_max => {
                Err(SnapshotError::TooLarge { path: path.clone(), bytes, limit: untracked_max })
            }
            Some(_) | None => Ok(()),
        }
    }
}
