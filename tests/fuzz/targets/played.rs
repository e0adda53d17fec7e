//! A connection whose bytes are all there from the beginning, and the objects of a small master behind a gate. Nothing waits for a
//! clock.

use capnp::Error;
use capnp::capability::Client;
use schema::common_capnp::pulse;
use schema::event_capnp::observer;
use schema::gate::Gate;
use schema::gateway_capnp::gateway;
use schema::log_capnp::log_reader;
use schema::perspective_capnp::{build, perspective, viewer};
use schema::vat::{Budget, CloseReason, Vat};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::{LocalSet, yield_now};

/// The number of times that all ready tasks run before the connection is closed.
const TURNS: usize = 24;
/// The limit for the bytes that one read of the played log returns.
const READ_MAX: u32 = 4_096;

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
}

/// Runs a future on this thread until it ends.
pub fn run<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|runtime| LocalSet::new().block_on(runtime, future))
}

/// Lets all tasks that are ready run.
pub async fn settle() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

/// Closes the connection, waits until its task has ended, and checks that it did not panic.
pub async fn end(vat: Vat) {
    let ended = vat.closed();
    drop(vat);
    assert_ne!(ended.await, CloseReason::Panicked);
    settle().await;
}

/// `Said` is the stream of the played peer. Reads return its bytes in chunks of this size, and then the end. Writes are dropped.
pub struct Said {
    pub bytes: Vec<u8>,
    pub at: usize,
    pub chunk: usize,
}

impl AsyncRead for Said {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = (self.bytes.len() - self.at).min(to.remaining()).min(self.chunk);
        to.put_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Said {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// `Traces` checks that a connection leaves nothing behind.
pub struct Traces {
    alive: Rc<()>,
    pub budget: Budget,
    pub gate: Gate,
}

impl Traces {
    pub fn new(budget: usize) -> Traces {
        Traces { alive: Rc::new(()), budget: Budget::new(budget), gate: Gate::new(1, "played") }
    }

    /// Returns the first object, which a peer gets by bootstrap.
    pub fn gateway(&self) -> Client {
        let served = Played { _alive: self.alive.clone(), gate: self.gate.clone() };
        capnp_rpc::new_client::<gateway::Client, _>(served).client
    }

    /// Checks that no object is held, no call is in flight, and no byte is counted.
    pub fn check(self) {
        assert_eq!(Rc::strong_count(&self.alive), 1, "objects are left behind");
        assert_eq!(self.gate.calls_in_flight(), 0, "calls are left behind");
        assert_eq!(self.budget.used(), 0, "bytes are still counted");
    }
}

/// `Played` is every object of the small master.
#[derive(Clone)]
struct Played {
    _alive: Rc<()>,
    gate: Gate,
}

impl Played {
    fn to<C: capnp::capability::FromServer<Played>>(&self) -> C {
        capnp_rpc::new_client(self.clone())
    }
}

impl pulse::Server for Played {
    async fn ping(self: Rc<Self>, _: pulse::PingParams, _: pulse::PingResults) -> Result<(), Error> {
        Ok(())
    }
}

impl gateway::Server for Played {
    async fn restore(
        self: Rc<Self>,
        params: gateway::RestoreParams,
        mut results: gateway::RestoreResults,
    ) -> Result<(), Error> {
        params.get()?.get_token()?;
        let perspective: perspective::Client = self.gate.wrap(self.to());
        results.get().init_capability().set_as_capability(perspective.client.hook);
        Ok(())
    }
}

impl perspective::Server for Played {
    async fn viewer(
        self: Rc<Self>,
        _: perspective::ViewerParams,
        mut results: perspective::ViewerResults,
    ) -> Result<(), Error> {
        results.get().set_viewer(self.to());
        Ok(())
    }
}

impl viewer::Server for Played {
    async fn build(
        self: Rc<Self>,
        params: viewer::BuildParams,
        mut results: viewer::BuildResults,
    ) -> Result<(), Error> {
        params.get()?.get_project()?.to_str()?;
        results.get().set_build(self.to());
        Ok(())
    }

    /// Reports a gap to the peer's observer, again each time that the observer has answered.
    async fn watch(self: Rc<Self>, params: viewer::WatchParams, _: viewer::WatchResults) -> Result<(), Error> {
        let observer: observer::Client = params.get()?.get_observer()?;
        loop {
            observer.gap_request().send().promise.await?;
            yield_now().await;
        }
    }
}

impl build::Server for Played {
    async fn outcome(self: Rc<Self>, _: build::OutcomeParams, _results: build::OutcomeResults) -> Result<(), Error> {
        std::future::pending().await
    }

    async fn log(self: Rc<Self>, _: build::LogParams, mut results: build::LogResults) -> Result<(), Error> {
        results.get().set_reader(self.to());
        Ok(())
    }
}

impl log_reader::Server for Played {
    async fn read(
        self: Rc<Self>,
        params: log_reader::ReadParams,
        mut results: log_reader::ReadResults,
    ) -> Result<(), Error> {
        results.get().init_bytes(params.get()?.get_count().min(READ_MAX));
        Ok(())
    }

    async fn wait(
        self: Rc<Self>,
        _: log_reader::WaitParams,
        mut results: log_reader::WaitResults,
    ) -> Result<(), Error> {
        yield_now().await;
        results.get().set_size(1);
        Ok(())
    }
}
