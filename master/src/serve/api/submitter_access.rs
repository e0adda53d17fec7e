//! The state that the objects share which ask for builds or tell of changes.

use super::served::Served;
use super::viewer_access::ViewerAccess;
use super::{ApiParts, Holder, no_project};
use crate::commit::driver::Driver;
use crate::decide::coordinator::Order;
use crate::intake::sources::{Repositories, Repository};
use schema::values::Refusal;
use std::rc::Rc;

/// The things that the objects for builds and changes share: commands, and the repositories that are fetched for them.
pub(super) struct SubmitterAccess {
    /// Access to the builds that they made, which they may look at.
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

    /// What a holder asks to build: in its turn, and refused on a full disk before the mirror grows for it.
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
