//! Decides when a run of git is ended by force: after a total time, or after silence. A run that waits silently for a remote
//! keeps a place that others may need. So only few such runs may stay while others wait for a turn.

use super::gate::Pass;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a run may receive no byte from its remote before it counts as hanging. A working remote reports progress each
/// second, except while it counts the objects to send.
pub(super) const HANGS_AFTER: Duration = Duration::from_secs(10);
/// How often a hanging run checks whether it may stay. A run that waits for its place waits this much longer, at most.
const LOOKED_EVERY: Duration = Duration::from_secs(1);

/// The condition on which a run is ended by force.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deadline {
    /// The run may take this long in total.
    Total(Duration),
    /// The run may be silent for this long. A large transfer may take hours, but a dead one must not.
    Silence(Duration),
}

/// The time at which a run last showed progress.
pub(super) struct Heard(Mutex<Instant>);

impl Heard {
    pub(super) fn now() -> Heard {
        Heard(Mutex::new(Instant::now()))
    }

    pub(super) fn again(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing was heard for this long, and returns the time of the last progress.
    async fn silence(&self, time: Duration) -> Instant {
        loop {
            let last = self.last();
            sleep_until(last + time).await;
            if self.last() == last {
                return last;
            }
        }
    }
}

/// Waits until the run that holds `pass` has to be ended, and returns how long it was allowed to take or be silent.
pub(super) async fn is_over(deadline: Deadline, heard: &Heard, pass: &Pass) -> Duration {
    match deadline {
        Deadline::Total(after) => {
            sleep(after).await;
            after
        }
        Deadline::Silence(after) => tokio::select! {
            _ = heard.silence(after) => after,
            () = is_in_the_way(heard, pass) => HANGS_AFTER,
        },
    }
}

/// Waits until the run hangs, others wait for its place, and no place for hanging runs is free.
async fn is_in_the_way(heard: &Heard, pass: &Pass) {
    loop {
        let last = heard.silence(HANGS_AFTER).await;
        let place = pass.hang();
        if place.is_none() && pass.is_waited_for() {
            return;
        }
        // a run that has a place for hanging runs keeps it until it shows progress
        while place.is_some() && heard.last() == last {
            sleep(LOOKED_EVERY).await;
        }
        sleep(LOOKED_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::gate::GitGate;
    use super::*;

    const SILENCE: Deadline = Deadline::Silence(Duration::from_secs(120));

    #[tokio::test(start_paused = true)]
    async fn of_hanging_runs_two_stay_while_somebody_waits() {
        let gate = GitGate::default();
        let slow = async |host: &str| gate.passage(host).pass_at(super::super::gate::RunKind::Slow).await;
        let mut passes = Vec::new();
        for host in ["a", "b", "c", "d", "e", "f"] {
            passes.push(slow(host).await);
        }
        let began = Instant::now();
        let hung = passes.into_iter().map(async |pass| {
            let after = is_over(SILENCE, &Heard::now(), &pass).await;
            (after, began.elapsed())
        });
        let waiting = async {
            // four more hosts get their turns as soon as other runs give their places back
            let others = ["g", "h", "i", "j"].map(slow);
            drop(futures::future::join_all(others).await);
            began.elapsed()
        };
        let (ended, waited) = tokio::join!(futures::future::join_all(hung), waiting);
        assert!(waited <= HANGS_AFTER + 2 * LOOKED_EVERY, "{waited:?}");
        let stayed = ended.iter().filter(|(after, _)| *after == Duration::from_secs(120)).count();
        assert!(stayed >= 2, "{ended:?}");
        assert!(ended.iter().all(|(after, lasted)| after <= lasted), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_shows_life_is_not_hanging() {
        let gate = GitGate::default();
        let (one, two) = (gate.passage("a"), gate.passage("b"));
        let (first, second) = (one.pass().await, two.pass().await);
        let _places = (first.hang(), second.hang());
        let pass = gate.passage("c").pass_at(super::super::gate::RunKind::Slow).await;
        let heard = Heard::now();
        let life = async {
            for _ in 0..60 {
                sleep(HANGS_AFTER - Duration::from_secs(1)).await;
                heard.again();
            }
        };
        tokio::select! {
            after = is_over(SILENCE, &heard, &pass) => panic!("ended after {after:?}"),
            () = life => {}
        }
    }
}
