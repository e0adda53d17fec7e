//! The sink of change sources: each report is a command of the coordinator, which returns after its commit.

use crate::commit::driver::Driver;
use crate::decide::coordinator::record::Head;
use crate::decide::coordinator::{Before, Coordinator, FiringBranches, ROOT};
use crate::intake::sources::{ChangeSink, Following};
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use schema::values::{Change, Refusal, Time};
use std::rc::Rc;

/// A `CommandedSink` takes the reports of one project's sources.
pub(crate) struct CommandedSink {
    driver: Rc<Driver>,
    following: Following,
}

impl CommandedSink {
    pub(crate) fn new(driver: Rc<Driver>, following: Following) -> CommandedSink {
        CommandedSink { driver, following }
    }

    fn apply<'a, T: 'a>(
        &'a self,
        command: impl FnOnce(&mut Coordinator, Time) -> T + 'a,
    ) -> LocalBoxFuture<'a, Result<T, Refusal>> {
        self.driver.apply(command).boxed_local()
    }
}

impl ChangeSink for CommandedSink {
    fn begin(&self) -> LocalBoxFuture<'_, Result<Before, Refusal>> {
        let Following { project, scope, .. } = &self.following;
        self.apply(|it, _| it.begin_following(project, scope))
    }

    fn submit(&self, change: Change) -> LocalBoxFuture<'_, Result<Option<Head>, Refusal>> {
        self.apply(|it, now| {
            let ref_name = change.ref_name.clone();
            it.submit_change(now, ROOT, change);
            it.head(&self.following.project, &ref_name)
        })
    }

    fn see(&self, refs: Vec<(String, String)>) -> LocalBoxFuture<'_, Result<(), Refusal>> {
        self.apply(|it, _| it.see_refs(&self.following.project, refs))
    }

    fn fire<'a>(
        &'a self,
        wall: Time,
        branches: FiringBranches<'a>,
    ) -> LocalBoxFuture<'a, Result<Option<Time>, Refusal>> {
        self.apply(move |it, now| it.fire_crons(now, wall, &self.following.project, branches))
    }

    fn looked(&self) -> LocalBoxFuture<'_, Result<(), Refusal>> {
        let Following { project, address, scope } = &self.following;
        self.apply(|it, now| it.looked_at_all(now, project, address, scope))
    }
}
