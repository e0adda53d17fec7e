//! The state that the objects of viewers share. It allows no commands.

use super::blob::BlobBytes;
use super::live::LiveObjects;
use super::log::Reader;
use super::served::Served;
use super::{ApiParts, Holder};
use crate::commit::events::{Feed, Subscription};
use crate::commit::state_reader::StateReader;
use crate::config::forge::COMMIT;
use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::record::StepKey;
use crate::intake::sources::{Repositories, Repository};
use crate::keep::blobs::Blobs;
use crate::keep::bytes::Seal;
use crate::keep::logs::{Grip, Logs};
use crate::keep::mirror::CommitRange;
use crate::keep::store::{Readers, Reading};
use schema::common_capnp::byte_source;
use schema::gate::Gate;
use schema::log_capnp::log_reader;
use schema::sturdy_ref::Fingerprint;
use schema::values::{Cursor, Refusal, Time};
use std::rc::Rc;

/// `ViewerAccess` is what the objects of viewers share: the state, history, events and logs. Each read is done in the turns of its
/// holder.
pub(super) struct ViewerAccess {
    state: StateReader,
    readers: Readers,
    feed: Rc<Feed>,
    logs: Rc<Logs>,
    blobs: Rc<Blobs>,
    served: Rc<Served>,
    repositories: Rc<Repositories>,
    live: Rc<LiveObjects>,
    /// The fingerprint of this master, which its events name as their origin.
    origin: Fingerprint,
    incarnation: u64,
}

impl ViewerAccess {
    pub(super) fn new(parts: &ApiParts, served: &Rc<Served>) -> Rc<ViewerAccess> {
        Rc::new(ViewerAccess {
            state: StateReader::new(parts.driver.clone()),
            readers: parts.readers.clone(),
            feed: parts.feed.clone(),
            logs: parts.logs.clone(),
            blobs: parts.blobs.clone(),
            served: served.clone(),
            repositories: parts.repositories.clone(),
            live: parts.live.clone(),
            origin: parts.fingerprint,
            incarnation: parts.incarnation,
        })
    }

    /// Returns the coordinator, for short answers.
    pub(super) fn state(&self) -> &StateReader {
        &self.state
    }

    /// Looks at the coordinator for an answer that may be long, when it is the holder's turn.
    pub(super) async fn look<T>(
        &self,
        holder: &Holder,
        look: impl FnOnce(&Coordinator, Time) -> T,
    ) -> Result<T, Refusal> {
        let _turn = holder.outlet.turn().await;
        self.served.look(holder.principal, &self.state, look).await
    }

    /// Makes an answer that runs git, when it is the holder's turn. Its reads do not wait for the outlet again, so that a peer which reads
    /// nothing keeps no turn.
    pub(super) async fn about_commits<T>(&self, holder: &Holder, answer: impl AsyncFnOnce(Reading) -> T) -> T {
        let _place = holder.outlet.turn().await;
        self.served.about_commits(holder.principal, answer(self.readers.of(holder.principal))).await
    }

    pub(super) fn history(&self, holder: &Holder) -> Reading {
        self.readers.of(holder.principal).through(&holder.outlet)
    }

    pub(super) fn events(&self, holder: &Holder) -> Subscription {
        Subscription::new(self.feed.clone(), holder.principal)
    }

    /// Returns the fingerprint of the master at which the events happen.
    pub(super) fn origin(&self) -> &Fingerprint {
        &self.origin
    }

    /// Returns the cursor after the event with this number.
    pub(super) fn cursor(&self, after: u64) -> Cursor {
        Cursor { incarnation: self.incarnation, after }
    }

    /// Makes a reader of one step's log.
    pub(super) fn log(&self, holder: &Holder, key: StepKey) -> log_reader::Client {
        let (logs, served) = (self.logs.clone(), self.served.clone());
        let grip = Rc::new(Grip::default());
        capnp_rpc::new_client(Reader {
            logs,
            served,
            key,
            grip,
            principal: holder.principal,
            outlet: holder.outlet.clone(),
        })
    }

    /// Makes a source of the bytes of a sealed blob.
    pub(super) fn blob(&self, holder: &Holder, seal: Seal) -> byte_source::Client {
        let (blobs, served) = (self.blobs.clone(), self.served.clone());
        let reader = Rc::new(blobs.reader(seal));
        capnp_rpc::new_client(BlobBytes {
            blobs,
            served,
            reader,
            principal: holder.principal,
            outlet: holder.outlet.clone(),
        })
    }

    /// Applies a function to all bytes of a blob, on a thread of its own and in the holder's turn. `None` means that the blob could not
    /// be read.
    pub(super) async fn whole_blob<T: Send + 'static>(
        &self,
        holder: &Holder,
        seal: Seal,
        make: impl FnOnce(Vec<u8>) -> T + Send + 'static,
    ) -> capnp::Result<Option<T>> {
        let blobs = self.blobs.clone();
        let reading = async move {
            let bytes = blobs.whole(seal).await.ok()?;
            tokio::task::spawn_blocking(move || make(bytes)).await.ok()
        };
        self.served.file(holder.principal, reading).await
    }

    /// Returns the gate of a holder, if it was made before.
    pub(super) fn open_gate(&self, holder: &Holder) -> Option<Gate> {
        self.live.open_gate(holder.grant)
    }

    pub(super) fn repository(&self, project: &str) -> Option<ViewedRepository> {
        self.repositories.get(project).map(ViewedRepository)
    }

    /// Returns the address of a commit's page at the forge. Empty means that no page is known.
    pub(super) fn commit_url(&self, project: &str, commit: &str) -> String {
        let repository = self.repositories.get(project);
        let url = repository.as_ref().and_then(|repository| repository.commit_url.as_deref());
        url.map_or_else(String::new, |url| url.replace(COMMIT, commit))
    }

    /// Returns all repositories, in the order of their projects.
    pub(super) fn repositories(&self) -> Vec<ViewedRepository> {
        self.repositories.all().into_iter().map(ViewedRepository).collect()
    }
}

/// A `ViewedRepository` is a repository for viewers, who cannot cause a fetch with it.
pub(super) struct ViewedRepository(Rc<Repository>);

impl ViewedRepository {
    pub(super) fn project(&self) -> &str {
        &self.0.project
    }

    pub(super) fn address(&self) -> &str {
        &self.0.address
    }

    pub(super) fn aliases(&self) -> &[String] {
        &self.0.aliases
    }

    pub(super) fn main_branch(&self) -> Option<String> {
        self.0.mirror.main_branch()
    }

    /// Whether `ancestor` is reachable from `revision` or is the same commit. False if one of them is unknown.
    pub(super) async fn is_ancestor(&self, ancestor: &str, revision: &str) -> Result<bool, String> {
        self.0.mirror.is_ancestor(ancestor, revision).await.map_err(|error| error.to_string())
    }

    /// Returns the commits that `tip` has and `without` have not, at most `limit`, the newest first.
    pub(super) async fn range(&self, tip: &str, without: &[String], limit: u32) -> Result<CommitRange, String> {
        self.0.mirror.range(tip, without, limit).await.map_err(|error| error.to_string())
    }

    /// Returns the health of the repository, for monitoring.
    pub(super) fn measured(&self) -> MeasuredRepository {
        let looks = self.0.health.looks();
        let (good, is_failing) = (looks.good, looks.trouble.is_some());
        MeasuredRepository { project: self.0.project.clone(), good, is_failing }
    }

    /// Returns the time of the next look. `None` means that none is planned.
    pub(super) fn next_look(&self) -> Option<Time> {
        self.0.health.looks().next
    }

    /// Returns the trouble of the last look at the repository, in git's words. `None` means that it succeeded.
    pub(super) fn trouble(&self) -> Option<String> {
        self.0.health.looks().trouble.map(|trouble| trouble.text)
    }
}

/// A `MeasuredRepository` says how the looks at one repository went.
pub struct MeasuredRepository {
    pub project: String,
    /// The time of the last look that succeeded. `None` means that none did.
    pub good: Option<Time>,
    pub is_failing: bool,
}
