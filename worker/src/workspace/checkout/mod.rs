//! Brings a workspace to a revision. Missing objects come as a pack from the master into the repository's store. Then the tree is
//! written as committed, and gets a `.git` of its own. This module chooses no workspace and runs no step.
//!
//! Three repositories take part. The *store* is shared by all workspaces and written only here. The workspace's own `guild.git`
//! remembers what was written to the tree. `tree/.git` is made anew for each attempt. The step may change it freely, and the worker
//! never reads it again. The latter two borrow the store's objects.

mod held;
mod private;
mod pump;
mod store;
mod unfetched;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use schema::values::{Refusal, SourceRevision, Workspace as Mode};
use schema::worker_capnp::source_pack;

use crate::disk::atomic_file;
use crate::disk::free::{FULL_BELOW, free_bytes};
use crate::disk::removal::{make_all_writable, remove_file};
use crate::workspace::Workspace;
use crate::workspace::git::{Git, GitError};
use private::Private;
pub use store::Stores;
use store::{Obtained, Store};

/// The result of a checkout: its cost, and the parts of the revision that the tree lacks.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// The number of bytes that came from the master.
    pub fetched: u64,
    pub took: Duration,
    /// One line for each kind of content that the tree lacks, such as submodules.
    pub notes: Vec<String>,
}

/// Why a checkout of a revision failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The master gives no source.
    #[error("the master gives no source: {0}")]
    Refused(Refusal),
    #[error("the source could not be received: {0}")]
    Lost(#[from] capnp::Error),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("{place}: {cause}")]
    Io { place: String, cause: io::Error },
    /// The source names something that no repository can hold.
    #[error("{0}")]
    Invalid(String),
    /// The commit is there, but git cannot write its tree anywhere.
    #[error("no worker can check this commit out: {0}")]
    Unusable(String),
    /// The worker named commits to the master that it does not have.
    #[error("this worker lacks commit {0}, and the master did not send it")]
    Incomplete(String),
}

impl CheckoutError {
    /// Whether the reason may be an earlier damage of the disk, rather than git itself or the new objects.
    fn may_be_damage(&self) -> bool {
        match self {
            CheckoutError::Git(GitError::Failed { .. }) | CheckoutError::Incomplete(_) => true,
            CheckoutError::Git(GitError::Start { .. } | GitError::Deadline { .. } | GitError::TooMuch { .. })
            | CheckoutError::Refused(_)
            | CheckoutError::Lost(_)
            | CheckoutError::Io { .. }
            | CheckoutError::Invalid(_)
            | CheckoutError::Unusable(_) => false,
        }
    }

    fn io(place: &Path) -> impl FnOnce(io::Error) -> CheckoutError {
        move |cause| CheckoutError::Io { place: place.display().to_string(), cause }
    }
}

/// Writes `source` into the workspace's tree; `mode` says what happens to the tree's old content. The future may be dropped at any
/// await, and the checkout may be repeated.
pub async fn checkout(
    workspace: &Workspace,
    stores: &Stores,
    source: &SourceRevision,
    mode: Mode,
    pack: source_pack::Client,
) -> Result<Checkout, CheckoutError> {
    let began = Instant::now();
    let store = stores.open(&source.repository, &source.revision)?;
    let writer = TreeWriter { workspace, store: &store, revision: &source.revision, mode, pack: &pack };
    let obtained = writer.fill().await?;
    let fetched = obtained.fetched;
    writer.make_private(source, obtained).await?;
    let notes = unfetched::lines(&writer.git(), &workspace.tree()).await?;
    Ok(Checkout { fetched, took: began.elapsed(), notes })
}

/// Writes a revision into the tree of one workspace, from a store. The mode says how much of the old tree may stay.
struct TreeWriter<'a> {
    workspace: &'a Workspace,
    store: &'a Store,
    revision: &'a str,
    mode: Mode,
    pack: &'a source_pack::Client,
}

impl TreeWriter<'_> {
    /// Gets the objects that are missing, and writes the tree.
    async fn fill(&self) -> Result<Obtained, CheckoutError> {
        let (obtained, written) = if self.store.has(self.revision).await? {
            // Only new tags can come, so the tree need not wait for them.
            tokio::join!(self.obtain(true), self.write(self.mode))
        } else {
            (Ok(self.obtain(false).await?), self.write(self.mode).await)
        };
        let mut obtained = obtained?;
        match written {
            Err(error) if self.is_worth_repeating(&error) => self.write_again(error, &mut obtained).await?,
            written => written?,
        }
        Ok(obtained)
    }

    async fn obtain(&self, is_here: bool) -> Result<Obtained, CheckoutError> {
        match self.store.obtain(self.revision, is_here, self.pack).await {
            Err(error) if self.is_worth_repeating(&error) => {
                let is_lacking = matches!(error, CheckoutError::Incomplete(_));
                if !is_lacking && self.store.is_sound().await? {
                    return Err(error);
                }
                self.remake(&error).await
            }
            obtained => obtained,
        }
    }

    async fn remake(&self, why: &CheckoutError) -> Result<Obtained, CheckoutError> {
        tracing::warn!(error = %why, "the store of a repository is damaged, so it is made again");
        self.store.remake(self.revision, self.pack).await
    }

    /// Whether it is worth while to try again after an error. If the disk is full, it is not. Git then fails with many kinds of
    /// message, the store is whole, and there is no room to fetch it again.
    fn is_worth_repeating(&self, error: &CheckoutError) -> bool {
        error.may_be_damage() && free_bytes(&self.store.objects()).is_some_and(|free| free >= FULL_BELOW)
    }

    /// Writes the tree once more, each time without more of what may have been in the way. First it undoes missing permissions, and
    /// drops our bookkeeping, which a power cut may have damaged. It makes a new store only if git cannot read the old one, or if
    /// another attempt's new store lacks the revision. Last, it removes what a step left in the tree.
    async fn write_again(&self, why: CheckoutError, obtained: &mut Obtained) -> Result<(), CheckoutError> {
        tracing::warn!(error = %why, "the tree cannot be written: writing it again");
        make_all_writable(&self.workspace.tree());
        self.workspace.discard(&self.workspace.git_dir()).map_err(CheckoutError::io(self.workspace.dir()))?;
        let again = self.write(self.mode).await;
        let Err(error) = &again else { return Ok(()) };
        if !self.is_worth_repeating(error) {
            return again;
        }
        if !self.store.is_sound().await? || !self.store.has(self.revision).await? {
            let fetched = obtained.fetched;
            *obtained = self.remake(error).await?;
            obtained.fetched += fetched;
            return self.write(self.mode).await;
        }
        tracing::warn!(%error, "what a step left is in the way: starting from an empty tree");
        self.write(Mode::Fresh).await
    }

    async fn write(&self, mode: Mode) -> Result<(), CheckoutError> {
        self.prepare(mode).map_err(CheckoutError::io(self.workspace.dir()))?;
        self.reset().await?;
        if mode == Mode::Clean {
            // The option `-ff` also removes repositories that a step made; their configuration is not read.
            let cleaned = self.git().run("clean", ["-ffd", "--quiet"], Vec::new()).await;
            if let Err(GitError::Failed { text, .. }) = cleaned {
                tracing::debug!(%text, "what a step left cannot be cleaned: starting from an empty tree");
                self.prepare(Mode::Fresh).map_err(CheckoutError::io(self.workspace.dir()))?;
                self.reset().await?;
            }
        }
        Ok(())
    }

    /// Does what `reset --hard` does to the tree, without its log and refs. If attributes changed, it also writes unchanged files
    /// again. Line ends, for instance, follow the attributes, and git does not check them again.
    async fn reset(&self) -> Result<(), CheckoutError> {
        let rewrites = self.mode != Mode::Fresh && self.attributes_differ().await?;
        self.read_tree().await?;
        if rewrites {
            // Git treats a file that the index lacks as changed.
            remove_file(&self.workspace.git_dir().join("index")).map_err(CheckoutError::io(self.workspace.dir()))?;
            self.git().run("read-tree", [self.revision], Vec::new()).await?;
            self.read_tree().await?;
        }
        Ok(())
    }

    async fn read_tree(&self) -> Result<(), CheckoutError> {
        // The option `-v` makes git print counters, which show that it makes progress.
        match self.git().run("read-tree", ["--reset", "-u", "-v", self.revision], Vec::new()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.unusable().map_or(CheckoutError::Git(error), CheckoutError::Unusable)),
        }
    }

    /// Whether a `.gitattributes` of the revision differs from the one with which the tree was written.
    async fn attributes_differ(&self) -> Result<bool, GitError> {
        if !self.workspace.git_dir().join("index").exists() {
            return Ok(false);
        }
        let args = ["--cached", "--quiet", self.revision, "--", ":(glob)**/.gitattributes"];
        match self.git().check("diff-index", args, Vec::new()).await {
            Ok(()) => Ok(false),
            Err(GitError::Failed { status, .. }) => Ok(status.code() == Some(1)),
            Err(error) => Err(error),
        }
    }

    fn git(&self) -> Git {
        Git::with_tree(&self.workspace.git_dir(), &self.workspace.tree())
    }

    /// Prepares the tree and the bookkeeping for a write. Removes the tree's `.git`, and in mode `Fresh` everything in the tree.
    fn prepare(&self, mode: Mode) -> io::Result<()> {
        let (tree, git_dir) = (self.workspace.tree(), self.workspace.git_dir());
        if mode == Mode::Fresh {
            remove_file(&git_dir.join("index"))?;
            if std::fs::read_dir(&tree)?.next().is_some() {
                self.workspace.empty()?;
            }
        } else {
            self.discard_private(&tree.join(".git"))?;
        }
        // An interrupted checkout left this lock. This attempt holds the workspace's lock, so that checkout is over.
        remove_file(&git_dir.join("index.lock"))?;
        private::skeleton(&git_dir, &self.store.objects(), self.store.is_sha256())?;
        atomic_file::write(&git_dir.join("HEAD"), b"ref: refs/heads/guild\n")
    }

    /// Discards a directory. If it belongs to another user, it cannot be moved away, so the whole tree is emptied instead.
    fn discard_private(&self, dir: &Path) -> io::Result<()> {
        match self.workspace.discard(dir) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.workspace.empty(),
            discarded => discarded,
        }
    }

    async fn make_private(&self, source: &SourceRevision, obtained: Obtained) -> Result<(), CheckoutError> {
        let private = Private {
            dir: self.workspace.tree().join(".git"),
            index: self.workspace.git_dir().join("index"),
            objects: self.store.objects(),
            is_sha256: self.store.is_sha256(),
            revision: source.revision.clone(),
            ref_name: source.ref_name.clone(),
            tags: obtained.tags,
        };
        let place = private.dir.clone();
        let made = tokio::task::spawn_blocking(move || private.make()).await;
        made.unwrap_or_else(|lost| Err(lost.into())).map_err(CheckoutError::io(&place))
    }
}
