//! Bare mirrors of repositories: they fetch, resolve revisions, read files at a revision, describe updates, and make packs.
//! They hold no project, no pipeline and no policy; other modules decide who may ask for what.
//!
//! A [`Mirror`] is the only writer of its directory, so it keeps the refs in memory. All its functions may be called at the
//! same time from any thread, and each future may be dropped at any await.

mod ancestry;
mod bring;
mod change;
mod conversation;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod gate;
mod git;
mod head;
mod incoming;
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
mod tried;

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
pub use incoming::{IncomingPack, PackError};
pub use pack::{Pack, SharedPack};
pub use refs::{RefusedRef, check_ref, is_object_id};
pub use remote::Remote;
pub use reversal::Reversal;
pub use tried::TryError;

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
/// How long unchanged files of a remote on this machine count as an unchanged remote. After that, git is asked again. The files
/// do not show a few rare changes, such as a lost object or a change of a file that the remote's configuration includes.
const MARK_LASTS: Duration = Duration::from_secs(3600);
const REFUSED_MAX: usize = 100;
/// The number of refs that are read before other tasks of the thread have a turn.
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
    /// The state of fetching, which a task locks while it changes refs.
    fetching: Arc<tokio::sync::Mutex<Fetching>>,
    /// Locked while a tidying runs, whose own locks on refs a fetch must not remove.
    tidying: tokio::sync::Mutex<()>,
    /// The refs of the mirror; `None` until they are read for the first time.
    refs: Mutex<Option<Fetched>>,
    head: Mutex<head::MainBranch>,
    /// The last check of the mirror; `None` means that no failure has asked for one yet.
    checked: Mutex<Option<mend::MirrorCheck>>,
}

/// The branches and tags that a fetch found at the remote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Maps each full name of a ref to its commit. Annotated tags are followed to their commits.
    pub refs: BTreeMap<String, String>,
    /// The refs that were left out, at most 100 of them.
    pub refused: Vec<RefusedRef>,
}

#[derive(Debug, Default)]
struct Fetching {
    /// The remote's answer before the last complete fetch; `None` if the remote was not listed, or single refs were fetched
    /// since.
    seen: Option<LastAnswer>,
    /// Whether a run was ended by force, so that it may have left its locks.
    interrupted: bool,
}

/// The answer of a remote that listed its refs.
#[derive(Debug)]
struct LastAnswer {
    listing: Vec<u8>,
    /// The mark that the remote's files had before git listed its refs, and the time at which the mark was taken.
    mark: Option<(RefsMark, Instant)>,
}

impl LastAnswer {
    /// Whether a remote whose files have this mark now would give the same answer again.
    fn holds(&self, mark: RefsMark) -> bool {
        self.mark.is_some_and(|(seen, asked)| seen == mark && asked.elapsed() < MARK_LASTS)
    }
}

impl Mirror {
    /// Opens the mirror in `dir`, without talking to the remote. The directory is made when git needs it for the first time.
    /// Git runs behind `gate`.
    ///
    /// # Errors
    /// Refuses a `remote` whose address must not be handed to git.
    pub fn open(dir: &Path, remote: Remote, gate: &GitGate) -> io::Result<Mirror> {
        let transport = remote.transport()?;
        let dir = std::path::absolute(dir)?;
        let passage = gate.passage(&remote.host());
        Ok(Mirror::at(&dir, remote, transport, passage))
    }

    /// Opens the mirror in `dir`, an absolute path.
    fn at(dir: &Path, remote: Remote, transport: Transport, passage: Passage) -> Mirror {
        let git = Arc::new(Git::new(dir, passage, transport.name()));
        Mirror {
            objects: Objects::new(git.clone()),
            packs: pack::Packs::default(),
            fetch_silence: FETCH_SILENCE,
            fetching: Arc::default(),
            tidying: tokio::sync::Mutex::default(),
            refs: Mutex::default(),
            head: Mutex::new(head::MainBranch::open(dir)),
            checked: Mutex::default(),
            dir: dir.to_owned(),
            remote,
            transport,
            git,
        }
    }

    /// Sets how long a fetch may go on without a sign of life; the default is 2 minutes.
    #[must_use]
    pub fn fetch_silence(mut self, silence: Duration) -> Mirror {
        self.fetch_silence = silence;
        self
    }

    /// Returns the mirror's directory. Files there whose names begin with `guild.` belong to Guild and not to git.
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
            // the fetch has succeeded, so an unknown main branch is not an error
            None => drop(self.refresh_head(fetched != before).await.inspect_err(|error| {
                tracing::debug!(address = %self.remote.address, %error, "the remote could not be asked for its main branch");
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
            // a stale branch `a` may be in the way of `a/b`; only a fetch of all refs prunes `a`
            Err(GitError::Failed { .. }) => self.fetch_refs(&mut fetching, &ALL).await?,
            Err(other) => return Err(other),
        }
        Ok(self.read_refs().await?.refs.remove(ref_name))
    }

    /// Asks the remote for the branch that its HEAD names, as a full ref; `None` if its HEAD is detached.
    pub async fn head(&self) -> Result<Option<String>, GitError> {
        let said = self.ask_remote(&["--symref", "--end-of-options", REMOTE, "HEAD"]).await?;
        Ok(head::named_by(&said))
    }

    /// Returns the refs that the mirror holds, without asking the remote.
    pub async fn refs(&self) -> Result<Fetched, GitError> {
        let held = self.refs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match held {
            Some(held) => Ok(held),
            None => self.read_refs().await,
        }
    }

    /// Returns the commit for a ref's full or short name, a commit id, or a unique prefix of an id with at least 4 digits. A
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

    /// Returns the id of the tree of a commit. Two commits without differences have the same tree. `None` means that the mirror
    /// does not have the commit.
    pub async fn tree(&self, revision: &str) -> Result<Option<String>, GitError> {
        if !is_object_id(revision) {
            return Ok(None);
        }
        let header = self.objects.header(&format!("{revision}^{{tree}}")).await?;
        Ok(header.map(|header| header.id))
    }

    /// Returns the file at `path` in `revision`; `None` means that there is no such revision or file. Symbolic links are
    /// followed within the revision. A link that leads out of the revision is an error, and so is a file longer than `limit`
    /// bytes.
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

    /// Packs the objects that many small fetches left. This takes minutes in a large mirror, so it is called now and then when
    /// no other work is queued. Other runs may go on meanwhile, and no object is lost.
    pub async fn tidy(&self) -> Result<(), GitError> {
        let _running = self.tidying.lock().await;
        let run = self.git.run("gc").args(["--auto", "--quiet", "--no-detach"]);
        run.deadline(Deadline::Total(GC_DEADLINE)).pace(RunKind::Tidying).bytes().await?;
        self.objects.forget().await;
        Ok(())
    }

    /// Returns the mark of a remote on this machine; `None` if the remote is elsewhere, or if only git can tell its refs.
    async fn mark(&self) -> Option<RefsMark> {
        if self.transport != Transport::File {
            return None;
        }
        let address = self.remote.address.clone();
        tokio::task::spawn_blocking(move || RefsMark::of(&address)).await.ok().flatten()
    }

    /// Lists the remote's refs if that is cheap, or if the mirror is empty and needs the answer to begin.
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

    /// Gives an empty mirror the object format of the remote, because git cannot fetch from one format into the other.
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
        // during a tidying, locks may be in use; a fetch after it removes those that are left
        if fetching.interrupted
            && let Ok(_alone) = self.tidying.try_lock()
        {
            clear_locks(&self.dir).map_err(|cause| GitError::io(self.dir.display().to_string(), cause))?;
        }
        let access = self.remote.access()?;
        let options = ["--prune", "--no-tags", "--force", "--no-write-fetch-head", "--progress"];
        let run = self.git.run("fetch").args(options).args(["--end-of-options", REMOTE]).args(specs);
        let run =
            run.env(access.env, access.secrets).deadline(Deadline::Silence(self.fetch_silence)).pace(RunKind::Slow);
        // stays set if this future is dropped before git has ended
        fetching.interrupted = true;
        let fetched = run.output().await;
        fetching.interrupted = fetched.as_ref().map_or(true, |output| output.cut);
        let output = fetched?;
        // git leaves such refs out and reports success, so they would be taken for deleted
        if output.stderr.contains("because shallow roots") {
            let text = "the repository is a shallow clone: run `git fetch --unshallow` there";
            return Err(GitError::Invalid(text.to_string()));
        }
        let fetched = output.succeeded().map(drop);
        // git itself would report damage here
        if fetched.is_err() && self.transport == Transport::File && local::is_partial(&self.remote.address) {
            let text = "the repository is a partial clone, which lacks files: use one that was cloned without --filter";
            return Err(GitError::Invalid(text.to_string()));
        }
        fetched
    }

    async fn forget_ref(&self, ref_name: &str) -> Result<(), GitError> {
        // refused refs are not in the map: the next complete fetch prunes them
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
            // 100,000 refs must not hold up the other tasks of this thread
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
