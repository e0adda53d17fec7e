//! The worker's connection to a step's supervisor. It starts a supervisor or finds one again, sends it orders and reads its
//! reports. What the end of a step means is decided elsewhere.

use crate::process::supervisor::{Journal, KillCause, Moment, Order, StepFiles};
use crate::process::world::{Stream, World};
use schema::values::Exit;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The pause between two tries to reach a supervisor that has not made its socket yet.
const KNOCK_EVERY: Duration = Duration::from_millis(20);
/// The limit for a line from a supervisor, in bytes. After a longer line, the worker treats the supervisor as gone.
const LINE_BYTES_MAX: usize = 4096;

/// A message from a supervisor to its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Output(u64),
    /// The journal is written, or the supervisor no longer exists.
    Gone,
}

/// The connection of this worker to the supervisor of one step.
pub(crate) struct Supervised {
    dir: PathBuf,
    step: u16,
    line: Box<dyn Stream>,
    received: Vec<u8>,
}

impl Supervised {
    /// Starts a step under a supervisor.
    pub(crate) fn start(world: &World, dir: &Path, step: u16, order: &Order) -> io::Result<Supervised> {
        Ok(Supervised::over(dir, step, world.machine.start(dir, step, order)?))
    }

    /// Connects to the supervisor that an earlier worker started. `None` means that it no longer exists.
    pub(crate) async fn find(world: &World, dir: &Path, step: u16) -> io::Result<Option<Supervised>> {
        let files = StepFiles::new(dir, step);
        while files.is_supervised()? {
            match world.machine.connect(dir, step) {
                Ok(line) => return Ok(Some(Supervised::over(dir, step, line))),
                // The supervisor has just begun, or is about to end.
                Err(_) => tokio::time::sleep(KNOCK_EVERY).await,
            }
        }
        Ok(None)
    }

    /// Waits for the next message of the supervisor. The future may be dropped at any time.
    pub(crate) async fn hear(&mut self) -> Said {
        loop {
            while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                if let Some(said) = parse(&line) {
                    return said;
                }
            }
            let read = self.line.read_buf(&mut self.received).await;
            if !read.is_ok_and(|count| count > 0) || self.received.len() > LINE_BYTES_MAX {
                return Said::Gone;
            }
        }
    }

    /// Tells the supervisor when the lease ends. Sends both the moment and the time until then, because a supervisor of 0.1.0, which
    /// may outlive its worker, knows only one form.
    pub(crate) async fn tell_lease(&mut self, end: Moment, now: Moment) {
        self.say(&format!("until {}\ndeadline {}\n", end.0, end.since(now))).await;
    }

    pub(crate) async fn tell_stop(&mut self, why: &str) {
        self.say(&format!("stop {}\n", why.replace(['\n', '\r'], " "))).await;
    }

    fn over(dir: &Path, step: u16, line: Box<dyn Stream>) -> Supervised {
        Supervised { dir: dir.to_owned(), step, line, received: Vec::new() }
    }

    async fn say(&mut self, line: &str) {
        // If this fails, `hear` sees the end of the connection and handles it.
        if let Err(error) = self.line.write_all(line.as_bytes()).await {
            tracing::debug!(dir = %self.dir.display(), step = self.step, %error, "the supervisor does not answer");
        }
    }
}

fn parse(line: &[u8]) -> Option<Said> {
    let line = str::from_utf8(line).ok()?.trim_end();
    match line.split_once(' ') {
        Some(("output", size)) => size.parse().ok().map(Said::Output),
        None if line == "exited" => Some(Said::Gone),
        Some(_) | None => None,
    }
}

/// The facts about the death of a supervisor that wrote no journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// The supervisor alone was killed, while its worker ran on.
    Alone,
    /// The worker was killed as well, as `kill -9 -1` in a step does. `attempt` is the number of the job's attempt in which that
    /// happened. `is_alone` says that the worker had no other attempt whose step could have done it.
    WithWorker { attempt: u16, is_alone: bool },
}

/// The number of attempts that may end their worker. After that the job has failed, and does not run again, because each such
/// attempt ends the worker's other jobs too. The first one may be the fault of another job.
const WORKERS_KILLED_MAX: u16 = 2;

impl Death {
    /// Returns what ended the step, and a text for people that says why.
    fn cause(self, has_begun: bool) -> (KillCause, String) {
        match self {
            _ if !has_begun => broken("the supervisor of the step could not begin"),
            Death::Alone => broken("the supervisor of the step was killed"),
            Death::WithWorker { attempt, is_alone } if !is_alone || attempt < WORKERS_KILLED_MAX => {
                broken("the supervisor of the step was killed, and the worker with it, as by `kill -9 -1` in the step")
            }
            Death::WithWorker { attempt, is_alone: _ } => {
                let text = format!(
                    "{}the worker went with the step, as by `kill -9 -1` in it; attempt {attempt} is the last, because each \
                     ends the worker's other jobs",
                    Exit::KILLED
                );
                (KillCause::Excess(text.clone()), text)
            }
        }
    }
}

fn broken(why: &str) -> (KillCause, String) {
    (KillCause::Broken(why.to_owned()), why.to_owned())
}

/// Returns the end of a step that has no supervisor any more. If there is no journal, the supervisor itself was killed. Then this
/// kills the processes that are left, by the `mark` in their environment, and writes the journal.
pub(crate) async fn settle(world: &World, dir: &Path, step: u16, mark: &str, death: Death) -> io::Result<Journal> {
    let files = StepFiles::new(dir, step);
    if let Some(journal) = files.read_journal()? {
        return Ok(journal);
    }
    let (machine, mark) = (world.machine.clone(), mark.to_owned());
    let survivors = world.blocking.run(move || machine.kill_marked(&mark)).await.unwrap_or_else(|error| {
        tracing::error!(dir = %dir.display(), step, %error, "cannot search for the processes that a killed supervisor left");
        0
    });
    let (cause, why) = death.cause(files.has_begun()?);
    let mut journal = Journal::without_process(cause, &why, world.clock.wall());
    journal.size = std::fs::metadata(files.spool()).map_or(0, |spool| spool.len());
    journal.survivors = u32::try_from(survivors).unwrap_or(u32::MAX);
    files.write_journal(&journal)?;
    Ok(journal)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C50: a job whose step ended its worker twice does not run a third time.
    #[test]
    fn a_step_that_ends_its_worker_twice_has_failed() {
        let cause = |death: Death| death.cause(true).0;
        assert!(matches!(cause(Death::Alone), KillCause::Broken(_)));
        let first = cause(Death::WithWorker { attempt: 1, is_alone: true });
        assert!(matches!(&first, KillCause::Broken(why) if why.contains("and the worker with it")), "{first:?}");
        for attempt in [2, 3] {
            let last = cause(Death::WithWorker { attempt, is_alone: true });
            assert!(matches!(&last, KillCause::Excess(why) if why.contains("is the last")), "{last:?}");
        }
        let beside_others = cause(Death::WithWorker { attempt: 2, is_alone: false });
        assert!(matches!(beside_others, KillCause::Broken(_)), "the step of another job may have done it");
        let (not_begun, _) = Death::WithWorker { attempt: 2, is_alone: true }.cause(false);
        assert!(matches!(not_begun, KillCause::Broken(_)), "what never ran ended nothing");
    }
}
