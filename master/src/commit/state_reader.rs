//! A way to look at the coordinator that cannot change it.

use super::driver::Driver;
use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::record::BuildId;
use schema::values::{Refusal, Time};
use std::rc::Rc;
use tokio::sync::oneshot;

/// A `StateReader` looks at the coordinator and gives no commands. Code that holds it, and not the [`Driver`], can change nothing.
#[derive(Clone)]
pub struct StateReader(Rc<Driver>);

impl StateReader {
    pub fn new(driver: Rc<Driver>) -> StateReader {
        StateReader(driver)
    }

    pub fn now(&self) -> Time {
        self.0.now()
    }

    /// Whether the disk is full, so that nothing is recorded.
    pub fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// Looks at the state at once, as [`Driver::peek`] does.
    pub fn peek<T>(&self, look: impl FnOnce(&Coordinator, Time) -> T) -> T {
        self.0.peek(look)
    }

    /// Looks at committed state, as [`Driver::look`] does.
    pub async fn look<T>(&self, look: impl FnOnce(&Coordinator, Time) -> T) -> Result<T, Refusal> {
        self.0.look(look).await
    }

    /// Waits for the commit of what was begun, as [`Driver::settled`] does.
    pub async fn settled(&self) -> Result<(), Refusal> {
        self.0.settled().await
    }

    /// Waits for the end of a build, as [`Driver::finish_of`] does.
    pub fn finish_of(&self, build: BuildId) -> oneshot::Receiver<()> {
        self.0.finish_of(build)
    }
}
