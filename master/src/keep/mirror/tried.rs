//! Takes commits that nobody pushed, from a pack that somebody sent. Git indexes and checks the pack in a quarantine of its own, which
//! borrows the objects of the mirror. Only a complete commit gets into the mirror, where a ref holds it until it is forgotten.
//!
//! A file of Guild's own says which commits were taken, so that nobody has to ask git for them. The pack of such a commit gets a `.keep`
//! file, so that git does not mix it with others. Together with the ref it is deleted, unless another ref has come to need it.

use super::git::{Git, GitError, Run};
use super::incoming::{IncomingPack, blocking, objects_in};
use super::patience::Deadline;
use super::{Mirror, is_object_id};
use schema::limits::borders::{TRY_CHECK, TRY_PACK};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use tokio::sync::OwnedRwLockReadGuard;

/// The folder of the refs that hold the commits. The last part of a ref's name is the commit.
const TRIED: &str = "refs/guild/try";
/// The folder with a file for each commit that was taken. A file has the name of the commit's pack, and the digest of the commits
/// that only this commit's ref reached. It is empty if the mirror had the commit before.
const TAKEN: &str = "guild.tried";
/// The most memory that git may allocate at once for an object: 2 GiB. A small pack can claim to have objects of any size.
const ALLOCATION_MAX: u64 = 2 << 30;
/// The most bytes of a list of new commits that are read. There are 41 or 65 bytes for each.
const LIST_BYTES_MAX: usize = 64 << 20;

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

/// The proof that a commit was taken. While it is held, no commit is forgotten.
#[must_use]
#[derive(Debug)]
pub struct TakenTry(#[expect(dead_code, reason = "it is only held")] OwnedRwLockReadGuard<()>);

impl Mirror {
    /// Takes `commit` and what it needs from a pack. If this fails, the mirror is as it was.
    pub async fn take_try(&self, pack: &IncomingPack, commit: &str) -> Result<TakenTry, TryError> {
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
        let held = self.tries.clone().read_owned().await;
        let only = quarantine.only(commit).await?;
        let (from, dir, name) = (quarantine.objects.clone(), self.dir.clone(), commit.to_owned());
        blocking(move || admit(&from, &dir, &name, &only)).await.map_err(|cause| self.failed(cause))?;
        let args = [&format!("{TRIED}/{commit}"), commit];
        self.git.run("update-ref").args(args).bytes().await?;
        Ok(TakenTry(held))
    }

    /// Forgets the commits that were taken and that `unneeded` returns from a list of all.
    pub async fn forget_tries<E: From<GitError>>(
        &self,
        unneeded: impl AsyncFnOnce(Vec<String>) -> Result<Vec<String>, E>,
    ) -> Result<(), E> {
        let taken = self.dir.join(TAKEN);
        if !taken.is_dir() {
            return Ok(());
        }
        // nobody takes or fetches a commit meanwhile, so nothing new comes to need these
        let _alone = self.tries.clone().write_owned().await;
        let _fetching = self.fetching.lock().await;
        let all = names_in(&taken).map_err(|cause| self.failed(cause))?;
        if all.is_empty() {
            return Ok(());
        }
        for commit in unneeded(all).await? {
            self.forget_try(&commit).await?;
        }
        self.objects.forget().await;
        Ok(())
    }

    async fn forget_try(&self, commit: &str) -> Result<(), GitError> {
        let record = self.dir.join(TAKEN).join(commit);
        let text = fs::read_to_string(&record).map_err(|cause| self.failed(cause))?;
        let held = format!("{TRIED}/{commit}");
        let pack = match text.trim().split_once(' ') {
            Some((pack, only)) => {
                let others = [commit, "--not", "--exclude", &held, "--all"];
                let listed = self.git.run("rev-list").args(others).limit(LIST_BYTES_MAX).bytes().await;
                // if another ref has come to need the commits, the pack becomes a pack like the others
                let is_free = listed.is_ok_and(|listed| digest(&listed) == only);
                Some((pack.to_owned(), is_free))
            }
            None => None,
        };
        self.git.run("update-ref").args(["--stdin"]).stdin(format!("delete {held}\n").into_bytes()).bytes().await?;
        let packs = self.dir.join("objects/pack");
        let drop_files = move || {
            if let Some((pack, is_free)) = pack {
                let endings: &[&str] = if is_free { &["idx", "rev", "pack", "keep"] } else { &["keep"] };
                endings.iter().try_for_each(|ending| remove(&packs.join(format!("{pack}.{ending}"))))?;
            }
            remove(&record)
        };
        blocking(drop_files).await.map_err(|cause| self.failed(cause))
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
        let run = self.run("index-pack").args(["--stdin", "--fix-thin", "--strict", &most]).stdin_from(file);
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

    /// Returns the digest of the commits that no ref reaches so far. `None` means that the mirror has them all.
    async fn only(&self, commit: &str) -> Result<Option<String>, GitError> {
        let listed = self.run("rev-list").args([commit, "--not", "--all"]).limit(LIST_BYTES_MAX).bytes().await?;
        Ok((!listed.is_empty()).then(|| digest(&listed)))
    }
}

/// Moves the pack from the quarantine into the mirror, and writes down the commit. The index of the pack comes last, because git
/// looks for it.
fn admit(from: &Path, mirror: &Path, commit: &str, only: &Option<String>) -> io::Result<()> {
    let packs = mirror.join("objects/pack");
    let files = names_in(&from.join("pack"))?;
    let pack = files.iter().find_map(|name| name.strip_suffix(".pack"));
    let (Some(pack), Some(only)) = (pack, only) else { return record(mirror, commit, "") };
    if packs.join(format!("{pack}.pack")).exists() {
        return record(mirror, commit, "");
    }
    fs::write(packs.join(format!("{pack}.keep")), "guild try\n")?;
    record(mirror, commit, &format!("{pack} {only}\n"))?;
    for ending in ["rev", "pack", "idx"] {
        let name = format!("{pack}.{ending}");
        match fs::rename(from.join("pack").join(&name), packs.join(&name)) {
            Err(error) if error.kind() != ErrorKind::NotFound || ending != "rev" => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    File::open(&packs)?.sync_all()
}

/// Writes the file of a commit that was taken, unless an earlier try of the same commit wrote it.
fn record(mirror: &Path, commit: &str, text: &str) -> io::Result<()> {
    let dir = mirror.join(TAKEN);
    fs::create_dir_all(&dir)?;
    let place = dir.join(commit);
    if place.exists() {
        return Ok(());
    }
    let new = dir.join(format!("{commit}.new"));
    fs::write(&new, text)?;
    File::open(&new)?.sync_all()?;
    fs::rename(new, place)
}

fn names_in(dir: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    Ok(names.collect::<io::Result<Vec<String>>>()?.into_iter().filter(|name| !name.ends_with(".new")).collect())
}

fn remove(path: &Path) -> io::Result<()> {
    super::prepare::remove_file(path)
}

fn digest(listed: &[u8]) -> String {
    blake3::hash(listed).to_hex().to_string()
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
