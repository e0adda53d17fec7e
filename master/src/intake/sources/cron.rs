//! The clock as a change source: makes builds at the times that the pipelines of a project name.
//!
//! The keys are those of `[trigger.cron.NAME]` in `guild.toml`. This source holds no times: the store has the entries, and when each one
//! fires.

use super::sight::Scope;
use super::{ChangeSink, ChangeSource, PollHealth};
use crate::config::clock::Clock;
use crate::decide::coordinator::FiringBranches;
use crate::keep::mirror::Mirror;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use std::rc::Rc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The longest time between two looks at the clock, which bounds how late a new entry or a jump of the clock is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The pause before a firing is tried again that is due but cannot be served yet.
const AGAIN: Duration = Duration::from_secs(1);

/// A `CronSource` fires the cron entries of one project.
pub(super) struct CronSource {
    /// The refs that the project follows. A branch outside of it is not built.
    pub(super) scope: Scope,
    /// The mirror, which knows the default branch.
    pub(super) mirror: Rc<Mirror>,
    /// The health of the repository, which tells whether it was looked at since the start.
    pub(super) health: Rc<PollHealth>,
}

impl ChangeSource for CronSource {
    fn run(
        self: Box<Self>,
        sink: Rc<dyn ChangeSink>,
        clock: Clock,
        stop: CancellationToken,
    ) -> LocalBoxFuture<'static, ()> {
        async move { stop.run_until_cancelled(self.keep_firing(&*sink, clock)).await.unwrap_or_default() }.boxed_local()
    }
}

impl CronSource {
    async fn keep_firing(&self, sink: &dyn ChangeSink, clock: Clock) {
        // wait for a look at the repository, so that a branch pushed during a downtime is built at its new tip
        while !self.health.looks().has_ended_one() {
            tokio::time::sleep(AGAIN).await;
        }
        loop {
            let main = self.mirror.main_branch();
            let branches = FiringBranches { follows: &|name| self.scope.has(name), main: main.as_deref() };
            // on a full disk the sink refuses, and the firing stays due
            let next = sink.fire(clock.now(), branches).await.unwrap_or_default();
            let pause = next.map_or(LOOK_EVERY, |next| next.since(clock.now()));
            // a firing may be due that cannot be built yet, for example because its project was restored: try again soon
            let pause = if pause.is_zero() { AGAIN } else { pause.min(LOOK_EVERY) };
            tokio::time::sleep(pause).await;
        }
    }
}
