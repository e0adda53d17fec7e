//! Connections over real sockets: keys, pins, ends, and turns between peers.

#![expect(clippy::unwrap_used, reason = "what a test cannot do without ends it")]

use std::cell::Cell;
use std::rc::Rc;

use capnp::capability::Client;
use schema::common_capnp::pulse;
use schema::identity::Identity;
use schema::sturdy_ref::{Fingerprint, SturdyRef, Token};
use schema::vat::{self, CloseReason, Limits, Secured, Side, Vat, VatError};
use tokio::net::{TcpListener, TcpStream};

fn local<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

struct Server {
    listener: TcpListener,
    identity: Rc<Identity>,
}

impl Server {
    async fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), identity: Rc::new(Identity::generate()) }
    }

    fn reference(&self) -> SturdyRef {
        SturdyRef {
            fingerprint: self.identity.fingerprint(),
            addresses: vec![self.listener.local_addr().unwrap().to_string()],
            token: Token::random(),
        }
    }

    async fn accept(&self) -> Result<Secured<TcpStream>, VatError> {
        let (stream, _) = self.listener.accept().await.unwrap();
        vat::accept(stream, &self.identity).await
    }

    async fn meet(&self, identity: Option<&Identity>) -> (Vat, Vat, Option<Fingerprint>) {
        let reference = self.reference();
        let (dialled, accepted) = tokio::join!(vat::dial(&reference, identity), self.accept());
        let (dialled, accepted) = (dialled.unwrap(), accepted.unwrap());
        assert_eq!(dialled.peer, Some(self.identity.fingerprint()));
        let peer = accepted.peer;
        let server = vat::start(accepted.stream, Side::Server, vat::pulse(), Limits::stranger());
        let client = vat::connect(dialled.stream, Limits::known());
        (client, server, peer)
    }
}

async fn ping(client: &pulse::Client) -> Result<(), capnp::Error> {
    client.ping_request().send().promise.await.map(|_| ())
}

#[test]
fn both_sides_know_the_other_key_and_can_call() {
    local(async {
        let server = Server::new().await;
        let worker = Identity::generate();
        let (client, at_server, peer) = server.meet(Some(&worker)).await;
        assert_eq!(peer, Some(worker.fingerprint()));
        ping(&client.bootstrap()).await.unwrap();
        ping(&at_server.bootstrap()).await.unwrap();
    });
}

#[test]
fn a_client_without_a_certificate_is_nobody() {
    local(async {
        let server = Server::new().await;
        let (client, _at_server, peer) = server.meet(None).await;
        assert_eq!(peer, None);
        ping(&client.bootstrap()).await.unwrap();
    });
}

#[test]
fn another_server_key_is_refused_and_named() {
    local(async {
        let server = Server::new().await;
        let mut reference = server.reference();
        reference.fingerprint = Identity::generate().fingerprint();
        let (dialled, accepted) = tokio::join!(vat::dial(&reference, None), server.accept());
        let Err(VatError::WrongKey { expected, found, .. }) = dialled else {
            panic!("expected a wrong key");
        };
        assert_eq!(expected, reference.fingerprint);
        assert_eq!(found, server.identity.fingerprint());
        assert!(matches!(accepted, Err(VatError::Handshake(_))));
    });
}

#[test]
fn nobody_there_and_no_tls_are_told_apart() {
    local(async {
        let server = Server::new().await;
        let reference = server.reference();
        let (dialled, ()) = tokio::join!(vat::dial(&reference, None), async {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut stream, _) = server.listener.accept().await.unwrap();
            // bytes that are not read would turn the end of the connection into a reset
            stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap();
            stream.write_all(b"SSH-2.0-hello\r\n").await.unwrap();
        });
        assert!(matches!(dialled, Err(VatError::Protocol { .. })));
        let (dialled, ()) = tokio::join!(vat::dial(&reference, None), async {
            // the server closes the connection without reading the greeting
            drop(server.listener.accept().await.unwrap());
        });
        assert!(matches!(dialled, Err(VatError::Unreachable { .. })), "{dialled:?}");
        drop(server);
        let dialled = vat::dial(&reference, None).await;
        assert!(matches!(dialled, Err(VatError::Unreachable { .. })));
    });
}

#[test]
fn the_first_address_that_answers_is_taken() {
    local(async {
        let (gone, server) = (Server::new().await, Server::new().await);
        let mut reference = server.reference();
        reference.addresses.insert(0, gone.reference().addresses.remove(0));
        drop(gone);
        let (dialled, _) = tokio::join!(vat::dial(&reference, None), server.accept());
        assert!(dialled.is_ok());
    });
}

#[test]
fn dropping_a_vat_ends_the_other() {
    local(async {
        let server = Server::new().await;
        let (client, at_server, _) = server.meet(None).await;
        let theirs: pulse::Client = client.bootstrap();
        ping(&theirs).await.unwrap();
        drop(at_server);
        let reason = client.closed().await;
        assert!(matches!(reason, CloseReason::Aborted(_) | CloseReason::Closed), "{reason}");
        assert!(ping(&theirs).await.is_err());
        let _: Client = client.bootstrap();
    });
}

#[test]
fn what_shall_happen_when_a_connection_closes_happens_once_and_at_once_where_it_has() {
    local(async {
        let server = Server::new().await;
        let (client, at_server, _) = server.meet(None).await;
        let closed = Rc::new(Cell::new(0));
        let count = || {
            let closed = closed.clone();
            move || closed.set(closed.get() + 1)
        };
        at_server.when_closed(count());
        ping(&client.bootstrap()).await.unwrap();
        assert_eq!(closed.get(), 0);
        drop(client);
        at_server.closed().await;
        assert_eq!(closed.get(), 1);
        at_server.when_closed(count());
        assert_eq!(closed.get(), 2);
    });
}

/// `Busy` is a Pulse that counts its pings. Each ping keeps the thread busy for a while.
struct Busy(Rc<Cell<usize>>);

impl pulse::Server for Busy {
    async fn ping(self: Rc<Self>, _: pulse::PingParams, _: pulse::PingResults) -> Result<(), capnp::Error> {
        let began = std::time::Instant::now();
        while began.elapsed() < std::time::Duration::from_millis(1) {}
        self.0.set(self.0.get() + 1);
        Ok(())
    }

    async fn leaving(self: Rc<Self>, _: pulse::LeavingParams, _: pulse::LeavingResults) -> Result<(), capnp::Error> {
        Ok(())
    }
}

#[test]
fn dear_calls_of_one_connection_leave_time_to_the_others() {
    const CALLS: usize = 200;
    local(async {
        let served = Rc::new(Cell::new(0));
        let busy: pulse::Client = capnp_rpc::new_client(Busy(served.clone()));
        let pair = |mine: Client| {
            let (near, far) = tokio::io::duplex(1 << 20);
            (vat::connect(near, Limits::known()), vat::start(far, Side::Server, mine, Limits::known()))
        };
        let (dear, cheap) = (pair(busy.client), pair(vat::pulse()));
        let (theirs, other): (pulse::Client, pulse::Client) = (dear.0.bootstrap(), cheap.0.bootstrap());
        // both objects must be there first, because calls on a promise would wait and then all run at once
        let _ = tokio::join!(ping(&theirs), ping(&other));
        served.set(0);
        let calls: Vec<_> = (0..CALLS).map(|_| theirs.ping_request().send().promise).collect();
        ping(&other).await.unwrap();
        let before = served.get();
        assert!(before < CALLS / 2, "{before} calls were before it");
        futures::future::try_join_all(calls).await.unwrap();
        assert_eq!(served.get(), CALLS);
    });
}
