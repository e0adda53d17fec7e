//! A mark in the state directory that exists while a worker serves. If the next process finds the mark, the previous process was
//! killed, or the machine went off.

use std::path::{Path, PathBuf};

/// The name of the mark's file. The file holds the id of the machine's boot in which the worker serves.
const FILE: &str = "serving";

/// The mark of this process. Dropping this value removes the mark, which happens whenever the worker ends by itself.
#[derive(Debug)]
pub(crate) struct ServingMark(PathBuf);

impl ServingMark {
    /// Sets the mark. Returns whether the previous process was killed after the machine booted. If the mark cannot be written, the
    /// next process cannot know how this one ended.
    pub(crate) fn set(state: &Path, boot: &str) -> (ServingMark, bool) {
        let path = state.join(FILE);
        let was_killed = std::fs::read_to_string(&path).is_ok_and(|found| found == boot && !boot.is_empty());
        if let Err(error) = std::fs::write(&path, boot) {
            tracing::warn!(%error, "the next worker process cannot know how this one ended");
        }
        (ServingMark(path), was_killed)
    }
}

impl Drop for ServingMark {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_worker_that_was_killed_leaves_its_mark() {
        let state = tempfile::tempdir().unwrap();
        let set = |boot| ServingMark::set(state.path(), boot);
        let (first, was_killed) = set("a");
        assert!(!was_killed);
        drop(first);
        let (killed, was_killed) = set("a");
        assert!(!was_killed);
        std::mem::forget(killed);
        let (again, was_killed) = set("a");
        assert!(was_killed);
        std::mem::forget(again);
        assert!(!set("b").1, "the machine was started again");
    }
}
