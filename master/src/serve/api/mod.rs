//! Capability objects, one file per concern: translate, call the driver, answer. The only policy is what the grant in hand says.
//! An object writes nothing by itself: what changes is a command to the driver, and history is read in the turns of its holder.
//!
//! Every object leaves through the gate of the grant for which it was made (see `live`). Readers of the pages without a login
//! have a gate of their own.

mod attempt_logs;
mod blob;
mod branch;
mod build;
mod changes;
mod connection;
mod detail;
mod door;
mod effects;
mod event;
mod examine;
mod explain;
mod gateway;
mod lease;
mod live;
mod log;
mod master_file;
mod operator;
mod perspective;
mod report;
mod room;
mod seat;
mod served;
mod sink;
mod source;
mod submitter;
mod view;
mod viewer;
mod worker;

pub use connection::{attend, serve};
pub use door::Door;
pub use effects::Effects;
pub use live::LiveObjects;

use crate::commit::driver::Driver;
use crate::commit::events::Feed;
use crate::config::clock::Clock;
use crate::decide::coordinator::record::{GrantId, GrantRow, RequestId};
use crate::decide::coordinator::{Coordinator, Request, authority};
use crate::explain::doctor::Premises;
use crate::explain::{WorkerStatus, project_of};
use crate::intake::planner::Planner;
use crate::intake::sources::Repositories;
use crate::keep::blobs::Blobs;
use crate::keep::logs::Logs;
use crate::keep::store::Readers;
use crate::keep::turns::Principal;
use crate::serve::config_calls::ConfigCalls;
use schema::limits::{self, REQUEST};
use schema::sturdy_ref::Fingerprint;
use schema::values::{GrantKind, Refusal, RefusalCode, Right, Scope, Selector, What};
use sha2::{Digest as _, Sha256};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What the objects share.
pub struct Office {
    pub driver: Rc<Driver>,
    pub clock: Clock,
    pub feed: Rc<Feed>,
    pub logs: Rc<Logs>,
    pub blobs: Rc<Blobs>,
    pub readers: Readers,
    pub repositories: Rc<Repositories>,
    /// Who is served when, beside reads of the store.
    pub served: Rc<served::Served>,
    /// The planner of builds, for its measures.
    pub planner: Rc<Planner>,
    pub live: Rc<LiveObjects>,
    pub fingerprint: Fingerprint,
    pub incarnation: u64,
    pub policy: RefCell<Rc<Policy>>,
    /// The channel to the task that reloads the master file. Unset: no such task runs.
    pub config_calls: OnceCell<ConfigCalls>,
    /// Where browsers reach the pages; unset: nowhere.
    pub pages: OnceCell<String>,
    /// What examination needs of the master file; another one when the file is taken up again.
    pub premises: RefCell<Rc<Premises>>,
}

/// What the master file says, as far as the objects tell it; replaced when the file is read again.
#[derive(Debug, Default)]
pub struct Policy {
    /// What a sturdy ref says of where this master is.
    pub advertise: Vec<String>,
    /// Names for what grants allow.
    pub roles: BTreeMap<String, What>,
    /// The projects that everyone may look at.
    pub open: Scope,
    /// The most connections that one grant has open, together with its browsers.
    pub connections: usize,
}

impl Office {
    fn config_calls(&self) -> Result<&ConfigCalls, Refusal> {
        let text = "this master keeps in step with no file";
        self.config_calls.get().ok_or_else(|| Refusal::new(RefusalCode::Unavailable, text))
    }

    fn policy(&self) -> Rc<Policy> {
        self.policy.borrow().clone()
    }

    /// The grant that a token and a key stand for, if they do. It is known on a full disk too: without it nobody could read.
    async fn grant_of(&self, token: [u8; 32], key: Option<Fingerprint>) -> Result<Option<GrantRow>, Refusal> {
        let look = |it: &Coordinator, now| it.restorable(now, token, key).cloned();
        let full = match self.driver.look(look).await {
            Ok(row) => return Ok(row),
            Err(full) => full,
        };
        let row = self.driver.peek(look).ok_or(full.clone())?;
        // what waits for the disk is not to be seen
        let stored = self.committed_grant(row.id).await.filter(|stored| *stored == row);
        stored.map(Some).ok_or(full)
    }

    /// A grant as it is in the store; what waits for the disk is not seen.
    async fn committed_grant(&self, id: GrantId) -> Option<GrantRow> {
        self.readers.of(Principal::Grant(id)).grant(id).await.ok().flatten()
    }
}

/// Whose authority an object carries.
#[derive(Clone, Debug)]
pub struct Holder {
    pub grant: GrantId,
    pub kind: GrantKind,
    pub name: String,
    pub what: What,
    /// In whose turns it is served.
    pub principal: Principal,
}

impl Holder {
    /// Who holds a grant.
    fn of(row: GrantRow) -> Holder {
        let principal = Principal::of(&row);
        Holder { grant: row.id, kind: row.kind, name: row.name, what: row.what, principal }
    }

    /// Whether the grant names this right for this project.
    fn may(&self, right: Right, project: &str) -> Result<(), Refusal> {
        if !self.what.sees(project) {
            return Err(no_project(project));
        }
        if self.what.may.contains(&right) {
            return Ok(());
        }
        Err(Refusal::new(
            RefusalCode::NotPermitted,
            format!("the grant of {} does not name the right `{right}`", self.name),
        )
        .help(format!("an operator can issue one: `guild grant issue --kind user --may {right} --project {project}`")))
    }

    /// Leaves out of a worker what is of projects that the grant does not name.
    fn narrow(&self, worker: &mut WorkerStatus) {
        worker.running.retain(|selector| self.what.sees(project_of(selector)));
    }

    /// Whether the grant reaches what belongs to no project; `deed` says what that is for.
    fn may_do_all(&self, deed: &str) -> Result<(), Refusal> {
        authority::may_do_all(self.kind, &self.what, &self.name, deed)
    }

    /// A request of this holder; `body` is the method and its arguments.
    fn request(&self, id: capnp::Result<&[u8]>, body: &[&[u8]]) -> capnp::Result<Request> {
        let id = RequestId(limits::key(id, &REQUEST)?);
        let mut hash = Sha256::new();
        for part in body {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Ok(Request { id, by: self.grant, body: hash.finalize().into() })
    }
}

/// The same words for what does not exist and for what the grant does not name: which it is, is not told.
fn no_project(project: &str) -> Refusal {
    Refusal::new(RefusalCode::NotFound, format!("no project `{project}` that this grant may see"))
        .help("`guild project list` shows those")
}

fn no_build(project: &str, number: u32) -> Refusal {
    Refusal::new(RefusalCode::NotFound, format!("no build {}", Selector::build(project, number)))
        .help("`guild list` shows builds")
}

/// Writes a refusal into the results of a method that has the field, and ends the method.
macro_rules! refuse {
    ($results:expr, $refusal:expr) => {{
        schema::wire::write_refusal($results.get().init_refusal(), &$refusal);
        return Ok(());
    }};
}

/// The value, or a refusal in the results.
macro_rules! accept {
    ($results:expr, $result:expr) => {
        match $result {
            Ok(value) => value,
            Err(refusal) => $crate::serve::api::refuse!($results, refusal),
        }
    };
}

use {accept, refuse};

/// An argument beyond its limit as a refusal, for the methods that told it so before there was a table of limits.
fn bounded<T>(read: capnp::Result<T>) -> capnp::Result<Result<T, Refusal>> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(error) => match error.extra.strip_prefix(limits::INVALID) {
            Some(text) => Ok(Err(Refusal::new(RefusalCode::Invalid, text))),
            None => Err(error),
        },
    }
}

/// A refusal for a call of a lease whose answer has no field for one. The first word says of which kind it is.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is neither over nor too early is a mistake of the caller")]
fn failed(refusal: &Refusal) -> capnp::Error {
    let word = match refusal.code {
        RefusalCode::Stale => "stale",
        RefusalCode::Conflict => "conflict",
        _ => "invalid",
    };
    capnp::Error::failed(format!("{word}: {}", refusal.text))
}

/// A store that cannot be read is a fault of ours, not of the caller.
fn broken(error: impl std::fmt::Display) -> capnp::Error {
    capnp::Error::failed(format!("failed to read the store: {error}"))
}
