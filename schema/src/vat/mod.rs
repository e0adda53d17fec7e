//! One governed way to serve or to connect over any byte stream. It says who is at the other end, bounds what the peer may cost
//! us, and closes the connection if the peer falls silent. Which methods the peer may call is decided in [`crate::gate`].
//!
//! [`dial`] and [`accept`] make a stream between two keys. [`start`] speaks RPC over it, or over any other stream, until the
//! [`Vat`] is dropped, or the peer leaves, falls silent, or breaks a limit. Dropping a [`Vat`] fails the calls of both sides.

mod account;
mod budget;
mod clock;
mod drive;
mod frame;
mod input;
mod limits;
mod link;
mod network;
mod outlet;
mod output;
mod peek;
mod refuse;
mod tls;

use std::rc::Rc;
use std::time::Duration;

use capnp::capability::{Client, FromClientHook};
use capnp_rpc::RpcSystem;
use futures::channel::oneshot;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

pub use budget::Budget;
pub use capnp_rpc::rpc_twoparty_capnp::Side;
pub use limits::Limits;
pub use outlet::{Outlet, OutletTurn};
pub use tls::{HANDSHAKE_MAX, Secured, TlsStream, VatError, accept, dial};

use crate::common_capnp::pulse as pulse_capnp;
use link::Link;
use network::{Network, other};

/// Speaks RPC over `stream` in a task of its own, which needs a [`tokio::task::LocalSet`]. `mine` is what the peer
/// gets as our bootstrap object.
pub fn start<S>(stream: S, side: Side, mine: Client, limits: Limits) -> Vat
where
    S: AsyncRead + AsyncWrite + 'static,
{
    begin(Rc::new(Link::new(stream, limits)), side, mine)
}

fn begin(link: Rc<Link>, side: Side, mine: Client) -> Vat {
    let network = Box::new(Network::new(link.clone(), side));
    let mut system = RpcSystem::new(network, Some(mine));
    // A client asks for the peer's bootstrap object at once, so that the request leaves in the same packet as its first call. A
    // server seldom needs the object.
    let theirs = match side {
        Side::Client => Some(system.bootstrap::<Client>(other(side))),
        Side::Server => None,
    };
    tokio::task::spawn_local(drive::drive(system, side, link.clone()));
    Vat { link, theirs }
}

/// Joins as a client, which exports nothing but a pulse. If the server says that it is leaving, the connection ends with
/// [`CloseReason::Leaving`].
pub fn connect<S>(stream: S, limits: Limits) -> Vat
where
    S: AsyncRead + AsyncWrite + 'static,
{
    let link = Rc::new(Link::new(stream, limits));
    let pulse: pulse_capnp::Client = capnp_rpc::new_client(OnlyPulse(Some(link.clone())));
    begin(link, Side::Client, pulse.client)
}

/// Returns a bootstrap object that only answers pings.
pub fn pulse() -> Client {
    capnp_rpc::new_client::<pulse_capnp::Client, _>(OnlyPulse(None)).client
}

/// One live connection. Dropping it closes the connection; calls in flight fail on both sides.
pub struct Vat {
    link: Rc<Link>,
    theirs: Option<Client>,
}

impl Vat {
    /// Returns the peer's bootstrap object. Calls on it may be made at once, before the peer has answered.
    pub fn bootstrap<C: FromClientHook>(&self) -> C {
        let client = self.theirs.clone().unwrap_or_else(|| self.want_bootstrap());
        C::new(client.into_client_hook())
    }

    /// Raises the limits to the sizes of [`Limits::known`], because the peer's credential was accepted.
    pub fn admit(&self) {
        self.link.admit();
    }

    /// Counts the cost of this connection against `budget` from now on. A connection has one budget: a second call changes nothing.
    pub fn share(&self, budget: &Budget) {
        self.link.share(budget);
    }

    /// Returns the outlet of this connection, in which large answers to the peer wait for their turn.
    pub fn outlet(&self) -> Outlet {
        self.link.outlet.clone()
    }

    /// Waits until the connection is over, and returns the reason. The future outlives this `Vat`.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + use<> {
        let link = self.link.clone();
        async move { link.ended().await }
    }

    /// Returns the reason why the connection ends or has ended, or `None` while it lives. The reason is set before open calls fail.
    pub fn why_closed(&self) -> Option<CloseReason> {
        self.link.reason()
    }

    /// Runs `last` once the connection is over; it replaces the closure of an earlier call. Unlike a task that awaits
    /// [`Vat::closed`], this costs no task for each connection.
    pub fn when_closed(&self, last: impl FnOnce() + 'static) {
        self.link.at_the_end(last);
    }

    /// Closes the connection as dropping it does. Queued messages may still leave for up to [`Limits::linger`].
    pub fn close(&self) {
        self.link.fail(CloseReason::Asked);
    }

    /// Waits until every message sent so far has left this process, or until the connection has ended.
    pub async fn flush(&self) {
        self.link.flushed().await;
    }

    /// Tells the peer that this side closes the connection on purpose and expects to be back, and waits for its answer. Fails if
    /// the peer cannot be told, for example because its version does not know this message.
    pub async fn leave(&self) -> Result<(), capnp::Error> {
        let peer: pulse_capnp::Client = self.bootstrap();
        let told = peer.leaving_request().send().promise.await.map(drop);
        self.link.is_leaving.set(true);
        told
    }

    /// Returns the moment at which the last byte came from the peer.
    pub fn last_heard(&self) -> Instant {
        self.link.pulse.get().heard
    }

    /// Returns the number of the peer's calls that are not answered yet.
    pub fn calls_in_flight(&self) -> usize {
        self.link.calls_open()
    }

    fn want_bootstrap(&self) -> Client {
        let (asked, answer) = oneshot::channel();
        self.link.wanted.borrow_mut().push(asked);
        self.link.wake_driver();
        capnp_rpc::new_future_client(async { answer.await.map_err(|_| CloseReason::Closed.to_error()) })
    }
}

impl Drop for Vat {
    fn drop(&mut self) {
        self.close();
    }
}

/// The reason for which a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// This side closed it on purpose.
    #[error("this side closed the connection")]
    Asked,
    /// The peer closed the connection and gave no reason.
    #[error("the peer closed the connection")]
    Closed,
    /// One side announced that it would close the connection on purpose, and then did. That side expects to be back.
    #[error("one side closed the connection on purpose and expects to be back")]
    Leaving,
    /// The peer sent an error that ends the connection.
    #[error("the peer gave up: {0}")]
    Aborted(String),
    /// The byte stream below the protocol failed.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The peer sent no byte, and read nothing, for this long.
    #[error("the peer was silent for {} s", .0.as_secs())]
    Silent(Duration),
    /// A message began to arrive and was not complete in time.
    #[error("a message took too long to arrive")]
    MessageLate,
    /// The peer sent a message that is too large.
    #[error("a message of {bytes} bytes; at most {limit} are read")]
    TooLarge {
        /// The size of the message, in bytes.
        bytes: u64,
        /// The size of the largest message that this side reads, in bytes.
        limit: usize,
    },
    /// The peer asked for more than its limits allow.
    #[error("the peer asked for too much: {0}")]
    Overload(String),
    /// The peer sent something that the protocol does not allow.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    /// A panic on this side ended the connection.
    #[error("a bug on this side; its log has the details")]
    Panicked,
}

impl CloseReason {
    /// Returns the error with which calls in flight fail, and which the peer gets.
    fn to_error(&self) -> capnp::Error {
        match self {
            Self::Overload(_) | Self::TooLarge { .. } => capnp::Error::overloaded(self.to_string()),
            Self::Asked
            | Self::Closed
            | Self::Leaving
            | Self::Aborted(_)
            | Self::Lost(_)
            | Self::Silent(_)
            | Self::MessageLate
            | Self::Protocol(_)
            | Self::Panicked => capnp::Error::disconnected(self.to_string()),
        }
    }
}

/// A bootstrap object that answers pings, and that notes on its link, if it has one, that the peer is leaving.
struct OnlyPulse(Option<Rc<Link>>);

impl pulse_capnp::Server for OnlyPulse {
    async fn ping(self: Rc<Self>, _: pulse_capnp::PingParams, _: pulse_capnp::PingResults) -> Result<(), capnp::Error> {
        Ok(())
    }

    async fn leaving(
        self: Rc<Self>,
        _: pulse_capnp::LeavingParams,
        _: pulse_capnp::LeavingResults,
    ) -> Result<(), capnp::Error> {
        self.0.iter().for_each(|link| link.is_leaving.set(true));
        Ok(())
    }
}
