//! The driver is the only owner of the [`Coordinator`] and of the store's writer. It tells the coordinator the time, commits what the
//! coordinator recorded, and only then tells anyone. It knows no RPC, and decides only when a commit begins and what a full disk refuses.
//!
//! Commands run at once in memory, and their records join the open batch. While one batch is at the writer, the next one fills, so
//! everything that waits shares a commit. A busy master waits a moment longer for more of it (`pace.rs`). An answer leaves after the
//! commit of everything from which it was computed. Plans are read, and offers are made, before that, because these bind nobody. A worker
//! is bound when it accepts an offer, and the answer to that waits for its commit.

mod tasks;

use crate::commit::events::Feed;
use crate::commit::meter::Meter;
use crate::config::clock::Clock;
use crate::config::pace::Pace;
use crate::decide::coordinator::record::{BuildId, Record};
use crate::decide::coordinator::{Coordinator, Effect, SessionId};
use crate::decide::steady::Ahead;
use crate::keep::store::{CommitError, Removal, RemoveError, Store, Sweep, TestPiece};
use schema::values::{Assignment, Event, Refusal, RefusalCode, Time};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use system::fail_point::fail_point;
use tasks::{commit_batches, keep_time, watch as watch_task};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

/// The time between two tries to write a batch on a full disk. Retention or a person makes room within seconds at best, and a try costs
/// little.
const FULL_RETRY: Duration = Duration::from_secs(1);
/// The most records for which a new batch reserves memory. Larger batches are rare, and they may grow.
const ROOM_MAX: usize = 256;

/// The number of attempts under way from which the master counts as busy, if jobs are queued as well. Then throughput matters more than
/// the latency of one answer, and commits start at least [`COMMITS_APART`] apart.
const BUSY: usize = 4;
/// The least time between the starts of two commits of a busy master. Each commit costs a sync, the pages that it touches and two thread
/// switches, however little it holds. So everything that comes within 3 ms shares one.
const COMMITS_APART: Duration = Duration::from_millis(3);

/// Performs the effects that reach beyond the driver, in their order. If the disk has room, it performs plans at once. It performs all
/// others after the commit of what caused them.
pub type Outside = Box<dyn Fn(Effect)>;

/// The records that one transaction writes, and the effects that the driver performs after it.
#[derive(Default)]
struct PendingCommit {
    records: Vec<Record>,
    effects: Vec<Effect>,
    /// The number of retries that the coordinator had made at the end of this batch.
    retries: u64,
}

/// A `Driver` drives the coordinator, as the comment of [`Coordinator`] says.
pub struct Driver {
    coordinator: RefCell<Coordinator>,
    store: Store,
    feed: Rc<Feed>,
    clock: Clock,
    open: RefCell<PendingCommit>,
    /// Effects that need not wait for a commit, in order.
    early: RefCell<VecDeque<Effect>>,
    is_performing: Cell<bool>,
    /// The number of the open batch. Batches with lower numbers are at the writer or committed.
    open_number: Cell<u64>,
    committed: watch::Sender<u64>,
    work: Notify,
    rescheduled: Notify,
    /// The number of retries that the store holds.
    retries: Cell<u64>,
    full: watch::Sender<bool>,
    filled: Notify,
    tested: Notify,
    failed: watch::Sender<Option<String>>,
    outside: OnceCell<Outside>,
    meter: Meter,
    takes: RefCell<BTreeMap<SessionId, oneshot::Sender<Box<Assignment>>>>,
    finishes: RefCell<BTreeMap<BuildId, Vec<oneshot::Sender<()>>>>,
}

impl Driver {
    /// Makes a driver, which runs as long as its `LocalSet`. Effects that the coordinator holds already, such as plans that are asked for
    /// again after a restart, are performed after [`Driver::start`].
    pub fn new(coordinator: Coordinator, store: Store, feed: Rc<Feed>, clock: Clock) -> Rc<Driver> {
        Rc::new(Driver {
            coordinator: RefCell::new(coordinator),
            store,
            feed,
            clock,
            open: RefCell::default(),
            early: RefCell::default(),
            is_performing: Cell::new(false),
            open_number: Cell::new(1),
            committed: watch::Sender::new(0),
            work: Notify::new(),
            rescheduled: Notify::new(),
            retries: Cell::new(0),
            full: watch::Sender::new(false),
            filled: Notify::new(),
            tested: Notify::new(),
            failed: watch::Sender::new(None),
            outside: OnceCell::new(),
            meter: Meter::default(),
            takes: RefCell::default(),
            finishes: RefCell::default(),
        })
    }

    /// Begins to perform effects, to commit and to keep time.
    pub fn start(self: &Rc<Self>, outside: Outside) {
        assert!(self.outside.set(outside).is_ok(), "a driver is started once");
        tokio::task::spawn_local(watch_task(self.clone(), "commits", commit_batches(self.clone())));
        tokio::task::spawn_local(watch_task(self.clone(), "timers", keep_time(self.clone())));
        self.step(|_, _| ());
    }

    /// The numbers of what was committed since the start.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Tells the coordinator the present difference of the two clocks, and returns the time of the wall clock.
    fn tell_time(&self) -> Time {
        // A look within another look cannot tell the coordinator the time, but the outer look did so a moment ago.
        let coordinator = self.coordinator.try_borrow_mut();
        coordinator.map_or_else(|_| self.now(), |mut it| tell_clocks(&self.clock, &mut it))
    }

    /// Runs a command, and returns its answer after the commit. On a full disk the command is refused before it runs.
    pub async fn call<T>(
        &self,
        command: impl FnOnce(&mut Coordinator, Time) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.apply(command).await?
    }

    /// Runs a command that the coordinator never refuses, and returns its answer after the commit. So a refusal is the driver's own: the
    /// disk is full, or the master is stopping.
    pub async fn apply<T>(&self, command: impl FnOnce(&mut Coordinator, Time) -> T) -> Result<T, Refusal> {
        self.admit()?;
        let answer = self.step(command);
        self.settled().await?;
        Ok(answer)
    }

    /// Runs a command whose answer the caller releases later, after [`Driver::settled`]. On a full disk the command is refused before it
    /// runs.
    pub fn begin<T>(&self, command: impl FnOnce(&mut Coordinator, Time) -> Result<T, Refusal>) -> Result<T, Refusal> {
        self.admit()?;
        self.step(command)
    }

    /// Refuses a command on a full disk, before anything is done for it.
    pub fn admit(&self) -> Result<(), Refusal> {
        if *self.full.borrow() { Err(disk_full()) } else { Ok(()) }
    }

    /// Tells the coordinator something that changes no timer and makes no effect. This is far cheaper than a command.
    pub fn mark(&self, what: impl FnOnce(&mut Coordinator, Time)) {
        let mut coordinator = self.coordinator.borrow_mut();
        let now = tell_clocks(&self.clock, &mut coordinator);
        what(&mut coordinator, now);
    }

    /// Tells the coordinator something that happened outside. Nobody waits for the commit.
    pub fn note(&self, what: impl FnOnce(&mut Coordinator, Time)) {
        self.step(what);
    }

    /// Looks at the coordinator, and returns the answer after the commit of the state that was seen. If a full disk holds that commit up,
    /// the look is refused, because nobody knows how long the disk stays full.
    pub async fn look<T>(&self, look: impl FnOnce(&Coordinator, Time) -> T) -> Result<T, Refusal> {
        let now = self.tell_time();
        let answer = look(&self.coordinator.borrow(), now);
        let mut full = self.full.subscribe();
        tokio::select! {
            biased;
            settled = self.settled() => settled.map(|()| answer),
            _ = full.wait_for(|full| *full) => Err(disk_full()),
        }
    }

    /// Looks for something that the coordinator may refuse. Otherwise it is like [`Driver::look`].
    pub async fn look_up<T>(&self, look: impl FnOnce(&Coordinator, Time) -> Result<T, Refusal>) -> Result<T, Refusal> {
        self.look(look).await?
    }

    /// Looks at the coordinator as it is, whether committed or not. Use it only for the master's own decisions, and never to answer
    /// anybody.
    pub fn peek<T>(&self, look: impl FnOnce(&Coordinator, Time) -> T) -> T {
        let now = self.tell_time();
        look(&self.coordinator.borrow(), now)
    }

    /// Returns the receiver of the next offer for a session's waiting `take`. Dropping the receiver withdraws nothing by itself. A caller
    /// that gives up calls [`Driver::expect_nothing`], and gives back an offer that the receiver holds already.
    pub fn expect_offer(&self, session: SessionId) -> oneshot::Receiver<Box<Assignment>> {
        let (sender, receiver) = oneshot::channel();
        self.takes.borrow_mut().insert(session, sender);
        receiver
    }

    /// Notes that the session's `take` no longer waits. An offer that still comes is given back.
    pub fn expect_nothing(&self, session: SessionId) {
        self.takes.borrow_mut().remove(&session);
    }

    /// Returns a receiver that resolves when the build is finished, or at once if the build is not open.
    pub fn finish_of(&self, build: BuildId) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        if self.coordinator.borrow().open_build_row(build).is_some() {
            let mut finishes = self.finishes.borrow_mut();
            let waiting = finishes.entry(build).or_default();
            waiting.retain(|sender| !sender.is_closed());
            waiting.push(sender);
        }
        receiver
    }

    /// Resolves when a commit failed for another reason than a full disk, or when the driver itself failed. The process must end
    /// after that, because its memory can no longer be trusted.
    pub async fn failure(&self) -> String {
        let mut failed = self.failed.subscribe();
        let seen = failed.wait_for(Option::is_some).await;
        seen.ok().and_then(|why| why.clone()).unwrap_or_else(|| "the driver is gone".to_owned())
    }

    /// Waits for the commit of everything done so far.
    pub async fn settled(&self) -> Result<(), Refusal> {
        let open = self.open_number.get();
        let idle = self.open.borrow().records.is_empty();
        let wanted = if idle { open - 1 } else { open };
        let mut committed = self.committed.subscribe();
        committed.wait_for(|done| *done >= wanted).await.map_err(|_| stopping())?;
        Ok(())
    }

    /// Puts the whole store into one file, because the master stops.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// The number of retries that the store holds, for [`Driver::remove`]. `None` means that a retry is not committed yet.
    pub fn retries(&self) -> Option<u64> {
        let made = self.coordinator.borrow().retries();
        Some(made).filter(|made| *made == self.retries.get())
    }

    /// Removes finished builds and logs that were chosen when the store held `retries` retries. This is not one of the batches, which
    /// wait while the disk is full, because it may free the disk. Returns what was removed. That is nothing if the disk is too full even
    /// for this.
    pub async fn remove(&self, retries: u64, mut removal: Removal) -> Removal {
        removal.builds = self.coordinator.borrow_mut().begin_removal(retries, removal.builds);
        let removed = match removal.is_empty() {
            true => Ok(()),
            false => self.store.remove(removal.clone()).await,
        };
        self.coordinator.borrow_mut().end_removal();
        match self.done(removed) {
            Some(()) => removal,
            None => Removal::default(),
        }
    }

    /// Deletes rows of removed builds and logs, and rows that are too old. Returns the number of deleted rows.
    pub async fn sweep(&self, sweep: Sweep) -> u32 {
        let swept = self.store.sweep(sweep).await;
        self.done(swept).unwrap_or(0)
    }

    /// Writes a part of the contents of lists of tests. `false` means that the disk is too full for it.
    pub async fn record_tests(&self, piece: TestPiece) -> bool {
        let recorded = self.store.record_tests(piece).await;
        self.done(recorded).is_some()
    }

    /// Resolves when a job has finished that may have lists of tests, also if it did so since the last call. Only one task may wait for
    /// this.
    pub async fn tested(&self) {
        self.tested.notified().await;
    }

    pub fn is_full(&self) -> bool {
        *self.full.borrow()
    }

    /// Resolves when the disk has become full.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Takes the result of a write beside the batches. A full disk is not a failure, because the work is chosen again later.
    fn done<T>(&self, result: Result<T, RemoveError>) -> Option<T> {
        match result {
            Ok(done) => Some(done),
            Err(RemoveError::Full) => None,
            Err(RemoveError::Failed(why)) => {
                self.fail(format!("a commit failed: {why}"));
                None
            }
        }
    }

    fn fail(&self, why: String) {
        tracing::error!("the master ends: {why}");
        self.failed.send_replace(Some(why));
    }

    fn step<T>(&self, command: impl FnOnce(&mut Coordinator, Time) -> T) -> T {
        let answer = self.decide(command);
        // This comes first, so that a plan which is known at once joins the batch of the command that asked for it.
        self.perform_early();
        self.work.notify_one();
        answer
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all but these wait for the commit, whatever they are")]
    fn decide<T>(&self, command: impl FnOnce(&mut Coordinator, Time) -> T) -> T {
        let mut coordinator = self.coordinator.borrow_mut();
        let before = coordinator.next_timers();
        let now = tell_clocks(&self.clock, &mut coordinator);
        let answer = command(&mut coordinator, now);
        let (mut open, mut early) = (self.open.borrow_mut(), self.early.borrow_mut());
        // On a full disk everything waits. Otherwise offers would be made and given back without an end.
        let may_be_early = !self.is_full();
        while let Some(effect) = coordinator.poll_effect() {
            match effect {
                Effect::Record(record) => open.records.push(record),
                Effect::Plan { .. } | Effect::Offer { .. } if may_be_early => early.push_back(effect),
                other => open.effects.push(other),
            }
        }
        if coordinator.next_timers() != before {
            self.rescheduled.notify_one();
        }
        answer
    }

    /// Performs the effects that need not wait for the commit. Performing one can itself step the coordinator. The nested call
    /// then returns at once, and this loop performs what it queued.
    fn perform_early(&self) {
        if self.outside.get().is_none() || self.is_performing.replace(true) {
            return;
        }
        while let Some(effect) = self.next_early() {
            self.perform(effect);
        }
        self.is_performing.set(false);
    }

    fn next_early(&self) -> Option<Effect> {
        self.early.borrow_mut().pop_front()
    }

    /// The time until which the open batch waits for more records that could share its commit.
    fn may_wait(&self, pace: &Pace) -> Option<Instant> {
        let coordinator = self.coordinator.borrow();
        let is_busy = || coordinator.lease_count() >= BUSY && coordinator.is_short_of_room();
        let has_records = !self.open.borrow().records.is_empty();
        pace.wait(Instant::now(), COMMITS_APART).filter(|_| has_records && is_busy())
    }

    /// Takes the open batch and begins the next.
    fn take_batch(&self) -> Option<(u64, PendingCommit)> {
        let mut batch = self.open.take();
        batch.retries = self.coordinator.borrow().retries();
        if batch.records.is_empty() && batch.effects.is_empty() {
            return None;
        }
        // The next batch will be about as large as this one.
        let mut open = self.open.borrow_mut();
        open.records.reserve(batch.records.len().min(ROOM_MAX));
        open.effects.reserve(batch.effects.len().min(ROOM_MAX));
        drop(open);
        let number = self.open_number.get();
        self.open_number.set(number + 1);
        Some((number, batch))
    }

    async fn commit(&self, mut records: Vec<Record>) -> Result<(), String> {
        while !records.is_empty() {
            match self.store.commit(records).await {
                Ok(()) => break,
                Err(CommitError::Full(batch)) => {
                    if !self.full.send_replace(true) {
                        self.filled.notify_one();
                        tracing::error!("the disk is full: new commands are refused until there is room");
                    }
                    records = batch;
                    tokio::time::sleep(FULL_RETRY).await;
                }
                Err(CommitError::Failed(why)) => return Err(why.to_string()),
            }
        }
        if self.full.send_replace(false) {
            tracing::info!("the disk has room again");
            self.note(|coordinator, now| coordinator.hears_again(now));
        }
        Ok(())
    }

    fn deliver(&self, number: u64, events: Vec<Event>, effects: Vec<Effect>) {
        self.meter.note_all(&events);
        self.feed.publish(events);
        for effect in effects {
            self.perform(effect);
        }
        self.committed.send_replace(number);
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what the driver does not perform itself goes outside")]
    fn perform(&self, effect: Effect) {
        match effect {
            Effect::Offer { session, assignment } => {
                fail_point("master-before-offer");
                let token = assignment.token;
                let taker = self.takes.borrow_mut().remove(&session);
                let refused = taker.is_none_or(|taker| taker.send(assignment).is_err());
                if refused {
                    let token = crate::decide::coordinator::record::LeaseToken(token);
                    self.note(|coordinator, now| coordinator.give_back(now, token));
                }
            }
            Effect::Finished { build } => {
                let waiting = self.finishes.borrow_mut().remove(&build).unwrap_or_default();
                for sender in waiting {
                    let _ = sender.send(());
                }
            }
            Effect::Tested => self.tested.notify_one(),
            effect => (self.outside.get().expect("a driver performs after its start"))(effect),
        }
    }
}

/// Tells the coordinator the present difference of the two clocks. Returns the time of the wall clock.
fn tell_clocks(clock: &Clock, coordinator: &mut Coordinator) -> Time {
    let (wall, steady) = clock.both();
    coordinator.set_clocks(Ahead::of(wall, steady));
    wall
}

fn disk_full() -> Refusal {
    Refusal::new(RefusalCode::Unavailable, "disk full: the master records nothing new until there is room")
        .help("free some space where its state directory is; it goes on by itself")
}

fn stopping() -> Refusal {
    Refusal::new(RefusalCode::Unavailable, "the master is stopping")
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
