//! Capability objects, one file for each concern. An object translates a call, calls the driver, and answers. The only policy is the
//! grant of the holder. An object writes nothing by itself: a change is a command to the driver. It reads history in the turns of its
//! holder.
//!
//! Every object passes through the gate of the grant for which it was made (see `live`). Readers of the pages without a login have a gate
//! of their own.
//!
//! Objects of one audience share one struct, and reach nothing beyond it:
//!
//! | struct | whose objects | reaches |
//! | --- | --- | --- |
//! | `ViewerAccess` | those who look: viewers, builds, logs, blobs, events | state, history, events, logs, blobs; no commands |
//! | `SubmitterAccess` | those who ask for builds, or tell of changes | commands, repositories, and what they made |
//! | `WorkerAccess` | workers: sessions, leases, sinks of logs and artifacts | commands, sessions, logs, blobs, packs; no history |
//! | `OperatorAccess` | operators | commands, the master file, what examination needs |
//! | `GatewayAccess` | those who look a credential up: gateway, perspective, the pages' door | grants, and the four above |

mod attempt_logs;
mod blob;
mod branch;
mod build;
mod changes;
mod connection;
mod cron;
mod detail;
mod door;
mod effects;
mod event;
mod examine;
mod explain;
mod failed_tests;
mod gateway;
mod gateway_access;
mod lease;
mod live;
mod log;
mod master_file;
mod measured;
mod operator;
mod operator_access;
mod perspective;
mod policy;
mod report;
mod room;
mod seat;
mod served;
mod sink;
mod source;
mod submitter;
mod submitter_access;
mod suspects;
mod test_view;
mod try_packs;
mod try_sink;
mod view;
mod viewer;
mod viewer_access;
mod worker;
mod worker_access;

pub use connection::{attend, serve};
pub use door::Door;
pub use effects::EffectPerformer;
pub use live::LiveObjects;
pub use measured::{Measured, MeasuredRepository};
pub use policy::Policy;

use crate::commit::driver::Driver;
use crate::commit::events::Feed;
use crate::decide::coordinator::record::{GrantId, GrantRow, RequestId};
use crate::decide::coordinator::{Request, authority};
use crate::explain::doctor::ConfigFacts;
use crate::explain::{WorkerStatus, project_of};
use crate::intake::sources::Repositories;
use crate::keep::blobs::Blobs;
use crate::keep::logs::Logs;
use crate::keep::store::Readers;
use crate::keep::turns::{Principal, QueueLoad};
use crate::serve::config_calls::ConfigCalls;
use gateway_access::GatewayAccess;
use operator_access::OperatorAccess;
use policy::CurrentPolicy;
use schema::limits::{self, REQUEST};
use schema::sturdy_ref::Fingerprint;
use schema::values::{GrantKind, Refusal, RefusalCode, Right, Selector, What};
use schema::vat::Outlet;
use served::Served;
use sha2::{Digest as _, Sha256};
use std::rc::Rc;
use viewer_access::ViewerAccess;

/// `ApiParts` are the parts of the master on which the API stands, and facts about the master that do not change.
pub struct ApiParts {
    pub driver: Rc<Driver>,
    pub feed: Rc<Feed>,
    pub logs: Rc<Logs>,
    pub blobs: Rc<Blobs>,
    pub readers: Readers,
    pub repositories: Rc<Repositories>,
    pub live: Rc<LiveObjects>,
    pub fingerprint: Fingerprint,
    pub incarnation: u64,
}

/// The API of one master, from which all objects for connections and pages are made. It is cheap to clone.
#[derive(Clone)]
pub struct Api {
    gateway: Rc<GatewayAccess>,
    operator: Rc<OperatorAccess>,
    policy: Rc<CurrentPolicy>,
    live: Rc<LiveObjects>,
    served: Rc<Served>,
}

impl Api {
    pub fn new(parts: ApiParts, policy: Policy) -> Api {
        let served = Rc::<Served>::default();
        let policy = CurrentPolicy::new(policy);
        let viewer = ViewerAccess::new(&parts, &served);
        let operator = OperatorAccess::new(&parts, &viewer, &policy);
        let gateway = GatewayAccess::new(&parts, &served, &policy, viewer, operator.clone());
        Api { gateway, operator, policy, live: parts.live, served }
    }

    /// Returns a door for the pages.
    pub fn door(&self) -> Door {
        Door::new(self.gateway.clone())
    }

    /// Returns the address at which browsers reach the pages. `None` means that there are no pages.
    pub fn pages(&self) -> Option<&str> {
        self.gateway.pages()
    }

    pub fn set_pages(&self, url: String) {
        self.gateway.set_pages(url);
    }

    pub fn set_policy(&self, policy: Policy) {
        self.policy.replace(policy);
    }

    pub fn set_config_facts(&self, config_facts: ConfigFacts) {
        self.operator.set_config_facts(config_facts);
    }

    pub fn set_config_calls(&self, calls: ConfigCalls) {
        self.operator.set_config_calls(calls);
    }

    /// Tells every peer that this master is leaving.
    pub async fn leave(&self) {
        self.live.leave().await;
    }

    /// Returns the number of packs that are being made for workers, and of packs that wait.
    pub fn packs(&self) -> QueueLoad {
        self.served.packs()
    }
}

/// A `Holder` is the holder of a grant, whose authority an object carries.
#[derive(Clone, Debug)]
pub struct Holder {
    pub grant: GrantId,
    pub kind: GrantKind,
    pub name: String,
    pub what: What,
    /// The principal in whose turns the holder is served.
    pub principal: Principal,
    /// The outlet through which long answers go to the holder.
    pub outlet: Outlet,
}

impl Holder {
    /// Makes the holder of a grant from its row. Answers to the holder go through `outlet`.
    fn of(row: GrantRow, outlet: Outlet) -> Holder {
        let principal = Principal::of(&row);
        Holder { grant: row.id, kind: row.kind, name: row.name, what: row.what, principal, outlet }
    }

    /// Refuses unless the grant names this right for this project.
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

    /// Removes from a worker's row the jobs of projects that the grant does not name.
    fn narrow(&self, worker: &mut WorkerStatus) {
        worker.running.retain(|selector| self.what.sees(project_of(selector)));
    }

    /// Refuses unless the grant covers the whole installation. `deed` names what the holder wants to do.
    fn may_do_all(&self, deed: &str) -> Result<(), Refusal> {
        authority::may_do_all(self.kind, &self.what, &self.name, deed)
    }

    /// Makes a request of this holder. `body` is the method with its arguments.
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

/// Refuses a project. One that does not exist and one that the grant does not name get the same text, so that a caller cannot probe for
/// names.
fn no_project(project: &str) -> Refusal {
    Refusal::new(RefusalCode::NotFound, format!("there is no project `{project}`, or this grant may not see it"))
        .help("`guild project list` shows the projects that it may see")
}

fn no_build(project: &str, number: u32) -> Refusal {
    Refusal::new(RefusalCode::NotFound, format!("there is no build {}", Selector::build(project, number)))
        .help("`guild list` shows builds")
}

/// Writes a refusal into the results of a method that have a field for it, and ends the method.
macro_rules! refuse {
    ($results:expr, $refusal:expr) => {{
        schema::wire::write_refusal($results.get().init_refusal(), &$refusal);
        return Ok(());
    }};
}

/// Evaluates to the value, or writes the refusal into the results and ends the method.
macro_rules! accept {
    ($results:expr, $result:expr) => {
        match $result {
            Ok(value) => value,
            Err(refusal) => $crate::serve::api::refuse!($results, refusal),
        }
    };
}

use {accept, refuse};

/// Turns the error of an argument beyond its limit into a refusal. Only methods that refused such arguments before the limits had a table
/// use it.
fn bounded<T>(read: capnp::Result<T>) -> capnp::Result<Result<T, Refusal>> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(error) => match error.extra.strip_prefix(limits::INVALID) {
            Some(text) => Ok(Err(Refusal::new(RefusalCode::Invalid, text))),
            None => Err(error),
        },
    }
}

/// Turns a refusal into an exception, for a call of a lease whose answer has no field for a refusal. The first word gives its kind.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is neither over nor too early is a mistake of the caller")]
fn failed(refusal: &Refusal) -> capnp::Error {
    let word = match refusal.code {
        RefusalCode::Stale => "stale",
        RefusalCode::Conflict => "conflict",
        _ => "invalid",
    };
    capnp::Error::failed(format!("{word}: {}", refusal.text))
}

/// Turns an error into an exception. A store that cannot be read is the master's fault, not the caller's.
fn broken(error: impl std::fmt::Display) -> capnp::Error {
    capnp::Error::failed(format!("failed to read the store: {error}"))
}
