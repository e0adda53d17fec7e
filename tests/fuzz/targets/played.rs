//! A connection whose bytes are all there at once, and the objects of a small master behind a gate. Nothing of it waits for a clock.

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

/// How often whatever is ready goes on before the connection is closed.
const TURNS: usize = 24;
/// What a read of the played log gives at the most, in bytes.
const READ_MAX: u32 = 4_096;

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
}

/// Runs on the one thread.
pub fn run<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|runtime| LocalSet::new().block_on(runtime, future))
}

/// Lets everything that is ready go on.
pub async fn settle() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

/// Closes the connection and waits until its task has gone.
pub async fn end(vat: Vat) {
    let ended = vat.closed();
    drop(vat);
    assert_ne!(ended.await, CloseReason::Panicked);
    settle().await;
}

/// What is read comes in chunks of this size, and then ends; what is written is taken and dropped.
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

/// What one connection may leave behind: nothing.
pub struct Traces {
    alive: Rc<()>,
    pub budget: Budget,
    pub gate: Gate,
}

impl Traces {
    pub fn new(budget: usize) -> Traces {
        Traces { alive: Rc::new(()), budget: Budget::new(budget), gate: Gate::new(1, "played") }
    }

    /// The first object.
    pub fn gateway(&self) -> Client {
        let served = Played { _alive: self.alive.clone(), gate: self.gate.clone() };
        capnp_rpc::new_client::<gateway::Client, _>(served).client
    }

    /// No object is held, no call goes on, and nothing is counted.
    pub fn check(self) {
        assert_eq!(Rc::strong_count(&self.alive), 1, "objects are left behind");
        assert_eq!(self.gate.calls_in_flight(), 0, "calls are left behind");
        assert_eq!(self.budget.used(), 0, "bytes are still counted");
    }
}

/// Every object of the small master.
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

    /// Tells the peer's observer of a gap, as often as it says that it knows.
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
