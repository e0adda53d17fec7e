//! What the parts of one connection share: the stream, its two halves, the account, and why it ended. Single
//! threaded; no borrow outlives a call, and no waker is called under one.

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
    /// What it costs of a budget that it shares with others.
    portion: OnceCell<Portion>,
    /// Where those wait who would send much.
    pub(super) outlet: Outlet,
    pub(super) limits: Cell<Limits>,
    pub(super) pulse: Cell<Pulse>,
    reader: RefCell<Option<Waker>>,
    /// When the driver's turn ends; none: there was no turn yet.
    turn_end: Cell<Option<Instant>>,
    /// The reader has stopped because the turn is over.
    held_up: Cell<bool>,
    driver: RefCell<Option<Waker>>,
    /// Asked for by `Vat::bootstrap`, answered by the driver, who owns the RPC system.
    pub(super) wanted: RefCell<Vec<oneshot::Sender<Client>>>,
    reason: RefCell<Option<CloseReason>>,
    /// Either side said that it will close the connection on purpose.
    pub(super) is_leaving: Cell<bool>,
    /// The library takes and gives no more messages.
    pub(super) shut: Cell<bool>,
    /// The driver is gone, and with it the stream's last byte.
    ended: Cell<bool>,
    /// What else shall happen then.
    last: RefCell<Option<Box<dyn FnOnce()>>>,
    changed: Notify,
}

/// Signs of life, and waits that end badly.
#[derive(Clone, Copy)]
pub(super) struct Pulse {
    /// When the last byte came.
    pub(super) heard: Instant,
    /// A full stream took something: the peer reads. A write into an empty one proves nothing, since the
    /// system's buffers swallow it even when the link is dead.
    pub(super) drained: Instant,
    /// A message that is not whole, and how much of it came.
    pub(super) begun: Option<(Instant, usize)>,
    /// Over the budget, and not read from.
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

    /// The next message; `None` when the connection is over, for whatever reason.
    pub(super) async fn receive(&self) -> Result<Option<Message>, CloseReason> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// Queues a message. One that belongs to a closed connection is dropped.
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
            // What we wrote ourselves is well formed, or the library would not have sent it.
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

    /// Ends the connection, if nothing else did before.
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

    /// What this connection costs counts against a budget from now on, if it did not against another.
    pub(super) fn share(&self, budget: &Budget) {
        self.portion.get_or_init(|| Portion::of(budget));
        self.reckon();
    }

    /// Nothing of a connection that is over is counted.
    fn reckon(&self) {
        if let Some(portion) = self.portion.get() {
            let cost = || self.account.borrow().cost() + self.calls_unread();
            portion.set(if self.shut.get() { 0 } else { cost() });
        }
    }

    /// The bytes of our own calls, as those that tell of events, that the peer has not read.
    fn calls_unread(&self) -> usize {
        self.output.borrow().waiting().saturating_sub(self.account.borrow().unread())
    }

    /// Where the budget that it shares is spent: what it may cost all the same.
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
        // Only on progress: the reader would wake us in turn, for ever.
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

    /// Tells the peer that no more follows.
    pub(super) async fn shutdown(&self) {
        let _ = poll_fn(|cx| self.stream.borrow_mut().as_mut().poll_shutdown(cx)).await;
    }

    pub(super) fn remember_driver(&self, waker: &Waker) {
        keep(&self.driver, waker);
    }

    /// The driver's last act. The stream goes even where someone still holds the `Vat`.
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

    /// Runs `last` when the driver is gone; at once where it is.
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

    /// From now on messages are read again, until the end of this turn.
    pub(super) fn begin_turn(&self, end: Instant) {
        self.turn_end.set(Some(end));
        if self.held_up.take() {
            self.wake_reader();
        }
    }

    /// Whether more is to be read in the next turn.
    pub(super) fn is_held_up(&self) -> bool {
        self.held_up.get()
    }

    /// Stops the reader once the turn is over: the library would read on within one poll.
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

    /// Waits while the peer is over its budget. A message once begun is read to its end.
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
        // Remembered in any case: a failure seen by the driver must reach the reader.
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

    /// What of a message the library sees; `None` means that nothing.
    fn enter(&self, message: Message, bytes: usize) -> Result<Option<Message>, CloseReason> {
        match self.look_at(&message, bytes) {
            Ok(Entered::Goes) => Ok(Some(message)),
            Ok(Entered::Instead(instead)) => Ok(Some(instead)),
            Ok(Entered::GivesUp(text)) => {
                // The library ends the connection on it; only the reason is kept.
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

/// The reason for a person. A killed process ends its stream without TLS's last message, which does not mean that TLS failed.
fn told(error: &std::io::Error) -> String {
    match error.kind() == std::io::ErrorKind::UnexpectedEof {
        true => "it ended without a last word".to_owned(),
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
