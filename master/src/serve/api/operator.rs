//! The authority to run the guild: workers and grants.

use super::master_file;
use super::operator_access::OperatorAccess;
use super::room::{shorten_worker, worker_bytes};
use super::view::{write_grant, write_workers};
use super::{Holder, accept, refuse};
use crate::decide::coordinator::GrantOrder;
use crate::decide::coordinator::authority::Authority;
use crate::decide::coordinator::record::{GrantId, GrantRow};
use crate::explain::Explainer;
use schema::grant_capnp::{grant, operator};
use schema::limits::{self, HOLDER, JOIN_HASH, REVOCATION, REVOKED, ROLES, WHY, WORD, WORKER};
use schema::values::{GrantKind, Refusal, RefusalCode, What};
use schema::wire;
use std::rc::Rc;
use std::time::Duration;

pub(super) struct Operator {
    pub(super) access: Rc<OperatorAccess>,
    pub(super) holder: Holder,
}

impl operator::Server for Operator {
    async fn issue(
        self: Rc<Self>,
        params: operator::IssueParams,
        mut results: operator::IssueResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let join_hash = limits::data(params.get_join_hash(), &JOIN_HASH)?;
        let Ok(join) = <[u8; 32]>::try_from(join_hash) else {
            refuse!(results, Refusal::new(RefusalCode::Invalid, "the hash of a join must have 32 bytes"));
        };
        let lifetime = params.get_lifetime();
        let order = GrantOrder {
            kind: wire::enum_to_kind(params.get_kind()),
            name: limits::text(params.get_name(), &HOLDER)?,
            what: wire::read_what(params.get_what()?)?,
            lifetime: (lifetime > 0).then(|| Duration::from_millis(lifetime)),
            join_hash: join,
        };
        let told = order_told(&order);
        let request = self.holder.request(params.get_request(), &[b"operator.issue", &told, join_hash])?;
        let issued = self.access.driver().call(|it, now| {
            let id = it.issue(now, request, order)?;
            Ok(it.grants().get(id).cloned())
        });
        let row = accept!(results, issued.await);
        let row = row.ok_or_else(|| capnp::Error::failed("the grant that was issued is gone".to_owned()))?;
        let mut results = results.get();
        write_grant(results.reborrow().init_grant(), &row);
        results.set_fingerprint(self.access.fingerprint().to_string());
        let advertise = &self.access.policy().advertise;
        wire::write_texts(results.init_advertise(wire::length(advertise.len())), advertise);
        Ok(())
    }

    async fn grants(
        self: Rc<Self>,
        params: operator::GrantsParams,
        mut results: operator::GrantsResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (own, after) = (self.holder.grant, GrantId(params.get_after()));
        let (limit, with_ended) = (params.get_limit(), params.get_ended());
        let page = self
            .access
            .viewer()
            .look(&self.holder, |it, now| it.grants().page(now, own, after, limit, with_ended))
            .await;
        let page = page.map_err(|refusal| capnp::Error::overloaded(refusal.text))?;
        results.get().set_next(page.next.map_or(0, |next| next.0));
        write_grants(results.get().init_grants(wire::length(page.grants.len())), &page.grants);
        Ok(())
    }

    async fn find_grants(
        self: Rc<Self>,
        params: operator::FindGrantsParams,
        mut results: operator::FindGrantsResults,
    ) -> capnp::Result<()> {
        let (own, wanted) = (self.holder.grant, limits::text(params.get()?.get_wanted(), &HOLDER)?);
        let found = self.access.viewer().look(&self.holder, |it, now| it.grants().find(now, own, &wanted)).await;
        let found = found.map_err(|refusal| capnp::Error::overloaded(refusal.text))?;
        write_grants(results.get().init_grants(wire::length(found.len())), &found);
        Ok(())
    }

    async fn revoke(
        self: Rc<Self>,
        params: operator::RevokeParams,
        mut results: operator::RevokeResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (id, reason) = (GrantId(params.get_grant()), limits::text(params.get_reason(), &REVOCATION)?);
        let id_bytes = id.0.to_le_bytes();
        let request = self.holder.request(params.get_request(), &[b"operator.revoke", &id_bytes])?;
        let reason = if reason.is_empty() { format!("by {}", self.holder.name) } else { reason };
        let revoked = self.access.driver().call(|it, now| it.revoke(now, request, id, &reason)).await;
        let revoked = accept!(results, revoked);
        let told = &revoked[..revoked.len().min(REVOKED.most)];
        let mut list = results.get().init_revoked(wire::length(told.len()));
        for (index, id) in (0..).zip(told) {
            list.set(index, id.0);
        }
        Ok(())
    }

    async fn workers(
        self: Rc<Self>,
        params: operator::WorkersParams,
        mut results: operator::WorkersResults,
    ) -> capnp::Result<()> {
        let after = limits::text(params.get()?.get_after(), &WORKER)?;
        let workers = self.access.viewer().look(&self.holder, |it, now| Explainer::new(it, now).workers()).await;
        let mut workers = workers.map_err(|refusal| capnp::Error::overloaded(refusal.text))?;
        workers.retain(|worker| worker.name > after);
        workers.iter_mut().for_each(|worker| {
            self.holder.narrow(worker);
            shorten_worker(worker);
        });
        let mut results = results.get();
        let shown = limits::page(workers.iter().map(worker_bytes));
        results.set_more(shown < workers.len());
        write_workers(results.init_workers(wire::length(shown)), &workers);
        Ok(())
    }

    async fn drain(
        self: Rc<Self>,
        params: operator::DrainParams,
        mut results: operator::DrainResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (worker, on) = (limits::text(params.get_worker(), &WORKER)?, params.get_on());
        let body: [&[u8]; 3] = [b"operator.drain", worker.as_bytes(), if on { b"on" } else { b"off" }];
        let request = self.holder.request(params.get_request(), &body)?;
        let done = self.access.driver().call(|it, now| it.drain(now, request, &worker, on)).await;
        accept!(results, done);
        Ok(())
    }

    async fn hold(
        self: Rc<Self>,
        params: operator::HoldParams,
        mut results: operator::HoldResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (worker, reason) = (limits::text(params.get_worker(), &WORKER)?, limits::text(params.get_reason(), &WHY)?);
        let body: [&[u8]; 3] = [b"operator.hold", worker.as_bytes(), reason.as_bytes()];
        let request = self.holder.request(params.get_request(), &body)?;
        let done = self.access.driver().call(|it, now| it.hold(now, request, &worker, &reason)).await;
        accept!(results, done);
        Ok(())
    }

    async fn forget(
        self: Rc<Self>,
        params: operator::ForgetParams,
        mut results: operator::ForgetResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (worker, gone) = (limits::text(params.get_worker(), &WORKER)?, params.get_gone());
        let body: &[&[u8]] = &[b"operator.forget", worker.as_bytes(), b"gone"];
        // If `gone` is not set, the body is the one that older clients send.
        let body = if gone { body } else { &body[..2] };
        let request = self.holder.request(params.get_request(), body)?;
        let done = self.access.driver().call(|it, now| it.forget(now, request, &worker, gone)).await;
        accept!(results, done);
        Ok(())
    }

    async fn examine(
        self: Rc<Self>,
        _: operator::ExamineParams,
        results: operator::ExamineResults,
    ) -> capnp::Result<()> {
        super::examine::examine(&self.access, &self.holder, results).await
    }

    async fn roles(self: Rc<Self>, _: operator::RolesParams, mut results: operator::RolesResults) -> capnp::Result<()> {
        let policy = self.access.policy();
        let own = Authority::of(self.holder.kind, &self.holder.what, None);
        // An operator of some projects must not learn the rights of other people.
        let is_own = |what: &What| own.holds(&Authority::of(GrantKind::User, what, None)).is_ok();
        let mut roles: Vec<_> = policy.roles.iter().filter(|(_, what)| is_own(what)).collect();
        roles.truncate(limits::fitting(0, roles.iter().map(|(name, what)| role_bytes(name, what))).min(ROLES.most));
        let mut list = results.get().init_roles(wire::length(roles.len()));
        for (index, (name, what)) in (0..).zip(roles) {
            let mut to = list.reborrow().get(index);
            to.set_name(name);
            wire::write_what(to.init_what(), what);
        }
        Ok(())
    }

    async fn differences(
        self: Rc<Self>,
        _: operator::DifferencesParams,
        results: operator::DifferencesResults,
    ) -> capnp::Result<()> {
        master_file::differences(&self.access, &self.holder, results).await
    }

    async fn reload(
        self: Rc<Self>,
        params: operator::ReloadParams,
        results: operator::ReloadResults,
    ) -> capnp::Result<()> {
        master_file::reload(&self.access, &self.holder, params, results).await
    }

    async fn add_project(
        self: Rc<Self>,
        params: operator::AddProjectParams,
        results: operator::AddProjectResults,
    ) -> capnp::Result<()> {
        master_file::add_project(&self.access, &self.holder, params, results).await
    }
}

fn write_grants(mut list: capnp::struct_list::Builder<'_, grant::Owned>, rows: &[GrantRow]) {
    for (index, row) in (0..).zip(rows) {
        write_grant(list.reborrow().get(index), row);
    }
}

/// Returns the bytes of a role on the wire.
fn role_bytes(name: &str, what: &What) -> usize {
    let rights: usize = what.may.iter().map(|right| limits::text_bytes(right.word())).sum();
    // the pointers of the lists in `What`, of which there are four
    7 * WORD + limits::text_bytes(name) + rights + limits::listed(&what.projects)
}

/// Returns the contents of a new grant as bytes, by which a repeated request is recognised.
fn order_told(order: &GrantOrder) -> Vec<u8> {
    let lifetime = order.lifetime.map(|lifetime| lifetime.as_millis());
    let told = (order.kind, &order.name, &order.what, lifetime);
    serde_json::to_vec(&told).expect("our own structs are JSON")
}
