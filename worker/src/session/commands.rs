//! The capability of this worker that the master holds during a session. Through it the master gives orders.

use crate::attempt::ledger::{Entry, Token};
use crate::attempt::next::Halt;
use crate::worker_shared::WorkerShared;
use schema::limits::{self, LEASE, SENTENCE};
use schema::worker_capnp::worker;
use std::rc::Rc;

/// The orders that the master may give to this worker. Holds no capability of the master.
pub(super) struct WorkerCommands(pub(super) Rc<WorkerShared>);

impl WorkerCommands {
    fn entry(&self, token: &[u8]) -> Option<Rc<Entry>> {
        self.0.shared.ledger.get(&Token::try_from(token).ok()?)
    }
}

impl worker::Server for WorkerCommands {
    async fn cancel(self: Rc<Self>, params: worker::CancelParams, _: worker::CancelResults) -> capnp::Result<()> {
        let params = params.get()?;
        if let Some(entry) = self.entry(limits::data(params.get_token(), &LEASE)?) {
            let (why, now) = (limits::text(params.get_reason(), &SENTENCE)?, params.get_now());
            tracing::info!(job = %entry.assignment.job.name, %why, now, "cancelled");
            entry.set_halt(if now { Halt::CancelledNow(why) } else { Halt::Cancelled(why) });
        }
        Ok(())
    }

    async fn revoked(
        self: Rc<Self>,
        params: worker::RevokedParams,
        mut results: worker::RevokedResults,
    ) -> capnp::Result<()> {
        let why = limits::text(params.get()?.get_reason(), &SENTENCE)?;
        self.0.revoked.send_replace(Some(why));
        results.get().set_ended(self.0.shared.ledger.when_all_ended().await);
        Ok(())
    }

    async fn stale(self: Rc<Self>, params: worker::StaleParams, _: worker::StaleResults) -> capnp::Result<()> {
        if let Some(entry) = self.entry(limits::data(params.get()?.get_token(), &LEASE)?) {
            self.0.shared.ledger.abandon(&entry, "its lease is over");
        }
        Ok(())
    }

    async fn ping(self: Rc<Self>, _: worker::PingParams, mut results: worker::PingResults) -> capnp::Result<()> {
        results.get().set_instance(&self.0.instance);
        Ok(())
    }
}
