//! The state that is shared by the objects that order builds or report changes.

use super::served::Served;
use super::viewer_access::ViewerAccess;
use super::{ApiParts, Holder, no_project};
use crate::commit::driver::Driver;
use crate::decide::coordinator::Order;
use crate::intake::sources::{Repositories, Repository};
use schema::values::Refusal;
use std::rc::Rc;

/// `SubmitterAccess` is shared by the objects for builds and changes. It has commands, and the repositories that are fetched for them.
pub(super) struct SubmitterAccess {
    /// The access to the builds that these objects made, which their holders may look at.
    viewer: Rc<ViewerAccess>,
    driver: Rc<Driver>,
    repositories: Rc<Repositories>,
    served: Rc<Served>,
}

impl SubmitterAccess {
    pub(super) fn new(parts: &ApiParts, served: &Rc<Served>, viewer: &Rc<ViewerAccess>) -> Rc<SubmitterAccess> {
        Rc::new(SubmitterAccess {
            viewer: viewer.clone(),
            driver: parts.driver.clone(),
            repositories: parts.repositories.clone(),
            served: served.clone(),
        })
    }

    pub(super) fn viewer(&self) -> &Rc<ViewerAccess> {
        &self.viewer
    }

    pub(super) fn driver(&self) -> &Driver {
        &self.driver
    }

    pub(super) fn repository(&self, project: &str) -> Result<Rc<Repository>, Refusal> {
        self.repositories.get(project).ok_or_else(|| no_project(project))
    }

    /// Returns the order for a build, in its holder's turn. On a full disk it refuses before it fetches anything into the mirror.
    pub(super) async fn order(
        &self,
        holder: &Holder,
        project: &str,
        ref_name: &str,
        revision: &str,
    ) -> Result<Order, Refusal> {
        let repository = self.repository(project)?;
        self.driver.admit()?;
        let _turn = self.served.orders.turn(holder.principal).await;
        let since = self.driver.peek(|it, _| it.next_number(project));
        repository.order(ref_name, revision, holder.grant, since).await
    }
}
