//! Stores: one bare repository per source repository. A store has all objects that came from the master, and a list of the commits and
//! tags that are complete in it. It knows nothing of trees.
//!
//! Objects are only added, so a store can serve attempts while it grows. Only one transfer at a time goes into it. A store is a cache.
//! If it turns out to be damaged, a new one is made beside it and then takes its place.

use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use schema::common_capnp::byte_source;
use schema::limits::{self, COMMIT, REF, REFS};
use schema::wire;
use schema::worker_capnp::source_pack;

use super::CheckoutError;
use super::held::HeldObjects;
use super::private::{config, is_id};
use super::pump::{Part, pump};
use crate::disk::atomic_file;
use crate::disk::removal::{in_background, remove_file, remove_tree};
use crate::workspace::git::{Git, GitError};

/// The number of packs above which the worker joins packs, because many packs make git slow.
const PACKS_MAX: usize = 40;

/// The file extensions of a store that is being made anew, and of a damaged store that was set aside.
const FRESH: &str = "new";
const OLD: &str = "old";

/// The prefix of the names of packs that git is still joining.
const UNFINISHED: &[u8] = b".tmp-";

/// The lock of one store. Its holder is the only one that transfers into the store, or makes it anew.
type StoreLock = tokio::sync::Mutex<()>;

/// All stores of a worker. Each has a lock for as long as somebody uses it.
#[derive(Debug)]
pub struct Stores {
    root: PathBuf,
    locks: Mutex<HashMap<PathBuf, Weak<StoreLock>>>,
}

impl Stores {
    pub fn new(root: &Path) -> io::Result<Stores> {
        std::fs::create_dir_all(root)?;
        let root = root.canonicalize()?;
        // A process that ended while it made a store anew left these entries.
        for entry in std::fs::read_dir(&root)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == FRESH || end == OLD) {
                remove_tree(&path)?;
            }
        }
        Ok(Stores { root, locks: Mutex::default() })
    }

    pub(super) fn open(&self, repository: &str, revision: &str) -> Result<Store, CheckoutError> {
        if !is_id(revision) {
            return Err(CheckoutError::Invalid(format!("`{revision}` is not a complete commit id")));
        }
        let dir = self.dir_of(repository, revision);
        let lock = self.lock_of(&dir);
        Store::open(dir, lock, is_sha256(revision))
    }

    fn dir_of(&self, repository: &str, revision: &str) -> PathBuf {
        let hash = blake3::hash(repository.as_bytes()).to_hex();
        self.root.join(format!("{}{}", &hash[..32], if is_sha256(revision) { "-sha256" } else { "" }))
    }

    /// Returns the directory of the objects that the `.git` of a checkout of this revision borrows.
    pub fn objects_of(&self, repository: &str, revision: &str) -> PathBuf {
        objects_in(&self.dir_of(repository, revision))
    }

    fn lock_of(&self, dir: &Path) -> Arc<StoreLock> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = locks.get(dir).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::new(StoreLock::default());
        locks.insert(dir.to_path_buf(), Arc::downgrade(&lock));
        lock
    }
}

fn is_sha256(revision: &str) -> bool {
    revision.len() == 64
}

fn objects_in(store: &Path) -> PathBuf {
    store.join("objects")
}

/// The repository that holds all objects that came from the master for one source repository.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    git: Git,
    lock: Arc<StoreLock>,
    is_sha256: bool,
    /// The device and inode of the directory when it was opened. If they differ later, the store was made anew meanwhile.
    identity: (u64, u64),
}

/// The result of [`Store::obtain`]: the bytes that came, and the tags that a checkout may name.
pub(super) struct Obtained {
    /// The number of bytes that came from the master.
    pub(super) fetched: u64,
    /// The tags whose objects the store has: the full name of each, and the id of its object.
    pub(super) tags: Vec<(String, String)>,
}

impl Store {
    fn open(dir: PathBuf, lock: Arc<StoreLock>, is_sha256: bool) -> Result<Store, CheckoutError> {
        let mut store = Store { git: Git::bare(&dir), dir, lock, is_sha256, identity: (0, 0) };
        let made = store.make().or_else(|error| match is_in_the_way(&error) {
            true => {
                tracing::warn!(store = %store.dir.display(), %error, "a store is not a repository any more, so it is made again");
                store.put_aside().and_then(|()| store.make())
            }
            false => Err(error),
        });
        let opened = made.and_then(|()| identity(&store.dir));
        store.identity = opened.map_err(CheckoutError::io(&store.dir))?;
        Ok(store)
    }

    pub(super) fn objects(&self) -> PathBuf {
        objects_in(&self.dir)
    }

    pub(super) fn is_sha256(&self) -> bool {
        self.is_sha256
    }

    /// Whether the store has `revision` with its whole history. It may be the tip of an earlier build, an ancestor of such a tip, or
    /// part of a transfer whose end nobody noted. This trusts the list, because damage shows when the objects are used.
    pub(super) async fn has(&self, revision: &str) -> Result<bool, CheckoutError> {
        if self.held().has(revision) {
            return Ok(true);
        }
        // Everything that the refs reach is complete, so git checks only objects that they do not reach.
        let args = ["--objects", "--quiet", revision, "--not", "--all"];
        passed(self.git.check("rev-list", args, Vec::new()).await)
    }

    /// Makes sure that the store has `revision` with its history. `is_here` says that it already has, so that only tags can be new.
    pub(super) async fn obtain(
        &self,
        revision: &str,
        is_here: bool,
        pack: &source_pack::Client,
    ) -> Result<Obtained, CheckoutError> {
        let _guard = self.lock.lock().await;
        let is_here = if self.was_made_anew() { self.has(revision).await? } else { is_here };
        self.bring(revision, is_here, pack).await
    }

    /// Whether another attempt made the store anew since this one opened it. Then objects that were here may be missing now.
    fn was_made_anew(&self) -> bool {
        identity(&self.dir).is_ok_and(|now| now != self.identity)
    }

    /// Whether git can read all that the refs reach. It reads the whole store, so it is called only after a failure. It does not use
    /// `git fsck`, which also complains of what old versions of git wrote into many histories. It takes the store's lock, because packs
    /// that git has listed vanish while packs are joined.
    pub(super) async fn is_sound(&self) -> Result<bool, CheckoutError> {
        let _guard = self.lock.lock().await;
        // The check is tried again, because a git process of an ended attempt may still be changing the store.
        Ok(self.is_readable().await? || self.is_readable().await?)
    }

    async fn is_readable(&self) -> Result<bool, CheckoutError> {
        let args = ["--objects", "--quiet", "--all"];
        if !passed(self.git.check("rev-list", args, Vec::new()).await)? {
            return Ok(false);
        }
        let packs = self.packs("idx").map_err(CheckoutError::io(&self.dir))?;
        match packs.is_empty() {
            true => Ok(true),
            false => passed(self.git.check("verify-pack", packs, Vec::new()).await),
        }
    }

    /// Makes the store anew, with `revision` and its history. The old one serves until the new one is complete. If another attempt has
    /// made the store anew since this one opened it, uses that store.
    pub(super) async fn remake(&self, revision: &str, pack: &source_pack::Client) -> Result<Obtained, CheckoutError> {
        let _guard = self.lock.lock().await;
        if self.was_made_anew() {
            let is_here = self.has(revision).await?;
            return self.bring(revision, is_here, pack).await;
        }
        let dir = self.dir.with_extension(FRESH);
        remove_tree(&dir).map_err(CheckoutError::io(&dir))?;
        let fresh = Store::open(dir, self.lock.clone(), self.is_sha256)?;
        let obtained = fresh.bring(revision, false, pack).await?;
        let replaced = self.put_aside().and_then(|()| std::fs::rename(&fresh.dir, &self.dir));
        replaced.map_err(CheckoutError::io(&self.dir))?;
        Ok(obtained)
    }

    /// Moves the store's directory away and removes it on a thread of its own, because that may take long.
    fn put_aside(&self) -> io::Result<()> {
        let old = self.dir.with_extension(OLD);
        remove_tree(&old)?;
        match std::fs::rename(&self.dir, &old) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        in_background(old, remove_tree);
        Ok(())
    }

    /// Gets the objects that are missing. The caller holds the store's lock.
    async fn bring(
        &self,
        revision: &str,
        is_here: bool,
        pack: &source_pack::Client,
    ) -> Result<Obtained, CheckoutError> {
        let mut held = self.held();
        let have = held.have(is_here.then_some(revision));
        let mut request = pack.pack_request();
        let mut list = request.get().init_have(u32::try_from(have.len()).unwrap_or(0));
        for (index, id) in (0..).zip(&have) {
            list.set(index, id);
        }
        // The size and the first bytes are requested together with the pack, so a small pack costs one round trip.
        let promise = request.send();
        let source = promise.pipeline.get_pack();
        let (size, first) = (source.size_request().send().promise, Part::first(&source));
        let answer = promise.promise.await?;
        let answer = answer.get()?;
        refused(&answer)?;
        let fetched = size.await?.get()?.get_size();
        if fetched > 0 {
            self.receive(&source, fetched, first).await?;
        } else if !is_here && !self.has(revision).await? {
            return Err(CheckoutError::Incomplete(revision.to_owned()));
        }
        let tags = self.verified(tags_of(&answer)?, &mut held).await?;
        self.record(revision, held).await?;
        self.join_packs().await;
        Ok(Obtained { fetched, tags })
    }

    /// Restores the files without which git finds no repository here. A full disk may cut them short, and git would then never find one
    /// again.
    fn make(&self) -> io::Result<()> {
        for part in ["objects/info", "objects/pack", "refs/guild"] {
            std::fs::create_dir_all(self.dir.join(part))?;
        }
        restore(&self.dir.join("config"), config(self.is_sha256, true).as_bytes())?;
        restore(&self.dir.join("HEAD"), b"ref: refs/heads/guild\n")
    }

    async fn receive(&self, source: &byte_source::Client, size: u64, first: Part) -> Result<(), CheckoutError> {
        self.sweep().map_err(CheckoutError::io(&self.dir))?;
        let (running, pipe) = self.git.start("index-pack", ["--stdin", "--fix-thin"])?;
        let progress = running.progress();
        let (pumped, finished) = tokio::join!(pump(source, size, first, pipe, progress), running.finish());
        // If the bytes stopped coming, git's complaint about it says nothing useful.
        pumped?;
        finished?;
        Ok(())
    }

    /// Removes the files that interrupted transfers left.
    fn sweep(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.dir.join("objects/pack"))? {
            let entry = entry?;
            let name = entry.file_name();
            if [b"tmp_", UNFINISHED].iter().any(|start| name.as_encoded_bytes().starts_with(start)) {
                remove_file(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes the locks of an `update-ref` that was killed. The caller holds the store's lock, so no other git holds them.
    fn clear_locks(&self) -> io::Result<()> {
        remove_file(&self.dir.join("packed-refs.lock"))?;
        for place in ["refs/guild", "refs/guild-tags"] {
            let Ok(entries) = std::fs::read_dir(self.dir.join(place)) else { continue };
            for entry in entries {
                let path = entry?.path();
                if path.extension().is_some_and(|end| end == "lock") {
                    remove_file(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Returns the tags whose objects the store has. The others are left out, because a ref to a missing object breaks a repository.
    async fn verified(
        &self,
        tags: Vec<(String, String)>,
        held: &mut HeldObjects,
    ) -> Result<Vec<(String, String)>, CheckoutError> {
        let mut known: HashSet<String> = held.tags.iter().map(|(_, id)| id.clone()).collect();
        let mut asked: Vec<&str> = tags.iter().map(|(_, id)| id.as_str()).filter(|id| !known.contains(*id)).collect();
        asked.sort_unstable();
        asked.dedup();
        for (kind, id) in self.present(&asked).await? {
            held.tags.push((kind, id.clone()));
            known.insert(id);
        }
        Ok(tags.into_iter().filter(|(_, id)| known.contains(id)).collect())
    }

    /// Returns the ids that the store has, each with its kind: `t` for a tag, and `l` for a commit.
    async fn present(&self, ids: &[&str]) -> Result<Vec<(char, String)>, CheckoutError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let lines = ids.iter().map(|id| format!("{id}\n")).collect::<String>().into_bytes();
        let said = self.git.run("cat-file", ["--batch-check"], lines).await?;
        let mut found = Vec::new();
        for line in String::from_utf8_lossy(&said).lines() {
            let mut words = line.split(' ');
            if let (Some(id), Some(kind @ ("tag" | "commit"))) = (words.next(), words.next()) {
                found.push((if kind == "tag" { 't' } else { 'l' }, id.to_string()));
            }
        }
        Ok(found)
    }

    /// Records the new objects: first in the refs, then in the list.
    async fn record(&self, revision: &str, mut held: HeldObjects) -> Result<(), CheckoutError> {
        let before = self.held();
        held.add(revision);
        if held == before {
            return Ok(());
        }
        let (old, new) = (before.refs(), held.refs());
        let gone = old.difference(&new).map(|name| format!("delete {name}\n"));
        let lines: String = gone.chain(new.difference(&old).map(|name| update(name))).collect();
        if !lines.is_empty() {
            self.clear_locks().map_err(CheckoutError::io(&self.dir))?;
            match self.git.run("update-ref", ["--stdin"], lines.into_bytes()).await {
                Err(GitError::Failed { .. }) => self.remake_refs(&mut held).await?,
                updated => drop(updated?),
            }
        }
        if !held.has(revision) {
            return Err(CheckoutError::Incomplete(revision.to_owned()));
        }
        held.write(&self.dir).map_err(CheckoutError::io(&self.dir))
    }

    /// Writes all refs again, because the present ones cannot be changed. Forgets the objects that are missing, because git writes no
    /// ref to them, and the other refs must not be lost because of them.
    async fn remake_refs(&self, held: &mut HeldObjects) -> Result<(), CheckoutError> {
        tracing::warn!(store = %self.dir.display(), "the refs of a store are damaged: they are written again");
        for place in ["packed-refs", "refs"] {
            remove_tree(&self.dir.join(place)).map_err(CheckoutError::io(&self.dir))?;
        }
        self.make().map_err(CheckoutError::io(&self.dir))?;
        let present = self.present(&held.ids()).await?;
        held.keep(&present.into_iter().map(|(_, id)| id).collect());
        let lines: String = held.refs().iter().map(|name| update(name)).collect();
        self.git.run("update-ref", ["--stdin"], lines.into_bytes()).await?;
        Ok(())
    }

    fn held(&self) -> HeldObjects {
        HeldObjects::read(&self.dir)
    }

    /// Returns the files of packs with this extension, without packs that are still being written.
    fn packs(&self, ending: &str) -> io::Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(self.dir.join("objects/pack"))?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let is_one = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            !name.starts_with(UNFINISHED) && path.extension().is_some_and(|end| end == ending)
        };
        paths.filter(|path| path.as_ref().map_or(true, is_one)).collect()
    }

    /// Joins many small packs into few large ones. It loses no object, so attempts may go on meanwhile. If it fails, the attempts go on
    /// too.
    async fn join_packs(&self) {
        let packs = self.packs("pack").map_or(0, |packs| packs.len());
        if packs > PACKS_MAX {
            let args = ["--geometric=2", "-d", "-n", "--quiet", "--no-write-bitmap-index"];
            if let Err(error) = self.git.run("repack", args, Vec::new()).await {
                tracing::warn!(store = %self.dir.display(), %error, "cannot join the packs of a store");
            }
        }
    }
}

/// Returns whether git succeeded. If git was killed, that says nothing about the store, so it is an error.
fn passed(checked: Result<(), GitError>) -> Result<bool, CheckoutError> {
    match checked {
        Ok(()) => Ok(true),
        Err(GitError::Failed { status, .. }) if status.code().is_some() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether an error says that there is a file where git needs a directory, or the other way round.
fn is_in_the_way(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::AlreadyExists)
}

fn identity(dir: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(dir).map(|found| (found.dev(), found.ino()))
}

/// Writes a small file unless it already has this content.
fn restore(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if std::fs::read(path).is_ok_and(|found| found == bytes) { Ok(()) } else { atomic_file::write(path, bytes) }
}

/// Returns the line for `update-ref` that sets a ref to the object whose id ends the ref's name.
fn update(name: &str) -> String {
    format!("update {name} {}\n", name.rsplit('/').next().unwrap_or_default())
}

fn refused(answer: &source_pack::pack_results::Reader<'_>) -> Result<(), CheckoutError> {
    if !answer.has_refusal() {
        return Ok(());
    }
    match wire::refusal(true, answer.get_refusal())? {
        Some(refusal) => Err(CheckoutError::Refused(refusal)),
        None => Ok(()),
    }
}

fn tags_of(answer: &source_pack::pack_results::Reader<'_>) -> Result<Vec<(String, String)>, CheckoutError> {
    let mut tags = Vec::new();
    for pair in limits::structs(answer.get_refs(), &REFS)? {
        let (Ok(name), Ok(id)) = (limits::text(pair.get_name(), &REF), limits::text(pair.get_value(), &COMMIT)) else {
            continue;
        };
        if name.starts_with("refs/tags/") && is_id(&id) {
            tags.push((name, id));
        }
    }
    Ok(tags)
}
