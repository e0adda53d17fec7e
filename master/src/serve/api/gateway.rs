//! The only capability of a stranger, who can restore or redeem a credential with it.

use super::gateway_access::GatewayAccess;
use super::live::Connection;
use super::perspective::Perspective;
use super::{Holder, accept, refuse};
use crate::decide::coordinator::record::GrantRow;
use schema::common_capnp::pulse;
use schema::gateway_capnp::gateway;
use schema::limits::{self, TOKEN};
use schema::perspective_capnp::perspective;
use schema::sturdy_ref::Fingerprint;
use schema::values::{GrantKind, Refusal, RefusalCode};
use schema::wire::VERSIONS;
use sha2::{Digest as _, Sha256};
use std::rc::Rc;

pub(super) struct Gateway {
    pub(super) access: Rc<GatewayAccess>,
    pub(super) connection: Rc<Connection>,
    /// The key that the peer proved to have.
    pub(super) peer: Option<Fingerprint>,
}

impl Gateway {
    /// Counts a refused credential. A refusal because of a full disk does not count, because the caller is not its cause.
    fn counted<T>(&self, login: Result<T, Refusal>) -> Result<T, Refusal> {
        if login.as_ref().is_err_and(|refusal| refusal.code != RefusalCode::Unavailable) {
            self.access.driver().meter().note_refused_login();
        }
        login
    }

    /// Returns the grant for a token and a key.
    async fn row_of(&self, token: [u8; 32], peer: Option<Fingerprint>) -> Result<GrantRow, Refusal> {
        match self.access.grant_of(token, peer).await? {
            Some(row) => Ok(row),
            // the coordinator answers why there is no such grant, and records a wrong key
            None => self.access.driver().call(|it, now| it.restore(now, token, peer)).await,
        }
    }
}

impl pulse::Server for Gateway {
    async fn ping(self: Rc<Self>, _: pulse::PingParams, _: pulse::PingResults) -> capnp::Result<()> {
        Ok(())
    }
}

impl gateway::Server for Gateway {
    async fn restore(
        self: Rc<Self>,
        params: gateway::RestoreParams,
        mut results: gateway::RestoreResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let versions = params.get_versions()?;
        let version = accept!(results, common_version(versions.get_min(), versions.get_max()));
        let token = digest(limits::data(params.get_token(), &TOKEN)?);
        let peer = self.peer;
        let row = accept!(results, self.counted(self.row_of(token, peer).await));
        accept!(results, self.access.admit(&self.connection, &row));
        let mut results = results.get();
        results.set_version(version);
        results.init_capability().set_as_capability(self.capability(row).hook);
        Ok(())
    }

    async fn redeem(
        self: Rc<Self>,
        params: gateway::RedeemParams,
        mut results: gateway::RedeemResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (join, token) =
            (digest(limits::data(params.get_join(), &TOKEN)?), limits::data(params.get_token(), &TOKEN)?);
        if token.len() != 32 {
            refuse!(results, Refusal::new(RefusalCode::Invalid, "a token must have 32 bytes"));
        }
        let Some(peer) = self.peer else {
            refuse!(
                results,
                Refusal::new(RefusalCode::NotPermitted, "redeeming binds a grant to the caller's key")
                    .help("connect with a client certificate")
            );
        };
        let token = digest(token);
        let redeemed = self.access.driver().call(|it, now| it.redeem(now, join, token, peer)).await;
        let row = accept!(results, self.counted(redeemed));
        let mut results = results.get();
        results.set_grant(row.id.0);
        results.set_name(&row.name);
        results.set_kind(row.kind.word());
        Ok(())
    }
}

impl Gateway {
    /// Returns the capability of a grant's holder, behind the gate of the grant.
    fn capability(&self, row: GrantRow) -> capnp::capability::Client {
        let outlet = self.connection.vat.borrow().as_ref().map(|vat| vat.outlet());
        let holder = Holder::of(row, outlet.unwrap_or_default());
        let gate = self.access.gate(&holder);
        match holder.kind {
            GrantKind::Worker => {
                let worker = self.access.worker(holder, gate.clone(), self.connection.clone());
                gate.wrap(worker).client
            }
            // A grant of an unknown kind is not in force, so it is refused in `row_of`.
            GrantKind::Operator | GrantKind::User | GrantKind::Changes | GrantKind::Events | GrantKind::Unknown => {
                let perspective = Perspective { access: self.access.clone(), holder };
                gate.wrap(capnp_rpc::new_client::<perspective::Client, _>(perspective)).client
            }
        }
    }
}

fn common_version(min: u16, max: u16) -> Result<u16, Refusal> {
    let (ours_min, ours_max) = (*VERSIONS.start(), *VERSIONS.end());
    let highest = max.min(ours_max);
    if highest >= min.max(ours_min) {
        return Ok(highest);
    }
    let text =
        format!("this master speaks the protocol versions {ours_min} to {ours_max}, and the caller {min} to {max}");
    let older = if max < ours_min { "the caller" } else { "the master" };
    Err(Refusal::new(RefusalCode::Version, text).help(format!("upgrade {older}")))
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
