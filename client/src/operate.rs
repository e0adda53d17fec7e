//! The calls that run the guild: grants, workers, projects and the master file. They need the right `operate`.

use crate::error::Error;
use crate::guild::{Guild, new_request};
use crate::look::all_pages;
use crate::steer::done;
use crate::views::{GrantView, WorkerView};
use crate::wire::{read_grant, read_list, read_worker};
use schema::limits::{
    self, ADVERTISED, DIFFERENCES, FINDINGS, FINGERPRINT, FOUND, HOOK_SECRET, HOST, PAGE, PAGES, REVOKED, ROLE, ROLES,
};
use schema::values::{Difference, Finding, GrantKind, NewProject, What};
use schema::wire::{kind_to_enum, read_difference, read_finding, told_what, write_new_project, write_what};
use std::collections::BTreeMap;
use std::time::Duration;

/// The web address for pushes of a forge, and the secret that signs them. Both are "" for a project without a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookView {
    /// The web address to give to the forge.
    pub address: String,
    /// The secret to give to the forge. The master shows it only once.
    pub secret: String,
}

/// A grant to issue below the caller's own.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// The kind of the grant's holder: a person, a worker or a program.
    pub kind: GrantKind,
    /// The name of the grant's holder.
    pub name: String,
    /// The rights of the grant and their scope, which must be within the caller's own.
    pub what: What,
    /// How long the grant lasts, or `None` if it does not end by itself.
    pub lifetime: Option<Duration>,
    /// The SHA-256 of the join that redeems the grant. The master never holds the join itself.
    pub join_hash: [u8; 32],
}

/// The master's answer to a [`NewGrant`]. With the join, it makes a complete sturdy ref.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The grant as the master recorded it.
    pub grant: GrantView,
    /// The addresses of the master, such as `ci.example.org:7711`.
    pub advertise: Vec<String>,
    /// The fingerprint of the master's key, such as `sha-256:...`.
    pub fingerprint: String,
}

impl Guild {
    /// Issues a grant below the caller's own.
    pub async fn issue(&self, grant: &NewGrant) -> Result<Issued, Error> {
        let id = new_request();
        self.call(async |link| {
            let mut request = link.operator().await?.issue_request();
            let mut ask = request.get();
            ask.set_request(&id);
            ask.set_kind(kind_to_enum(grant.kind));
            ask.set_name(&grant.name);
            ask.set_lifetime(milliseconds(grant.lifetime.unwrap_or_default()));
            ask.set_join_hash(&grant.join_hash);
            write_what(ask.init_what(), &grant.what);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            Ok(Issued {
                grant: read_grant(answer.get_grant()?)?,
                advertise: limits::texts(answer.get_advertise(), &ADVERTISED, &HOST)?,
                fingerprint: limits::text(answer.get_fingerprint(), &FINGERPRINT)?,
            })
        })
        .await
    }

    /// Returns the roles of the master file: rights and projects, by the name that the file gives them.
    pub async fn roles(&self) -> Result<BTreeMap<String, What>, Error> {
        self.call(async |link| {
            let answer = link.operator().await?.roles_request().send().promise.await?;
            let mut roles = BTreeMap::new();
            for role in limits::structs(answer.get()?.get_roles(), &ROLES)? {
                roles.insert(limits::text(role.get_name(), &ROLE)?, told_what(role.get_what()?)?);
            }
            Ok(roles)
        })
        .await
    }

    /// Returns the keys of the master file whose value differs from the one with which the master runs.
    pub async fn differences(&self) -> Result<Vec<Difference>, Error> {
        self.call(async |link| {
            let answer = link.operator().await?.differences_request().send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            let found = limits::structs(answer.get_differences(), &DIFFERENCES)?;
            Ok(found.map(read_difference).collect::<capnp::Result<_>>()?)
        })
        .await
    }

    /// Makes the master read its file again, and returns the keys that differed.
    pub async fn reload(&self) -> Result<Vec<Difference>, Error> {
        let id = new_request();
        self.call(async |link| {
            let mut request = link.operator().await?.reload_request();
            request.get().set_request(&id);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            let found = limits::structs(answer.get_differences(), &DIFFERENCES)?;
            Ok(found.map(read_difference).collect::<capnp::Result<_>>()?)
        })
        .await
    }

    /// Makes the master follow a repository, if it can fetch from it.
    pub async fn add_project(&self, project: &NewProject) -> Result<HookView, Error> {
        let id = new_request();
        self.call(async |link| {
            let mut request = link.operator().await?.add_project_request();
            request.get().set_request(&id);
            write_new_project(request.get().init_project(), project);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            Ok(HookView {
                address: limits::text(answer.get_hook_address(), &PAGES)?,
                secret: limits::text(answer.get_hook_secret(), &HOOK_SECRET)?,
            })
        })
        .await
    }

    /// Returns the caller's own grant and the grants below it that are in force.
    pub async fn grants(&self) -> Result<Vec<GrantView>, Error> {
        self.all_grants(false).await
    }

    /// Like [`Guild::grants`], but `with_ended` adds the grants that were revoked or have expired.
    pub async fn all_grants(&self, with_ended: bool) -> Result<Vec<GrantView>, Error> {
        let (mut grants, mut after) = (Vec::new(), 0);
        loop {
            let (page, next) = self.grant_page(after, with_ended).await?;
            grants.extend(page);
            // A page that goes backwards would never end.
            if next <= after {
                return Ok(grants);
            }
            after = next;
        }
    }

    async fn grant_page(&self, after: u64, with_ended: bool) -> Result<(Vec<GrantView>, u64), Error> {
        self.call(async |link| {
            let mut request = link.operator().await?.grants_request();
            request.get().set_after(after);
            request.get().set_ended(with_ended);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            Ok((read_list(answer.get_grants(), &PAGE, read_grant)?, answer.get_next()))
        })
        .await
    }

    /// Returns the grant with this number. If there is none, returns the grants in force with this name, the newest first.
    pub async fn find_grants(&self, wanted: &str) -> Result<Vec<GrantView>, Error> {
        self.call(async |link| {
            let mut request = link.operator().await?.find_grants_request();
            request.get().set_wanted(wanted);
            let answer = request.send().promise.await?;
            read_list(answer.get()?.get_grants(), &FOUND, read_grant)
        })
        .await
        .map_err(|error| error.about("the list of grants"))
    }

    /// Revokes a grant and all grants below it, and returns the numbers of the grants that this call revoked. Their holders see the
    /// reason.
    pub async fn revoke(&self, grant: u64, reason: &str) -> Result<Vec<u64>, Error> {
        let id = new_request();
        self.call(async |link| {
            let mut request = link.operator().await?.revoke_request();
            let mut ask = request.get();
            ask.set_request(&id);
            ask.set_grant(grant);
            ask.set_reason(reason);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            Ok(limits::numbers(answer.get_revoked(), &REVOKED)?)
        })
        .await
    }

    /// Returns the findings of the master about its own installation: good points, faults and remedies.
    pub async fn examine(&self) -> Result<Vec<Finding>, Error> {
        self.call(async |link| {
            let answer = link.operator().await?.examine_request().send().promise.await?;
            let found = limits::structs(answer.get()?.get_findings(), &FINDINGS)?;
            Ok(found.map(read_finding).collect::<capnp::Result<_>>()?)
        })
        .await
    }

    /// Returns the workers as an operator sees them.
    pub async fn all_workers(&self) -> Result<Vec<WorkerView>, Error> {
        let page = async |after: String| {
            self.call(async |link| {
                let mut request = link.operator().await?.workers_request();
                request.get().set_after(&after);
                let answer = request.send().promise.await?;
                let answer = answer.get()?;
                Ok((read_list(answer.get_workers(), &PAGE, read_worker)?, answer.get_more()))
            })
            .await
        };
        all_pages(page, |last| last.name.clone()).await.map_err(|error| error.about("the list of workers"))
    }

    /// Stops offers to this worker, until the same call is made with `on` false.
    pub async fn drain(&self, worker: &str, on: bool) -> Result<(), Error> {
        let id = new_request();
        self.call(async |link| {
            let mut request = link.operator().await?.drain_request();
            let mut ask = request.get();
            ask.set_request(&id);
            ask.set_worker(worker);
            ask.set_on(on);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())
        })
        .await
    }

    /// Like [`Guild::drain`], but with a reason that people see. An empty reason lifts the hold.
    pub async fn hold(&self, worker: &str, reason: &str) -> Result<(), Error> {
        let id = new_request();
        self.call(async |link| {
            let mut request = link.operator().await?.hold_request();
            let mut ask = request.get();
            ask.set_request(&id);
            ask.set_worker(worker);
            ask.set_reason(reason);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())
        })
        .await
    }

    /// Removes a worker that is not connected, and revokes its grant. With `gone`, the caller says that the worker's machine is off, so
    /// that the master places the worker's jobs again at once.
    pub async fn forget(&self, worker: &str, gone: bool) -> Result<(), Error> {
        let id = new_request();
        self.call(async |link| {
            let mut request = link.operator().await?.forget_request();
            let mut ask = request.get();
            ask.set_request(&id);
            ask.set_worker(worker);
            ask.set_gone(gone);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())
        })
        .await
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
