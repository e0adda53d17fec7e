//! The live objects that end with a revocation or with a link: gates of grants and leases, sessions of workers, connections. Peers'
//! capabilities are kept only here, so that a disconnect frees them.

use super::seat::{ConnectionCounts, Seat};
use crate::decide::coordinator::SessionId;
use crate::decide::coordinator::record::{GrantId, LeaseToken};
use schema::gate::Gate;
use schema::values::Refusal;
use schema::vat::Vat;
use schema::worker_capnp::worker;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// The time that peers get to hear that this master is leaving. It delays the stop, so it is short.
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
    /// The worker's own object, not behind a gate, so that the worker can be told that its grant was revoked.
    worker: worker::Client,
    gate: Gate,
    connection: Weak<Connection>,
}

/// A `Revoked` is a worker whose grant was revoked.
pub(super) struct Revoked {
    pub(super) grant: GrantId,
    pub(super) worker: worker::Client,
    connection: Weak<Connection>,
}

/// A `Connection` is one connection, with the grants that were restored on it.
pub(super) struct Connection {
    pub(super) vat: RefCell<Option<Rc<Vat>>>,
    /// The grants that were restored on the connection, each once. They are few, so a list takes the least memory.
    grants: RefCell<Vec<GrantId>>,
    /// The seats of the connection, by account. A seat counts it as one of the account's limited number. A connection has few
    /// seats, so a list takes the least memory.
    seats: RefCell<Vec<(GrantId, Seat)>>,
    /// The signal that a first grant was restored.
    known: Notify,
}

impl LiveObjects {
    /// Returns the gate of a grant, and makes it if necessary. Everything passes through it that the holder gets.
    pub(super) fn gate(&self, grant: GrantId, name: &str) -> Gate {
        self.grants.borrow_mut().entry(grant).or_insert_with(|| Gate::new(grant.0, name)).clone()
    }

    /// Returns the gate of a grant, if it was made before.
    pub(super) fn open_gate(&self, grant: GrantId) -> Option<Gate> {
        self.grants.borrow().get(&grant).cloned()
    }

    /// Makes the gate of a lease, below the gate of its session. A gate that the lease had before is revoked.
    pub(super) fn lease_gate(&self, token: LeaseToken, session: &Gate) -> Gate {
        let gate = session.child(session.grant(), session.holder());
        let older = self.leases.borrow_mut().insert(token, gate.clone());
        if let Some(older) = older {
            older.revoke("the worker resumed the lease on another session");
        }
        gate
    }

    /// Revokes the gate of a lease, so that calls in flight fail.
    pub(super) fn end_lease(&self, token: LeaseToken, reason: &str) {
        let gate = self.leases.borrow_mut().remove(&token);
        if let Some(gate) = gate {
            gate.revoke(reason);
        }
    }

    /// Forgets the gate of a lease that its worker completed. Later calls still pass, and get the answer that the lease is stale.
    pub(super) fn forget_lease(&self, token: LeaseToken) {
        let gate = self.leases.borrow_mut().remove(&token);
        drop(gate);
    }

    /// Revokes the gates of grants. After it returns, no call of these grants is dispatched.
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

    /// Returns the workers of the sessions of these grants.
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

    /// Returns the worker's own object of a session.
    pub(super) fn worker(&self, id: SessionId) -> Option<worker::Client> {
        self.sessions.borrow().get(&id).map(|session| session.worker.clone())
    }

    /// Ends a session: its calls fail, and its capabilities are freed. Returns its grant and its connection.
    pub(super) fn end_session(&self, id: SessionId, reason: &str) -> Option<(GrantId, Weak<Connection>)> {
        let session = self.sessions.borrow_mut().remove(&id)?;
        session.gate.revoke(reason);
        Some((session.grant, session.connection))
    }

    /// Closes the connection of a replaced session, so that the process behind it connects again. Does nothing if another session or
    /// another grant uses the connection.
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

    /// Tells every peer that this master is leaving and expects to return. It does not wait long for answers.
    pub async fn leave(&self) {
        let connections: Vec<Rc<Connection>> = self.connections.borrow().iter().filter_map(Weak::upgrade).collect();
        let vats = connections.iter().filter_map(|connection| connection.vat.borrow().clone());
        let told = vats.map(|vat| async move { vat.leave().await });
        let _ = tokio::time::timeout(LEAVE, futures::future::join_all(told)).await;
    }

    /// Takes these grants from all connections, and returns the connections that have no grant left because of it.
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

    /// Counts this connection as one of `account`, which may have at most `most`.
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
        add_once(&mut self.grants.borrow_mut(), grant);
        self.known.notify_one();
    }

    /// Resolves when a credential was shown on this connection.
    pub(super) async fn shown(&self) {
        while self.grants.borrow().is_empty() {
            self.known.notified().await;
        }
    }

    /// Closes the connection, unless a grant was restored on it since its last one was revoked.
    pub(super) fn close_unless_used(&self) {
        if self.grants.borrow().is_empty() {
            self.close();
        }
    }

    /// Closes the connection. A call on the connection itself must not do this.
    pub(super) fn close(&self) {
        if let Some(vat) = self.vat.borrow().as_ref() {
            vat.close();
        }
    }

    /// Takes grants from the connection. Returns whether it has none left because of it.
    fn strip(&self, revoked: &[GrantId]) -> bool {
        let mut grants = self.grants.borrow_mut();
        let before = grants.len();
        grants.retain(|grant| !revoked.contains(grant));
        grants.is_empty() && before > 0
    }
}

/// Adds a grant to a list that has few, if it is not there yet.
fn add_once(grants: &mut Vec<GrantId>, grant: GrantId) {
    if !grants.contains(&grant) {
        grants.reserve_exact(1);
        grants.push(grant);
    }
}
