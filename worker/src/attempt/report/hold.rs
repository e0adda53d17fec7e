//! Decides when the start of a step is reported. It is reported at once if the master has answered all earlier reports of this
//! connection. Otherwise it may wait a little for the step's end, and share a call with it. So many short steps cost one call each
//! instead of two.

use crate::attempt::output::Grown;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// The longest time for which a start is held back. It is too short for a person to notice, and long enough for many a short step to
/// end.
const HELD_MAX: Duration = Duration::from_millis(20);

/// The number of reports of one connection that the master has not answered yet.
#[derive(Clone, Default)]
pub(crate) struct Unanswered(Rc<watch::Sender<usize>>);

/// A report that the master has not answered yet. It counts until it is dropped.
pub(super) struct Asked(Unanswered);

impl Unanswered {
    pub(super) fn ask(&self) -> Asked {
        self.0.send_modify(|count| *count += 1);
        Asked(self.clone())
    }

    async fn none(&self) {
        // This object holds the sender, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

/// Holds the start of a step back while one call may still report it with the end. Returns true if the end has reported the start, and
/// false if the caller must report the start now.
pub(super) async fn goes_with_end(
    grown: watch::Receiver<Grown>,
    mut is_end_said: watch::Receiver<bool>,
    unanswered: &Unanswered,
) -> bool {
    tokio::select! {
        biased;
        _ = is_end_said.wait_for(|said| *said) => true,
        () = unanswered.none() => false,
        () = prints(grown) => false,
        () = sleep(HELD_MAX) => false,
    }
}

/// Waits until a step has printed something, because a person who follows its output wants to know that it runs.
async fn prints(mut grown: watch::Receiver<Grown>) {
    if grown.wait_for(|grown| grown.size > 0).await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    /// Returns whether a start that is held until `change` goes with the end, and how long it was held.
    async fn held(
        unanswered: &Unanswered,
        change: impl FnOnce(&watch::Sender<Grown>, &watch::Sender<bool>),
    ) -> (bool, Duration) {
        let (grown, is_end_said) = (watch::Sender::default(), watch::Sender::new(false));
        let began = Instant::now();
        let holding = goes_with_end(grown.subscribe(), is_end_said.subscribe(), unanswered);
        let changing = async {
            sleep(HELD_MAX / 2).await;
            change(&grown, &is_end_said);
            std::future::pending().await
        };
        let went = tokio::select! { went = holding => went, () = changing => unreachable!("it is pending") };
        (went, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_is_held_only_while_an_earlier_report_is_not_answered() {
        let unanswered = Unanswered::default();
        assert_eq!(held(&unanswered, |_, _| ()).await, (false, Duration::ZERO));
        let asked = unanswered.ask();
        assert_eq!(held(&unanswered, |_, _| ()).await, (false, HELD_MAX));
        assert_eq!(held(&unanswered, |_, is_end_said| _ = is_end_said.send_replace(true)).await, (true, HELD_MAX / 2));
        let printed = |grown: &watch::Sender<Grown>, _: &_| _ = grown.send_replace(Grown { size: 1, is_final: false });
        assert_eq!(held(&unanswered, printed).await, (false, HELD_MAX / 2));
        assert_eq!(held(&unanswered, |_, _| drop(asked)).await, (false, HELD_MAX / 2));
    }
}
