//! Where change sources tell what they notice. The product's sink is a command of the coordinator each.

use crate::decide::coordinator::record::Head;
use crate::decide::coordinator::{Before, FiringBranches};
use futures::future::LocalBoxFuture;
use schema::values::{Change, Refusal, Time};
use std::rc::Rc;

/// Where a source tells what it sees. Each call answers when that is committed.
pub trait ChangeSink {
    /// Following begins. Answers how the repository was followed before.
    fn begin(&self) -> LocalBoxFuture<'_, Result<Before, Refusal>>;
    /// A ref was pushed or deleted. Answers what is known of it from now on.
    fn submit(&self, change: Change) -> LocalBoxFuture<'_, Result<Option<Head>, Refusal>>;
    /// These refs were seen and are not to be built. (ref, revision)
    fn see(&self, refs: Vec<(String, String)>) -> LocalBoxFuture<'_, Result<(), Refusal>>;
    /// The clock on the wall shows this time: makes the builds that it asks for. Answers when the next one is.
    fn fire<'a>(
        &'a self,
        wall: Time,
        branches: FiringBranches<'a>,
    ) -> LocalBoxFuture<'a, Result<Option<Time>, Refusal>>;
    /// All refs were looked at for the first time, and what they are was told.
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
