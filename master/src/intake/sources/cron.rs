//! The clock as a change source: has the builds made that the pipelines of a project ask for at this time.
//!
//! Its keys are those of `[trigger.cron.NAME]` in `guild.toml`. It holds no times: which entries there are, and when each fires,
//! is in the store.

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

/// The longest time between two looks at the clock. So a clock that jumps, and an entry that is new, are noticed within it.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How soon a firing that is due, and that cannot be served yet, is asked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// The source of one project.
pub(super) struct CronSource {
    /// A branch that is not in it is not built.
    pub(super) scope: Scope,
    /// Asked for the default branch.
    pub(super) mirror: Rc<Mirror>,
    /// Whether the repository was looked at since the start.
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
        // what was pushed while the master was down is built, and not the tip before it
        while !self.health.looks().has_ended_one() {
            tokio::time::sleep(AGAIN).await;
        }
        loop {
            let main = self.mirror.main_branch();
            let branches = FiringBranches { follows: &|name| self.scope.has(name), main: main.as_deref() };
            // on a full disk the sink refuses: what is due stays due
            let next = sink.fire(clock.now(), branches).await.unwrap_or_default();
            let pause = next.map_or(LOOK_EVERY, |next| next.since(clock.now()));
            // what is due and cannot be built yet, as in a project that was restored, is asked for again
            let pause = if pause.is_zero() { AGAIN } else { pause.min(LOOK_EVERY) };
            tokio::time::sleep(pause).await;
        }
    }
}
