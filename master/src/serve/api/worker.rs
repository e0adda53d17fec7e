//! The capabilities of a worker: the one of its grant, with which it attaches, and its session.

use super::lease::LeaseCapability;
use super::live::Connection;
use super::worker_access::WorkerAccess;
use super::{Holder, accept, refuse};
use crate::decide::coordinator::record::LeaseToken;
use crate::decide::coordinator::{Arrival, Attached, Resumption, SessionId};
use schema::gate::Gate;
use schema::limits::{self, INSTANCE, LACK, LEASE, LEASES, OFFERS, TROUBLES};
use schema::values::{Assignment, JobPlan, Refusal, RefusalCode, Resources};
use schema::wire;
use schema::worker_capnp::{lease, session, worker_desk};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The time in which an earlier process with the same key must answer that it is still there.
const CLONE_PING: Duration = Duration::from_secs(3);
/// The limits of further offers in an answer to `take`: their number, and the bytes of plans after which the answer ends. The worker must
/// accept all of them in time, also over a slow link.
const FURTHER_MAX: usize = OFFERS.most;
const FURTHER_BYTES: usize = 64 << 10;

/// The capability of a worker's grant, with which the worker attaches.
pub(super) struct WorkerCapability {
    pub(super) access: Rc<WorkerAccess>,
    pub(super) holder: Holder,
    pub(super) gate: Gate,
    pub(super) connection: Rc<Connection>,
}

impl worker_desk::Server for WorkerCapability {
    async fn attach(
        self: Rc<Self>,
        params: worker_desk::AttachParams,
        mut results: worker_desk::AttachResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let peer = params.get_worker()?;
        let peer = self.gate.behind(&peer).unwrap_or(peer);
        let arrival = read_arrival(params)?;
        if let Some(refusal) = self.clone_of(&arrival).await {
            refuse!(results, refusal);
        }
        let (grant, running) = (self.holder.grant, arrival.running.clone());
        let attached = self.access.driver().call(|it, now| it.attach(now, grant, arrival)).await;
        let Attached { session: id, standing, terms, term } = accept!(results, attached);
        // If two sessions of a worker were committed together, the later one stays.
        if self.access.driver().peek(|it, _| it.session_of(&self.holder.name)).is_none_or(|(latest, _)| latest != id) {
            refuse!(results, Refusal::new(RefusalCode::Conflict, "a newer connection of this worker has taken over"));
        }
        let gate = self.gate.child(grant.0, &self.holder.name);
        self.access.live().add_session(id, grant, peer, gate.clone(), &self.connection);
        let session = SessionCapability {
            access: self.access.clone(),
            worker: self.holder.name.clone(),
            id,
            gate: gate.clone(),
            taking: Cell::new(false),
        };
        let mut results = results.get();
        results.set_session(gate.wrap(capnp_rpc::new_client(session)));
        results.set_term(milliseconds(term));
        write_terms(results.reborrow().init_terms(wire::length(terms.len())), terms);
        let count = wire::length(standing.len());
        let mut standings = results.reborrow().init_standing(count);
        for (index, standing) in (0..).zip(&standing) {
            standings.set(index, standing_to_wire(*standing));
        }
        let mut leases = results.init_leases(count);
        for (index, (standing, token)) in (0..).zip(standing.iter().zip(&running)) {
            if *standing == Resumption::Resumed {
                let lease = LeaseCapability::resumed(&self.access, &gate, *token);
                leases.set(index, lease.client.hook);
            }
        }
        Ok(())
    }
}

impl WorkerCapability {
    /// Refuses a second process with the same key while the first one still answers.
    async fn clone_of(&self, arrival: &Arrival) -> Option<Refusal> {
        let (name, instance) = (&self.holder.name, arrival.instance);
        let (id, older) = self.access.driver().peek(|it, _| it.session_of(name))?;
        if older == instance {
            return None;
        }
        if self.access.driver().peek(|it, _| it.is_the_original(name, arrival)) {
            let text =
                format!("a copy of worker {name} had the session of the worker, and lost it to the worker itself");
            let grant = self.holder.grant;
            self.access.driver().note(|it, now| it.alarm(now, grant, &text));
            return None;
        }
        let worker = self.access.live().worker(id)?;
        let ping = tokio::time::timeout(CLONE_PING, worker.ping_request().send().promise).await;
        let answer = ping.ok()?.ok()?;
        let says = limits::key(answer.get().ok()?.get_instance(), &INSTANCE).ok()?;
        if says == instance {
            return None;
        }
        let text = format!("a second process showed the key of worker {name} while the first was alive");
        let grant = self.holder.grant;
        self.access.driver().note(|it, now| it.alarm(now, grant, &text));
        Some(
            Refusal::new(RefusalCode::Conflict, text)
                .help("a worker's state directory must not be copied: join a second worker under its own name"),
        )
    }
}

struct SessionCapability {
    access: Rc<WorkerAccess>,
    worker: String,
    id: SessionId,
    /// The gate of the session, above the gates of its leases. The next session has another gate, with new gates for the leases.
    gate: Gate,
    taking: Cell<bool>,
}

impl session::Server for SessionCapability {
    async fn take(self: Rc<Self>, params: session::TakeParams, mut results: session::TakeResults) -> capnp::Result<()> {
        let params = params.get()?;
        let (free, most) = (wire::read_resources(params.get_free()?), params.get_most());
        let Some(waiting) = Waiting::begin(&self, free) else {
            return Err(capnp::Error::failed(
                "only one `take` may wait at a time, and an earlier one still waits".to_owned(),
            ));
        };
        let first = waiting.offer().await?;
        let more = self.further(free, &first.job, usize::from(most));
        let mut results = results.get();
        results.set_lease(self.lease(&first));
        wire::write_assignment(results.reborrow().init_assignment(), &first);
        let mut offers = results.init_more(wire::length(more.len()));
        for (index, assignment) in (0..).zip(&more) {
            let mut offer = offers.reborrow().get(index);
            offer.set_lease(self.lease(assignment));
            wire::write_assignment(offer.init_assignment(), assignment);
        }
        Ok(())
    }

    async fn renew(
        self: Rc<Self>,
        params: session::RenewParams,
        mut results: session::RenewResults,
    ) -> capnp::Result<()> {
        let tokens = read_tokens(params.get()?.get_tokens())?;
        let worker = &self.worker;
        let renewed = self.access.driver().apply(|it, now| it.renew(now, worker, &tokens)).await;
        let renewed = renewed.map_err(|refusal| capnp::Error::overloaded(refusal.text))?;
        let mut results = results.get();
        let over: Vec<&LeaseToken> =
            tokens.iter().zip(&renewed).filter(|(_, term)| term.is_none()).map(|(token, _)| token).collect();
        let mut stale = results.reborrow().init_stale(wire::length(over.len()));
        for (index, token) in (0..).zip(over) {
            stale.set(index, &token.0);
        }
        let terms = renewed.into_iter().map(Option::unwrap_or_default);
        write_terms(results.init_terms(wire::length(tokens.len())), terms);
        Ok(())
    }

    async fn drain(self: Rc<Self>, _: session::DrainParams, _: session::DrainResults) -> capnp::Result<()> {
        let id = self.id;
        self.access.driver().note(|it, _| it.drain_session(id));
        Ok(())
    }

    async fn lacks(self: Rc<Self>, params: session::LacksParams, _: session::LacksResults) -> capnp::Result<()> {
        let (id, what) = (self.id, limits::text(params.get()?.get_what(), &LACK)?);
        self.access.driver().note(|it, _| it.note_lack(id, &what));
        Ok(())
    }

    async fn troubles(
        self: Rc<Self>,
        params: session::TroublesParams,
        _: session::TroublesResults,
    ) -> capnp::Result<()> {
        let (id, what) = (self.id, limits::texts(params.get()?.get_what(), &TROUBLES, &LACK)?);
        self.access.driver().note(|it, _| it.note_troubles(id, what));
        Ok(())
    }
}

impl SessionCapability {
    /// Returns more offers for the room that the first job leaves, as if the worker asked for one after another.
    fn further(self: &Rc<Self>, mut free: Resources, first: &JobPlan, most: usize) -> Vec<Assignment> {
        let driver = self.access.driver();
        if driver.is_full() {
            // Offers wait for a commit, and a full disk takes none.
            return Vec::new();
        }
        let most = most.saturating_sub(1).min(driver.peek(|it, _| it.share())).min(FURTHER_MAX);
        let (mut more, mut bytes) = (Vec::new(), first.size());
        free = free.minus(&first.room());
        while more.len() < most && bytes < FURTHER_BYTES {
            let Some(next) = Waiting::begin(self, free).and_then(Waiting::at_once) else { break };
            free = free.minus(&next.job.room());
            bytes += next.job.size();
            more.push(*next);
        }
        more
    }

    fn lease(&self, offered: &Assignment) -> lease::Client {
        LeaseCapability::offered(&self.access, &self.gate, LeaseToken(offered.token))
    }
}

impl Drop for SessionCapability {
    fn drop(&mut self) {
        let (id, access) = (self.id, self.access.clone());
        access.driver().note(|it, now| it.session_lost(now, id, "its connection was lost"));
        // Ending the session drops capabilities of the peer, which must not happen inside this drop.
        tokio::task::spawn_local(async move { access.live().end_session(id, "the session ended").is_some() });
    }
}

/// A `take` that waits. However it ends, an offer that was made to it is answered or given back.
struct Waiting {
    session: Rc<SessionCapability>,
    offer: oneshot::Receiver<Box<Assignment>>,
    answered: bool,
}

impl Waiting {
    /// Begins to wait for an offer. `None` means that an earlier `take` still waits.
    fn begin(session: &Rc<SessionCapability>, free: Resources) -> Option<Waiting> {
        if session.taking.replace(true) {
            return None;
        }
        let (driver, id) = (session.access.driver(), session.id);
        let offer = driver.expect_offer(id);
        driver.note(|it, now| it.worker_ready(now, id, free));
        Some(Waiting { session: session.clone(), offer, answered: false })
    }

    async fn offer(mut self) -> capnp::Result<Box<Assignment>> {
        let offer = (&mut self.offer).await;
        self.answered = true;
        offer.map_err(|_| capnp::Error::disconnected("the session ended".to_owned()))
    }

    fn at_once(mut self) -> Option<Box<Assignment>> {
        let offer = self.offer.try_recv().ok();
        self.answered = offer.is_some();
        offer
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.session.taking.set(false);
        if self.answered {
            return;
        }
        let (driver, id) = (self.session.access.driver(), self.session.id);
        let offered = self.offer.try_recv().ok().map(|assignment| LeaseToken(assignment.token));
        driver.expect_nothing(id);
        driver.note(|it, now| {
            it.worker_unready(id);
            if let Some(token) = offered {
                it.give_back(now, token);
            }
        });
    }
}

fn standing_to_wire(standing: Resumption) -> worker_desk::Standing {
    match standing {
        Resumption::Resumed => worker_desk::Standing::Resumed,
        Resumption::Stale => worker_desk::Standing::Stale,
    }
}

fn read_arrival(params: worker_desk::attach_params::Reader<'_>) -> capnp::Result<Arrival> {
    Ok(Arrival {
        instance: limits::key(params.get_instance(), &INSTANCE)?,
        running: read_tokens(params.get_running())?,
        description: wire::read_description(params.get_description()?)?,
        keeps_terms: params.get_keeps_terms(),
        home: params.has_home().then(|| wire::read_home(params.get_home()?)).transpose()?,
        alive: read_tokens(params.get_alive())?,
        clock: wire::read_time(params.get_clock()),
    })
}

fn write_terms(mut to: capnp::primitive_list::Builder<'_, u64>, terms: impl IntoIterator<Item = Duration>) {
    for (index, term) in (0..).zip(terms) {
        to.set(index, milliseconds(term));
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn read_tokens(list: capnp::Result<capnp::data_list::Reader<'_>>) -> capnp::Result<Vec<LeaseToken>> {
    Ok(limits::keys(list, &LEASES, &LEASE)?.into_iter().map(LeaseToken).collect())
}
