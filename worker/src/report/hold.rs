//! When the start of a step is told: at once, unless the master has not answered earlier reports of this connection yet.
//! Then it may wait a little for the step's end and go with it: where many short steps run, each costs one call instead of
//! two.

use crate::ledger::Step;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// The longest that a start is held.
const HELD_MAX: Duration = Duration::from_millis(20);

/// Reports of one connection that are not answered yet.
#[derive(Clone, Default)]
pub(crate) struct Unanswered(Rc<watch::Sender<usize>>);

/// One of them, until it is dropped.
pub(super) struct Asked(Unanswered);

impl Unanswered {
    pub(super) fn ask(&self) -> Asked {
        self.0.send_modify(|count| *count += 1);
        Asked(self.clone())
    }

    async fn none(&self) {
        // the sender is held by us
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

/// Holds the start of a step back for as long as it may go with the end. False: it is to be told now. True: it was told,
/// since the end was.
pub(super) async fn goes_with_end(
    step: &Step,
    mut is_end_said: watch::Receiver<bool>,
    unanswered: &Unanswered,
) -> bool {
    tokio::select! {
        biased;
        _ = is_end_said.wait_for(|said| *said) => true,
        () = unanswered.none() => false,
        () = prints(step) => false,
        () = sleep(HELD_MAX) => false,
    }
}

/// Who follows what a step prints wants to know that it runs.
async fn prints(step: &Step) {
    if step.grown.subscribe().wait_for(|grown| grown.size > 0).await.is_err() {
        std::future::pending().await
    }
}
