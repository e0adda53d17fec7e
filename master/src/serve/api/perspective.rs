//! The authority of a user: the capabilities that the grant names. The others are null.

use super::gateway_access::GatewayAccess;
use super::{Holder, accept, refuse, view};
use schema::limits::{self, JOIN_HASH};
use schema::perspective_capnp::perspective;
use schema::values::{Refusal, RefusalCode};
use std::rc::Rc;

pub(super) struct Perspective {
    pub(super) access: Rc<GatewayAccess>,
    pub(super) holder: Holder,
}

impl perspective::Server for Perspective {
    async fn whoami(
        self: Rc<Self>,
        _: perspective::WhoamiParams,
        mut results: perspective::WhoamiResults,
    ) -> capnp::Result<()> {
        let id = self.holder.grant;
        let row = match self.access.driver().look(|it, _| it.grants().get(id).cloned()).await {
            Ok(row) => row,
            Err(_) => self.access.committed_grant(id).await,
        };
        let row = row.ok_or_else(|| capnp::Error::failed("revoked: this grant is gone".to_owned()))?;
        let mut results = results.get();
        view::write_grant(results.reborrow().init_grant(), &row);
        results.set_master(self.access.policy().advertise.join(","));
        results.set_incarnation(self.access.incarnation());
        results.set_pages(self.access.pages().unwrap_or_default());
        Ok(())
    }

    async fn viewer(
        self: Rc<Self>,
        _: perspective::ViewerParams,
        mut results: perspective::ViewerResults,
    ) -> capnp::Result<()> {
        if let Some(viewer) = self.access.viewer(&self.holder) {
            results.get().set_viewer(viewer);
        }
        Ok(())
    }

    async fn submitter(
        self: Rc<Self>,
        _: perspective::SubmitterParams,
        mut results: perspective::SubmitterResults,
    ) -> capnp::Result<()> {
        if let Some(submitter) = self.access.submitter(&self.holder) {
            results.get().set_submitter(submitter);
        }
        Ok(())
    }

    async fn changes(
        self: Rc<Self>,
        _: perspective::ChangesParams,
        mut results: perspective::ChangesResults,
    ) -> capnp::Result<()> {
        if let Some(changes) = self.access.changes(&self.holder) {
            results.get().set_sink(changes);
        }
        Ok(())
    }

    async fn events(
        self: Rc<Self>,
        _: perspective::EventsParams,
        mut results: perspective::EventsResults,
    ) -> capnp::Result<()> {
        if let Some(events) = self.access.events(&self.holder) {
            results.get().set_source(events);
        }
        Ok(())
    }

    async fn operator(
        self: Rc<Self>,
        _: perspective::OperatorParams,
        mut results: perspective::OperatorResults,
    ) -> capnp::Result<()> {
        if let Some(operator) = self.access.operator(&self.holder) {
            results.get().set_operator(operator);
        }
        Ok(())
    }

    async fn browse(
        self: Rc<Self>,
        params: perspective::BrowseParams,
        mut results: perspective::BrowseResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let Ok(join_hash) = <[u8; 32]>::try_from(limits::data(params.get_join_hash(), &JOIN_HASH)?) else {
            refuse!(results, Refusal::new(RefusalCode::Invalid, "the SHA-256 of a join must have 32 bytes"));
        };
        let Some(address) = self.access.pages() else {
            let refusal = Refusal::new(RefusalCode::Unavailable, "this master serves no pages");
            refuse!(
                results,
                refusal.help("set their address in the master file: web = \"127.0.0.1:8080\" in [listen]")
            );
        };
        // The join is part of the call's body, so a repeated call gets the same login.
        let request = self.holder.request(params.get_request(), &[b"browse", &join_hash])?;
        let id = accept!(results, self.access.driver().call(|it, now| it.browse(now, request.by, join_hash)).await);
        let mut results = results.get();
        results.set_address(address);
        results.set_grant(id.0);
        Ok(())
    }
}
