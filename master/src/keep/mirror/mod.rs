//! Bare mirrors of the repositories: fetch, find a revision, read a file at it, tell what an update brought, make packs.
//! Holds no project, no pipeline and no policy; who may ask for what is decided elsewhere.
//!
//! A [`Mirror`] is the only writer of its directory, so it keeps the refs in memory. All its functions may be called at
//! once from any thread, and each may be dropped at any await.

mod ancestry;
mod bring;
mod change;
mod conversation;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod gate;
mod git;
mod head;
mod local;
mod mend;
mod objects;
mod pack;
mod patience;
mod prepare;
mod recent;
mod refs;
mod remote;
mod reversal;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

pub use ancestry::{Authored, CommitRange, Person};
pub use change::Difference;
pub use gate::GitGate;
pub use git::GitError;
pub use pack::{Pack, SharedPack};
pub use refs::{RefusedRef, check_ref, is_object_id};
pub use remote::Remote;
pub use reversal::Reversal;

use gate::{Passage, RunKind};
use git::Git;
use local::RefsMark;
use objects::Objects;
use patience::Deadline;
use prepare::{clear_locks, initialize};
use refs::ListedRef;
use remote::{REMOTE, Transport};
use schema::values::branch_or_tag;

const FETCH_SILENCE: Duration = Duration::from_secs(120);
const GC_DEADLINE: Duration = Duration::from_secs(3600);
/// How long the files of a remote on this machine are believed before git is asked again. What they do not tell, such as an object
/// that was lost or a file that its configuration includes, is rare.
const MARK_LASTS: Duration = Duration::from_secs(3600);
const REFUSED_MAX: usize = 100;
/// Refs that are read before others have the thread.
const READ_AT_ONCE: usize = 1_000;
const ALL: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

/// The mirror of one repository.
#[derive(Debug)]
pub struct Mirror {
    dir: PathBuf,
    remote: Remote,
    transport: Transport,
    git: Arc<Git>,
    objects: Objects,
    packs: pack::Packs,
    fetch_silence: Duration,
    /// Held by who changes refs.
    fetching: Arc<tokio::sync::Mutex<Fetching>>,
    /// None until they were read.
    refs: Mutex<Option<Fetched>>,
    head: Mutex<head::MainBranch>,
    /// `None` means that no failure has asked for a check yet.
    checked: Mutex<Option<mend::MirrorCheck>>,
}

/// What a fetch found at the remote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Full ref -> the commit that it names, through annotated tags.
    pub refs: BTreeMap<String, String>,
    /// Left out; at most 100.
    pub refused: Vec<RefusedRef>,
}

#[derive(Debug, Default)]
struct Fetching {
    /// What the remote said before the last complete fetch, if nothing was fetched since.
    seen: Option<LastAnswer>,
    /// A run was ended by force: it may have left its locks.
    interrupted: bool,
}

/// What a remote said of its refs.
#[derive(Debug)]
struct LastAnswer {
    listing: Vec<u8>,
    /// Of its files before it was asked, and when that was.
    mark: Option<(RefsMark, Instant)>,
}

impl LastAnswer {
    /// Whether a remote whose files say `mark` now would say the same again.
    fn holds(&self, mark: RefsMark) -> bool {
        self.mark.is_some_and(|(seen, asked)| seen == mark && asked.elapsed() < MARK_LASTS)
    }
}

impl Mirror {
    /// The mirror in `dir`, which is made when git is needed there for the first time. Talks to nobody. Git runs behind `gate`.
    ///
    /// # Errors
    /// Refuses a `remote` whose address must not be handed to git.
    pub fn open(dir: &Path, remote: Remote, gate: &GitGate) -> io::Result<Mirror> {
        let transport = remote.transport()?;
        let dir = std::path::absolute(dir)?;
        let passage = gate.passage(&remote.host());
        Ok(Mirror::at(&dir, remote, transport, passage))
    }

    /// `dir` is absolute.
    fn at(dir: &Path, remote: Remote, transport: Transport, passage: Passage) -> Mirror {
        let git = Arc::new(Git::new(dir, passage, transport.name()));
        Mirror {
            objects: Objects::new(git.clone()),
            packs: pack::Packs::default(),
            fetch_silence: FETCH_SILENCE,
            fetching: Arc::default(),
            refs: Mutex::default(),
            head: Mutex::new(head::MainBranch::open(dir)),
            checked: Mutex::default(),
            dir: dir.to_owned(),
            remote,
            transport,
            git,
        }
    }

    /// How long a fetch may go without a sign of life; 2 min unless said otherwise.
    #[must_use]
    pub fn fetch_silence(mut self, silence: Duration) -> Mirror {
        self.fetch_silence = silence;
        self
    }

    /// Its directory; files there whose names begin with `guild.` are ours.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Makes the mirror's branches and tags equal to the remote's.
    pub async fn fetch(&self) -> Result<Fetched, GitError> {
        let mut fetching = self.fetching.lock().await;
        let mark = self.mark().await;
        if fetching.seen.as_ref().zip(mark).is_some_and(|(seen, mark)| seen.holds(mark)) {
            return self.refs().await;
        }
        let marked = mark.map(|mark| (mark, Instant::now()));
        let listing = self.listing(&fetching).await?;
        if let Some(seen) = fetching.seen.as_mut().filter(|seen| Some(&seen.listing) == listing.as_ref()) {
            seen.mark = marked;
            return self.refs().await;
        }
        fetching.seen = None;
        self.match_object_format(listing.as_deref()).await?;
        let before = self.refs().await?;
        self.fetch_refs(&mut fetching, &ALL).await?;
        let fetched = self.read_refs().await?;
        match &listing {
            Some(listing) => self.note_head(head::named_by(listing))?,
            // what was fetched is there, whatever becomes of this
            None => drop(self.refresh_head(fetched != before).await.inspect_err(|error| {
                tracing::debug!(address = %self.remote.address, %error, "the main branch could not be asked for");
            })),
        }
        fetching.seen = listing.map(|listing| LastAnswer { listing, mark: marked });
        Ok(fetched)
    }

    /// Fetches one ref; `None` means that the remote has no such ref.
    pub async fn fetch_ref(&self, ref_name: &str) -> Result<Option<String>, GitError> {
        check_ref(ref_name).map_err(|why| GitError::Invalid(format!("{ref_name}: {why}")))?;
        let mut fetching = self.fetching.lock().await;
        if fetching.seen.is_none() && self.refs().await?.refs.is_empty() {
            drop(fetching);
            return Ok(self.fetch().await?.refs.remove(ref_name));
        }
        fetching.seen = None;
        match self.fetch_refs(&mut fetching, &[&format!("+{ref_name}:{ref_name}")]).await {
            Ok(()) => {}
            Err(GitError::Failed { text, .. }) if text.contains("couldn't find remote ref") => {
                self.forget_ref(ref_name).await?;
            }
            // such as a stale branch `a` in the way of `a/b`: only pruning helps
            Err(GitError::Failed { .. }) => self.fetch_refs(&mut fetching, &ALL).await?,
            Err(other) => return Err(other),
        }
        Ok(self.read_refs().await?.refs.remove(ref_name))
    }

    /// The branch that the remote's HEAD names, as a full ref; none where it is detached.
    pub async fn head(&self) -> Result<Option<String>, GitError> {
        let said = self.ask_remote(&["--symref", "--end-of-options", REMOTE, "HEAD"]).await?;
        Ok(head::named_by(&said))
    }

    /// What the mirror holds, without a look at the remote.
    pub async fn refs(&self) -> Result<Fetched, GitError> {
        let held = self.refs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match held {
            Some(held) => Ok(held),
            None => self.read_refs().await,
        }
    }

    /// The commit that a full or short ref name, a commit id or a unique prefix of one (4 digits or more) stands for. A
    /// branch goes before a tag, and a name before a prefix. Nothing else of git's revision syntax is understood.
    pub async fn resolve(&self, revision_or_ref: &str) -> Result<Option<String>, GitError> {
        let text = revision_or_ref;
        if !is_object_id(text) {
            let refs = self.refs().await?.refs;
            let short = branch_or_tag(text);
            if let Some(revision) = refs.get(text).or_else(|| short.iter().find_map(|name| refs.get(name))) {
                return Ok(Some(revision.clone()));
            }
        }
        if !refs::is_id_prefix(text) {
            return Ok(None);
        }
        let header = self.objects.header(&format!("{text}^{{commit}}")).await?;
        Ok(header.map(|header| header.id))
    }

    /// The name of the tree of a commit, which two commits share if nothing differs between them. `None` means that it is not here.
    pub async fn tree(&self, revision: &str) -> Result<Option<String>, GitError> {
        if !is_object_id(revision) {
            return Ok(None);
        }
        let header = self.objects.header(&format!("{revision}^{{tree}}")).await?;
        Ok(header.map(|header| header.id))
    }

    /// The file at `path` in `revision`; `None` means that there is no such revision or file. Symbolic links are followed within
    /// the revision. One that leads elsewhere is an error, and so is a file longer than `limit` bytes.
    pub async fn read(&self, revision: &str, path: &str, limit: usize) -> Result<Option<Vec<u8>>, GitError> {
        let relative = path.starts_with('/') || path.split('/').any(|part| part == "." || part == "..");
        if !is_object_id(revision) || path.is_empty() || relative {
            return Ok(None);
        }
        let found = self.objects.contents(&format!("{revision}:{path}"), "blob", limit).await?;
        if found.is_none() {
            self.refuse_lack(revision, path).await?;
        }
        Ok(found)
    }

    /// Packs what many small fetches left behind. Costs minutes in a large mirror, so it is called now and then when nothing
    /// waits. It harms nothing that runs at the same time, and loses no object.
    pub async fn tidy(&self) -> Result<(), GitError> {
        let run = self.git.run("gc").args(["--auto", "--quiet", "--no-detach"]);
        run.deadline(Deadline::Total(GC_DEADLINE)).pace(RunKind::Tidying).bytes().await?;
        self.objects.forget().await;
        Ok(())
    }

    /// What the files of a remote on this machine say; none where it is elsewhere, or where only git can tell.
    async fn mark(&self) -> Option<RefsMark> {
        if self.transport != Transport::File {
            return None;
        }
        let address = self.remote.address.clone();
        tokio::task::spawn_blocking(move || RefsMark::of(&address)).await.ok().flatten()
    }

    /// Asks the remote only where that is cheap, or where the answer is needed to begin.
    async fn listing(&self, fetching: &Fetching) -> Result<Option<Vec<u8>>, GitError> {
        let first = fetching.seen.is_none() && self.refs().await?.refs.is_empty();
        if self.transport != Transport::File && !first {
            return Ok(None);
        }
        let wanted = ["--symref", "--end-of-options", REMOTE, "HEAD", "refs/heads/*", "refs/tags/*"];
        self.ask_remote(&wanted).await.map(Some)
    }

    async fn ask_remote(&self, args: &[&str]) -> Result<Vec<u8>, GitError> {
        let access = self.remote.access()?;
        let run = self.git.run("ls-remote").args(args).env(access.env, access.secrets);
        run.deadline(Deadline::Silence(self.fetch_silence)).pace(RunKind::Slow).bytes().await
    }

    /// An empty mirror takes the remote's object format: git cannot fetch one into the other.
    async fn match_object_format(&self, listing: Option<&[u8]>) -> Result<(), GitError> {
        let digits = listing.and_then(refs::digits_of_ids);
        let sha256 = prepare::is_sha256(&self.dir);
        let (Some(digits @ (40 | 64)), true) = (digits, self.refs().await?.refs.is_empty()) else {
            return Ok(());
        };
        if sha256 == (digits == 64) {
            return Ok(());
        }
        self.objects.forget().await;
        let format = if digits == 64 { "sha256" } else { "sha1" };
        let (dir, git) = (self.dir.clone(), self.git.clone());
        let pass = git.passage.pass().await;
        let remade = tokio::task::spawn_blocking(move || {
            prepare::empty(&dir)?;
            initialize(git.command(&pass, "init"), format)
        });
        let place = || self.dir.display().to_string();
        remade.await.map_err(|lost| GitError::io(place(), lost.into()))?.map_err(|cause| GitError::io(place(), cause))
    }

    async fn fetch_refs(&self, fetching: &mut Fetching, specs: &[&str]) -> Result<(), GitError> {
        if fetching.interrupted {
            clear_locks(&self.dir).map_err(|cause| GitError::io(self.dir.display().to_string(), cause))?;
        }
        let access = self.remote.access()?;
        let options = ["--prune", "--no-tags", "--force", "--no-write-fetch-head", "--progress"];
        let run = self.git.run("fetch").args(options).args(["--end-of-options", REMOTE]).args(specs);
        let run =
            run.env(access.env, access.secrets).deadline(Deadline::Silence(self.fetch_silence)).pace(RunKind::Slow);
        // stays set where this is dropped before git ended
        fetching.interrupted = true;
        let fetched = run.output().await;
        fetching.interrupted = fetched.as_ref().map_or(true, |output| output.cut);
        let output = fetched?;
        // git leaves such refs out and calls that a success: we would take them for deleted
        if output.stderr.contains("because shallow roots") {
            let text = "the repository is a shallow clone: run `git fetch --unshallow` there";
            return Err(GitError::Invalid(text.to_string()));
        }
        let fetched = output.succeeded().map(drop);
        // git speaks of damage there
        if fetched.is_err() && self.transport == Transport::File && local::is_partial(&self.remote.address) {
            let text =
                "the repository is a partial clone, which lacks files: name one that was cloned without --filter";
            return Err(GitError::Invalid(text.to_string()));
        }
        fetched
    }

    async fn forget_ref(&self, ref_name: &str) -> Result<(), GitError> {
        // refused ones are not in the map: the next whole fetch prunes them
        if self.refs().await?.refs.contains_key(ref_name) {
            let args = ["-d", "--end-of-options", ref_name];
            self.git.run("update-ref").args(args).bytes().await?;
        }
        Ok(())
    }

    async fn read_refs(&self) -> Result<Fetched, GitError> {
        let format = "--format=%(objecttype) %(objectname) %(*objecttype) %(*objectname) %(refname)";
        let lines = self.git.run("for-each-ref").args([format, "refs/heads", "refs/tags"]).bytes().await?;
        let mut fetched = Fetched::default();
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for (at, line) in lines.enumerate() {
            // 100,000 refs shall not hold up what else is to be done
            if at % READ_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
            match self.read_ref(line).await? {
                Ok((name, revision)) => drop(fetched.refs.insert(name, revision)),
                Err(refused) if fetched.refused.len() < REFUSED_MAX => fetched.refused.push(refused),
                Err(_) => {}
            }
        }
        *self.refs.lock().unwrap_or_else(PoisonError::into_inner) = Some(fetched.clone());
        Ok(fetched)
    }

    async fn read_ref(&self, line: &[u8]) -> Result<Result<(String, String), RefusedRef>, GitError> {
        let listed = refs::listed(line).ok_or_else(|| {
            let text = String::from_utf8_lossy(line).into_owned();
            GitError::Unreadable { verb: "for-each-ref", text }
        })?;
        let (name, tag) = match listed {
            Ok(ListedRef::Names(name, revision)) => return Ok(Ok((name, revision))),
            Ok(ListedRef::NamesTag(name, tag)) => (name, tag),
            Err(refused) => return Ok(Err(refused)),
        };
        let refused = |why: String| Ok(Err(RefusedRef { name: name.clone(), why }));
        match self.objects.header(&format!("{tag}^{{commit}}")).await {
            Ok(Some(peeled)) => Ok(Ok((name, peeled.id))),
            Ok(None) => refused(refs::NO_COMMIT.to_owned()),
            Err(error) if error.may_be_of_what_was_asked() => refused(error.to_string()),
            Err(error) => Err(error),
        }
    }
}
