//! Stores: one bare repository per source repository with the objects that ever came from the master, and a list of the
//! commits and tags that are complete in it. Knows nothing of trees.
//!
//! Objects are only added, so a store serves any number of attempts while it grows. One transfer at a time goes into it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use capnp::capability::Promise;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use schema::common_capnp::byte_source;
use schema::wire;
use schema::worker_capnp::source_pack;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;

use super::CheckoutError;
use super::private::{config, is_id};
use crate::git::Git;
use crate::whole;

/// In the store's directory; one line each, oldest first: `c` a commit, `t` a tag object, `l` a commit that a tag names.
const HELD_FILE: &str = "guild.held";
const COMMITS_MAX: usize = 256;
const TAGS_MAX: usize = 2048;
/// Said to the master: 256 in all.
const HAVE_COMMITS_MAX: usize = 64;
const HAVE_TAGS_MAX: usize = 192;
const READ_BYTES: u32 = 256 << 10;
const READS_AT_ONCE: usize = 4;
/// With more of them git becomes slow.
const PACKS_MAX: usize = 40;

type Turn = tokio::sync::Mutex<()>;

/// All stores of a worker.
#[derive(Debug)]
pub struct Stores {
    root: PathBuf,
    turns: Mutex<HashMap<PathBuf, Weak<Turn>>>,
}

impl Stores {
    pub fn new(root: &Path) -> io::Result<Stores> {
        std::fs::create_dir_all(root)?;
        Ok(Stores { root: root.canonicalize()?, turns: Mutex::default() })
    }

    pub(super) fn open(&self, repository: &str, revision: &str) -> Result<Store, CheckoutError> {
        if !is_id(revision) {
            return Err(CheckoutError::Invalid(format!("`{revision}` is no complete commit id")));
        }
        let is_sha256 = revision.len() == 64;
        let hash = blake3::hash(repository.as_bytes()).to_hex();
        let dir = self.root.join(format!("{}{}", &hash[..32], if is_sha256 { "-sha256" } else { "" }));
        let turn = self.turn(&dir);
        let store = Store { git: Git::bare(&dir), dir, turn, is_sha256 };
        store.make().map_err(CheckoutError::io(&store.dir))?;
        Ok(store)
    }

    fn turn(&self, dir: &Path) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(dir).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Turn::default());
        turns.insert(dir.to_path_buf(), Arc::downgrade(&turn));
        turn
    }
}

#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    git: Git,
    turn: Arc<Turn>,
    is_sha256: bool,
}

/// What `obtain` brought.
pub(super) struct Obtained {
    /// In bytes.
    pub(super) fetched: u64,
    /// Full ref -> object, of those whose object is here.
    pub(super) tags: Vec<(String, String)>,
}

impl Store {
    pub(super) fn objects(&self) -> PathBuf {
        self.dir.join("objects")
    }

    pub(super) fn is_sha256(&self) -> bool {
        self.is_sha256
    }

    /// Whether `revision` came before; what the disk lost since shows only when it is used.
    pub(super) fn has(&self, revision: &str) -> bool {
        self.held().commits.iter().any(|known| known == revision)
    }

    /// Afterwards `revision` is here with its history.
    pub(super) async fn obtain(&self, revision: &str, pack: &source_pack::Client) -> Result<Obtained, CheckoutError> {
        let _turn = self.turn.lock().await;
        let mut held = self.held();
        let have = held.have();
        let mut request = pack.pack_request();
        let mut list = request.get().init_have(u32::try_from(have.len()).unwrap_or(0));
        for (index, id) in (0..).zip(&have) {
            list.set(index, id);
        }
        // size and first bytes are asked for together with the pack: one round trip for a small one
        let promise = request.send();
        let source = promise.pipeline.get_pack();
        let (size, first) = (source.size_request().send().promise, read(&source, 0, READ_BYTES));
        let answer = promise.promise.await?;
        let answer = answer.get()?;
        refused(&answer)?;
        let fetched = size.await?.get()?.get_size();
        if fetched > 0 {
            self.receive(&source, fetched, first).await?;
        } else if !self.has(revision) {
            return Err(CheckoutError::Invalid(format!("the master sent nothing for {revision}, which is not here")));
        }
        let tags = self.verified(tags_of(&answer)?, &mut held).await?;
        self.record(revision, held).await?;
        self.join_packs().await;
        Ok(Obtained { fetched, tags })
    }

    /// The next transfer brings everything.
    pub(super) async fn forget(&self) -> Result<(), CheckoutError> {
        let _turn = self.turn.lock().await;
        super::remove_file(&self.dir.join(HELD_FILE)).map_err(CheckoutError::io(&self.dir))
    }

    fn make(&self) -> io::Result<()> {
        // an empty one was cut short by a full disk, and git would see no repository here, for ever
        if std::fs::metadata(self.dir.join("HEAD")).is_ok_and(|head| head.len() > 0) {
            return Ok(());
        }
        for part in ["objects/info", "objects/pack", "refs/guild"] {
            std::fs::create_dir_all(self.dir.join(part))?;
        }
        std::fs::write(self.dir.join("config"), config(self.is_sha256, true))?;
        whole::write(&self.dir.join("HEAD"), b"ref: refs/heads/guild\n")
    }

    async fn receive(
        &self,
        source: &byte_source::Client,
        size: u64,
        first: Promise<Vec<u8>, capnp::Error>,
    ) -> Result<(), CheckoutError> {
        self.sweep().map_err(CheckoutError::io(&self.dir))?;
        let (running, pipe) = self.git.start("index-pack", ["--stdin", "--fix-thin"])?;
        let (pumped, finished) = tokio::join!(pump(source, size, first, pipe), running.finish());
        // where the bytes stopped coming, git's complaint about that tells nothing
        pumped?;
        finished?;
        Ok(())
    }

    /// What transfers that were cut short left.
    fn sweep(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.dir.join("objects/pack"))? {
            let entry = entry?;
            let name = entry.file_name();
            if [&b"tmp_"[..], b".tmp-"].iter().any(|start| name.as_encoded_bytes().starts_with(start)) {
                super::remove_file(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Locks of an `update-ref` that was ended by force: it is our turn, so nobody holds them.
    fn clear_locks(&self) -> io::Result<()> {
        super::remove_file(&self.dir.join("packed-refs.lock"))?;
        for place in ["refs/guild", "refs/guild-tags"] {
            let Ok(entries) = std::fs::read_dir(self.dir.join(place)) else { continue };
            for entry in entries {
                let path = entry?.path();
                if path.extension().is_some_and(|end| end == "lock") {
                    super::remove_file(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Those whose object is here: more tags may exist than came, and a ref to nothing breaks a repository.
    async fn verified(
        &self,
        tags: Vec<(String, String)>,
        held: &mut Held,
    ) -> Result<Vec<(String, String)>, CheckoutError> {
        let mut known: HashSet<String> = held.tags.iter().map(|(_, id)| id.clone()).collect();
        let mut asked: Vec<&str> = tags.iter().map(|(_, id)| id.as_str()).filter(|id| !known.contains(*id)).collect();
        asked.sort_unstable();
        asked.dedup();
        if !asked.is_empty() {
            let lines = asked.iter().map(|id| format!("{id}\n")).collect::<String>().into_bytes();
            let said = self.git.run("cat-file", ["--batch-check"], lines).await?;
            for line in String::from_utf8_lossy(&said).lines() {
                let mut words = line.split(' ');
                if let (Some(id), Some(kind @ ("tag" | "commit"))) = (words.next(), words.next()) {
                    held.tags.push((if kind == "tag" { 't' } else { 'l' }, id.to_string()));
                    known.insert(id.to_string());
                }
            }
        }
        Ok(tags.into_iter().filter(|(_, id)| known.contains(id)).collect())
    }

    /// First the refs, then the list that says so.
    async fn record(&self, revision: &str, mut held: Held) -> Result<(), CheckoutError> {
        let before = self.held();
        held.commits.retain(|known| known != revision);
        held.commits.push(revision.to_string());
        held.bound();
        if held == before {
            return Ok(());
        }
        let (old, new) = (before.refs(), held.refs());
        let gone = old.difference(&new).map(|name| format!("delete {name}\n"));
        let come =
            new.difference(&old).filter_map(|name| Some(format!("update {name} {}\n", name.rsplit('/').next()?)));
        let lines: String = gone.chain(come).collect();
        if !lines.is_empty() {
            self.clear_locks().map_err(CheckoutError::io(&self.dir))?;
            self.git.run("update-ref", ["--stdin"], lines.into_bytes()).await?;
        }
        whole::write(&self.dir.join(HELD_FILE), held.to_text().as_bytes()).map_err(CheckoutError::io(&self.dir))
    }

    fn held(&self) -> Held {
        Held::from_text(&std::fs::read_to_string(self.dir.join(HELD_FILE)).unwrap_or_default())
    }

    /// Makes few large packs of many small ones. Loses no object, so attempts may go on meanwhile; its failure is none
    /// of theirs.
    async fn join_packs(&self) {
        let packs = std::fs::read_dir(self.dir.join("objects/pack")).map_or(0, |entries| {
            entries.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "pack")).count()
        });
        if packs > PACKS_MAX {
            let args = ["--geometric=2", "-d", "-n", "--quiet", "--no-write-bitmap-index"];
            if let Err(error) = self.git.run("repack", args, Vec::new()).await {
                tracing::warn!(store = %self.dir.display(), %error, "could not join the packs");
            }
        }
    }
}

/// What is complete here, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    commits: Vec<String>,
    /// `t` or `l`, and the id.
    tags: Vec<(char, String)>,
}

impl Held {
    fn from_text(text: &str) -> Held {
        let mut held = Held::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some((_, id)) if !is_id(id) => {}
                Some(("c", id)) => held.commits.push(id.to_string()),
                Some(("t", id)) => held.tags.push(('t', id.to_string())),
                Some(("l", id)) => held.tags.push(('l', id.to_string())),
                _ => {}
            }
        }
        held
    }

    fn to_text(&self) -> String {
        let commits = self.commits.iter().map(|id| format!("c {id}\n"));
        commits.chain(self.tags.iter().map(|(kind, id)| format!("{kind} {id}\n"))).collect()
    }

    fn bound(&mut self) {
        self.commits.drain(..self.commits.len().saturating_sub(COMMITS_MAX));
        self.tags.drain(..self.tags.len().saturating_sub(TAGS_MAX));
    }

    /// The newest, for the master to leave out. Tag objects too: else each pack would bring all of them again.
    fn have(&self) -> Vec<String> {
        let tags = self.tags.iter().rev().filter(|(kind, _)| *kind == 't').map(|(_, id)| id);
        self.commits.iter().rev().take(HAVE_COMMITS_MAX).chain(tags.take(HAVE_TAGS_MAX)).cloned().collect()
    }

    fn refs(&self) -> HashSet<String> {
        let commits = self.commits.iter().map(|id| format!("refs/guild/{id}"));
        let tags = self.tags.iter().filter(|(kind, _)| *kind == 't').map(|(_, id)| format!("refs/guild-tags/{id}"));
        commits.chain(tags).collect()
    }
}

/// Writes `size` bytes in their order, while the next reads are under way.
async fn pump(
    source: &byte_source::Client,
    size: u64,
    first: Promise<Vec<u8>, capnp::Error>,
    mut pipe: ChildStdin,
) -> Result<(), CheckoutError> {
    let step = u64::from(READ_BYTES);
    let mut reads = FuturesOrdered::from_iter([first]);
    let (mut asked, mut written) = (step.min(size), 0);
    while written < size {
        while asked < size && reads.len() < READS_AT_ONCE {
            let count = step.min(size - asked);
            reads.push_back(read(source, asked, u32::try_from(count).unwrap_or(READ_BYTES)));
            asked += count;
        }
        let Some(bytes) = reads.next().await else {
            break;
        };
        let bytes = bytes?;
        if bytes.len() as u64 != step.min(size - written) {
            return Err(capnp::Error::failed("a read brought fewer bytes than there are".to_string()).into());
        }
        written += bytes.len() as u64;
        if pipe.write_all(&bytes).await.is_err() {
            // git ended early and says why itself
            return Ok(());
        }
    }
    Ok(())
}

fn read(source: &byte_source::Client, offset: u64, count: u32) -> Promise<Vec<u8>, capnp::Error> {
    let mut request = source.read_request();
    request.get().set_offset(offset);
    request.get().set_count(count);
    let promise = request.send().promise;
    Promise::from_future(async move { Ok(promise.await?.get()?.get_bytes()?.to_vec()) })
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
    for pair in answer.get_refs()?.iter().take(TAGS_MAX) {
        let (Ok(name), Ok(id)) = (pair.get_name()?.to_str(), pair.get_value()?.to_str()) else {
            continue;
        };
        if name.starts_with("refs/tags/") && is_id(id) {
            tags.push((name.to_string(), id.to_string()));
        }
    }
    Ok(tags)
}
