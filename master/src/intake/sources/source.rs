//! What every change source is, and the sources of one project together.

use super::ChangeSink;
use crate::config::clock::Clock;
use crate::decide::coordinator::record::RefScope;
use futures::future::{LocalBoxFuture, join_all};
use std::rc::Rc;
use tokio_util::sync::CancellationToken;

/// A `ChangeSource` notices what is to be built of one project. It is one file here, which holds what it looks at and, as the only
/// thing that commands, a sink.
pub trait ChangeSource {
    /// Tells `sink` what it notices, until `stop`. A source that is stopped has no lock left.
    fn run(
        self: Box<Self>,
        sink: Rc<dyn ChangeSink>,
        clock: Clock,
        stop: CancellationToken,
    ) -> LocalBoxFuture<'static, ()>;
}

/// What the sources of a project follow, in the form that the coordinator takes.
#[derive(Clone, Debug)]
pub struct Following {
    pub project: String,
    /// The address of the repository.
    pub address: String,
    pub scope: RefScope,
}

/// All sources of one project, which start and stop together.
pub struct ProjectSources {
    pub(super) following: Following,
    pub(super) sources: Vec<Box<dyn ChangeSource>>,
}

impl ProjectSources {
    /// Whoever makes a sink for the sources needs to know what they follow.
    pub fn following(&self) -> Following {
        self.following.clone()
    }

    /// Runs all sources until `stop`.
    pub async fn run(self, sink: Rc<dyn ChangeSink>, clock: Clock, stop: CancellationToken) {
        join_all(self.sources.into_iter().map(|source| source.run(sink.clone(), clock, stop.clone()))).await;
    }
}
