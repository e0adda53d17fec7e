//! A repository as builds see it. The product's is a mirror kept by git; a simulation brings its own.

use crate::keep::mirror::{CommitRange, Difference, GitError, Mirror, SharedPack};
use futures::future::LocalBoxFuture;
use schema::values::Commit;
use std::path::Path;

type GitFuture<'a, T> = LocalBoxFuture<'a, Result<T, GitError>>;

pub trait History {
    /// Asks the remote for everything.
    fn fetch(&self) -> GitFuture<'_, ()>;
    /// Asks the remote for one ref; its revision.
    fn fetch_ref<'a>(&'a self, ref_name: &'a str) -> GitFuture<'a, Option<String>>;
    /// Takes a commit with its history from another repository on this machine, whether a ref holds it or not.
    fn bring<'a>(&'a self, from: &'a Path, commit: &'a str) -> GitFuture<'a, ()>;
    /// The default branch of the repository.
    fn head(&self) -> GitFuture<'_, Option<String>>;
    /// The full revision of what is here already.
    fn resolve<'a>(&'a self, revision_or_ref: &'a str) -> GitFuture<'a, Option<String>>;
    fn commit<'a>(&'a self, revision: &'a str) -> GitFuture<'a, Option<Commit>>;
    /// A file of a revision, of at most `limit` bytes.
    fn read<'a>(&'a self, revision: &'a str, path: &'a str, limit: usize) -> GitFuture<'a, Option<Vec<u8>>>;
    /// The name of the tree of a commit. `None` means that the commit is not here.
    fn tree<'a>(&'a self, revision: &'a str) -> GitFuture<'a, Option<String>>;
    /// What differs between two commits.
    fn difference<'a>(&'a self, before: &'a str, after: &'a str) -> GitFuture<'a, Difference>;
    /// Whether `ancestor` is reachable from `revision`, or the same; false if one is unknown.
    fn is_ancestor<'a>(&'a self, ancestor: &'a str, revision: &'a str) -> GitFuture<'a, bool>;
    /// The default branch as it was known last, without a word to the remote.
    fn main_branch(&self) -> Option<String>;
    /// What a commit has and others have not: see [`Mirror::range`].
    fn range<'a>(&'a self, tip: &'a str, without: &'a [String], limit: u32) -> GitFuture<'a, CommitRange>;
    /// What a worker that has the commits `have` lacks of a revision.
    fn pack<'a>(&'a self, revision: &'a str, have: &'a [String]) -> GitFuture<'a, SharedPack>;
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
}
