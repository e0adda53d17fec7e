//! The repository of a project as a change source.

use super::git::{GitSource, Known, follow};
use super::poke::Pokes;
use super::{ChangeSink, ChangeSource, PollHealth};
use crate::config::clock::Clock;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use std::rc::Rc;
use tokio_util::sync::CancellationToken;

/// A `FollowedRepository` is the repository of one project, ready to be followed.
pub(super) struct FollowedRepository {
    pub(super) source: GitSource,
    /// The last revision of each ref that the sink acknowledged.
    pub(super) known: Known,
    pub(super) pokes: Pokes,
    pub(super) health: Rc<PollHealth>,
}

impl ChangeSource for FollowedRepository {
    fn run(
        self: Box<Self>,
        sink: Rc<dyn ChangeSink>,
        clock: Clock,
        stop: CancellationToken,
    ) -> LocalBoxFuture<'static, ()> {
        self.health.begin(clock.now(), self.source.poll);
        let health = self.health.clone();
        // the source logs its notices itself
        let tell = move |notice| health.note(clock.now(), notice);
        follow(self.source, sink, self.known, self.pokes, tell, stop).boxed_local()
    }
}
