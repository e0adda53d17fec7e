//! The life of a step, from its start to the death of the last process that it left. The supervisor follows it until it can write the
//! journal.

use super::bounds::Bounds;
use super::clock::{Moment, wall};
use super::link::{Link, Word};
use super::order::{Journal, KillCause, Order, shortened};
use super::spool::Spool;
use super::watch::Watch;
use crate::process::isolation::descent;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus};
use schema::values::{Exit, Tier, Time};
use std::os::fd::{AsFd as _, OwnedFd};

/// How long processes that a step leaves behind may take to end by themselves, in milliseconds. One example is a `tee` that writes the
/// last lines.
const LINGER_MS: u64 = 200;
/// How long processes that a step left behind get from TERM to KILL, in milliseconds.
const LEAVE_MS: u64 = 300;
/// The time between two rounds of killing, and between two checks of processes that a step left behind, in milliseconds.
const ROUND_MS: u64 = 5;
/// How long the supervisor tries to kill processes, in milliseconds. After that it gives up and counts those that are left.
const KILLING_MS: u64 = 10_000;
/// The longest time between two looks for ended children that the step orphaned, in milliseconds.
const REAP_EVERY_MS: u64 = 5_000;
/// The limit for the names of processes in a message, because more names would not help a reader.
const NAMES_SHOWN: usize = 10;
/// The size of one read of output, in bytes.
const READ_BYTES: usize = 64 << 10;
/// The size of the pipe for the output, in bytes. It is larger than usual, so that a step that prints much seldom waits.
const PIPE_BYTES: usize = 256 << 10;
/// The number of reads after which the supervisor listens to the worker again, however fast the step writes.
const READS_PER_TURN: usize = 16;

/// A running step, as its supervisor sees it.
pub(super) struct Supervision<'a> {
    link: &'a mut Link,
    spool: Spool,
    watch: Watch,
    bounds: Bounds,
    tier: Tier,
    main: Pid,
    pidfd: Option<OwnedFd>,
    /// The reading end of the step's output. `None` means that the output has ended.
    pipe: Option<OwnedFd>,
    status: Option<WaitStatus>,
    /// Whether no child of the supervisor is left, and so no descendant of the step.
    is_childless: bool,
    cause: Option<KillCause>,
    phase: Phase,
    tell_at: Option<Moment>,
    buffer: Vec<u8>,
}

/// The phases through which a step goes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// The supervisor told the step to end.
    Stopping {
        kill_at: Moment,
    },
    /// The step has ended, but processes that it started have not.
    Lingering {
        term_at: Moment,
    },
    Leaving {
        kill_at: Moment,
    },
    Killing {
        until: Moment,
    },
}

impl<'a> Supervision<'a> {
    pub(super) fn new(order: &Order, main: Pid, pipe: OwnedFd, spool: Spool, link: &'a mut Link) -> Self {
        let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_BYTES);
        let _ = rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK);
        Supervision {
            link,
            spool,
            watch: Watch::new(order.limits.clone(), Moment::now()),
            bounds: Bounds::new(&order.limits, Moment::now()),
            tier: order.tier,
            main,
            // Without a descriptor (before Linux 5.3), the loop looks at the process often.
            pidfd: rustix::process::pidfd_open(main, PidfdFlags::empty()).ok(),
            pipe: Some(pipe),
            status: None,
            is_childless: false,
            cause: None,
            phase: Phase::Running,
            tell_at: None,
            buffer: Vec::new(),
        }
    }

    /// Follows the step until no process of it is left.
    pub(super) fn run(mut self, started: Time) -> Journal {
        loop {
            let now = Moment::now();
            self.reap();
            if self.is_over() || self.is_given_up(now) {
                break;
            }
            self.step_on(now);
            self.wait(now);
            self.read_output();
            self.hear();
            self.tell_at = self.link.tell_output(self.spool.size(), Moment::now());
        }
        // Only what the pipe holds now is read, although a process that is not a descendant may still hold its other end.
        while self.read_output() {}
        if let Err(error) = self.spool.finish() {
            self.lose_log(&error, Moment::now());
        }
        self.journal(started)
    }

    fn reap(&mut self) {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.main => self.status = Some(status),
                Ok(Some(_)) | Err(Errno::INTR) => (),
                Ok(None) => return,
                Err(_) => {
                    self.is_childless = true;
                    return;
                }
            }
        }
    }

    /// Moves to the next phase if it is time.
    fn step_on(&mut self, now: Moment) {
        match self.phase {
            Phase::Running => match self.watch.over(now) {
                _ if self.status.is_some() => self.phase = Phase::Lingering { term_at: now.plus(LINGER_MS) },
                Some(cause) => self.stop(cause, now),
                None => self.end_excess(now),
            },
            Phase::Stopping { kill_at } if now >= kill_at => {
                self.note_running();
                self.kill(now);
            }
            Phase::Lingering { term_at } if now >= term_at => {
                self.note_running();
                descent::signal_descendants(rustix::process::getpid(), Signal::TERM);
                self.phase = Phase::Leaving { kill_at: now.plus(LEAVE_MS) };
            }
            Phase::Leaving { kill_at } if now >= kill_at => self.kill(now),
            Phase::Killing { .. } => {
                self.kill_round();
            }
            // A shell that has ended may have left a process that forks all the time. A shell that gets a signal to end may begin to fork.
            Phase::Stopping { .. } | Phase::Lingering { .. } | Phase::Leaving { .. } => self.end_excess(now),
        }
    }

    fn stop(&mut self, cause: KillCause, now: Moment) {
        if self.phase != Phase::Running {
            return;
        }
        match self.tier {
            Tier::Plain => _ = rustix::process::kill_process_group(self.main, Signal::TERM),
            Tier::Guard => descent::signal_group_and_others(rustix::process::getpid(), self.main, Signal::TERM),
        }
        self.phase = Phase::Stopping { kill_at: now.plus(self.watch.grace_ms(&cause)) };
        self.cause = Some(cause);
    }

    /// Kills a step that takes too much, without a grace in which it could take still more.
    fn end_excess(&mut self, now: Moment) {
        let Some(why) = self.bounds.excess(self.tier, self.main, now) else { return };
        // The whole group is killed first, because a step that forks all the time is faster than a search for its other processes.
        // The number is still the group's while nobody has waited for its leader, or while a process is in the group.
        if self.status.is_none() || !descent::names_in_group(self.main).is_empty() {
            let _ = rustix::process::kill_process_group(self.main, Signal::KILL);
        }
        self.read_output();
        if let Err(error) = self.spool.note(&why) {
            self.lose_log(&error, now);
        }
        // If the step was already told to end, its cause stays.
        self.cause.get_or_insert(KillCause::Excess(why));
        self.kill(now);
    }

    /// Notes in the log which processes the supervisor must end, after the output so far.
    fn note_running(&mut self) {
        self.read_output();
        let names = match self.tier {
            Tier::Plain => descent::names_in_group(self.main),
            Tier::Guard => descent::names(rustix::process::getpid()),
        };
        if let Some(text) = still_running(&names)
            && let Err(error) = self.spool.note(&text)
        {
            self.lose_log(&error, Moment::now());
        }
    }

    fn kill(&mut self, now: Moment) {
        self.kill_round();
        self.phase = Phase::Killing { until: now.plus(KILLING_MS) };
    }

    fn kill_round(&self) -> usize {
        match self.tier {
            Tier::Plain => usize::from(rustix::process::kill_process_group(self.main, Signal::KILL).is_ok()),
            Tier::Guard => descent::kill_descendants(rustix::process::getpid()),
        }
    }

    /// Whether no process of the step is left. If a step of tier `plain` was stopped, its process group must be empty too.
    fn is_over(&self) -> bool {
        let was_stopped = matches!(self.phase, Phase::Stopping { .. } | Phase::Killing { .. });
        let has_group = self.tier == Tier::Plain && was_stopped && !descent::names_in_group(self.main).is_empty();
        self.is_childless && !has_group
    }

    fn is_given_up(&self, now: Moment) -> bool {
        matches!(self.phase, Phase::Killing { until } if now >= until)
    }

    fn wait(&self, now: Moment) {
        let readable = PollFlags::IN;
        let pidfd = self.pidfd.as_ref().filter(|_| self.status.is_none());
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(4);
        fds.extend(pidfd.map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), readable)));
        fds.extend(self.pipe.as_ref().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), readable)));
        fds.extend(self.link.poll_fds().into_iter().flatten());
        let ms = self.patience_ms(now);
        let timeout = Timespec {
            tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(ms % 1000 * 1_000_000).unwrap_or(0),
        };
        let _ = poll(&mut fds, Some(&timeout));
    }

    fn patience_ms(&self, now: Moment) -> u64 {
        let most = match self.phase {
            Phase::Running if self.pidfd.is_some() => {
                let next = [self.watch.next(), self.bounds.next()].into_iter().flatten().min();
                next.map_or(REAP_EVERY_MS, |at| at.since(now))
            }
            // Once the main process is gone, nothing announces the end of the other processes.
            Phase::Stopping { kill_at } if self.pidfd.is_some() && self.status.is_none() => {
                self.bounds.next().map_or(kill_at, |next| next.min(kill_at)).since(now)
            }
            Phase::Running | Phase::Stopping { .. } => 2 * ROUND_MS,
            Phase::Lingering { .. } | Phase::Leaving { .. } | Phase::Killing { .. } => ROUND_MS,
        };
        let due = [self.tell_at, self.link.due()].into_iter().flatten().min();
        due.map_or(most, |at| most.min(at.since(now))).min(REAP_EVERY_MS)
    }

    /// Reads output, and returns whether there may be more.
    fn read_output(&mut self) -> bool {
        for _ in 0..READS_PER_TURN {
            let Some(pipe) = &self.pipe else { return false };
            self.buffer.clear();
            self.buffer.reserve(READ_BYTES);
            match rustix::io::read(pipe, rustix::buffer::spare_capacity(&mut self.buffer)) {
                Ok(0) => self.pipe = None,
                Ok(_) => self.keep(),
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) => return false,
                Err(_) => self.pipe = None,
            }
        }
        true
    }

    fn keep(&mut self) {
        let now = Moment::now();
        self.watch.output(now);
        if let Err(error) = self.spool.append(&self.buffer, now) {
            self.lose_log(&error, now);
        }
    }

    /// Stops the step, because it is worthless without its log. Also closes its pipe, because nobody reads from it any more.
    fn lose_log(&mut self, error: &std::io::Error, now: Moment) {
        self.pipe = None;
        let text = shortened(&format!("its log cannot be written: {error}"));
        self.stop(KillCause::Broken(text.clone()), now);
        self.cause = Some(KillCause::Broken(text));
    }

    fn hear(&mut self) {
        let now = Moment::now();
        for word in self.link.receive() {
            match word {
                Word::Until(end) => self.watch.leased_until(end),
                Word::Deadline(ms) => self.watch.leased_until(now.plus(ms)),
                Word::Stop(why) => self.stop(KillCause::Stopped(shortened(&why)), now),
            }
        }
        match self.link.is_up() {
            true => self.watch.worker_here(),
            false => self.watch.worker_lost(now),
        }
    }

    fn journal(self, started: Time) -> Journal {
        let survivors = match self.is_childless {
            true => 0,
            false => self.kill_round(),
        };
        let cause = self.cause.unwrap_or(KillCause::Ended);
        Journal {
            exit: exit(&cause, self.status),
            cause,
            started,
            ended: wall(),
            size: self.spool.size(),
            survivors: u32::try_from(survivors).unwrap_or(u32::MAX),
        }
    }
}

/// Returns the line that names the processes that still run. `None` means that none runs.
fn still_running(names: &[String]) -> Option<String> {
    let (count, shown) = (names.len(), names.len().min(NAMES_SHOWN));
    let more = if count > shown { format!(" and {} more", count - shown) } else { String::new() };
    let (processes, verb) = if count == 1 { ("process", "was") } else { ("processes", "were") };
    let names = names[..shown].join(", ");
    (count > 0).then(|| format!("{count} {processes} {verb} still running and {verb} ended: {names}{more}"))
}

fn exit(cause: &KillCause, status: Option<WaitStatus>) -> Exit {
    match cause {
        KillCause::StepTime | KillCause::AttemptTime => Exit::Timeout,
        KillCause::Idle => Exit::Idle,
        KillCause::LeaseOver => {
            Exit::Lost("stopped before its lease ended: the master could not be reached".to_owned())
        }
        KillCause::Orphaned => Exit::Lost("stopped: its worker was gone for too long".to_owned()),
        KillCause::Impossible(why) | KillCause::Broken(why) | KillCause::Excess(why) => Exit::Lost(why.clone()),
        KillCause::Ended | KillCause::Stopped(_) => match status {
            Some(status) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Lost("it ended in an unknown way".to_owned()),
            },
            None => Exit::Lost("it could not be killed".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_running_is_named() {
        let names = |count: usize| (1..=count).map(|number| format!("p{number}")).collect::<Vec<_>>();
        assert_eq!(still_running(&[]), None);
        let text = |count| still_running(&names(count)).unwrap();
        assert_eq!(text(1), "1 process was still running and was ended: p1");
        assert_eq!(text(3), "3 processes were still running and were ended: p1, p2, p3");
        assert!(text(13).ends_with(": p1, p2, p3, p4, p5, p6, p7, p8, p9, p10 and 3 more"), "{}", text(13));
    }
}
