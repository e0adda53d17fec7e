//! The state that the parts of one connection share: the stream, its two halves, the account, and the reason of its end. It is
//! single-threaded. No borrow outlives a call, and no waker is called during a borrow.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use capnp::capability::Client;
use capnp::message::{Builder, HeapAllocator};
use futures::channel::oneshot;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::account::{Account, Admission};
use super::budget::{Budget, Portion};
use super::input::{self, Input, Message};
use super::outlet::Outlet;
use super::output::Output;
use super::peek::{self, Entered};
use super::{CloseReason, Limits};

/// Any stream of bytes in both directions.
pub(super) trait ByteStream: AsyncRead + AsyncWrite {}
impl<S: AsyncRead + AsyncWrite> ByteStream for S {}

pub(super) struct Link {
    stream: RefCell<Pin<Box<dyn ByteStream>>>,
    input: RefCell<Input>,
    output: RefCell<Output>,
    account: RefCell<Account>,
    /// The cost of this connection in the budget that it shares with others.
    portion: OnceCell<Portion>,
    /// The outlet in which large answers wait for their turn.
    pub(super) outlet: Outlet,
    pub(super) limits: Cell<Limits>,
    pub(super) pulse: Cell<Pulse>,
    reader: RefCell<Option<Waker>>,
    /// The moment at which the driver's turn ends. `None` means that no turn has begun yet.
    turn_end: Cell<Option<Instant>>,
    /// Whether the reader has stopped because the turn is over.
    held_up: Cell<bool>,
    driver: RefCell<Option<Waker>>,
    /// Requests of `Vat::bootstrap` for the peer's object. The driver answers them, because it owns the RPC system.
    pub(super) wanted: RefCell<Vec<oneshot::Sender<Client>>>,
    reason: RefCell<Option<CloseReason>>,
    /// Whether either side has said that it will close the connection on purpose.
    pub(super) is_leaving: Cell<bool>,
    /// Whether the library takes and gives no more messages.
    pub(super) shut: Cell<bool>,
    /// Whether the driver has ended, so that no further byte leaves.
    ended: Cell<bool>,
    /// The closure that runs when the driver ends.
    last: RefCell<Option<Box<dyn FnOnce()>>>,
    changed: Notify,
}

/// The peer's signs of life, and the beginnings of the waits that may end the connection.
#[derive(Clone, Copy)]
pub(super) struct Pulse {
    /// The moment at which the last byte came.
    pub(super) heard: Instant,
    /// The last moment at which a full stream took bytes, which proves that the peer reads. A write into a stream that is not full
    /// proves nothing, because the system's buffers take it even if the link is dead.
    pub(super) drained: Instant,
    /// The beginning of a message that is not complete, and the number of its bytes that came.
    pub(super) begun: Option<(Instant, usize)>,
    /// The moment since which nothing is read from the peer because it is over its limits.
    pub(super) paused: Option<Instant>,
}

impl Link {
    pub(super) fn new(stream: impl AsyncRead + AsyncWrite + 'static, limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            stream: RefCell::new(Box::pin(stream)),
            input: RefCell::default(),
            output: RefCell::default(),
            account: RefCell::default(),
            portion: OnceCell::new(),
            outlet: Outlet::open(),
            limits: Cell::new(limits),
            pulse: Cell::new(Pulse { heard: now, drained: now, begun: None, paused: None }),
            reader: RefCell::default(),
            turn_end: Cell::new(None),
            held_up: Cell::new(false),
            driver: RefCell::default(),
            wanted: RefCell::default(),
            reason: RefCell::default(),
            is_leaving: Cell::new(false),
            shut: Cell::new(false),
            ended: Cell::new(false),
            last: RefCell::default(),
            changed: Notify::new(),
        }
    }

    /// Returns the next message for the library, or the reason why the connection is over.
    pub(super) async fn receive(&self) -> Result<Option<Message>, CloseReason> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// Queues a message for the peer. It drops the message if the connection is closed.
    pub(super) fn send(&self, message: &Builder<HeapAllocator>) {
        if self.shut.get() {
            return;
        }
        let limits = self.limits.get();
        let segments = message.get_segments_for_output();
        let bytes = segments.iter().map(|segment| segment.len()).sum();
        let (ends_at, waiting) = {
            let mut output = self.output.borrow_mut();
            (output.push(&segments), output.waiting())
        };
        self.outlet.set(waiting);
        if let Ok(envelope) = message.get_root_as_reader() {
            // Messages of the library are well formed, so looking at one cannot fail.
            let _ = peek::sent(&mut self.account.borrow_mut(), envelope, bytes, ends_at);
            self.reckon();
        }
        if let Some(light) = self.shortage().filter(|light| self.calls_unread() > *light) {
            let text = format!(
                "{} bytes of calls wait to be read, of a budget that is spent; {light} may",
                self.calls_unread()
            );
            self.fail(CloseReason::Overload(text));
        }
        if waiting > limits.output_bytes {
            let text = format!("{waiting} bytes wait for a peer that does not read them");
            self.fail(CloseReason::Overload(text));
        }
        self.wake_driver();
    }

    /// Ends the connection. The reason counts only if it is the first.
    pub(super) fn fail(&self, reason: CloseReason) {
        self.note_reason(reason);
        self.wake_reader();
        self.wake_driver();
    }

    fn note_reason(&self, reason: CloseReason) {
        let is_plain =
            matches!(reason, CloseReason::Asked | CloseReason::Closed | CloseReason::Lost(_) | CloseReason::Aborted(_));
        let reason = if is_plain && self.is_leaving.get() { CloseReason::Leaving } else { reason };
        self.reason.borrow_mut().get_or_insert(reason);
    }

    pub(super) fn reason(&self) -> Option<CloseReason> {
        self.reason.borrow().clone()
    }

    pub(super) fn calls_open(&self) -> usize {
        self.account.borrow().calls_open()
    }

    pub(super) fn admit(&self) {
        self.limits.set(self.limits.get().admitted());
        self.wake_reader();
    }

    /// Counts the cost of this connection against `budget` from now on, unless the connection already has a budget.
    pub(super) fn share(&self, budget: &Budget) {
        self.portion.get_or_init(|| Portion::of(budget));
        self.reckon();
    }

    /// Updates the cost of this connection in its budget. A connection that is over costs nothing.
    fn reckon(&self) {
        if let Some(portion) = self.portion.get() {
            let cost = || self.account.borrow().cost() + self.calls_unread();
            portion.set(if self.shut.get() { 0 } else { cost() });
        }
    }

    /// Returns the bytes of our own calls that the peer has not read, such as the calls that deliver events.
    fn calls_unread(&self) -> usize {
        self.output.borrow().waiting().saturating_sub(self.account.borrow().unread())
    }

    /// Returns the bytes that this connection may still cost if its budget is spent, or `None` if the budget is not spent.
    fn shortage(&self) -> Option<usize> {
        self.portion.get().and_then(Portion::shortage)
    }

    /// Writes what is queued, as far as the stream takes it.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.output.borrow().is_idle() {
            return Poll::Ready(());
        }
        let before = self.output.borrow().position();
        let result = {
            let mut stream = self.stream.borrow_mut();
            self.output.borrow_mut().poll_write(cx, stream.as_mut())
        };
        let position = self.output.borrow().position();
        self.account.borrow_mut().written(position);
        self.outlet.set(self.output.borrow().waiting());
        self.reckon();
        // The reader is woken only on progress: otherwise reader and driver would wake each other for ever.
        if position > before && self.pulse.get().paused.is_some() {
            self.wake_reader();
        }
        match result {
            Ok(progress) => {
                if progress.unblocked {
                    self.note(|pulse| pulse.drained = Instant::now());
                }
                if !progress.idle {
                    return Poll::Pending;
                }
                self.changed.notify_waiters();
                Poll::Ready(())
            }
            Err(error) => {
                self.fail(CloseReason::Lost(error.to_string()));
                Poll::Ready(())
            }
        }
    }

    /// Tells the peer that no more bytes follow.
    pub(super) async fn shutdown(&self) {
        let _ = poll_fn(|cx| self.stream.borrow_mut().as_mut().poll_shutdown(cx)).await;
    }

    pub(super) fn remember_driver(&self, waker: &Waker) {
        keep(&self.driver, waker);
    }

    /// Ends the link as the last act of the driver. It drops the stream even if a `Vat` still holds the link.
    pub(super) fn end(&self) {
        self.shut.set(true);
        self.reckon();
        drop(self.stream.replace(Box::pin(tokio::io::empty())));
        self.ended.set(true);
        self.outlet.close();
        self.changed.notify_waiters();
        let last = self.last.borrow_mut().take();
        if let Some(last) = last {
            last();
        }
    }

    /// Runs `last` when the driver ends, or at once if it has ended.
    pub(super) fn at_the_end(&self, last: impl FnOnce() + 'static) {
        match self.ended.get() {
            true => last(),
            false => drop(self.last.replace(Some(Box::new(last)))),
        }
    }

    pub(super) async fn ended(&self) -> CloseReason {
        self.wait_until(|| self.ended.get()).await;
        self.reason().unwrap_or(CloseReason::Closed)
    }

    pub(super) async fn flushed(&self) {
        self.wait_until(|| self.ended.get() || self.output.borrow().is_idle()).await;
    }

    pub(super) fn wake_driver(&self) {
        wake(&self.driver);
    }

    async fn wait_until(&self, done: impl Fn() -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if done() {
                return;
            }
            changed.await;
        }
    }

    /// Begins a turn: until `end`, messages are read again.
    pub(super) fn begin_turn(&self, end: Instant) {
        self.turn_end.set(Some(end));
        if self.held_up.take() {
            self.wake_reader();
        }
    }

    /// Whether the reader waits for the next turn.
    pub(super) fn is_held_up(&self) -> bool {
        self.held_up.get()
    }

    /// Stops the reader once the turn is over, because the library would otherwise read on within one poll.
    fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.turn_end.get().is_none_or(|end| Instant::now() < end) {
            return Poll::Ready(());
        }
        self.held_up.set(true);
        keep(&self.reader, cx.waker());
        Poll::Pending
    }

    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, CloseReason>> {
        loop {
            if let Some(reason) = self.reason() {
                return Poll::Ready(Err(reason));
            }
            ready!(self.poll_turn(cx));
            ready!(self.poll_allowed(cx))?;
            let next = self.input.borrow_mut().next(&self.limits.get())?;
            if let Some((message, bytes)) = next {
                self.note(|pulse| pulse.begun = None);
                if let Some(message) = self.enter(message, bytes)? {
                    return Poll::Ready(Ok(Some(message)));
                }
                continue;
            }
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(self.end_of_stream());
            }
        }
    }

    /// Waits while the peer is over its limits.
    fn poll_allowed(&self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        let verdict = self.account.borrow().verdict(&self.limits.get(), self.shortage());
        match verdict {
            Admission::Read => {
                self.note(|pulse| pulse.paused = None);
                Poll::Ready(Ok(()))
            }
            Admission::Drop(reason) => Poll::Ready(Err(reason)),
            Admission::Pause => {
                let now = Instant::now();
                self.note(|pulse| pulse.paused = pulse.paused.or(Some(now)));
                keep(&self.reader, cx.waker());
                if let Some(portion) = self.portion.get() {
                    portion.wait(cx.waker());
                }
                Poll::Pending
            }
        }
    }

    fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<Result<usize, CloseReason>> {
        // The waker is kept in any case, because a failure that the driver sees must reach the reader.
        keep(&self.reader, cx.waker());
        let mut input = self.input.borrow_mut();
        let filled = input.poll_fill(cx, self.stream.borrow_mut().as_mut());
        let count = ready!(filled).map_err(|error| CloseReason::Lost(told(&error)))?;
        let now = Instant::now();
        let bytes = input.begun();
        self.note(|pulse| {
            pulse.heard = now;
            let since = pulse.begun.map_or(now, |(since, _)| since);
            pulse.begun = bytes.map(|bytes| (since, bytes));
        });
        Poll::Ready(Ok(count))
    }

    /// Returns the message that the library sees for a message of the peer. `None` means that the library sees none.
    fn enter(&self, message: Message, bytes: usize) -> Result<Option<Message>, CloseReason> {
        match self.look_at(&message, bytes) {
            Ok(Entered::Goes) => Ok(Some(message)),
            Ok(Entered::Instead(instead)) => Ok(Some(instead)),
            Ok(Entered::GivesUp(text)) => {
                // The library ends the connection when it reads this message, so only the reason is kept here.
                self.note_reason(CloseReason::Aborted(text));
                Ok(Some(message))
            }
            Ok(Entered::Answered(answer)) => {
                self.send(&answer);
                Ok(None)
            }
            Err(error) => Err(input::told(error)),
        }
    }

    fn look_at(&self, message: &Message, bytes: usize) -> capnp::Result<Entered> {
        let envelope = message.get_root()?;
        input::weigh(&envelope, bytes)?;
        let most = self.limits.get().message_exports;
        let entered = peek::received(&mut self.account.borrow_mut(), envelope, bytes, most);
        self.reckon();
        entered
    }

    fn end_of_stream(&self) -> Result<Option<Message>, CloseReason> {
        match self.input.borrow().begun() {
            None => Err(CloseReason::Closed),
            Some(_) => Err(CloseReason::Lost("it ended within a message".into())),
        }
    }

    fn note(&self, change: impl FnOnce(&mut Pulse)) {
        let mut pulse = self.pulse.get();
        change(&mut pulse);
        self.pulse.set(pulse);
    }

    fn wake_reader(&self) {
        wake(&self.reader);
    }
}

/// Returns the reason of a lost stream as a person reads it. A killed process ends its stream without TLS's last message, which
/// does not mean that TLS failed.
fn told(error: &std::io::Error) -> String {
    match error.kind() == std::io::ErrorKind::UnexpectedEof {
        true => "the peer ended it without notice".to_owned(),
        false => error.to_string(),
    }
}

fn keep(slot: &RefCell<Option<Waker>>, waker: &Waker) {
    let mut slot = slot.borrow_mut();
    if !slot.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
        *slot = Some(waker.clone());
    }
}

fn wake(slot: &RefCell<Option<Waker>>) {
    let waker = slot.borrow_mut().take();
    if let Some(waker) = waker {
        waker.wake();
    }
}
