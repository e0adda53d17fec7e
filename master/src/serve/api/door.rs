//! The authority of a browser: it looks with the grant of its cookie, or as everyone if it is not logged in.

use super::Holder;
use super::gateway_access::GatewayAccess;
use super::measured::Measured;
use crate::decide::coordinator::record::{GrantId, GrantRow, RequestId};
use crate::decide::coordinator::{Coordinator, ROOT, Request};
use crate::keep::turns::Principal;
use schema::perspective_capnp::viewer;
use schema::sturdy_ref::{Fingerprint, Token};
use schema::values::{GrantKind, Refusal, Right, Time, What};
use schema::vat::Outlet;
use sha2::{Digest as _, Sha256};
use std::rc::Rc;

/// The number that stands for readers without a login, who hold no grant. The numbers of grants begin at 1.
const EVERYONE: GrantId = GrantId(0);

/// A `Door` hands out viewers to the pages.
#[derive(Clone)]
pub struct Door {
    access: Rc<GatewayAccess>,
}

impl Door {
    pub(super) fn new(access: Rc<GatewayAccess>) -> Door {
        Door { access }
    }

    /// Returns a viewer of the projects that everyone may see.
    pub fn everyone(&self) -> viewer::Client {
        let projects = self.access.policy().open.clone();
        let what = What { may: [Right::View].into(), projects, ..What::default() };
        let (name, principal) = ("everyone".to_owned(), Principal::Everyone);
        self.access.page_viewer(Holder {
            grant: EVERYONE,
            kind: GrantKind::User,
            name,
            what,
            principal,
            outlet: Outlet::default(),
        })
    }

    /// Returns the name and the viewer of a cookie's holder. `None` means that the cookie is not logged in, or no longer is.
    pub async fn holder(&self, cookie: &Token) -> Option<(String, viewer::Client)> {
        let row = self.access.grant_of(cookie.digest(), Some(key_of(cookie))).await.ok()??;
        if !row.what.may.contains(&Right::View) {
            return None;
        }
        Some(self.view_of(row))
    }

    /// Returns the principal in whose turns the holder of a cookie is served. A cookie that belongs to nobody is served in everyone's
    /// turns.
    pub fn principal(&self, cookie: &Token) -> Principal {
        let (hash, key) = (cookie.digest(), Some(key_of(cookie)));
        self.access.driver().peek(|it, now| {
            let row = it.grants().restorable(now, hash, key);
            row.map_or(Principal::Everyone, Principal::of)
        })
    }

    /// Returns the name of the person for whom a login address was made, if a browser may still use it. Looking does not use it up. An
    /// address that is not a login is refused without waiting.
    pub async fn open_login(&self, join: &Token) -> Result<String, Refusal> {
        let join = join.digest();
        self.check_login(join)?;
        let name = |it: &Coordinator, now: Time| {
            let login = it.grants().open_login(now, join)?;
            Ok(it.grants().login_of(login).unwrap_or(&login.name).to_owned())
        };
        self.access.driver().look_up(name).await
    }

    /// Logs in the browser that has this cookie. `join` is the secret of a login address, and works once. Returns the name of the holder.
    pub async fn log_in(&self, join: &Token, cookie: &Token) -> Result<String, Refusal> {
        let (join, hash, key) = (join.digest(), cookie.digest(), key_of(cookie));
        self.check_login(join)?;
        let redeemed = self.access.driver().call(|it, now| it.redeem_browser(now, join, hash, key)).await;
        Ok(redeemed?.name)
    }

    /// Refuses an address with which nobody can log in, before it waits for a commit, because strangers may try many addresses.
    fn check_login(&self, join: [u8; 32]) -> Result<(), Refusal> {
        self.access.driver().peek(|it, now| it.grants().open_login(now, join).map(|_| ()))
    }

    /// Ends the login of a cookie.
    pub async fn log_out(&self, cookie: &Token) {
        let (hash, key) = (cookie.digest(), key_of(cookie));
        if let Err(refusal) = self.access.driver().apply(|it, now| it.log_out(now, hash, key)).await {
            tracing::warn!(%refusal, "a logout was refused");
        }
    }

    /// Takes a forge's report of a push, and looks at that ref, or at all refs. Returns whether it looked, after the news is recorded. A
    /// delivery with a name is repeated until one look for it succeeded.
    pub async fn hooked(&self, project: &str, delivery: &str, ref_name: Option<&str>) -> Result<bool, Refusal> {
        let repository = self.access.submitter_access().repository(project)?;
        let request = (!delivery.is_empty()).then(|| delivered(project, delivery));
        if let Some(request) = &request
            && self.access.driver().look_up(|it, _| it.answered(request)).await?.is_some()
        {
            return Ok(false);
        }
        match ref_name.filter(|name| crate::keep::mirror::check_ref(name).is_ok()) {
            Some(name) => drop(repository.look(name).await?),
            None => drop(repository.poke.look_at_all().await?),
        }
        self.access.driver().settled().await?;
        // The delivery is noted last, because a delivery whose look failed may come again.
        if let Some(request) = request {
            self.access.driver().call(|it, now| it.note_delivery(now, request)).await?;
        }
        Ok(true)
    }

    /// Whether everyone sees everything, as under `guild-master up`.
    pub fn is_open(&self) -> bool {
        self.access.policy().open.is_all()
    }

    /// Whether the master can record new facts, because its disk is not full.
    pub fn is_ready(&self) -> bool {
        !self.access.driver().is_full()
    }

    /// Whether the newest write of each log succeeded.
    pub fn can_write_logs(&self) -> bool {
        self.access.can_write_logs()
    }

    /// Returns what is wrong with the master's disk, as a text for the pages. Empty means that no trouble is known.
    pub fn alert(&self) -> &'static str {
        if self.access.driver().is_full() {
            return "The disk of the master is full: nothing new is recorded until there is room.";
        }
        match self.access.can_write_logs() {
            true => "",
            false => {
                "The master cannot write logs to its disk: steps go on, and their output comes when the disk works again."
            }
        }
    }

    /// Returns the figures of the master as a whole.
    pub async fn measured(&self) -> Measured {
        Measured::of(&self.access).await
    }

    fn view_of(&self, row: GrantRow) -> (String, viewer::Client) {
        (row.name.clone(), self.access.page_viewer(Holder::of(row, Outlet::default())))
    }
}

/// Turns a delivery into a request, so that its name is remembered as long as the ids of requests.
fn delivered(project: &str, delivery: &str) -> Request {
    let hash = Sha256::new().chain_update(b"hook\0").chain_update(project).chain_update(b"\0").chain_update(delivery);
    let body: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&body[..16]);
    Request { id: RequestId(id), by: ROOT, body }
}

/// Derives a key from a cookie. A grant that is bound to this key cannot be restored over RPC, where a caller proves its key by TLS.
fn key_of(cookie: &Token) -> Fingerprint {
    Fingerprint(Sha256::new().chain_update(b"guild cookie").chain_update(cookie.as_bytes()).finalize().into())
}
