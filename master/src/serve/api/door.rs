//! The authority of a browser: to look with the grant of its cookie, or as everyone without a login.

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

/// The number for readers of the pages without a login, who hold no grant: numbers of grants begin at 1.
const EVERYONE: GrantId = GrantId(0);

/// The door hands out viewers to the pages.
#[derive(Clone)]
pub struct Door {
    access: Rc<GatewayAccess>,
}

impl Door {
    pub(super) fn new(access: Rc<GatewayAccess>) -> Door {
        Door { access }
    }

    /// A viewer of what everyone may see.
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

    /// The viewer of the holder of a cookie, and the holder's name. `None` means that nobody is logged in with it, or no longer.
    pub async fn holder(&self, cookie: &Token) -> Option<(String, viewer::Client)> {
        let row = self.access.grant_of(cookie.digest(), Some(key_of(cookie))).await.ok()??;
        if !row.what.may.contains(&Right::View) {
            return None;
        }
        Some(self.view_of(row))
    }

    /// The principal in whose turns the holder of a cookie is served. A cookie that belongs to nobody is served in everyone's
    /// turns.
    pub fn principal(&self, cookie: &Token) -> Principal {
        let (hash, key) = (cookie.digest(), Some(key_of(cookie)));
        self.access.driver().peek(|it, now| {
            let row = it.grants().restorable(now, hash, key);
            row.map_or(Principal::Everyone, Principal::of)
        })
    }

    /// The name for whom the address of a login is, if a browser may still use it. Looking uses nothing up. For an address that
    /// is not a login nothing waits.
    pub async fn open_login(&self, join: &Token) -> Result<String, Refusal> {
        let join = join.digest();
        self.check_login(join)?;
        let name = |it: &Coordinator, now: Time| {
            let login = it.grants().open_login(now, join)?;
            Ok(it.grants().login_of(login).unwrap_or(&login.name).to_owned())
        };
        self.access.driver().look_up(name).await
    }

    /// Makes a cookie good with the join of a login's address; once.
    pub async fn log_in(&self, join: &Token, cookie: &Token) -> Result<String, Refusal> {
        let (join, hash, key) = (join.digest(), cookie.digest(), key_of(cookie));
        self.check_login(join)?;
        let redeemed = self.access.driver().call(|it, now| it.redeem_browser(now, join, hash, key)).await;
        Ok(redeemed?.name)
    }

    /// Refuses an address with which nobody can log in, before anything waits for a commit: strangers may try many.
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

    /// Takes the news of a push from a forge, and looks at that ref, or at all refs. A delivery with a name is repeated until one
    /// look for it succeeded. Answers whether it looked, when what is new is recorded.
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

    /// Whether everyone sees everything, as on a machine of one's own.
    pub fn is_open(&self) -> bool {
        self.access.policy().open.is_all()
    }

    /// Whether the master can record what it is asked for.
    pub fn is_ready(&self) -> bool {
        !self.access.driver().is_full()
    }

    /// Whether all logs can be written.
    pub fn can_write_logs(&self) -> bool {
        self.access.can_write_logs()
    }

    /// What is wrong with the master's disk, as a text for the pages. Empty means that nothing is known to be wrong.
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

    /// The figures of the master as a whole.
    pub async fn measured(&self) -> Measured {
        Measured::of(&self.access).await
    }

    fn view_of(&self, row: GrantRow) -> (String, viewer::Client) {
        (row.name.clone(), self.access.page_viewer(Holder::of(row, Outlet::default())))
    }
}

/// A delivery as a request: its name is kept as long as theirs.
fn delivered(project: &str, delivery: &str) -> Request {
    let hash = Sha256::new().chain_update(b"hook\0").chain_update(project).chain_update(b"\0").chain_update(delivery);
    let body: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&body[..16]);
    Request { id: RequestId(id), by: ROOT, body }
}

/// A cookie is a key of its own. A grant that is bound to it cannot be restored over RPC, where a key is proven otherwise.
fn key_of(cookie: &Token) -> Fingerprint {
    Fingerprint(Sha256::new().chain_update(b"guild cookie").chain_update(cookie.as_bytes()).finalize().into())
}
