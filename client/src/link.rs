//! One live link to a master, and the parts of the perspective that it holds. Losing it, and making a new one, is
//! [`crate::guild`]'s.

use crate::error::Error;
use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, Shared};
use schema::change_capnp::change_sink;
use schema::event_capnp::event_source;
use schema::grant_capnp::operator;
use schema::perspective_capnp::{perspective, submitter, viewer};
use std::any::Any;

/// What keeps a link alive, and says when it ended.
pub struct Link {
    holding: Holding,
    closed: Shared<LocalBoxFuture<'static, String>>,
    /// Says what was too large, where a message ended the link by its size.
    outgrown: Box<dyn Fn() -> Option<String>>,
    _alive: Box<dyn Any>,
}

enum Holding {
    Perspective(perspective::Client),
    Viewer(viewer::Client),
}

impl Link {
    /// `closed` resolves when the link is lost, and says why; `alive` is dropped with it.
    pub fn new(
        perspective: perspective::Client,
        closed: impl Future<Output = String> + 'static,
        alive: impl Any,
    ) -> Link {
        Link::holding(Holding::Perspective(perspective), closed, alive)
    }

    /// A link that holds nothing but a viewer, as inside the master's own process.
    pub fn of_viewer(viewer: viewer::Client) -> Link {
        Link::holding(Holding::Viewer(viewer), futures::future::pending(), ())
    }

    fn holding(holding: Holding, closed: impl Future<Output = String> + 'static, alive: impl Any) -> Link {
        let closed = closed.boxed_local().shared();
        Link { holding, closed, outgrown: Box::new(|| None), _alive: Box::new(alive) }
    }

    /// `outgrown` says what was too large, where a message ended the link by its size. A new link then meets the same message.
    #[must_use]
    pub fn outgrown_by(mut self, outgrown: impl Fn() -> Option<String> + 'static) -> Link {
        self.outgrown = Box::new(outgrown);
        self
    }

    /// The error of a message that is larger than this side reads, where that ended the link.
    pub fn outgrown(&self) -> Option<Error> {
        (self.outgrown)().map(Error::too_large)
    }

    /// Resolves when the link is lost.
    pub async fn closed(&self) {
        self.closed.clone().await;
    }

    /// Why it was lost; none while it lives.
    pub fn why_closed(&self) -> Option<String> {
        self.closed.clone().now_or_never()
    }

    pub fn perspective(&self) -> Result<&perspective::Client, Error> {
        match &self.holding {
            Holding::Perspective(perspective) => Ok(perspective),
            Holding::Viewer(_) => Err(Error::NotHeld("do more than look")),
        }
    }

    pub async fn viewer(&self) -> Result<viewer::Client, Error> {
        let perspective = match &self.holding {
            Holding::Perspective(perspective) => perspective,
            Holding::Viewer(viewer) => return Ok(viewer.clone()),
        };
        let answer = perspective.viewer_request().send().promise.await?;
        match answer.get()?.has_viewer() {
            true => Ok(answer.get()?.get_viewer()?),
            false => Err(Error::NotHeld("look at builds (`view`)")),
        }
    }

    pub async fn submitter(&self) -> Result<submitter::Client, Error> {
        let answer = self.perspective()?.submitter_request().send().promise.await?;
        match answer.get()?.has_submitter() {
            true => Ok(answer.get()?.get_submitter()?),
            false => Err(Error::NotHeld("steer builds (`run`, `retry`, `cancel`)")),
        }
    }

    pub async fn changes(&self) -> Result<change_sink::Client, Error> {
        let answer = self.perspective()?.changes_request().send().promise.await?;
        match answer.get()?.has_sink() {
            true => Ok(answer.get()?.get_sink()?),
            false => Err(Error::NotHeld("tell of changes (`changes`)")),
        }
    }

    pub async fn events(&self) -> Result<event_source::Client, Error> {
        let answer = self.perspective()?.events_request().send().promise.await?;
        match answer.get()?.has_source() {
            true => Ok(answer.get()?.get_source()?),
            false => Err(Error::NotHeld("follow events (`events` or `view`)")),
        }
    }

    pub async fn operator(&self) -> Result<operator::Client, Error> {
        let answer = self.perspective()?.operator_request().send().promise.await?;
        match answer.get()?.has_operator() {
            true => Ok(answer.get()?.get_operator()?),
            false => Err(Error::NotHeld("run the guild (`operate`)")),
        }
    }
}
