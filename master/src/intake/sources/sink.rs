//! Where change sources tell what they notice. The product's sink is a command of the coordinator each.

use crate::decide::coordinator::Before;
use crate::decide::coordinator::record::Head;
use futures::future::LocalBoxFuture;
use schema::values::{Change, Refusal};
use std::rc::Rc;

/// Where a source tells what it sees. Each call answers when that is committed.
pub trait ChangeSink {
    /// Following begins. Answers how the repository was followed before.
    fn begin(&self) -> LocalBoxFuture<'_, Result<Before, Refusal>>;
    /// A ref was pushed or deleted. Answers what is known of it from now on.
    fn submit(&self, change: Change) -> LocalBoxFuture<'_, Result<Option<Head>, Refusal>>;
    /// These refs were seen and are not to be built. (ref, revision)
    fn see(&self, refs: Vec<(String, String)>) -> LocalBoxFuture<'_, Result<(), Refusal>>;
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

    fn looked(&self) -> LocalBoxFuture<'_, Result<(), Refusal>> {
        (**self).looked()
    }
}
