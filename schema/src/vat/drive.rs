//! The task of one connection. It lets the RPC system do all it can, writes once what came of it, and looks at the clock. At the
//! end it fails what is pending on our side, tells the peer and closes.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use capnp::capability::{Client, Promise};
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{Disconnector, RpcSystem};
use futures::FutureExt as _;
use futures::task::AtomicWaker;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::CloseReason;
use super::clock::{Due, due};
use super::limits::Limits;
use super::link::Link;
use super::network::other;
use crate::common_capnp::pulse;

/// So often the RPC system is polled before others get their turn: each poll handles one message.
const POLLS_PER_TURN: usize = 256;
/// Others get their turn after this time too: one message may cost as much as a hundred others, and one poll may handle many.
const TURN: Duration = Duration::from_millis(1);

/// How much too early an alarm may ring, because moving it with each message costs more than that. An idle connection is not
/// woken by one that a ping has put off.
const EARLY_MAX: Duration = Duration::from_secs(5);

/// Runs the connection until it ends. The future is small, because a connection holds it for its whole life.
pub(super) fn drive(system: RpcSystem<Side>, side: Side, link: Rc<Link>) -> impl Future<Output = ()> {
    let mut driven = Driven::new(system, side, link.clone());
    async move {
        // Declared first, dropped last: whoever waits for the end sees everything else gone.
        let end = End(link);
        // A panic in an object that has no gate ends its connection and no other.
        if AssertUnwindSafe(driven.run()).catch_unwind().await.is_err() {
            tracing::error!("a panic while a connection was served; it is closed");
            end.0.fail(CloseReason::Panicked);
        }
        drop(driven);
        Box::pin(leave(&end.0)).await;
    }
}

/// Sends the last messages, as far as the peer takes them soon, and closes the stream.
async fn leave(link: &Link) {
    let last = async {
        std::future::poll_fn(|cx| link.poll_write(cx)).await;
        link.shutdown().await;
    };
    let _ = timeout(link.limits.get().linger, last).await;
}

struct End(Rc<Link>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The RPC system, and the guard without which dropping it leaves calls waiting for ever.
struct Driven {
    system: RpcSystem<Side>,
    disconnector: Disconnector<Side>,
    side: Side,
    link: Rc<Link>,
    again: Arc<Again>,
    peer: Option<pulse::Client>,
    ping: Option<Ping>,
    pinged: Instant,
    alarm: Pin<Box<Sleep>>,
}

type Ping = Promise<capnp::capability::Response<pulse::ping_results::Owned>, capnp::Error>;

impl Driven {
    fn new(system: RpcSystem<Side>, side: Side, link: Rc<Link>) -> Self {
        let disconnector = system.get_disconnector();
        let now = Instant::now();
        Self {
            system,
            disconnector,
            side,
            link,
            again: Arc::default(),
            peer: None,
            ping: None,
            pinged: now,
            alarm: Box::pin(sleep_until(now)),
        }
    }

    async fn run(&mut self) {
        std::future::poll_fn(|cx| {
            self.link.remember_driver(cx.waker());
            self.answer_wanted();
            self.poll_system(cx);
            let _ = self.link.poll_write(cx);
            self.poll_clock(cx);
            match self.link.shut.get() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// Polls until nothing is ready, so that all answers of a turn leave in one write.
    fn poll_system(&mut self, cx: &mut Context<'_>) {
        self.again.outer.register(cx.waker());
        let waker = Waker::from(self.again.clone());
        let end = Instant::now() + TURN;
        self.link.begin_turn(end);
        for _ in 0..POLLS_PER_TURN {
            self.again.called.store(false, Ordering::Relaxed);
            let polled = Pin::new(&mut self.system).poll(&mut Context::from_waker(&waker));
            if polled.is_ready() {
                self.link.shut.set(true);
                return;
            }
            let is_over = self.link.is_held_up() || Instant::now() >= end;
            if is_over {
                break;
            }
            if !self.again.called.load(Ordering::Relaxed) {
                return;
            }
        }
        // Not woken at once: the runtime would take dozens of such turns before it looks at the sockets of the others again.
        let _ = pin!(tokio::task::yield_now()).poll(cx);
    }

    fn answer_wanted(&mut self) {
        let wanted = std::mem::take(&mut *self.link.wanted.borrow_mut());
        for asked in wanted {
            let _ = asked.send(self.system.bootstrap::<Client>(other(self.side)));
        }
    }

    fn poll_clock(&mut self, cx: &mut Context<'_>) {
        if let Some(ping) = &mut self.ping
            && pin!(ping).poll(cx).is_ready()
        {
            // An exception is an answer too: a foreign peer may export nothing.
            self.ping = None;
        }
        loop {
            let (now, limits) = (Instant::now(), self.limits());
            match due(now, &limits, &self.link.pulse.get(), self.pinged) {
                Due::Close(reason) => return self.link.fail(reason),
                Due::Ping => self.send_ping(now),
                Due::At(next) => {
                    let set = self.alarm.deadline();
                    if self.alarm.is_elapsed() || next < set || next > set + EARLY_MAX {
                        self.alarm.as_mut().reset(next);
                    }
                    if self.alarm.as_mut().poll(cx).is_pending() {
                        return;
                    }
                }
            }
        }
    }

    /// A server asks a little later than a client: of two that have nothing to say one ping is enough.
    fn limits(&self) -> Limits {
        let mut limits = self.link.limits.get();
        if self.side == Side::Server {
            limits.heartbeat += limits.heartbeat / 3;
        }
        limits
    }

    fn send_ping(&mut self, now: Instant) {
        self.pinged = now;
        if self.ping.is_some() {
            return;
        }
        let (system, side) = (&mut self.system, other(self.side));
        let peer = self.peer.get_or_insert_with(|| system.bootstrap(side));
        self.ping = Some(peer.ping_request().send().promise);
        self.again.wake_by_ref();
    }

    /// Fails what is pending on our side and queues the word for the peer.
    fn disconnect(&mut self) {
        self.ping = None;
        self.peer = None;
        let disconnector = AssertUnwindSafe(|| {
            let _ = (&mut self.disconnector).now_or_never();
        });
        if std::panic::catch_unwind(disconnector).is_err() {
            tracing::error!("a panic while a connection was closed");
        }
        self.link.wanted.borrow_mut().clear();
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.disconnect();
    }
}

/// Remembers that the RPC system is ready again, and passes the word on.
#[derive(Default)]
struct Again {
    called: AtomicBool,
    outer: AtomicWaker,
}

impl Wake for Again {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.called.store(true, Ordering::Relaxed);
        self.outer.wake();
    }
}
