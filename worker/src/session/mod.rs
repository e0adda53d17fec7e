//! One connection to the master. It shows the credential, attaches, names the attempts of this worker, renews their leases, takes
//! jobs, and reports them. Attempts go on when the connection ends, and the worker names them again on the next one. The connection
//! holds every capability of the master that this worker has, so that all of them end with it.

mod commands;
mod troubles;
mod untaken;

use crate::attempt::ledger::{Entry, Token};
use crate::attempt::next::Halt;
use crate::attempt::report::{AttemptReporter, Reported, Unanswered, report};
use crate::attempt::runner;
use crate::attempt::window::Window;
use crate::process::environment::token_of;
use crate::process::supervisor::Moment;
use crate::worker_shared::WorkerShared;
use capnp::capability::{Promise, Response};
use commands::WorkerCommands;
use schema::gateway_capnp::gateway;
use schema::limits::{self, LEASE, LEASES, OFFERS};
use schema::values::{Refusal, RefusalCode, Resources, known_plan_version};
use schema::vat::{self, Limits, Vat, VatError};
use schema::wire;
use schema::worker_capnp::{assignment, lease, session, worker_desk};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use system::fail_point::fail_point;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use untaken::{Refused, Untaken};

/// How long the worker waits for the answers to `restore` and `attach`. The master may first ask an older process of the same
/// worker.
const LOGIN_MAX: Duration = Duration::from_secs(30);
/// The number of renewals in the shortest term, within the bounds below. So a lease survives a long silence.
const RENEWALS: u64 = 30;
/// The least number of renewals in the shortest term, even if [`RENEW_MIN_MS`] asks for fewer.
const RENEWALS_MIN: u64 = 3;
/// The bounds of the time between two renewals, in milliseconds. More renewals cost calls, and fewer risk leases.
const RENEW_MIN_MS: u64 = 500;
const RENEW_MAX_MS: u64 = 20_000;
/// How long the worker waits for an answer to `renew` before it asks again.
const RENEW_MAX: Duration = Duration::from_secs(30);
/// The limit for attempts that the worker holds, with those whose end the master does not know yet. Beyond it the worker takes no
/// job, because each attempt takes memory and disk.
const UNREPORTED_MAX: usize = 256;
/// How long the worker waits before it looks again, if a disk has too little room or an attempt cannot be noted.
const DISK_PAUSE: Duration = Duration::from_secs(10);
/// How long the last calls of a connection may take to be sent.
const FLUSH_MAX: Duration = Duration::from_millis(100);
/// How long the worker waits before its next try, if `take` failed or the master could not accept a lease yet.
const TAKE_PAUSE: Duration = Duration::from_secs(1);
/// How long the worker waits for an offer that may be on its way, before it tells the master that it has more room. Asking anew
/// would throw that offer away.
const MORE_ROOM_PAUSE: Duration = Duration::from_millis(10);

/// The reason why a session ended.
#[derive(Debug)]
pub(crate) enum End {
    Unreachable(VatError),
    Lost(String),
    Refused(Refusal),
    /// The credential was taken back or has expired, and will not be valid again.
    Revoked(String),
    /// The worker was drained, and holds no job any more.
    Drained,
}

impl From<capnp::Error> for End {
    fn from(error: capnp::Error) -> End {
        End::Lost(error.to_string())
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> End {
        match matches!(refusal.code, RefusalCode::Revoked | RefusalCode::Expired) {
            true => End::Revoked(refusal.text),
            false => End::Refused(refusal),
        }
    }
}

/// Connects to the master, and serves the session until it ends. Returns whether the master attached this worker, and why the
/// session ended.
pub(crate) async fn connect(worker: &Rc<WorkerShared>) -> (bool, End) {
    match worker.shared.world.net.dial(&worker.credential, &worker.identity).await {
        Ok(stream) => over(worker, stream).await,
        Err(error) => (false, End::Unreachable(error)),
    }
}

/// Runs a session over a byte stream to a master.
async fn over<S>(worker: &Rc<WorkerShared>, stream: S) -> (bool, End)
where
    S: AsyncRead + AsyncWrite + 'static,
{
    let vat = vat::connect(stream, Limits::known());
    let closed = vat.closed();
    let attached = tokio::select! {
        biased;
        attached = timeout(LOGIN_MAX, attach(worker, &vat)) => attached,
        reason = closed => return (false, End::Lost(reason.to_string())),
    };
    let session = match attached {
        Ok(Ok(session)) => session,
        Ok(Err(end)) => return (false, end),
        Err(_) => return (false, End::Lost("the master does not answer".to_owned())),
    };
    worker.attached.send_replace(true);
    worker.let_in().await;
    let end = tokio::select! {
        biased;
        end = session.run() => end,
        reason = vat.closed() => End::Lost(reason.to_string()),
    };
    worker.attached.send_replace(false);
    for entry in worker.shared.ledger.all() {
        entry.drop_lease();
    }
    drop(session);
    let _ = timeout(FLUSH_MAX, vat.flush()).await;
    (true, end)
}

async fn attach(worker: &Rc<WorkerShared>, vat: &Vat) -> Result<Rc<Session>, End> {
    let gateway: gateway::Client = vat.bootstrap();
    let mut restore = gateway.restore_request();
    restore.get().set_token(worker.credential.token.as_bytes());
    let mut versions = restore.get().init_versions();
    versions.set_min(*wire::VERSIONS.start());
    versions.set_max(*wire::VERSIONS.end());
    let answer = restore.send().promise.await?;
    let results = answer.get()?;
    if let Some(refusal) = wire::refusal(results.has_refusal(), results.get_refusal())? {
        return Err(refusal.into());
    }
    let version = results.get_version();
    let desk: worker_desk::Client = results.get_capability().get_as_capability()?;

    let alive = alive(worker).await;
    let in_hand: Vec<Rc<Entry>> = worker.shared.ledger.all();
    let mut request = desk.attach_request();
    let mut params = request.get();
    params.set_worker(capnp_rpc::new_client(WorkerCommands(worker.clone())));
    params.set_instance(&worker.instance);
    params.set_keeps_terms(true);
    params.set_clock(wire::time(worker.shared.world.clock.wall()));
    if let (Some(home), Some(alive)) = (&worker.home, alive) {
        wire::write_home(params.reborrow().init_home(), home);
        let mut list = params.reborrow().init_alive(wire::length(alive.len()));
        for (index, token) in (0..).zip(&alive) {
            list.set(index, token);
        }
    }
    let mut running = params.reborrow().init_running(wire::length(in_hand.len()));
    for (index, entry) in (0..).zip(&in_hand) {
        running.set(index, &entry.token());
    }
    wire::write_description(params.init_description(), &worker.description);
    let answer = request.send().promise.await?;
    let results = answer.get()?;
    if let Some(refusal) = wire::refusal(results.has_refusal(), results.get_refusal())? {
        return Err(refusal.into());
    }
    let session = Rc::new(Session {
        worker: worker.clone(),
        session: results.get_session()?,
        version,
        term_ms: results.get_term(),
        window: Window::new(),
        unanswered: Unanswered::default(),
        tasks: RefCell::new(JoinSet::new()),
    });
    let (standing, leases, terms) = (results.get_standing()?, results.get_leases()?, results.get_terms()?);
    for (index, entry) in (0..).zip(in_hand) {
        // If the answer is too short, it says nothing of the other attempts. The next `attach` asks about them again.
        if index >= standing.len() || index >= leases.len() {
            return Err(End::Lost("the master did not report the state of every attempt".to_owned()));
        }
        match standing.get(index) {
            Ok(worker_desk::Standing::Resumed) => session.hold(entry, leases.get(index)?, term_at(terms, index)),
            Ok(worker_desk::Standing::Stale) => worker.shared.ledger.abandon(&entry, "its lease is over"),
            // The word is of a later version of the protocol.
            Err(_) => return Err(End::Lost("the master sent a word that this worker does not know".to_owned())),
        }
    }
    tracing::info!(resumed = worker.shared.ledger.count(), term_ms = session.term_ms, "attached");
    Ok(session)
}

/// Returns the attempts that have a living process on this machine, so that no other attempt begins beside one. `None` means that
/// nobody could look. Then the worker does not tell the master its home either.
async fn alive(worker: &WorkerShared) -> Option<Vec<Token>> {
    let machine = worker.shared.world.machine.clone();
    match worker.shared.world.blocking.run(move || machine.living()).await {
        Ok(names) => Some(names.iter().filter_map(|name| token_of(name)).collect()),
        Err(error) => {
            tracing::warn!(%error, "cannot search for processes of attempts");
            None
        }
    }
}

/// A session: the capabilities and facts that the master gave this worker when it attached, and the tasks that report under its leases.
struct Session {
    worker: Rc<WorkerShared>,
    session: session::Client,
    /// The newest version of the protocol that both sides know.
    version: u16,
    /// The length of a lease in milliseconds, if the master does not tell it with the lease, like a master of version 0.1.
    term_ms: u64,
    window: Window,
    unanswered: Unanswered,
    /// The tasks of this session, one for each lease. They end with the session.
    tasks: RefCell<JoinSet<()>>,
}

impl Session {
    async fn run(self: &Rc<Session>) -> End {
        tokio::select! {
            biased;
            end = self.renew() => end,
            end = self.take() => end,
            never = troubles::tell(&self.worker.shared.troubles, &self.session) => never,
            why = self.worker.when_revoked() => self.part(why).await,
        }
    }

    /// Ends every step after the credential was taken back. The master still listens, and waits for the answer that all steps have
    /// ended.
    async fn part(&self, why: String) -> End {
        self.worker.end_all().await;
        // `WorkerCommands::revoked` answers the master, from another task.
        sleep(FLUSH_MAX).await;
        End::Revoked(why)
    }

    /// Renews all leases again and again until the connection is lost, and notes their new ends.
    async fn renew(&self) -> End {
        let mut asked = Instant::now();
        loop {
            let held = self.due_for_renewal(asked).await;
            asked = Instant::now();
            let renewed = timeout(RENEW_MAX, self.renew_once(&held)).await;
            let late = || Err(capnp::Error::overloaded("the master does not answer".to_owned()));
            if let Err(error) = renewed.unwrap_or_else(|_| late()) {
                if error.kind == capnp::ErrorKind::Disconnected {
                    return error.into();
                }
                // The master may be overloaded or its disk full, but there is time until the leases end.
                tracing::warn!(%error, "leases were not renewed");
            }
        }
    }

    /// Waits until leases must be renewed, and returns the attempts that hold one. The shortest term decides when, even if it is
    /// the term of a lease that begins meanwhile.
    async fn due_for_renewal(&self, asked: Instant) -> Vec<Rc<Entry>> {
        let ledger = &self.worker.shared.ledger;
        let mut changes = ledger.changes();
        loop {
            changes.borrow_and_update();
            let held: Vec<Rc<Entry>> = ledger.all().into_iter().filter(|entry| entry.term_ms().is_some()).collect();
            let due = held.iter().filter_map(|entry| entry.term_ms()).min().map(|term_ms| asked + renew_every(term_ms));
            tokio::select! {
                biased;
                () = sleep_until_some(due) => return held,
                _ = changes.changed() => {}
            }
        }
    }

    async fn renew_once(&self, held: &[Rc<Entry>]) -> capnp::Result<()> {
        let sent = self.worker.now();
        let mut request = self.session.renew_request();
        let mut tokens = request.get().init_tokens(wire::length(held.len()));
        for (index, entry) in (0..).zip(held) {
            tokens.set(index, &entry.token());
        }
        let answer = request.send().promise.await?;
        let (stale, terms) = (answer.get()?.get_stale(), answer.get()?.get_terms()?);
        let stale = limits::keys(stale, &LEASES, &LEASE)?;
        for (index, entry) in (0..).zip(held) {
            match stale.iter().any(|token| *token == entry.token()) {
                true => self.worker.shared.ledger.abandon(entry, "its lease is over"),
                false => entry.renewed(sent, self.term(term_at(terms, index))),
            }
        }
        Ok(())
    }

    /// Returns the length of a lease to live by, in milliseconds. `told_ms` is the length that the master told, or 0 if it told
    /// none.
    fn term(&self, told_ms: u64) -> u64 {
        if told_ms == 0 { self.term_ms } else { told_ms }
    }

    /// Takes jobs while there is room for them.
    async fn take(self: &Rc<Session>) -> End {
        let ledger = &self.worker.shared.ledger;
        let (mut changes, mut draining) = (ledger.changes(), self.worker.draining.subscribe());
        let (mut has_said_so, mut refused) = (false, Refused::default());
        loop {
            let is_draining = *draining.borrow_and_update();
            changes.borrow_and_update();
            if is_draining && ledger.is_empty() {
                return End::Drained;
            }
            if is_draining && !std::mem::replace(&mut has_said_so, true) {
                tokio::task::spawn_local(self.session.drain_request().send().promise);
            }
            let free = self.free();
            if is_draining || free.slots == 0 {
                tokio::select! { biased; _ = changes.changed() => {}, _ = draining.changed() => {} }
            } else if let Some(why) = self.worker.lack_of_room() {
                self.wait_for_room(&why).await;
            } else if let Err(why) = self.take_up_to(free).await {
                match refused.pause(why) {
                    Ok(pause) => sleep(pause).await,
                    Err(end) => return end,
                }
            } else {
                refused.forget();
            }
        }
    }

    /// Reports why the worker takes no job. After that, waits until old files were removed, or for the next look.
    async fn wait_for_room(&self, why: &str) {
        tracing::warn!(%why, "no job is taken");
        let mut request = self.session.lacks_request();
        request.get().set_what(why);
        // Older masters do not know this call, so its failure does not matter.
        tokio::task::spawn_local(request.send().promise);
        let tidied = self.worker.reserve.tidied.notified();
        self.worker.reserve.short_of_room.notify_one();
        let _ = timeout(DISK_PAUSE, tidied).await;
        if self.worker.lack_of_room().is_some() {
            sleep(DISK_PAUSE).await;
        }
    }

    fn free(&self) -> Resources {
        let ledger = &self.worker.shared.ledger;
        let more = u16::try_from(UNREPORTED_MAX.saturating_sub(ledger.count())).unwrap_or(u16::MAX);
        let free = self.worker.description.total.minus(&ledger.used());
        Resources { slots: free.slots.min(more), ..free }
    }

    /// Waits for jobs that fit into `free`, and begins them. Returns without a job if the master must be asked anew.
    async fn take_up_to(self: &Rc<Session>, free: Resources) -> Result<(), Untaken> {
        let mut request = self.session.take_request();
        request.get().set_most(free.slots);
        wire::write_resources(request.get().init_free(), &free);
        let offer = request.send().promise;
        let answer = tokio::select! {
            biased;
            offer = offer => offer?,
            () = self.otherwise(&free) => return Ok(()),
        };
        let results = answer.get()?;
        self.enter(results.get_assignment()?, results.get_lease()?)?;
        for offer in limits::structs(results.get_more(), &OFFERS)? {
            self.enter(offer.get_assignment()?, offer.get_lease()?)?;
        }
        Ok(())
    }

    /// Begins an attempt that the master offered.
    fn enter(self: &Rc<Session>, offered: assignment::Reader<'_>, lease: lease::Client) -> Result<(), Untaken> {
        let assignment = wire::read_assignment(offered)?;
        if self.worker.shared.ledger.get(&assignment.token).is_some() {
            return Err(capnp::Error::failed("it offers a lease that this worker already holds".to_owned()).into());
        }
        self.worker.shared.tier_of(&assignment).map_err(Untaken::BelowTier)?;
        tracing::info!(
            project = %assignment.project, build = assignment.build, job = %assignment.job.name,
            attempt = assignment.attempt, "taken"
        );
        fail_point("worker-taken");
        let known = known_plan_version(assignment.plan_version);
        let entry = self.worker.shared.ledger.enter(assignment, self.worker.now()).map_err(Untaken::ByMachine)?;
        if let Err(error) = known {
            entry.set_halt(Halt::Errored(format!("this worker cannot run the job: {error}")));
        }
        fail_point("worker-entered");
        let term_ms = entry.assignment.term_ms;
        self.hold(entry.clone(), lease, term_ms);
        tokio::task::spawn_local(runner::run(self.worker.shared.clone(), entry));
        Ok(())
    }

    /// Waits until the master must be asked anew: there is less room than `told`, or has been more for a while, or the worker
    /// drains.
    async fn otherwise(&self, told: &Resources) {
        let (mut changes, mut draining) = (self.worker.shared.ledger.changes(), self.worker.draining.subscribe());
        let mut more_since = None;
        while !*draining.borrow_and_update() && self.free().holds(told) {
            let more = (self.free() != *told).then(|| *more_since.get_or_insert_with(Instant::now));
            tokio::select! {
                biased;
                _ = changes.changed() => {}
                _ = draining.changed() => {}
                () = sleep_until_some(more.map(|since| since + MORE_ROOM_PAUSE)) => return,
            }
        }
    }

    /// Accepts a lease of this length, and reports under it. No step starts before the answer to `accept`, but the checkout may
    /// start.
    fn hold(self: &Rc<Session>, entry: Rc<Entry>, lease: lease::Client, term_ms: u64) {
        entry.set_lease(lease.clone());
        let term_ms = self.term(term_ms);
        let (worker, window) = (self.worker.clone(), self.window.clone());
        let (version, unanswered) = (self.version, self.unanswered.clone());
        // The request is sent now, and not when the task is polled, because the offer waits for it.
        let sent = worker.now();
        let accepted = lease.accept_request().send().promise;
        let held = async move {
            let Some((refused, sent)) = accept(&worker, &lease, sent, accepted).await else { return };
            if let Some(refusal) = refused {
                tracing::info!(job = %entry.assignment.job.name, %refusal, "the offer no longer exists");
                return worker.shared.ledger.abandon(&entry, "its offer no longer exists");
            }
            fail_point("worker-accepted");
            entry.renewed(sent, term_ms);
            let reporter = AttemptReporter::new(lease, version, unanswered);
            finish(&worker, &entry, report(entry.clone(), reporter, window).await);
        };
        let mut tasks = self.tasks.borrow_mut();
        while tasks.try_join_next().is_some() {}
        tasks.spawn_local(held);
    }
}

/// Waits until a moment, or for ever if there is no moment.
async fn sleep_until_some(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Returns the time between two renewals. `shortest_ms` is the length of the shortest lease, in milliseconds.
fn renew_every(shortest_ms: u64) -> Duration {
    let usual = (shortest_ms / RENEWALS).clamp(RENEW_MIN_MS, RENEW_MAX_MS);
    Duration::from_millis(usual.min(shortest_ms / RENEWALS_MIN))
}

/// Returns the length of a lease as the master told it, in milliseconds. 0 means that an older master did not tell it.
fn term_at(terms: capnp::primitive_list::Reader<'_, u64>, index: u32) -> u64 {
    if index < terms.len() { terms.get(index) } else { 0 }
}

/// Waits for the answer to `accept`, and returns it with the moment of the request. If the master cannot accept the lease yet, asks
/// again. `None` means that the connection is lost; the next `attach` tells how the lease stands.
async fn accept(
    worker: &WorkerShared,
    lease: &lease::Client,
    mut sent: Moment,
    mut accepted: Promise<Response<lease::accept_results::Owned>, capnp::Error>,
) -> Option<(Option<Refusal>, Moment)> {
    loop {
        let answer = accepted.await.and_then(|answer| {
            let results = answer.get()?;
            wire::refusal(results.has_refusal(), results.get_refusal())
        });
        match answer {
            // A full disk at the master is temporary, and the offer waits for it.
            Ok(Some(refusal)) if refusal.code == RefusalCode::Unavailable => {
                tracing::warn!(%refusal, "a lease could not be accepted yet");
            }
            Ok(refused) => return Some((refused, sent)),
            Err(error) if error.kind == capnp::ErrorKind::Disconnected => return None,
            Err(error) => tracing::warn!(%error, "a lease could not be accepted yet"),
        }
        sleep(TAKE_PAUSE).await;
        sent = worker.now();
        accepted = lease.accept_request().send().promise;
    }
}

fn finish(worker: &WorkerShared, entry: &Entry, reported: Reported) {
    let job = &entry.assignment.job.name;
    match reported {
        Reported::Whole => {
            let outcome = entry.result().map(|result| result.outcome.word()).unwrap_or_default();
            tracing::info!(project = %entry.assignment.project, build = entry.assignment.build, %job, outcome, "done");
            worker.shared.ledger.remove(entry);
        }
        Reported::Stale(why) => {
            tracing::info!(%job, %why, "the attempt is no longer wanted");
            worker.shared.ledger.abandon(entry, "its lease is over");
        }
        Reported::Cut => {}
    }
}
