//! The rows that the coordinator records. It must find some of them again after a crash, and history shows the others. The store writes
//! each row as it is, as an upsert by its key.

mod claim;
mod cron;
pub mod lane;
pub mod placed;
mod rows;

pub use crate::decide::placement::LeaseToken;
pub use claim::{ClaimKey, ClaimRow, LaneClaim};
pub use cron::{Cron, CronKey, CronRow, CronTip};
pub use lane::{Lane, LaneResult};
pub use placed::Placed;
pub use rows::{Recorder, Row, Rows, Steps};
use schema::sturdy_ref::Fingerprint;
pub use schema::values::BuildCause;
use schema::values::{
    Change, Cursor, Event, Exit, GrantKind, Home, Outcome, Plan, SourceStamp, State, TestsReported, TierName, Time,
    Trust, UnreadablePlan, What,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The pool of workers whose grant names none, and of projects that name none.
pub const DEFAULT_POOL: &str = "default";

/// Names a build inside the master, from 1. People see the project and the number of the build instead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BuildId(pub u64);

/// Names a grant. The number 0 stands for the master itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GrantId(pub u64);

/// Names a job by its build and by its index in the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobKey {
    pub build: BuildId,
    pub index: u32,
}

/// Names a step by its attempt and by its index in the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepKey {
    pub job: JobKey,
    /// The number of the attempt, from 1.
    pub attempt: u16,
    /// The index of the step, from 0.
    pub step: u16,
}

/// Names a mutating call. Its caller chooses the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub [u8; 16]);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildRow {
    pub id: BuildId,
    pub project: String,
    pub number: u32,
    pub stamp: SourceStamp,
    pub cause: BuildCause,
    pub trust: Trust,
    /// The state of the build: planning, queued (no job started yet), running or finished.
    pub state: State,
    pub outcome: Option<Outcome>,
    pub created: Time,
    pub started: Option<Time>,
    pub finished: Option<Time>,
    /// The subject of the stamp's first revision.
    pub subject: String,
    pub author: String,
    /// Why there is no plan, for people. Empty means that there is a plan.
    pub diagnosis: String,
    pub job_count: u32,
    /// The grant that asked for the build.
    pub by: GrantId,
    /// The update of the ref to which the build belongs, by the number of the first build of that update. A later update has a greater
    /// number. 0 means that the build belongs to no update, and counts for no lane.
    pub update: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobRow {
    pub key: JobKey,
    pub name: String,
    pub state: State,
    pub outcome: Option<Outcome>,
    /// Why the job has its outcome.
    pub reason: String,
    /// The number of the latest attempt. 0 means that there was none.
    pub attempt: u16,
    /// The number of the job's attempts that were lost.
    pub lost: u16,
    pub queued: Option<Time>,
    pub started: Option<Time>,
    pub finished: Option<Time>,
    /// The worker of the latest attempt.
    pub worker: String,
    /// The platform of the worker of the latest attempt.
    pub platform: String,
    /// The number of the build in which the job ran, if this retry does not repeat it. Otherwise 0.
    pub carried_from: u32,
    /// The tier of isolation of the latest attempt. `None` means that there was none, its worker did not say, or an older master
    /// ran it.
    pub isolation: Option<TierName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    pub job: JobKey,
    /// The number of the attempt, from 1. It is the epoch of the lease.
    pub number: u16,
    pub token: LeaseToken,
    /// The grant of the worker.
    pub grant: GrantId,
    pub worker: String,
    pub started: Time,
    pub finished: Option<Time>,
    /// The outcome of the attempt. While the attempt runs, it is `cancelled` if somebody asked to end it.
    pub outcome: Option<Outcome>,
    /// Why the attempt ended or must end, if the outcome alone does not say that, such as "lease ended".
    pub reason: String,
    /// The tier of isolation in force. `None` means that the worker is of an earlier version, which does not report it.
    pub isolation: Option<TierName>,
    /// Why the attempt was placed on its worker. `None` means an attempt of version 0.1, which did not record it.
    pub placed: Option<Placed>,
    /// The length of the lease, which is the term that the worker obeys, or longer. Zero means an attempt of version 0.1, which did not
    /// record it.
    pub term: Duration,
    /// The home in which the worker accepted the attempt. `None` means that the worker is of version 0.1, which does not say.
    pub home: Option<Home>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRow {
    pub key: StepKey,
    pub name: String,
    /// The state of the step, which says whether it runs or has finished.
    pub state: State,
    pub outcome: Option<Outcome>,
    pub exit: Exit,
    pub started: Option<Time>,
    pub finished: Option<Time>,
    /// The size of the log in bytes, known when the step is finished.
    pub log_size: u64,
    /// The BLAKE3 hash of the log, as the worker reported it. Empty until the step is finished.
    pub log_hash: Vec<u8>,
    /// The results in the step's test reports. `None` means that it has none, that it is not finished, or that an older version ran it.
    pub tests: Option<TestsReported>,
}

/// A log that will not change any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealRow {
    pub key: StepKey,
    pub size: u64,
    /// The BLAKE3 hash of the stored bytes.
    pub hash: [u8; 32],
    /// The whole log, if it has at most 64 KiB. `None` means that the log is in a file.
    pub bytes: Option<Vec<u8>>,
}

/// One file that one attempt sends to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UploadKey {
    pub job: JobKey,
    /// The number of the attempt, from 1.
    pub attempt: u16,
    /// The name of the file within the attempt.
    pub name: String,
    /// The project of the build, which is charged for the bytes.
    pub project: String,
}

/// A reference of an attempt to a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRow {
    pub key: UploadKey,
    /// The size of the blob, in bytes.
    pub size: u64,
    /// The BLAKE3 hash of the bytes, which is the address of the blob.
    pub hash: [u8; 32],
    pub sealed: Time,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRow {
    pub id: GrantId,
    /// The grant above this one. `None` means that this is the root.
    pub parent: Option<GrantId>,
    pub kind: GrantKind,
    pub name: String,
    pub what: What,
    pub created: Time,
    pub expires: Option<Time>,
    pub revoked: Option<Time>,
    /// Why the grant was revoked.
    pub reason: String,
    /// The SHA-256 of the one-use join.
    pub join_hash: Option<[u8; 32]>,
    /// The SHA-256 of the token, once the grant is redeemed.
    pub token_hash: Option<[u8; 32]>,
    /// The key to which the grant is bound, once it is redeemed.
    pub holder: Option<Fingerprint>,
    /// Whether this is the login of a browser. The web redeems it, and its row is removed when it ends.
    pub is_browser: bool,
}

impl GrantRow {
    /// A new grant that nobody has redeemed.
    pub fn new(
        id: GrantId,
        parent: Option<GrantId>,
        kind: GrantKind,
        name: String,
        what: What,
        created: Time,
    ) -> GrantRow {
        GrantRow {
            id,
            parent,
            kind,
            name,
            what,
            created,
            expires: None,
            revoked: None,
            reason: String::new(),
            join_hash: None,
            token_hash: None,
            holder: None,
            is_browser: false,
        }
    }
}

/// The facts about a worker that are kept while it is not connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerRow {
    pub name: String,
    pub grant: GrantId,
    pub draining: bool,
    /// The reason why an operator holds the worker. Empty means that nobody holds it.
    pub held: String,
    pub forgotten: bool,
    pub last_heard: Time,
    pub description: schema::values::Description,
    /// The grant that last drained, held or resumed the worker. 0 means that none did, or that a master of version 0.1 did not note it.
    pub steered_by: GrantId,
    pub steered: Option<Time>,
}

/// The known state of a ref of a project's repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadRow {
    pub project: String,
    pub ref_name: String,
    pub head: Head,
}

/// The last revision of a ref that a source reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub revision: String,
    /// Whether this revision was submitted as a change. Otherwise the ref is history: it was seen, and not built.
    pub is_told: bool,
    /// When the ref was deleted. `None` means that it exists.
    pub gone: Option<Time>,
    /// The newest update of the ref, as in [`BuildRow`]. 0 means that no build was made for it.
    pub update: u32,
    /// The update that made the ref. A ref that was deleted and made again has new lanes, which begin with this update.
    pub since: u32,
}

/// How a project's repository was followed up to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedRow {
    pub project: String,
    /// The address of the repository when a source last looked at all its refs. Empty means that an older version looked, which did not
    /// note it.
    pub address: String,
    /// The scopes that were followed since the last look at all refs, the oldest first. A ref was followed all the time if each of these
    /// scopes includes it.
    pub scopes: Vec<RefScope>,
    /// The incarnation of the store in which a source last looked at all refs.
    pub looked_in: u64,
}

/// Which refs of a repository are followed, as patterns of their short names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefScope {
    pub branches: Vec<String>,
    pub tags: Vec<String>,
}

/// The answer to a mutating call, kept so that a repeated call gets the same answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    pub id: RequestId,
    pub by: GrantId,
    /// The SHA-256 of the method and its arguments.
    pub body: [u8; 32],
    pub answer: Answer,
    pub time: Time,
}

/// The answer to a mutating call, which says what the call made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Done,
    Build(BuildId),
    Grant(GrantId),
    Grants(Vec<GrantId>),
}

/// The change that a lane went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transition {
    NewlyFailing,
    Fixed,
}

impl Transition {
    pub fn word(self) -> &'static str {
        match self {
            Transition::NewlyFailing => "newly-failing",
            Transition::Fixed => "fixed",
        }
    }
}

/// The cursor from which a reporter continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReporterRow {
    /// The name of the reporter, which follows from its section in the master file.
    pub name: String,
    pub cursor: Cursor,
    /// The time at which the reporter began. It reports only what ended later.
    pub born: Time,
}

/// The newest change of a lane that a reporter announced, or decided not to announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldRow {
    pub reporter: String,
    pub project: String,
    pub ref_name: String,
    pub job: String,
    pub turn: Transition,
    pub revision: String,
    /// The number of the build.
    pub build: u32,
    /// The id of the notice. Empty means that the reporter did not announce the change.
    pub notice: String,
    pub time: Time,
}

/// One record to write, in the transaction of its cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Build(BuildRow),
    Plan {
        build: BuildId,
        plan: Plan,
    },
    Job(JobRow),
    Attempt(AttemptRow),
    Step(StepRow),
    Seal(SealRow),
    Blob(BlobRow),
    Head(HeadRow),
    /// A lane has one more result.
    Lane {
        project: String,
        ref_name: String,
        job: String,
        result: LaneResult,
    },
    /// The ref is unknown from now on, and its row is removed.
    HeadForgotten {
        project: String,
        ref_name: String,
    },
    Followed(FollowedRow),
    Cron(CronRow),
    /// The pipeline no longer has this entry, so its row is removed.
    CronForgotten(CronKey),
    Claim(ClaimRow),
    /// The claim has ended, and its row is removed.
    ClaimForgotten(ClaimKey),
    Change {
        build: Option<BuildId>,
        change: Change,
        time: Time,
    },
    Grant(GrantRow),
    /// The grant is over, and its row is removed.
    GrantForgotten(GrantId),
    Worker(WorkerRow),
    Request(RequestRow),
    Event(Event),
    Reporter(ReporterRow),
    Told(ToldRow),
    /// Only these reporters are left. The others are forgotten, with what they reported.
    Reporters(Vec<String>),
    /// One line of the hash-chained audit table; the store adds the chain.
    Audit {
        time: Time,
        by: GrantId,
        text: String,
    },
}

/// The plan of a build, if the build has one. An error means that this version cannot read the plan.
pub type StoredPlan = Result<Option<Plan>, UnreadablePlan>;

/// A build with its plan, its jobs by index, and the latest attempt of each job.
pub type LoadedBuild = (BuildRow, StoredPlan, Vec<JobRow>, Vec<LoadedAttempt>);

/// An attempt, and its steps so far.
pub type LoadedAttempt = (AttemptRow, Vec<StepRow>);

/// The state from which the coordinator starts: everything that is not history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    pub incarnation: u64,
    /// The builds that are not finished.
    pub builds: Vec<LoadedBuild>,
    pub grants: Vec<GrantRow>,
    pub workers: Vec<WorkerRow>,
    pub heads: Vec<HeadRow>,
    pub followed: Vec<FollowedRow>,
    pub crons: Vec<CronRow>,
    pub claims: Vec<ClaimRow>,
    /// The answered requests of the last 7 days, at most 100,000.
    pub requests: Vec<RequestRow>,
    /// Each project, with the highest build number that it ever used.
    pub numbers: Vec<(String, u32)>,
    pub last_build: u64,
    pub last_grant: u64,
    pub last_event: u64,
}
