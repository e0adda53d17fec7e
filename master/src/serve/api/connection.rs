//! Accepts connections: TLS, one vat with limits for each, and the gateway as its bootstrap object. Limits the number of strangers.

use super::Api;
use super::gateway::Gateway;
use super::live::Connection;
use crate::serve::places::{Capacity, Doorkeeper, Patience, Place, Watched};
use schema::identity::Identity;
use schema::limits::borders::{CREDENTIAL, CREDENTIAL_CROWDED, HANDSHAKE_CROWDED, STRANGERS, STRANGERS_EACH};
use schema::sturdy_ref::Fingerprint;
use schema::vat::{self, Limits};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// The most connections without a credential at once, because each may cost 1 MiB.
const PLACES: Capacity = Capacity { all: STRANGERS.count(), per_address: STRANGERS_EACH.count() };
/// The time in which a stranger must finish the handshake.
const HANDSHAKE: Patience = Patience { calm: vat::HANDSHAKE_MAX, crowded: HANDSHAKE_CROWDED.time() };
const FIRST_CREDENTIAL: Patience = Patience { calm: CREDENTIAL.time(), crowded: CREDENTIAL_CROWDED.time() };

/// Accepts connections until dropped. An honest crowd, such as all workers after a restart, is served one after the other, and
/// nobody is turned away. A connection that finds no free slot waits in the backlog of the listener, unless a silent one can be
/// closed.
pub async fn serve(api: Api, identity: Rc<Identity>, listener: TcpListener) {
    let doorkeeper = Doorkeeper::new(PLACES);
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let Some(place) = doorkeeper.admit(from.ip()).await else {
                    tracing::debug!(%from, "too many strangers from one address: a connection was closed");
                    continue;
                };
                tracing::trace!(%from, "a stranger comes");
                tokio::task::spawn_local(greet(api.clone(), identity.clone(), stream, Arc::new(place)));
            }
            Err(error) => {
                // The usual cause is a lack of descriptors, so other connections must end first.
                tracing::warn!("failed to accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn greet(api: Api, identity: Rc<Identity>, stream: TcpStream, place: Arc<Place>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("failed to set TCP_NODELAY: {error}");
    }
    place.want(HANDSHAKE);
    let secured = tokio::select! {
        secured = vat::accept(Watched::new(stream, &place), &identity) => secured,
        why = place.sent_away() => return tracing::debug!("a stranger was sent away: {why}"),
    };
    match secured {
        // This runs in a task of its own, because the present task holds 2.7 KiB for the handshake that nobody needs any more.
        Ok(secured) => {
            place.want(FIRST_CREDENTIAL);
            let connection = host(api, secured.stream, secured.peer);
            tokio::task::spawn_local(async move { meet(&connection, &place).await });
        }
        Err(error) => tracing::debug!("a connection was not secured: {error}"),
    }
}

/// Serves one stream until it ends, between two processes that know each other's keys. Needs a `LocalSet`.
pub async fn attend(api: Api, stream: impl AsyncRead + AsyncWrite + 'static, peer: Option<Fingerprint>) {
    let connection = host(api, stream, peer);
    let closed = connection.vat.borrow().as_ref().map(|vat| vat.closed());
    if tokio::time::timeout(FIRST_CREDENTIAL.calm, connection.shown()).await.is_err() {
        connection.close();
    }
    if let Some(closed) = closed {
        closed.await;
    }
}

fn host(api: Api, stream: impl AsyncRead + AsyncWrite + 'static, peer: Option<Fingerprint>) -> Rc<Connection> {
    let connection = Connection::new();
    let gateway = Gateway { access: api.gateway, connection: connection.clone(), peer };
    let bootstrap: schema::gateway_capnp::gateway::Client = capnp_rpc::new_client(gateway);
    let vat = Rc::new(vat::start(stream, vat::Side::Server, bootstrap.client, Limits::stranger()));
    // The gateway holds the connection, which holds the vat, so the weak reference breaks the circle.
    let last = Rc::downgrade(&connection);
    vat.when_closed(move || drop(last.upgrade().and_then(|connection| connection.vat.borrow_mut().take())));
    *connection.vat.borrow_mut() = Some(vat);
    api.live.add_connection(&connection);
    connection
}

/// Waits until the peer has shown its first credential. A peer that does not show one in time is disconnected.
async fn meet(connection: &Connection, place: &Place) {
    let Some(vat) = connection.vat.borrow().clone() else { return };
    tokio::select! {
        biased;
        _ = vat.closed() => {}
        () = connection.shown() => place.served(),
        why = place.sent_away() => {
            tracing::debug!("a stranger was sent away: {why}");
            vat.close();
        }
    }
}
