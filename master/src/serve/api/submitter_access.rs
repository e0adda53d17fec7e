//! The state that is shared by the objects that order builds or report changes.

use super::served::Served;
use super::try_packs::{TryKey, TryPacks};
use super::viewer_access::ViewerAccess;
use super::{ApiParts, Holder, no_project};
use crate::commit::driver::Driver;
use crate::decide::coordinator::Order;
use crate::decide::coordinator::record::RequestId;
use crate::intake::sources::{Repositories, Repository};
use crate::keep::mirror::TryError;
use schema::values::{Refusal, RefusalCode};
use std::rc::Rc;

/// `SubmitterAccess` is shared by the objects for builds and changes. It has commands, and the repositories that are fetched for them.
pub(super) struct SubmitterAccess {
    /// The access to the builds that these objects made, which their holders may look at.
    viewer: Rc<ViewerAccess>,
    driver: Rc<Driver>,
    repositories: Rc<Repositories>,
    served: Rc<Served>,
    tries: Rc<TryPacks>,
}

impl SubmitterAccess {
    pub(super) fn new(parts: &ApiParts, served: &Rc<Served>, viewer: &Rc<ViewerAccess>) -> Rc<SubmitterAccess> {
        Rc::new(SubmitterAccess {
            viewer: viewer.clone(),
            driver: parts.driver.clone(),
            repositories: parts.repositories.clone(),
            served: served.clone(),
            tries: Rc::default(),
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

    /// Returns the packs that holders send for their tries.
    pub(super) fn tries(&self) -> &Rc<TryPacks> {
        &self.tries
    }

    /// Begins to receive a pack for a try, or goes on with it. Returns the first of these commits that the master has.
    pub(super) async fn begin_try(
        &self,
        holder: &Holder,
        request: RequestId,
        project: &str,
        commits: &[String],
    ) -> Result<Option<String>, Refusal> {
        let repository = self.repository(project)?;
        self.driver.admit()?;
        let key = (holder.grant, request);
        let _turn = self.served.orders.turn(holder.principal).await;
        let base = repository.first_known(commits).await?;
        match self.tries.get(key) {
            Some(pack) if pack.project == project => {}
            Some(_) => return Err(Refusal::new(RefusalCode::Conflict, "this request id was used for another project")),
            None => {
                self.tries.let_in(holder.grant)?;
                let name = format!("{}-{}", holder.grant.0, data_encoding::HEXLOWER.encode(&request.0));
                let pack =
                    repository.taking()?.incoming(&name).await.map_err(|error| repository.unreachable(&error))?;
                self.tries.put(key, project, pack);
            }
        }
        Ok(base)
    }

    /// Takes the commit of a try from its pack into the mirror, and returns the order for its build.
    pub(super) async fn take_try(
        &self,
        holder: &Holder,
        key: TryKey,
        project: &str,
        commit: &str,
    ) -> Result<Order, Refusal> {
        let repository = self.repository(project)?;
        self.driver.admit()?;
        let gone = || {
            let text = "the pack of this try is not complete, or was thrown away";
            Refusal::new(RefusalCode::Offset, text).help("repeat the command")
        };
        let pack = self.tries.get(key).filter(|pack| pack.project == project).ok_or_else(gone)?;
        let _turn = self.served.orders.turn(holder.principal).await;
        match repository.taking()?.take_try(&pack.pack, commit).await {
            Ok(()) => {}
            Err(TryError::NotSealed) => return Err(gone()),
            Err(TryError::Git(error)) => return Err(repository.unreachable(&error)),
            Err(TryError::Refused(why)) => {
                self.tries.remove(key);
                let help =
                    "run `git fsck` in the checkout; in a shallow clone, run `git fetch --unshallow` or push first";
                return Err(Refusal::new(RefusalCode::Invalid, why).help(help));
            }
        }
        repository.order_of_try(commit, holder.grant).await
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
