//! One wrapped capability, and how calls pass it. The wrapper is an untyped server and not a `ClientHook` of our own. So the library
//! builds requests, queues them and pipelines them.

use std::any::Any;
use std::cell::RefCell;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use capnp::Error;
use capnp::any_pointer;
use capnp::capability::{DispatchCallResult, FromClientHook, FromServer, Params, Promise, Results, Server};
use capnp::private::capability::ClientHook;
use futures::FutureExt as _;

use super::Gate;
use super::carry::{self, Carried, Inner, Wrap};

/// The direction in which a capability passes, or from which a call to it comes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    /// The capability is an object of ours and goes to the holder.
    Outward,
    /// The capability is an object of the holder and comes to us.
    Inward,
}

impl Direction {
    pub(super) fn opposite(self) -> Self {
        match self {
            Self::Outward => Self::Inward,
            Self::Inward => Self::Outward,
        }
    }
}

/// A gate and the direction in which it passes the capabilities of a message.
#[derive(Clone)]
struct Way {
    gate: Gate,
    direction: Direction,
}

impl Wrap for Way {
    fn wrap(&self, hook: Inner) -> Inner {
        wrap(&self.gate, hook, self.direction)
    }
}

/// The key of a wrapped capability: its address, its connection, and the direction for which it is wrapped.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct WrapKey {
    address: usize,
    brand: usize,
    direction: Direction,
}

/// A wrapper around one capability that is behind a gate.
pub(super) struct Wrapper {
    gate: Gate,
    /// The wrapped object. `None` once the gate is closed, so that the object is released even if the holder keeps the wrapper.
    inner: RefCell<Option<Inner>>,
    key: WrapKey,
}

/// Wraps `hook`, or unwraps it if it returns to the side from which it came.
pub(super) fn wrap(gate: &Gate, hook: Inner, direction: Direction) -> Inner {
    let hook = resolved(hook);
    if let Some(error) = gate.refusal() {
        return broken(error);
    }
    if hook.when_more_resolved().is_none() {
        return wrap_settled(gate, hook, direction);
    }
    // A promise may resolve to a capability that returns to its own side. So it is wrapped once it has settled, and calls wait in
    // order until then.
    let gate = gate.clone();
    let settled = async move {
        tokio::select! {
            biased;
            error = gate.closed() => Err(error),
            settled = hook.when_resolved() => {
                settled?;
                Ok(Untyped(wrap_settled(&gate, resolved(hook), direction)))
            }
        }
    };
    capnp_rpc::new_future_client::<Untyped>(settled).0
}

/// Returns the holder's capability inside an inward wrapper of this gate. `None` if `hook` is anything else.
pub(super) fn behind(gate: &Gate, hook: &dyn ClientHook) -> Option<Inner> {
    let wrapper = known(gate, &*resolved(hook.add_ref()))?;
    match wrapper.key.direction {
        Direction::Inward if wrapper.gate.is(gate) => wrapper.inner(),
        Direction::Inward | Direction::Outward => None,
    }
}

fn wrap_settled(gate: &Gate, hook: Inner, direction: Direction) -> Inner {
    if let Some(wrapper) = known(gate, &*hook) {
        let is_own = wrapper.gate.is(gate);
        if is_own && wrapper.key.direction != direction {
            return wrapper.inner().unwrap_or_else(|| broken(lost(gate)));
        }
        let is_guarded = wrapper.key.direction == Direction::Outward && wrapper.gate.is_or_is_below(gate);
        if is_own || is_guarded {
            return hook;
        }
    }
    let key = WrapKey { address: hook.get_ptr(), brand: hook.get_brand(), direction };
    let same = gate.0.by_inner.borrow().get(&key).and_then(|w| w.upgrade());
    let wrapper = same.unwrap_or_else(|| Wrapper::new(gate, hook, key));
    capnp_rpc::new_client_from_rc::<Untyped, Wrapper>(wrapper).0
}

/// Returns the wrapper whose client `hook` is, if a gate of the same tree of gates made it.
fn known(gate: &Gate, hook: &dyn ClientHook) -> Option<Rc<Wrapper>> {
    // A brand belongs to a connection, so a capability with a brand is not in this process.
    if hook.get_brand() != 0 {
        return None;
    }
    let wrappers = gate.0.by_outer.borrow();
    wrappers.get(&hook.get_ptr()).and_then(|w| w.upgrade())
}

fn resolved(mut hook: Inner) -> Inner {
    while let Some(next) = hook.get_resolved() {
        hook = next;
    }
    hook
}

fn broken(error: Error) -> Inner {
    capnp_rpc::new_broken_cap(error).hook
}

fn lost(gate: &Gate) -> Error {
    let none = || Error::failed("the object behind this capability is gone".into());
    gate.refusal().unwrap_or_else(none)
}

impl Wrapper {
    fn new(gate: &Gate, hook: Inner, key: WrapKey) -> Rc<Self> {
        let wrapper = Rc::new(Self { gate: gate.clone(), inner: RefCell::new(Some(hook)), key });
        let weak = Rc::downgrade(&wrapper);
        let address = Rc::as_ptr(&wrapper) as usize;
        gate.0.by_outer.borrow_mut().insert(address, weak.clone());
        gate.0.by_inner.borrow_mut().insert(key, weak);
        wrapper
    }

    pub(super) fn release(&self) -> Option<Inner> {
        self.inner.borrow_mut().take()
    }

    fn inner(&self) -> Option<Inner> {
        self.inner.borrow().as_ref().map(|hook| hook.add_ref())
    }

    fn call(
        &self,
        interface: u64,
        method: u16,
        params: Params<any_pointer::Owned>,
        results: Results<any_pointer::Owned>,
    ) -> Result<Promise<(), Error>, Error> {
        let gate = self.gate.clone();
        if let Some(error) = gate.refusal() {
            return Err(error);
        }
        let direction = self.key.direction;
        if direction == Direction::Outward {
            gate.allows(interface, method)?;
        }
        let inner = self.inner().ok_or_else(|| lost(&gate))?;
        let of_params = Way { gate: gate.clone(), direction: direction.opposite() };
        let params = carry::params(params.hook, &of_params)?;
        let (carried, answer) = Carried::new(results.hook, Way { gate: gate.clone(), direction });
        // The call is made now and not at the first poll, because calls must leave in the order in which they came.
        let called = inner.call(interface, method, params, Box::new(carried));
        let flight = Flight::start(&gate);
        let outer = answer.outer();
        let work = async move {
            called.await?;
            answer.deliver().await
        };
        Ok(Promise::from_future(async move {
            let gate = &flight.0;
            tokio::select! {
                biased;
                error = gate.closed() => {
                    // The caller is answered even if the object keeps its results.
                    outer.borrow_mut().take();
                    Err(error)
                }
                done = AssertUnwindSafe(work).catch_unwind() => {
                    done.unwrap_or_else(|panic| Err(panicked(gate, interface, method, &*panic)))
                }
            }
        }))
    }
}

impl Drop for Wrapper {
    fn drop(&mut self) {
        let me = std::ptr::from_ref(self);
        let state = &self.gate.0;
        state.by_outer.borrow_mut().remove(&(me as usize));
        let mut by_inner = state.by_inner.borrow_mut();
        if by_inner.get(&self.key).is_some_and(|weak| weak.as_ptr() == me) {
            by_inner.remove(&self.key);
        }
    }
}

/// A call that a gate counts, from its dispatch until it is answered or given up.
struct Flight(Gate);

impl Flight {
    fn start(gate: &Gate) -> Self {
        let calls = &gate.0.calls_in_flight;
        calls.set(calls.get() + 1);
        Self(gate.clone())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let calls = &self.0.0.calls_in_flight;
        calls.set(calls.get() - 1);
    }
}

fn panicked(gate: &Gate, interface: u64, method: u16, panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    tracing::error!(
        grant = gate.grant(),
        holder = gate.holder(),
        interface = format_args!("{interface:#x}"),
        method,
        "a panic in a call: {text}"
    );
    Error::failed("internal error: a bug on this side; its log has the details".into())
}

/// The client type of a [`Wrapper`], which can have any interface.
struct Untyped(Inner);

impl FromClientHook for Untyped {
    fn new(hook: Inner) -> Self {
        Self(hook)
    }

    fn into_client_hook(self) -> Inner {
        self.0
    }

    fn as_client_hook(&self) -> &dyn ClientHook {
        &*self.0
    }
}

impl FromServer<Wrapper> for Untyped {
    type Dispatch = Dispatch;

    fn from_server(wrapper: Rc<Wrapper>) -> Dispatch {
        Dispatch(wrapper)
    }
}

#[derive(Clone)]
struct Dispatch(Rc<Wrapper>);

impl Deref for Dispatch {
    type Target = Wrapper;

    fn deref(&self) -> &Wrapper {
        &self.0
    }
}

impl Server for Dispatch {
    fn dispatch_call(
        self,
        interface: u64,
        method: u16,
        params: Params<any_pointer::Owned>,
        results: Results<any_pointer::Owned>,
    ) -> DispatchCallResult {
        let promise = self.0.call(interface, method, params, results);
        DispatchCallResult::new(promise.unwrap_or_else(Promise::err), false)
    }

    fn as_ptr(&self) -> usize {
        Rc::as_ptr(&self.0) as usize
    }
}
