//! The task of one connection. It polls the RPC system, writes all new messages at once, and checks the clock. At the end it fails
//! the pending calls of our side, tells the peer and closes.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use capnp::capability::{Client, Promise};
use capnp_rpc::RpcSystem;
use capnp_rpc::rpc_twoparty_capnp::Side;
use futures::FutureExt as _;
use futures::task::AtomicWaker;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::CloseReason;
use super::clock::{Due, due};
use super::limits::Limits;
use super::link::Link;
use super::network::other;
use crate::common_capnp::pulse;

/// The most polls of the RPC system in one turn, before other connections get theirs. Most polls handle one message.
const POLLS_PER_TURN: usize = 256;
/// The longest time of a turn. It is needed beside [`POLLS_PER_TURN`], because one message may cost as much as a hundred others,
/// and one poll may handle many.
const TURN: Duration = Duration::from_millis(1);

/// The longest time by which an alarm may ring too early. Moving the alarm with each message would cost more than waking too
/// early. It is moved after a ping, so that an idle connection is not woken in vain.
const EARLY_MAX: Duration = Duration::from_secs(5);

/// Runs the connection until it ends. The future is small, because a connection holds it for its whole life.
pub(super) fn drive(system: RpcSystem<Side>, side: Side, link: Rc<Link>) -> impl Future<Output = ()> {
    let mut driven = Driven::new(system, side, link);
    async move {
        // A panic in an object that has no gate ends its connection and no other.
        if AssertUnwindSafe(driven.run()).catch_unwind().await.is_err() {
            tracing::error!("a panic while a connection was served; it is closed");
            driven.link.fail(CloseReason::Panicked);
        }
        Box::pin(leave(driven.let_go())).await;
    }
}

/// Sends the last messages, as far as the peer takes them soon, and closes the stream.
async fn leave(end: Option<End>) {
    let Some(End(link)) = &end else { return };
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

/// The RPC system of one connection. Dropping it disconnects the system first, because otherwise open calls would wait for ever.
struct Driven {
    system: RpcSystem<Side>,
    side: Side,
    link: Rc<Link>,
    again: Arc<Again>,
    peer: Option<pulse::Client>,
    /// The ping that is not answered yet, in a box because it is rare.
    ping: Option<Box<Ping>>,
    pinged: Instant,
    alarm: Pin<Box<Sleep>>,
    /// The last field, so it is dropped last: a task that waits for the end then sees that everything else is dropped.
    end: Option<End>,
}

type Ping = Promise<capnp::capability::Response<pulse::ping_results::Owned>, capnp::Error>;

impl Driven {
    fn new(system: RpcSystem<Side>, side: Side, link: Rc<Link>) -> Self {
        let now = Instant::now();
        let end = End(link.clone());
        Self {
            system,
            side,
            link,
            again: Arc::default(),
            peer: None,
            ping: None,
            pinged: now,
            alarm: Box::pin(sleep_until(now)),
            end: Some(end),
        }
    }

    /// Drops everything except for the end, which it returns.
    fn let_go(mut self) -> Option<End> {
        self.end.take()
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
        // This yields instead of waking itself at once, because the runtime would then take dozens of such turns before it polls
        // the sockets of other connections again.
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
            // An exception counts as an answer too, because a peer that is not Guild may export no pulse.
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

    /// Returns the limits of the link. A server pings later than a client, because one ping is enough for two silent sides.
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
        self.ping = Some(Box::new(peer.ping_request().send().promise));
        self.again.wake_by_ref();
    }

    /// Fails the pending calls of our side and queues the message that tells the peer.
    fn disconnect(&mut self) {
        self.ping = None;
        self.peer = None;
        let disconnector = AssertUnwindSafe(|| {
            let _ = self.system.get_disconnector().now_or_never();
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

/// A waker of the RPC system. It remembers that the system is ready again, and wakes the task of the connection.
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
