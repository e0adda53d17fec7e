//! Takes commits that nobody pushed, from a pack that somebody sent. Git indexes and checks the pack in a quarantine of its own, which
//! borrows the objects of the mirror. Only a complete commit gets into the mirror, where a ref holds it until it is forgotten.
//!
//! The ref and the objects stay until the mirror is fetched anew, because other commits may come to need the same objects. By the ref the
//! mirror knows later that nobody pushed the commit.

use super::git::{Git, GitError, Run};
use super::incoming::{IncomingPack, blocking, objects_in};
use super::patience::Deadline;
use super::{Mirror, is_object_id};
use schema::limits::borders::{TRY_CHECK, TRY_PACK};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The folder of the refs that hold the commits. The last part of a ref's name is the commit.
const TRIED: &str = "refs/guild/try";
/// The most memory that git may allocate at once for an object: 2 GiB. A small pack can claim to have objects of any size.
const ALLOCATION_MAX: u64 = 2 << 30;
/// The reasons for which a pack or its commit is not taken.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    /// Not all bytes have come, so they may still be sent.
    #[error("the pack is not sealed")]
    NotSealed,
    /// The pack itself is at fault.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Git(#[from] GitError),
}

impl Mirror {
    /// Takes `commit` and what it needs from a pack. If this fails, the mirror is as it was.
    pub async fn take_try(&self, pack: &IncomingPack, commit: &str) -> Result<(), TryError> {
        let _turn = pack.turn().await.ok_or(TryError::NotSealed)?;
        if !is_object_id(commit) {
            return Err(TryError::Refused(format!("{commit} is not the full id of a commit")));
        }
        let count = objects_in(&pack.pack()).map_err(|why| TryError::Refused(format!("the pack is damaged: {why}")))?;
        let quarantine = Quarantine::make(&self.git, pack.dir(), &self.dir)?;
        if count > 0 {
            quarantine.index(&pack.pack()).await?;
        }
        quarantine.check(commit).await?;
        let (from, dir) = (quarantine.objects.clone(), self.dir.clone());
        blocking(move || admit(&from, &dir)).await.map_err(|cause| self.failed(cause))?;
        let args = [&format!("{TRIED}/{commit}"), commit];
        self.git.run("update-ref").args(args).bytes().await?;
        Ok(())
    }

    /// Whether a commit is known only from a try, because no branch, tag or other ref of the mirror reaches it.
    pub async fn is_only_tried(&self, commit: &str) -> Result<bool, GitError> {
        let others = ["-1", commit, "--not", "--exclude", "refs/guild/try/*", "--all"];
        if self.git.run("rev-list").args(others).bytes().await?.is_empty() {
            return Ok(false);
        }
        let holding = ["--count=1", "--contains", commit, TRIED];
        Ok(!self.git.run("for-each-ref").args(holding).bytes().await?.is_empty())
    }

    fn failed(&self, cause: io::Error) -> GitError {
        GitError::io(self.dir.display().to_string(), cause)
    }
}

/// A folder of objects that only the runs of this module see. It lies in the folder of the pack and goes with it.
struct Quarantine<'a> {
    git: &'a Git,
    objects: PathBuf,
}

impl Quarantine<'_> {
    fn make<'a>(git: &'a Git, dir: &Path, mirror: &Path) -> Result<Quarantine<'a>, GitError> {
        let objects = dir.join("objects");
        let made = super::prepare::remove_tree(&objects)
            .and_then(|()| fs::create_dir_all(objects.join("pack")))
            .and_then(|()| fs::create_dir_all(objects.join("info")))
            .and_then(|()| {
                let borrowed = format!("{}\n", mirror.join("objects").display());
                fs::write(objects.join("info/alternates"), borrowed)
            });
        made.map_err(|cause| GitError::io(objects.display().to_string(), cause))?;
        Ok(Quarantine { git, objects })
    }

    fn run(&self, verb: &'static str) -> Run<'_> {
        let places = [
            ("GIT_OBJECT_DIRECTORY", OsString::from(&self.objects)),
            ("GIT_ALLOC_LIMIT", ALLOCATION_MAX.to_string().into()),
        ];
        let env = places.map(|(name, value)| (name.to_owned(), value)).into();
        self.git.run(verb).env(env, Vec::new()).deadline(Deadline::Total(TRY_CHECK.time()))
    }

    /// Indexes the pack and checks each of its objects and their links.
    async fn index(&self, pack: &Path) -> Result<(), TryError> {
        let file = File::open(pack).map_err(|cause| GitError::io(pack.display().to_string(), cause))?;
        let most = format!("--max-input-size={}", TRY_PACK.most);
        let run =
            self.run("index-pack").args(["--stdin", "--fix-thin", "--strict", "--threads=1", &most]).stdin_from(file);
        run.bytes().await.map(drop).map_err(|error| fault(error, "the pack is damaged or lacks objects"))
    }

    /// Checks that the commit is one, and that nothing that it needs is missing.
    async fn check(&self, commit: &str) -> Result<(), TryError> {
        let lacks = |error| fault(error, "the pack does not have the commit, or lacks objects that it needs");
        let kind = self.run("cat-file").args(["-t", commit]).bytes().await.map_err(lacks)?;
        if kind.trim_ascii() != b"commit" {
            return Err(TryError::Refused(format!("{commit} is not a commit")));
        }
        let args = ["--objects", "--quiet", commit, "--not", "--all"];
        self.run("rev-list").args(args).bytes().await.map(drop).map_err(lacks)
    }
}

/// Moves the pack from the quarantine into the mirror. The index of the pack comes last, because git looks for it. A pack of the same name
/// has the same content.
fn admit(from: &Path, mirror: &Path) -> io::Result<()> {
    let packs = mirror.join("objects/pack");
    let mut files = names_in(&from.join("pack"))?;
    files.sort_by_key(|name| name.ends_with(".idx"));
    for name in &files {
        fs::rename(from.join("pack").join(name), packs.join(name))?;
    }
    File::open(&packs)?.sync_all()
}

fn names_in(dir: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Tells a fault of the pack from a fault of the master.
fn fault(error: GitError, what: &str) -> TryError {
    if let GitError::Failed { text, is_disk_full: false, .. } = &error {
        return TryError::Refused(format!("{what}: {text}"));
    }
    TryError::Git(error)
}

#[cfg(test)]
#[path = "tried_tests.rs"]
mod tests;
