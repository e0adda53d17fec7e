//! The live objects that die with a revocation or a link: gates of grants and leases, sessions of workers, connections. Peers'
//! capabilities are kept here and nowhere else, so that a disconnect frees them.

use super::seat::{ConnectionCounts, Seat};
use crate::decide::coordinator::SessionId;
use crate::decide::coordinator::record::{GrantId, LeaseToken};
use schema::gate::Gate;
use schema::values::Refusal;
use schema::vat::Vat;
use schema::worker_capnp::worker;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// How long peers may take to hear that this master is leaving.
const LEAVE: Duration = Duration::from_millis(500);

#[derive(Default)]
pub struct LiveObjects {
    grants: RefCell<BTreeMap<GrantId, Gate>>,
    leases: RefCell<BTreeMap<LeaseToken, Gate>>,
    sessions: RefCell<BTreeMap<SessionId, LiveSession>>,
    connections: RefCell<Vec<Weak<Connection>>>,
    pub(super) seats: ConnectionCounts,
}

struct LiveSession {
    grant: GrantId,
    /// The worker's own object behind every gate, so that it can hear that its grant is over.
    worker: worker::Client,
    gate: Gate,
    connection: Weak<Connection>,
}

/// A worker whose grant was revoked.
pub(super) struct Revoked {
    pub(super) grant: GrantId,
    pub(super) worker: worker::Client,
    connection: Weak<Connection>,
}

/// One connection, and the grants that were restored on it.
pub(super) struct Connection {
    pub(super) vat: RefCell<Option<Rc<Vat>>>,
    grants: RefCell<BTreeSet<GrantId>>,
    /// The connection's seat for each of its grants, which are few. The policy limits the seats of a grant.
    seats: RefCell<Vec<(GrantId, Seat)>>,
    /// Fires when the first grant was restored.
    known: Notify,
}

impl LiveObjects {
    /// The gate of a grant. Everything that its holder gets goes through it.
    pub(super) fn gate(&self, grant: GrantId, name: &str) -> Gate {
        self.grants.borrow_mut().entry(grant).or_insert_with(|| Gate::new(grant.0, name)).clone()
    }

    /// The gate of a grant, if something of it was given out.
    pub(super) fn open_gate(&self, grant: GrantId) -> Option<Gate> {
        self.grants.borrow().get(&grant).cloned()
    }

    /// The gate of a lease on a session, below that session's. Where the lease was held before, that ends.
    pub(super) fn lease_gate(&self, token: LeaseToken, session: &Gate) -> Gate {
        let gate = session.child(session.grant(), session.holder());
        let older = self.leases.borrow_mut().insert(token, gate.clone());
        if let Some(older) = older {
            older.revoke("the lease is held anew");
        }
        gate
    }

    /// Flips the gate of a lease: what is in flight fails.
    pub(super) fn end_lease(&self, token: LeaseToken, reason: &str) {
        let gate = self.leases.borrow_mut().remove(&token);
        if let Some(gate) = gate {
            gate.revoke(reason);
        }
    }

    /// Forgets the gate of a lease that its worker completed: late calls are answered as stale.
    pub(super) fn forget_lease(&self, token: LeaseToken) {
        let gate = self.leases.borrow_mut().remove(&token);
        drop(gate);
    }

    /// Flips the gates of grants: once this returns, no call of theirs is dispatched.
    pub(super) fn revoke(&self, grants: &[GrantId], reason: &str) {
        let gates: Vec<Gate> = grants.iter().filter_map(|grant| self.grants.borrow_mut().remove(grant)).collect();
        gates.iter().for_each(|gate| gate.revoke(reason));
    }

    pub(super) fn add_session(
        &self,
        id: SessionId,
        grant: GrantId,
        worker: worker::Client,
        gate: Gate,
        connection: &Rc<Connection>,
    ) {
        let connection = Rc::downgrade(connection);
        self.sessions.borrow_mut().insert(id, LiveSession { grant, worker, gate, connection });
    }

    /// The workers' sides of the sessions of these grants.
    pub(super) fn workers_of(&self, grants: &[GrantId]) -> Vec<Revoked> {
        let sessions = self.sessions.borrow();
        let of_grants = sessions.values().filter(|session| grants.contains(&session.grant));
        let revoked = of_grants.map(|session| Revoked {
            grant: session.grant,
            worker: session.worker.clone(),
            connection: session.connection.clone(),
        });
        revoked.collect()
    }

    /// The worker's side of a session.
    pub(super) fn worker(&self, id: SessionId) -> Option<worker::Client> {
        self.sessions.borrow().get(&id).map(|session| session.worker.clone())
    }

    /// Ends a session: its calls fail, its capabilities are freed. Answers the grant and the connection that it was of.
    pub(super) fn end_session(&self, id: SessionId, reason: &str) -> Option<(GrantId, Weak<Connection>)> {
        let session = self.sessions.borrow_mut().remove(&id)?;
        session.gate.revoke(reason);
        Some((session.grant, session.connection))
    }

    /// Closes the connection of a session that was replaced, so that whoever is behind it connects again. Not where another
    /// session or another grant lives on it.
    pub(super) fn part(&self, grant: GrantId, connection: &Weak<Connection>) {
        let is_used = self.sessions.borrow().values().any(|session| session.connection.ptr_eq(connection));
        if let Some(connection) = connection.upgrade().filter(|_| !is_used)
            && connection.strip(&[grant])
        {
            connection.close();
        }
    }

    pub(super) fn add_connection(&self, connection: &Rc<Connection>) {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push(Rc::downgrade(connection));
    }

    /// Tells every peer that this master is leaving and expects to be back, as far as they answer soon.
    pub async fn leave(&self) {
        let connections: Vec<Rc<Connection>> = self.connections.borrow().iter().filter_map(Weak::upgrade).collect();
        let vats = connections.iter().filter_map(|connection| connection.vat.borrow().clone());
        let told = vats.map(|vat| async move { vat.leave().await });
        let _ = tokio::time::timeout(LEAVE, futures::future::join_all(told)).await;
    }

    /// Connections on which one of these grants was restored, and no other is left.
    pub(super) fn left_without(&self, revoked: &[GrantId]) -> Vec<Rc<Connection>> {
        let connections: Vec<Rc<Connection>> = self.connections.borrow().iter().filter_map(Weak::upgrade).collect();
        connections.into_iter().filter(|connection| connection.strip(revoked)).collect()
    }
}

impl Revoked {
    pub(super) fn is_on(&self, connection: &Rc<Connection>) -> bool {
        self.connection.as_ptr() == Rc::as_ptr(connection)
    }
}

impl Connection {
    pub(super) fn new() -> Rc<Connection> {
        Rc::new(Connection {
            vat: RefCell::default(),
            grants: RefCell::default(),
            seats: RefCell::default(),
            known: Notify::new(),
        })
    }

    /// Counts this connection as one of `account`, of which there may be `most`.
    pub(super) fn sit(&self, seats: &ConnectionCounts, account: GrantId, most: usize) -> Result<(), Refusal> {
        if self.seats.borrow().iter().any(|(seated, _)| *seated == account) {
            return Ok(());
        }
        let seat = seats.take(account, most)?;
        if let Some(vat) = self.vat.borrow().as_ref() {
            vat.share(&seat.budget);
        }
        let mut seated = self.seats.borrow_mut();
        seated.reserve_exact(1);
        seated.push((account, seat));
        Ok(())
    }

    pub(super) fn add_grant(&self, grant: GrantId) {
        self.grants.borrow_mut().insert(grant);
        self.known.notify_one();
    }

    /// Resolves when a credential was shown.
    pub(super) async fn shown(&self) {
        while self.grants.borrow().is_empty() {
            self.known.notified().await;
        }
    }

    /// Closes the connection unless a grant was shown on it since its last one was revoked.
    pub(super) fn close_unless_used(&self) {
        if self.grants.borrow().is_empty() {
            self.close();
        }
    }

    /// Closes the connection, from outside a call on it.
    pub(super) fn close(&self) {
        if let Some(vat) = self.vat.borrow().as_ref() {
            vat.close();
        }
    }

    /// Takes grants away. Answers `true` if the connection has none left because of it.
    fn strip(&self, revoked: &[GrantId]) -> bool {
        let mut grants = self.grants.borrow_mut();
        let before = grants.len();
        grants.retain(|grant| !revoked.contains(grant));
        grants.is_empty() && before > 0
    }
}
