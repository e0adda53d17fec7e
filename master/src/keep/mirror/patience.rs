//! When a run of git is ended by force: after a time in all, or after silence. A run that waits for a remote in silence keeps
//! others waiting. So few such runs stay while somebody waits for a turn.

use super::gate::Pass;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a run that waits for a remote may be without a byte before it counts as hanging. A remote that works shows its
/// progress each second, save while it counts what it has to send.
pub(super) const HANGS_AFTER: Duration = Duration::from_secs(10);
/// How often a hanging run looks whether it may stay: whoever waits for its turn waits this much longer at most.
const LOOKED_EVERY: Duration = Duration::from_secs(1);

/// When a run is ended by force.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deadline {
    /// The deadline is this long after the run's start.
    Total(Duration),
    /// So long after the last byte of progress: a large transfer may take hours, a dead one may not.
    Silence(Duration),
}

/// When a run last showed life.
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

    /// Answers when nothing was heard for this long, with the moment of the last sign of life.
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

/// Answers when the run that holds `pass` is to be ended, with the time that it had.
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

/// Answers when a run hangs that others wait for, and as many hang already as may.
async fn is_in_the_way(heard: &Heard, pass: &Pass) {
    loop {
        let last = heard.silence(HANGS_AFTER).await;
        let place = pass.hang();
        if place.is_none() && pass.is_waited_for() {
            return;
        }
        // one that has a place keeps it until it shows life
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
            // four more hosts, each of which has its turn as soon as one of the others gave its place back
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
