//! Accepts connections: TLS, one governed vat each, and the gateway as its bootstrap object. Keeps strangers few.

use super::Office;
use super::gateway::Gateway;
use super::live::Connection;
use schema::identity::Identity;
use schema::sturdy_ref::Fingerprint;
use schema::vat::{self, Limits};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Strangers at once, in all and from one address.
const STRANGERS: usize = 64;
const STRANGERS_PER_ADDRESS: usize = 8;
/// A stranger shows a credential within this time.
const FIRST_CREDENTIAL: Duration = Duration::from_secs(30);

/// Counts who has not shown a credential yet.
struct Doorkeeper {
    strangers: RefCell<BTreeMap<IpAddr, usize>>,
    /// Who comes when there is no place waits in the listener's backlog: an honest crowd (every worker after a restart) is
    /// served one after the other, and nobody is turned away.
    places: Arc<Semaphore>,
}

/// Accepts until dropped.
pub async fn serve(office: Rc<Office>, identity: Rc<Identity>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(STRANGERS));
    let doorkeeper = Rc::new(Doorkeeper { strangers: RefCell::default(), places });
    loop {
        let Ok(place) = doorkeeper.places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let Some(stranger) = Stranger::enter(&doorkeeper, from.ip(), place) else { continue };
                tokio::task::spawn_local(greet(office.clone(), identity.clone(), stream, stranger));
            }
            Err(error) => {
                // out of descriptors, as a rule: others must end first
                tracing::warn!("failed to accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn greet(office: Rc<Office>, identity: Rc<Identity>, stream: TcpStream, stranger: Stranger) {
    let from = stranger.address;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%from, "failed to set TCP_NODELAY: {error}");
    }
    match vat::accept(stream, &identity).await {
        // a task of its own: this one holds the room for a handshake, 2.7 KiB that nobody needs any more
        Ok(secured) => {
            let connection = host(office, secured.stream, secured.peer);
            tokio::task::spawn_local(async move {
                meet(&connection).await;
                drop(stranger);
            });
        }
        Err(error) => tracing::debug!(%from, "a connection was not secured: {error}"),
    }
}

/// Serves one stream until it ends: between two processes that know each other's keys. Needs a `LocalSet`.
pub async fn attend(office: Rc<Office>, stream: impl AsyncRead + AsyncWrite + 'static, peer: Option<Fingerprint>) {
    let connection = host(office, stream, peer);
    let closed = connection.vat.borrow().as_ref().map(|vat| vat.closed());
    meet(&connection).await;
    if let Some(closed) = closed {
        closed.await;
    }
}

fn host(
    office: Rc<Office>,
    stream: impl AsyncRead + AsyncWrite + 'static,
    peer: Option<Fingerprint>,
) -> Rc<Connection> {
    let connection = Connection::new();
    let gateway = Gateway { office: office.clone(), connection: connection.clone(), peer };
    let bootstrap: schema::gateway_capnp::gateway::Client = capnp_rpc::new_client(gateway);
    let vat = Rc::new(vat::start(stream, vat::Side::Server, bootstrap.client, Limits::stranger()));
    // the gateway holds the connection, which holds the vat: break the circle
    let last = Rc::downgrade(&connection);
    vat.when_closed(move || drop(last.upgrade().and_then(|connection| connection.vat.borrow_mut().take())));
    *connection.vat.borrow_mut() = Some(vat);
    office.live.add_connection(&connection);
    connection
}

/// Until the first credential was shown; who shows none in time is sent away.
async fn meet(connection: &Connection) {
    let Some(vat) = connection.vat.borrow().clone() else { return };
    tokio::select! {
        biased;
        _ = vat.closed() => {}
        shown = tokio::time::timeout(FIRST_CREDENTIAL, connection.shown()) => if shown.is_err() { vat.close() },
    }
}

/// A place among the strangers, given back when dropped.
struct Stranger {
    doorkeeper: Rc<Doorkeeper>,
    address: IpAddr,
    _place: OwnedSemaphorePermit,
}

impl Stranger {
    fn enter(doorkeeper: &Rc<Doorkeeper>, address: IpAddr, place: OwnedSemaphorePermit) -> Option<Stranger> {
        let mut strangers = doorkeeper.strangers.borrow_mut();
        let here = strangers.get(&address).copied().unwrap_or_default();
        // many honest peers may share loopback: a test farm, a proxy
        if here >= STRANGERS_PER_ADDRESS && !address.is_loopback() {
            tracing::debug!(%address, "too many strangers from one address: a connection was closed");
            return None;
        }
        *strangers.entry(address).or_default() += 1;
        Some(Stranger { doorkeeper: doorkeeper.clone(), address, _place: place })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut strangers = self.doorkeeper.strangers.borrow_mut();
        if let Some(count) = strangers.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                strangers.remove(&self.address);
            }
        }
    }
}
