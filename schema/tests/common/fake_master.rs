//! The core of a master that a test plays: it listens on loopback with TLS, gives each link its first object, cuts links, and wakes
//! tasks that wait for a change.
//!
//! Two played masters use it, because they have no object in common. Tests of the worker play a desk, sessions and leases, and
//! record what a worker reports. Tests of the client play a perspective, builds and logs, and set what a client sees.

use capnp::capability::Client;
use schema::identity::Identity;
use schema::sturdy_ref::{SturdyRef, Token};
use schema::vat::{self, Limits, Side, Vat};
use std::cell::RefCell;
use std::rc::Rc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// `Entrance` is the socket and the key of a played master that does not serve yet.
pub(crate) struct Entrance {
    listener: TcpListener,
    identity: Identity,
}

/// `Core` has the links of a played master, and counts its changes. All clones share them.
#[derive(Clone)]
pub(crate) struct Core {
    links: Rc<RefCell<Vec<Vat>>>,
    changes: Rc<watch::Sender<u64>>,
}

impl Entrance {
    pub(crate) async fn open() -> Entrance {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Entrance { listener, identity: Identity::generate() }
    }

    /// Returns a credential for this master with this token.
    pub(crate) fn credential(&self, token: Token) -> SturdyRef {
        let addresses = vec![self.listener.local_addr().unwrap().to_string()];
        SturdyRef { fingerprint: self.identity.fingerprint(), addresses, token }
    }

    /// Serves each link with the object that `first` returns; `None` means that it closes the link. Call it within a `LocalSet`,
    /// which ends it.
    pub(crate) fn serve(self, core: &Core, first: impl Fn() -> Option<Client> + 'static) {
        let links = core.links.clone();
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = self.listener.accept().await {
                let Some(first) = first() else { continue };
                let Ok(secured) = vat::accept(stream, &self.identity).await else { continue };
                let vat = vat::start(secured.stream, Side::Server, first, Limits::known());
                vat.admit();
                links.borrow_mut().push(vat);
            }
        });
    }
}

impl Core {
    pub(crate) fn new() -> Core {
        Core { links: Rc::default(), changes: Rc::new(watch::Sender::new(0)) }
    }

    /// Cuts the link of every peer.
    pub(crate) fn cut(&self) {
        let links = std::mem::take(&mut *self.links.borrow_mut());
        drop(links);
    }

    /// Wakes the tasks that wait for a change.
    pub(crate) fn note_change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Returns a receiver of all changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
