//! The helpers that tests of gates and connections share: an object that counts, and functions to run tests and to connect.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use capnp::Error;
use capnp::capability::{Client, FromClientHook};
use schema::vat::{self, Limits, Side, Vat};

use crate::echo_capnp::echo;

/// `Counts` has the number of living objects of one test, and of their waiting calls.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) alive: Cell<usize>,
    pub(crate) waiting: Cell<usize>,
}

pub(crate) struct Echo {
    name: String,
    counts: Rc<Counts>,
    kept: RefCell<Option<echo::Client>>,
    last: Cell<u32>,
}

struct Count<'a>(&'a Cell<usize>);

impl<'a> Count<'a> {
    fn new(cell: &'a Cell<usize>) -> Self {
        cell.set(cell.get() + 1);
        Self(cell)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Echo {
    pub(crate) fn client(name: &str, counts: &Rc<Counts>) -> echo::Client {
        counts.alive.set(counts.alive.get() + 1);
        capnp_rpc::new_client(Self {
            name: name.to_owned(),
            counts: counts.clone(),
            kept: RefCell::default(),
            last: Cell::new(0),
        })
    }

    fn child(&self, name: &str) -> echo::Client {
        Self::client(&format!("{}/{name}", self.name), &self.counts)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.counts.alive.set(self.counts.alive.get() - 1);
    }
}

impl echo::Server for Echo {
    async fn name(self: Rc<Self>, _: echo::NameParams, mut results: echo::NameResults) -> Result<(), Error> {
        results.get().set_name(&self.name);
        Ok(())
    }

    async fn child(self: Rc<Self>, params: echo::ChildParams, mut results: echo::ChildResults) -> Result<(), Error> {
        let child = Echo::child(&self, params.get()?.get_name()?.to_str()?);
        results.get().set_child(child);
        Ok(())
    }

    async fn never(self: Rc<Self>, _: echo::NeverParams, _results: echo::NeverResults) -> Result<(), Error> {
        let _waiting = Count::new(&self.counts.waiting);
        std::future::pending().await
    }

    async fn early(self: Rc<Self>, _: echo::EarlyParams, mut results: echo::EarlyResults) -> Result<(), Error> {
        let _waiting = Count::new(&self.counts.waiting);
        results.get().set_child(Echo::child(&self, "early"));
        results.set_pipeline()?;
        std::future::pending().await
    }

    async fn call_back(
        self: Rc<Self>,
        params: echo::CallBackParams,
        mut results: echo::CallBackResults,
    ) -> Result<(), Error> {
        let other = params.get()?.get_other()?;
        let answer = other.name_request().send().promise.await?;
        results.get().set_name(answer.get()?.get_name()?);
        results.get().set_same(other);
        Ok(())
    }

    async fn keep(self: Rc<Self>, params: echo::KeepParams, _: echo::KeepResults) -> Result<(), Error> {
        let other = params.get()?.get_other()?;
        let before = self.kept.borrow_mut().replace(other);
        drop(before);
        Ok(())
    }

    async fn kept(self: Rc<Self>, _: echo::KeptParams, mut results: echo::KeptResults) -> Result<(), Error> {
        let kept = self.kept.borrow().clone();
        let nothing = || Error::failed("nothing was kept".into());
        results.get().set_other(kept.ok_or_else(nothing)?);
        Ok(())
    }

    async fn note(self: Rc<Self>, params: echo::NoteParams, mut results: echo::NoteResults) -> Result<(), Error> {
        let before = self.last.replace(params.get()?.get_number());
        results.get().set_before(before);
        Ok(())
    }

    async fn panic(self: Rc<Self>, params: echo::PanicParams, _: echo::PanicResults) -> Result<(), Error> {
        if params.get()?.get_late() {
            tokio::task::yield_now().await;
        }
        panic!("on purpose")
    }

    async fn bytes(self: Rc<Self>, params: echo::BytesParams, mut results: echo::BytesResults) -> Result<(), Error> {
        results.get().init_bytes(params.get()?.get_count());
        Ok(())
    }

    async fn is_kept(
        self: Rc<Self>,
        params: echo::IsKeptParams,
        mut results: echo::IsKeptResults,
    ) -> Result<(), Error> {
        let other = capnp::capability::get_resolved_cap(params.get()?.get_other()?).await;
        let kept = self.kept.borrow().clone();
        let address = |client: &echo::Client| client.as_client_hook().get_ptr();
        let same = kept.is_some_and(|kept| address(&kept) == address(&other));
        results.get().set_yes(same);
        Ok(())
    }
}

/// Runs a future on one thread. If `paused`, the time jumps to the next timer when no task is ready.
pub(crate) fn run<F: Future>(paused: bool, future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(paused).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

/// Makes a connection within this process. Returns the ends of the client and of the server.
pub(crate) fn pair(mine: Client, limits: Limits) -> (Vat, Vat) {
    let (near, far) = tokio::io::duplex(64 << 10);
    let client = vat::connect(near, Limits::known());
    let server = vat::start(far, Side::Server, mine, limits);
    (client, server)
}

pub(crate) async fn name(of: &echo::Client) -> Result<String, Error> {
    let answer = of.name_request().send().promise.await?;
    Ok(answer.get()?.get_name()?.to_string()?)
}

pub(crate) fn child(of: &echo::Client, name: &str) -> echo::Client {
    let mut request = of.child_request();
    request.get().set_name(name);
    request.send().pipeline.get_child()
}

/// Lets all tasks that are ready run.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
