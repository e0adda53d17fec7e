//! The trait of every change source, and the sources of one project together.

use super::ChangeSink;
use crate::config::clock::Clock;
use crate::decide::coordinator::record::RefScope;
use futures::future::{LocalBoxFuture, join_all};
use std::rc::Rc;
use tokio_util::sync::CancellationToken;

/// A `ChangeSource` notices what is to be built for one project. Each source is one file in this folder. It holds the repository or the
/// clock that it looks at, and its only way to command is a sink.
pub trait ChangeSource {
    /// Reports to `sink` what it notices, until `stop`. A source that has stopped holds no lock.
    fn run(
        self: Box<Self>,
        sink: Rc<dyn ChangeSink>,
        clock: Clock,
        stop: CancellationToken,
    ) -> LocalBoxFuture<'static, ()>;
}

/// `Following` describes what the sources of a project follow, in the form that the coordinator takes.
#[derive(Clone, Debug)]
pub struct Following {
    pub project: String,
    /// The address of the repository.
    pub address: String,
    pub scope: RefScope,
}

/// `ProjectSources` holds all sources of one project, which start and stop together.
pub struct ProjectSources {
    pub(super) following: Following,
    pub(super) sources: Vec<Box<dyn ChangeSource>>,
}

impl ProjectSources {
    /// Returns what the sources follow, from which the caller makes their sink.
    pub fn following(&self) -> Following {
        self.following.clone()
    }

    /// Runs all sources until `stop`.
    pub async fn run(self, sink: Rc<dyn ChangeSink>, clock: Clock, stop: CancellationToken) {
        join_all(self.sources.into_iter().map(|source| source.run(sink.clone(), clock, stop.clone()))).await;
    }
}
