//! The revocable membrane through which every object leaves. A gate is between the holder of one grant and the objects, and it can
//! take all of them back at once. It knows nothing of stores and tokens: the code that reads those makes the gate.
//!
//! Every capability that passes, in parameters and in answers, is wrapped for the direction in which it goes. A capability that
//! returns through the same gate is unwrapped, so its maker recognises it. A capability of another gate is wrapped once more, and
//! calls pass only if both gates are open. A capability of a child gate stays as it is, because the child closes with this gate and
//! allows no more.
//!
//! Objects need not ask who calls, because each is made for one grant.

mod carry;
mod membrane;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::{Rc, Weak};

use capnp::Error;
use capnp::capability::FromClientHook;
use tokio::sync::Notify;
use tokio::time::Instant;

use membrane::{Direction, Wrapper};

const REVOKED: &str = "revoked: ";
const EXPIRED: &str = "expired: ";

/// Decides whether the holder may call a method. The arguments are the id of the interface and the number of the method.
pub type Policy = dyn Fn(u64, u16) -> Result<(), Error>;

/// The gate through which one grant's holder reaches all its objects. Clones are the same gate.
#[derive(Clone)]
pub struct Gate(Rc<GateState>);

struct GateState {
    grant: u64,
    holder: String,
    parent: Option<Gate>,
    children: RefCell<BTreeMap<u64, Weak<GateState>>>,
    children_made: Cell<u64>,
    number: u64,
    expires: Cell<Option<Instant>>,
    policy: RefCell<Option<Rc<Policy>>>,
    closed: RefCell<Option<Error>>,
    closing: Notify,
    calls_in_flight: Cell<usize>,
    /// The wrappers of all gates of the tree to which this gate belongs, by their own address. Their clients report that address.
    by_outer: Rc<RefCell<HashMap<usize, Weak<Wrapper>>>>,
    /// The wrappers of this gate by the object that they wrap, so that an object has only one.
    by_inner: RefCell<HashMap<membrane::WrapKey, Weak<Wrapper>>>,
}

impl Gate {
    /// Makes an open gate for the holder of a grant. Both `grant` and `holder` are only used in messages.
    pub fn new(grant: u64, holder: impl Into<String>) -> Self {
        Self(Rc::new(GateState::new(grant, holder.into(), None, 0)))
    }

    /// Makes a child gate, which closes with this gate and allows no more than it.
    pub fn child(&self, grant: u64, holder: impl Into<String>) -> Self {
        let number = self.0.children_made.get();
        self.0.children_made.set(number + 1);
        let state = GateState::new(grant, holder.into(), Some(self.clone()), number);
        *state.closed.borrow_mut() = self.refusal();
        let child = Self(Rc::new(state));
        let mut children = self.0.children.borrow_mut();
        children.insert(number, Rc::downgrade(&child.0));
        child
    }

    /// Lets the gate expire at `moment`: later calls are refused, and calls in flight fail.
    pub fn expires_at(self, moment: Instant) -> Self {
        self.0.expires.set(Some(moment));
        self
    }

    /// Lets the holder's calls pass only if `policy` allows them. Our calls to the holder's objects always pass.
    pub fn with_policy(self, policy: impl Fn(u64, u16) -> Result<(), Error> + 'static) -> Self {
        *self.0.policy.borrow_mut() = Some(Rc::new(policy));
        self
    }

    /// Returns the capability in the wrapped form that the holder gets.
    pub fn wrap<C: FromClientHook>(&self, capability: C) -> C {
        C::new(membrane::wrap(self, capability.into_client_hook(), Direction::Outward))
    }

    /// Returns the holder's own capability behind one that came in through this gate. Take it before
    /// [`Gate::revoke`]. Calls on it still work afterwards, while the wrapped one refuses them.
    pub fn behind<C: FromClientHook>(&self, capability: &C) -> Option<C> {
        membrane::behind(self, capability.as_client_hook()).map(C::new)
    }

    /// Closes the gate and the gates of its children: later calls are refused, calls in flight fail, and every object is
    /// released.
    pub fn revoke(&self, reason: &str) {
        self.close(&format!("{REVOKED}{reason}"));
    }

    /// Whether this gate or an ancestor is revoked or has expired, so that nothing passes any more.
    pub fn is_revoked(&self) -> bool {
        self.refusal().is_some()
    }

    /// Waits until the gate closes, and returns the error with which it refuses calls.
    pub async fn closed(&self) -> Error {
        loop {
            let mut closing = std::pin::pin!(self.0.closing.notified());
            closing.as_mut().enable();
            if let Some(error) = self.refusal() {
                return error;
            }
            match self.deadline() {
                Some(moment) => {
                    let _ = tokio::time::timeout_at(moment, closing).await;
                }
                None => closing.await,
            }
        }
    }

    /// Returns the number of unfinished calls through this gate, in both directions. Calls through its children do not count.
    pub fn calls_in_flight(&self) -> usize {
        self.0.calls_in_flight.get()
    }

    /// Returns the number of capabilities that this gate has wrapped and that somebody holds.
    pub fn capabilities(&self) -> usize {
        self.0.by_inner.borrow().len()
    }

    /// Returns the number of the grant to which this gate belongs.
    pub fn grant(&self) -> u64 {
        self.0.grant
    }

    /// Returns the name of the grant's holder.
    pub fn holder(&self) -> &str {
        &self.0.holder
    }

    /// Returns the error with which the gate refuses calls, or `None` while it is open.
    fn refusal(&self) -> Option<Error> {
        if let Some(error) = self.0.closed.borrow().clone() {
            return Some(error);
        }
        if let Some(error) = self.0.parent.as_ref().and_then(Gate::refusal) {
            return Some(error);
        }
        let expires = self.0.expires.get()?;
        if Instant::now() < expires {
            return None;
        }
        self.close(&format!("{EXPIRED}the grant's time is over"));
        self.0.closed.borrow().clone()
    }

    fn is(&self, other: &Gate) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    fn is_or_is_below(&self, other: &Gate) -> bool {
        self.is(other) || self.0.parent.as_ref().is_some_and(|parent| parent.is_or_is_below(other))
    }

    fn allows(&self, interface: u64, method: u16) -> Result<(), Error> {
        if let Some(parent) = &self.0.parent {
            parent.allows(interface, method)?;
        }
        let policy = self.0.policy.borrow().clone();
        policy.map_or(Ok(()), |policy| policy(interface, method))
    }

    /// Returns the earliest expiry of this gate and its ancestors.
    fn deadline(&self) -> Option<Instant> {
        let above = self.0.parent.as_ref().and_then(Gate::deadline);
        [self.0.expires.get(), above].into_iter().flatten().min()
    }

    fn close(&self, text: &str) {
        if self.0.closed.borrow().is_some() {
            return;
        }
        let error = Error::failed(format!("{text} (grant {}, {})", self.0.grant, self.0.holder));
        *self.0.closed.borrow_mut() = Some(error);
        let released = self.release();
        self.0.closing.notify_waiters();
        let children: Vec<_> = self.0.children.borrow().values().cloned().collect();
        for child in children.iter().filter_map(Weak::upgrade) {
            Gate(child).close(text);
        }
        // This is dropped last and outside any borrow, because an object's destructor may do anything.
        drop(released);
    }

    fn release(&self) -> Vec<carry::Inner> {
        let wrappers: Vec<_> = self.0.by_inner.borrow().values().cloned().collect();
        let live = wrappers.iter().filter_map(Weak::upgrade);
        live.filter_map(|wrapper| wrapper.release()).collect()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({}, {})", self.0.grant, self.0.holder)
    }
}

impl GateState {
    fn new(grant: u64, holder: String, parent: Option<Gate>, number: u64) -> Self {
        let by_outer = parent.as_ref().map_or_else(Rc::default, |parent| parent.0.by_outer.clone());
        Self {
            grant,
            holder,
            parent,
            children: RefCell::default(),
            children_made: Cell::new(0),
            number,
            expires: Cell::new(None),
            policy: RefCell::default(),
            closed: RefCell::default(),
            closing: Notify::new(),
            calls_in_flight: Cell::new(0),
            by_outer,
            by_inner: RefCell::default(),
        }
    }
}

impl Drop for GateState {
    fn drop(&mut self) {
        if let Some(parent) = &self.parent {
            parent.0.children.borrow_mut().remove(&self.number);
        }
    }
}

/// The refusal of a credential, read from the text of an exception. The exception may have come through several vats, and each of
/// them puts "remote exception: " before the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The credential was taken back.
    Revoked,
    /// The credential's time is over.
    Expired,
}

impl Refused {
    /// Reads the refusal of the credential from an exception. `None` means that the exception is about something else.
    pub fn of(error: &Error) -> Option<Self> {
        let mut text = error.extra.as_str();
        while let Some(rest) = text.strip_prefix("remote exception: ") {
            text = rest;
        }
        match text {
            text if text.starts_with(REVOKED) => Some(Self::Revoked),
            text if text.starts_with(EXPIRED) => Some(Self::Expired),
            _ => None,
        }
    }
}
