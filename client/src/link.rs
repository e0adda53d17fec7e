//! One live link to a master, and the parts of the perspective that it holds, as Cap'n Proto capabilities. [`crate::Guild`] makes a new
//! link when one is lost, and has a typed call for each method of these parts.

use crate::error::Error;
use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, Shared};
use schema::change_capnp::change_sink;
use schema::event_capnp::event_source;
use schema::grant_capnp::operator;
use schema::perspective_capnp::{perspective, submitter, viewer};
use std::any::Any;

/// One live link to a master, with the parts that keep it alive and say when it ended.
pub struct Link {
    holding: Holding,
    closed: Shared<LocalBoxFuture<'static, String>>,
    /// The function that says which message ended the link because it was too large, if one did.
    outgrown: Box<dyn Fn() -> Option<String>>,
    _alive: Box<dyn Any>,
}

enum Holding {
    Perspective(perspective::Client),
    Viewer(viewer::Client),
}

impl Link {
    /// Makes a link from a perspective of the caller. `closed` resolves when the link is lost, and says why; `alive` is dropped with
    /// the link.
    pub fn new(
        perspective: perspective::Client,
        closed: impl Future<Output = String> + 'static,
        alive: impl Any,
    ) -> Link {
        Link::holding(Holding::Perspective(perspective), closed, alive)
    }

    /// Makes a link that holds only a viewer, such as the one within the master's own process. It is never lost.
    pub fn of_viewer(viewer: viewer::Client) -> Link {
        Link::holding(Holding::Viewer(viewer), futures::future::pending(), ())
    }

    fn holding(holding: Holding, closed: impl Future<Output = String> + 'static, alive: impl Any) -> Link {
        let closed = closed.boxed_local().shared();
        Link { holding, closed, outgrown: Box::new(|| None), _alive: Box::new(alive) }
    }

    /// Sets the function that says whether a too large message ended the link, and its size. A new link would meet the same message.
    #[must_use]
    pub fn outgrown_by(mut self, outgrown: impl Fn() -> Option<String> + 'static) -> Link {
        self.outgrown = Box::new(outgrown);
        self
    }

    /// Returns the error about the too large message that ended the link; `None` if no message did.
    pub fn outgrown(&self) -> Option<Error> {
        (self.outgrown)().map(Error::too_large)
    }

    /// Resolves when the link is lost.
    pub async fn closed(&self) {
        self.closed.clone().await;
    }

    /// Returns why the link was lost, or `None` while it lives.
    pub fn why_closed(&self) -> Option<String> {
        self.closed.clone().now_or_never()
    }

    /// Returns the perspective, which has everything that the credential holds.
    ///
    /// # Errors
    /// [`Error::NotHeld`] if the link holds only a viewer.
    pub fn perspective(&self) -> Result<&perspective::Client, Error> {
        match &self.holding {
            Holding::Perspective(perspective) => Ok(perspective),
            Holding::Viewer(_) => Err(Error::NotHeld("do more than look")),
        }
    }

    /// Returns the capability to look at builds.
    ///
    /// # Errors
    /// [`Error::NotHeld`] without the right `view`; [`Error::Lost`] if the link ends.
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

    /// Returns the capability to ask for builds, and to repeat and cancel them.
    ///
    /// # Errors
    /// [`Error::NotHeld`] without one of the rights `run`, `retry`, `cancel` and `try`; [`Error::Lost`] if the link ends.
    pub async fn submitter(&self) -> Result<submitter::Client, Error> {
        let answer = self.perspective()?.submitter_request().send().promise.await?;
        match answer.get()?.has_submitter() {
            true => Ok(answer.get()?.get_submitter()?),
            false => Err(Error::NotHeld("steer builds (`run`, `retry`, `cancel`, `try`)")),
        }
    }

    /// Returns the capability to tell the master of changes.
    ///
    /// # Errors
    /// [`Error::NotHeld`] without the right `changes`; [`Error::Lost`] if the link ends.
    pub async fn changes(&self) -> Result<change_sink::Client, Error> {
        let answer = self.perspective()?.changes_request().send().promise.await?;
        match answer.get()?.has_sink() {
            true => Ok(answer.get()?.get_sink()?),
            false => Err(Error::NotHeld("tell of changes (`changes`)")),
        }
    }

    /// Returns the capability to follow events.
    ///
    /// # Errors
    /// [`Error::NotHeld`] without one of the rights `events` and `view`; [`Error::Lost`] if the link ends.
    pub async fn events(&self) -> Result<event_source::Client, Error> {
        let answer = self.perspective()?.events_request().send().promise.await?;
        match answer.get()?.has_source() {
            true => Ok(answer.get()?.get_source()?),
            false => Err(Error::NotHeld("follow events (`events` or `view`)")),
        }
    }

    /// Returns the capability to run the guild: grants, workers, projects and the master file.
    ///
    /// # Errors
    /// [`Error::NotHeld`] without the right `operate`; [`Error::Lost`] if the link ends.
    pub async fn operator(&self) -> Result<operator::Client, Error> {
        let answer = self.perspective()?.operator_request().send().promise.await?;
        match answer.get()?.has_operator() {
            true => Ok(answer.get()?.get_operator()?),
            false => Err(Error::NotHeld("run the guild (`operate`)")),
        }
    }
}
