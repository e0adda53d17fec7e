//! Brings a workspace to a revision: what is lacking comes as a pack from the master into the repository's store, then
//! the tree is made as committed, then it gets a `.git` of its own. Chooses no workspace and runs no step.
//!
//! Three repositories take part: the *store*, shared by all workspaces and written only here; the workspace's own
//! `guild.git`, which remembers what was written to the tree; and `tree/.git`, made anew for each attempt for the step
//! to do with as it likes, and never read again. The latter two borrow the store's objects.

mod private;
mod store;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use schema::values::{Refusal, Source, Workspace as Mode};
use schema::worker_capnp::source_pack;

use crate::git::{Git, GitError};
use crate::whole;
use crate::workspace::Workspace;
use private::Private;
pub use store::Stores;
use store::{Obtained, Store};

/// With less than this left, in bytes, git is not said to have failed by itself.
const ROOM_MIN: u64 = 1 << 20;

/// What a checkout did.
#[derive(Clone, Copy, Debug)]
pub struct Checkout {
    /// Bytes that came from the master.
    pub fetched: u64,
    pub took: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// By the master.
    #[error("the master gives no source: {0}")]
    Refused(Refusal),
    #[error("the source could not be received: {0}")]
    Lost(#[from] capnp::Error),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("{place}: {cause}")]
    Io { place: String, cause: io::Error },
    /// The source names what no repository can hold.
    #[error("{0}")]
    Invalid(String),
}

impl CheckoutError {
    fn io(place: &Path) -> impl FnOnce(io::Error) -> CheckoutError {
        move |cause| CheckoutError::Io { place: place.display().to_string(), cause }
    }
}

/// Makes the workspace's tree what `mode` says of `source`. May be dropped at any await, and repeated.
pub async fn checkout(
    workspace: &Workspace,
    stores: &Stores,
    source: &Source,
    mode: Mode,
    pack: source_pack::Client,
) -> Result<Checkout, CheckoutError> {
    let began = Instant::now();
    let store = stores.open(&source.repository, &source.revision)?;
    let place = Place { workspace, store: &store };
    let (mut obtained, written) = if store.has(&source.revision) {
        // only new tags can come: the tree need not wait for them
        let (obtained, written) =
            tokio::join!(store.obtain(&source.revision, &pack), place.write(&source.revision, mode));
        (obtained?, written)
    } else {
        (store.obtain(&source.revision, &pack).await?, place.write(&source.revision, mode).await)
    };
    let mut fetched = obtained.fetched;
    if matches!(written, Err(CheckoutError::Git(GitError::Failed { .. }))) && has_room(&store.objects()) {
        // our bookkeeping or the store is damaged, as after a power cut: once more, from nothing
        tracing::warn!(error = ?written, "checking out again from nothing");
        workspace.discard(&workspace.git_dir()).map_err(CheckoutError::io(workspace.dir()))?;
        store.forget().await?;
        obtained = store.obtain(&source.revision, &pack).await?;
        fetched += obtained.fetched;
        place.write(&source.revision, mode).await?;
    } else {
        written?;
    }
    place.make_private(source, obtained).await?;
    Ok(Checkout { fetched, took: began.elapsed() })
}

/// On a full disk git fails in words of many kinds; what is here is whole, and there would be no room to get it again.
fn has_room(place: &Path) -> bool {
    rustix::fs::statvfs(place).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= ROOM_MIN)
}

struct Place<'a> {
    workspace: &'a Workspace,
    store: &'a Store,
}

impl Place<'_> {
    async fn write(&self, revision: &str, mode: Mode) -> Result<(), CheckoutError> {
        self.prepare(mode).map_err(CheckoutError::io(self.workspace.dir()))?;
        self.reset(revision).await?;
        if mode == Mode::Clean {
            // -ff: also repositories that a step made; their configuration is not read
            let cleaned = self.git().run("clean", ["-ffd", "--quiet"], Vec::new()).await;
            if let Err(GitError::Failed { text, .. }) = cleaned {
                tracing::debug!(%text, "what a step left cannot be cleaned: starting from an empty tree");
                self.prepare(Mode::Fresh).map_err(CheckoutError::io(self.workspace.dir()))?;
                self.reset(revision).await?;
            }
        }
        Ok(())
    }

    /// What `reset --hard` does to the tree, without its log and refs.
    async fn reset(&self, revision: &str) -> Result<(), GitError> {
        self.git().run("read-tree", ["--reset", "-u", revision], Vec::new()).await.map(drop)
    }

    fn git(&self) -> Git {
        Git::with_tree(&self.workspace.git_dir(), &self.workspace.tree())
    }

    /// The tree without its `.git`, and bookkeeping that fits it.
    fn prepare(&self, mode: Mode) -> io::Result<()> {
        let (tree, git_dir) = (self.workspace.tree(), self.workspace.git_dir());
        if mode == Mode::Fresh {
            remove_file(&git_dir.join("index"))?;
            if std::fs::read_dir(&tree)?.next().is_some() {
                self.workspace.empty()?;
            }
        } else {
            self.workspace.discard(&tree.join(".git"))?;
        }
        // of a checkout that was interrupted; the workspace's lock says that it is over
        remove_file(&git_dir.join("index.lock"))?;
        private::skeleton(&git_dir, &self.store.objects(), self.store.is_sha256())?;
        whole::write(&git_dir.join("HEAD"), b"ref: refs/heads/guild\n")
    }

    async fn make_private(&self, source: &Source, obtained: Obtained) -> Result<(), CheckoutError> {
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

fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
