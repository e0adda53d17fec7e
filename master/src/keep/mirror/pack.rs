//! Makes packs of a revision's history without the commits that the requester has. Requesters of the same pack share one run of
//! git and one file. The file has no name in the file system, so it disappears with its last holder, whatever happens.

use schema::limits::{HAVE, REFS};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::Mirror;
use super::git::GitError;
use super::patience::Deadline;
use super::refs::{self, is_object_id};

const HAVE_MAX: usize = HAVE.most;
const TAGS_MAX: usize = REFS.most - 1;
const PACK_DEADLINE: Duration = Duration::from_secs(1800);
/// The length of a pack's header in bytes. Its last 4 bytes are the number of objects.
const HEADER_BYTES: usize = 12;

/// A thin pack in a file of its own.
#[derive(Clone, Debug)]
pub struct Pack {
    file: Arc<File>,
    /// The size of the pack in bytes; 0 means that the requester lacks nothing.
    pub size: u64,
    /// The newest 1,000 tags of the history: the full ref, and the object that it names (not peeled).
    pub refs: Vec<(String, String)>,
}

impl Pack {
    /// Reads at most `count` bytes. It returns fewer only at the end. Costs a copy from the page cache.
    pub fn read(&self, offset: u64, count: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; count.min(left)];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Whether the two packs share one file.
    pub fn is_same(&self, other: &Pack) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PackRequest {
    revision: String,
    have: BTreeSet<String>,
    /// The tags are part of the request, because they may change while the revision does not.
    tags: Vec<(String, String)>,
}

type Making = OnceCell<Result<Pack, GitError>>;

/// The packs that somebody holds or waits for.
#[derive(Debug, Default)]
pub(super) struct Packs(Mutex<HashMap<PackRequest, Weak<PackInUse>>>);

#[derive(Debug, Default)]
struct PackInUse(Making);

impl Packs {
    fn join(&self, request: &PackRequest) -> Arc<PackInUse> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|_, held| held.strong_count() > 0);
        if let Some(held) = shared.get(request).and_then(Weak::upgrade) {
            return held;
        }
        let held = Arc::new(PackInUse::default());
        shared.insert(request.clone(), Arc::downgrade(&held));
        held
    }
}

/// A pack that several requesters may share. The file is freed when the last of them drops it.
#[derive(Clone, Debug)]
pub struct SharedPack {
    pack: Pack,
    _held: Arc<PackInUse>,
}

impl std::ops::Deref for SharedPack {
    type Target = Pack;

    fn deref(&self) -> &Pack {
        &self.pack
    }
}

impl Mirror {
    /// Returns a pack of `revision` with its history and tags, without what is reachable from `have`. `have` lists commits and
    /// tag objects: the first 256 are used, and unknown ones are ignored.
    pub async fn pack(&self, revision: &str, have: &[String]) -> Result<SharedPack, GitError> {
        if !is_object_id(revision) || self.commit(revision).await?.is_none() {
            return Err(GitError::Invalid(format!("{revision}: there is no such commit in this repository")));
        }
        let (have, tags) = tokio::try_join!(self.known(have), self.tags_of(revision))?;
        let held =
            self.packs.join(&PackRequest { revision: revision.to_string(), have: have.clone(), tags: tags.clone() });
        let made = held.0.get_or_init(|| async { self.make_pack(revision, &have, tags).await }).await;
        Ok(SharedPack { pack: made.clone()?, _held: held.clone() })
    }

    async fn known(&self, have: &[String]) -> Result<BTreeSet<String>, GitError> {
        let mut known = BTreeSet::new();
        for id in have.iter().take(HAVE_MAX).filter(|id| is_object_id(id)) {
            let header = self.objects.header(id).await?;
            known.extend(header.filter(|header| matches!(&*header.kind, "commit" | "tag")).map(|header| header.id));
        }
        Ok(known)
    }

    async fn tags_of(&self, revision: &str) -> Result<Vec<(String, String)>, GitError> {
        let merged = format!("--merged={revision}");
        let count = format!("--count={TAGS_MAX}");
        let options = ["--sort=-creatordate", &count, &merged, "--format=%(objectname) %(refname)", "refs/tags"];
        let lines = self.git.run("for-each-ref").args(options).bytes().await?;
        let mut tags: Vec<_> = lines.split(|byte| *byte == b'\n').filter_map(refs::listed_tag).collect();
        tags.sort();
        Ok(tags)
    }

    async fn make_pack(
        &self,
        revision: &str,
        have: &BTreeSet<String>,
        tags: Vec<(String, String)>,
    ) -> Result<Pack, GitError> {
        let place = |cause| GitError::io("a temporary file for a pack", cause);
        let file = tempfile::tempfile_in(&self.dir).map_err(place)?;
        let wants = std::iter::once(revision).chain(tags.iter().map(|(_, id)| id.as_str()));
        let mut lines: Vec<String> = wants.filter(|id| !have.contains(*id)).map(|id| format!("{id}\n")).collect();
        if lines.is_empty() {
            return Ok(Pack { file: Arc::new(file), size: 0, refs: tags });
        }
        lines.extend(have.iter().map(|id| format!("^{id}\n")));
        let options = ["--revs", "--thin", "--stdout", "--delta-base-offset", "--quiet"];
        let run = self.git.run("pack-objects").args(options).stdin(lines.concat().into_bytes());
        let run = run.stdout_to(file.try_clone().map_err(place)?).deadline(Deadline::Total(PACK_DEADLINE));
        run.bytes().await?;
        let size = file.metadata().map_err(place)?.len();
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(place)?;
        let empty = header[8..] == [0; 4];
        Ok(Pack { file: Arc::new(file), size: if empty { 0 } else { size }, refs: tags })
    }
}
