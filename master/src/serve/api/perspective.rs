//! A user's authority: the parts that the grant names; the others are null.

use super::changes::Changes;
use super::event::Events;
use super::operator::Operator;
use super::submitter::Submitter;
use super::viewer::Viewer;
use super::{Holder, Office, accept, refuse, view};
use schema::limits::{self, JOIN_HASH};
use schema::perspective_capnp::perspective;
use schema::values::{Refusal, RefusalCode, Right};
use std::rc::Rc;

pub(super) struct Perspective {
    pub(super) office: Rc<Office>,
    pub(super) holder: Holder,
}

impl Perspective {
    fn has(&self, right: Right) -> bool {
        self.holder.what.may.contains(&right)
    }

    fn parts(&self) -> (Rc<Office>, Holder) {
        (self.office.clone(), self.holder.clone())
    }
}

impl perspective::Server for Perspective {
    async fn whoami(
        self: Rc<Self>,
        _: perspective::WhoamiParams,
        mut results: perspective::WhoamiResults,
    ) -> capnp::Result<()> {
        let id = self.holder.grant;
        let row = match self.office.driver.look(|it, _| it.grant(id).cloned()).await {
            Ok(row) => row,
            Err(_) => self.office.committed_grant(id).await,
        };
        let row = row.ok_or_else(|| capnp::Error::failed("revoked: this grant is gone".to_owned()))?;
        let mut results = results.get();
        view::write_grant(results.reborrow().init_grant(), &row);
        results.set_master(self.office.policy().advertise.join(","));
        results.set_incarnation(self.office.incarnation);
        results.set_pages(self.office.pages.get().map_or("", String::as_str));
        Ok(())
    }

    async fn viewer(
        self: Rc<Self>,
        _: perspective::ViewerParams,
        mut results: perspective::ViewerResults,
    ) -> capnp::Result<()> {
        if self.has(Right::View) {
            let (office, holder) = self.parts();
            results.get().set_viewer(capnp_rpc::new_client(Viewer { office, holder }));
        }
        Ok(())
    }

    async fn submitter(
        self: Rc<Self>,
        _: perspective::SubmitterParams,
        mut results: perspective::SubmitterResults,
    ) -> capnp::Result<()> {
        if self.has(Right::Run) || self.has(Right::Retry) || self.has(Right::Cancel) {
            let (office, holder) = self.parts();
            results.get().set_submitter(capnp_rpc::new_client(Submitter { office, holder }));
        }
        Ok(())
    }

    async fn changes(
        self: Rc<Self>,
        _: perspective::ChangesParams,
        mut results: perspective::ChangesResults,
    ) -> capnp::Result<()> {
        if self.has(Right::Changes) {
            let (office, holder) = self.parts();
            results.get().set_sink(capnp_rpc::new_client(Changes { office, holder }));
        }
        Ok(())
    }

    async fn events(
        self: Rc<Self>,
        _: perspective::EventsParams,
        mut results: perspective::EventsResults,
    ) -> capnp::Result<()> {
        if self.has(Right::Events) || self.has(Right::View) {
            let (office, holder) = self.parts();
            results.get().set_source(capnp_rpc::new_client(Events { office, holder }));
        }
        Ok(())
    }

    async fn operator(
        self: Rc<Self>,
        _: perspective::OperatorParams,
        mut results: perspective::OperatorResults,
    ) -> capnp::Result<()> {
        if self.has(Right::Operate) {
            let (office, holder) = self.parts();
            results.get().set_operator(capnp_rpc::new_client(Operator { office, holder }));
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
            refuse!(results, Refusal::new(RefusalCode::Invalid, "the SHA-256 of a join has 32 bytes"));
        };
        let Some(address) = self.office.pages.get() else {
            let refusal = Refusal::new(RefusalCode::Unavailable, "this master serves no pages");
            refuse!(results, refusal.help("its file says where: web = \"127.0.0.1:8080\" in [listen]"));
        };
        // the join names the call as well: who repeats it gets the same login
        let request = self.holder.request(params.get_request(), &[b"browse", &join_hash])?;
        let id = accept!(results, self.office.driver.call(|it, now| it.browse(now, request.by, join_hash)).await);
        let mut results = results.get();
        results.set_address(address);
        results.set_grant(id.0);
        Ok(())
    }
}
