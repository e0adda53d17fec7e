//! The sink to which change sources report what they notice. In the product, each call of the sink is a command of the coordinator.

use crate::decide::coordinator::record::Head;
use crate::decide::coordinator::{Before, FiringBranches};
use futures::future::LocalBoxFuture;
use schema::values::{Change, Refusal, Time};
use std::rc::Rc;

/// A `ChangeSink` takes the reports of change sources. Each call returns after the store has committed the report.
pub trait ChangeSink {
    /// The source begins to follow the repository. Returns how the repository was followed until now.
    fn begin(&self) -> LocalBoxFuture<'_, Result<Before, Refusal>>;
    /// A ref was pushed or deleted. Returns what is known of the ref from now on.
    fn submit(&self, change: Change) -> LocalBoxFuture<'_, Result<Option<Head>, Refusal>>;
    /// These refs were seen and are not to be built. Each pair is a ref and its revision.
    fn see(&self, refs: Vec<(String, String)>) -> LocalBoxFuture<'_, Result<(), Refusal>>;
    /// The wall clock shows this time. Makes the builds that are due, and returns when the next one is.
    fn fire<'a>(
        &'a self,
        wall: Time,
        branches: FiringBranches<'a>,
    ) -> LocalBoxFuture<'a, Result<Option<Time>, Refusal>>;
    /// All refs were looked at for the first time, and each one was reported.
    fn looked(&self) -> LocalBoxFuture<'_, Result<(), Refusal>>;
}

impl<S: ChangeSink + ?Sized> ChangeSink for Rc<S> {
    fn begin(&self) -> LocalBoxFuture<'_, Result<Before, Refusal>> {
        (**self).begin()
    }

    fn submit(&self, change: Change) -> LocalBoxFuture<'_, Result<Option<Head>, Refusal>> {
        (**self).submit(change)
    }

    fn see(&self, refs: Vec<(String, String)>) -> LocalBoxFuture<'_, Result<(), Refusal>> {
        (**self).see(refs)
    }

    fn fire<'a>(
        &'a self,
        wall: Time,
        branches: FiringBranches<'a>,
    ) -> LocalBoxFuture<'a, Result<Option<Time>, Refusal>> {
        (**self).fire(wall, branches)
    }

    fn looked(&self) -> LocalBoxFuture<'_, Result<(), Refusal>> {
        (**self).looked()
    }
}
