//! A repository as builds see it. The product uses a mirror that git keeps; a simulation brings its own.

use crate::keep::mirror::{CommitRange, Difference, GitError, Mirror, SharedPack};
use futures::future::LocalBoxFuture;
use schema::values::Commit;
use std::path::Path;

type GitFuture<'a, T> = LocalBoxFuture<'a, Result<T, GitError>>;

pub trait History {
    /// Fetches all refs from the remote.
    fn fetch(&self) -> GitFuture<'_, ()>;
    /// Fetches one ref from the remote, and returns its revision.
    fn fetch_ref<'a>(&'a self, ref_name: &'a str) -> GitFuture<'a, Option<String>>;
    /// Takes a commit with its history from another repository on this machine, even if no ref holds that commit.
    fn bring<'a>(&'a self, from: &'a Path, commit: &'a str) -> GitFuture<'a, ()>;
    /// Asks the remote for its default branch.
    fn head(&self) -> GitFuture<'_, Option<String>>;
    /// Returns the full revision of a commit that is here already.
    fn resolve<'a>(&'a self, revision_or_ref: &'a str) -> GitFuture<'a, Option<String>>;
    fn commit<'a>(&'a self, revision: &'a str) -> GitFuture<'a, Option<Commit>>;
    /// Returns the content of a file at a revision, if it has at most `limit` bytes.
    fn read<'a>(&'a self, revision: &'a str, path: &'a str, limit: usize) -> GitFuture<'a, Option<Vec<u8>>>;
    /// Returns the id of a commit's tree. `None` means that the commit is not here.
    fn tree<'a>(&'a self, revision: &'a str) -> GitFuture<'a, Option<String>>;
    /// Returns the paths that differ between two commits.
    fn difference<'a>(&'a self, before: &'a str, after: &'a str) -> GitFuture<'a, Difference>;
    /// Whether `ancestor` is reachable from `revision` or is the same commit. False if one of them is unknown.
    fn is_ancestor<'a>(&'a self, ancestor: &'a str, revision: &'a str) -> GitFuture<'a, bool>;
    /// Returns the default branch as it was known last, without asking the remote.
    fn main_branch(&self) -> Option<String>;
    /// Returns the commits that `tip` has and `without` have not: see [`Mirror::range`].
    fn range<'a>(&'a self, tip: &'a str, without: &'a [String], limit: u32) -> GitFuture<'a, CommitRange>;
    /// Returns a pack with what a worker that has the commits `have` needs for a revision.
    fn pack<'a>(&'a self, revision: &'a str, have: &'a [String]) -> GitFuture<'a, SharedPack>;
    /// Returns the mirror that takes commits which nobody pushed. A history that is not a mirror takes none.
    fn taking(&self) -> Option<&Mirror> {
        None
    }
}

impl History for Mirror {
    fn fetch(&self) -> GitFuture<'_, ()> {
        Box::pin(self.mended(move || Box::pin(async move { Mirror::fetch(self).await.map(drop) })))
    }

    fn fetch_ref<'a>(&'a self, ref_name: &'a str) -> GitFuture<'a, Option<String>> {
        Box::pin(self.mended(move || Box::pin(Mirror::fetch_ref(self, ref_name))))
    }

    fn bring<'a>(&'a self, from: &'a Path, commit: &'a str) -> GitFuture<'a, ()> {
        Box::pin(self.mended(move || Box::pin(Mirror::bring(self, from, commit))))
    }

    fn head(&self) -> GitFuture<'_, Option<String>> {
        Box::pin(Mirror::head(self))
    }

    fn resolve<'a>(&'a self, revision_or_ref: &'a str) -> GitFuture<'a, Option<String>> {
        Box::pin(Mirror::resolve(self, revision_or_ref))
    }

    fn commit<'a>(&'a self, revision: &'a str) -> GitFuture<'a, Option<Commit>> {
        Box::pin(self.mended(move || Box::pin(Mirror::commit(self, revision))))
    }

    fn read<'a>(&'a self, revision: &'a str, path: &'a str, limit: usize) -> GitFuture<'a, Option<Vec<u8>>> {
        Box::pin(self.mended(move || Box::pin(Mirror::read(self, revision, path, limit))))
    }

    fn tree<'a>(&'a self, revision: &'a str) -> GitFuture<'a, Option<String>> {
        Box::pin(Mirror::tree(self, revision))
    }

    fn difference<'a>(&'a self, before: &'a str, after: &'a str) -> GitFuture<'a, Difference> {
        Box::pin(self.mended(move || Box::pin(Mirror::difference(self, before, after))))
    }

    fn is_ancestor<'a>(&'a self, ancestor: &'a str, revision: &'a str) -> GitFuture<'a, bool> {
        Box::pin(Mirror::is_ancestor(self, ancestor, revision))
    }

    fn main_branch(&self) -> Option<String> {
        Mirror::main_branch(self)
    }

    fn range<'a>(&'a self, tip: &'a str, without: &'a [String], limit: u32) -> GitFuture<'a, CommitRange> {
        Box::pin(self.mended(move || Box::pin(Mirror::range(self, tip, without, limit))))
    }

    fn pack<'a>(&'a self, revision: &'a str, have: &'a [String]) -> GitFuture<'a, SharedPack> {
        Box::pin(self.mended(move || Box::pin(Mirror::pack(self, revision, have))))
    }

    fn taking(&self) -> Option<&Mirror> {
        Some(self)
    }
}
