//! Checks again and again how many processes a step has and how much memory they take. If the step exceeds a limit, the check
//! returns a sentence that says so, and the caller ends the step.
//!
//! The limits of the kernel do not help here. `RLIMIT_NPROC` counts all processes of a user, with other steps and the worker, and
//! `RLIMIT_AS` counts what a program only reserves. A control group would help, but most workers may not make one.

use super::clock::Moment;
use super::order::Limits;
use crate::process::isolation::descent;
use crate::process::isolation::usage::{self, Usage};
use rustix::process::{Pid, getpid};
use schema::values::{Bytes, Exit, Tier};

/// The least time between two checks, in milliseconds. A check costs about 50 µs while the whole machine is below the limits.
const LOOK_EVERY_MS: u64 = 100;
/// The pause after a check, as a multiple of the check's own duration. So checking takes at most about a twentieth of a core, unless
/// [`LOOK_LATEST_MS`] shortens the pause.
const PAUSE_FACTOR: u64 = 20;
/// The longest pause, in milliseconds. Without it, a step that forks all the time would make the pauses ever longer.
const LOOK_LATEST_MS: u64 = 500;
/// The number of threads that a step may have for each process that it may have. Many programs have one thread per core.
const THREADS_PER_PROCESS: u64 = 8;

/// The limits of a running step's processes and memory, and the moment of the next check.
#[derive(Debug)]
pub(super) struct Bounds {
    /// The limit for processes; 0 means any number.
    processes: u64,
    /// The limit for memory, in bytes; 0 means any amount.
    memory: u64,
    next: Moment,
}

impl Bounds {
    pub(super) fn new(limits: &Limits, now: Moment) -> Bounds {
        Bounds { processes: limits.processes_max, memory: limits.memory_max, next: now.plus(LOOK_EVERY_MS) }
    }

    /// Returns the moment of the next check. `None` means that nothing is limited.
    pub(super) fn next(&self) -> Option<Moment> {
        (self.processes > 0 || self.memory > 0).then_some(self.next)
    }

    /// Returns why the step must be killed now. Checks only when it is time, and only as closely as needed. If the whole machine is
    /// below a limit, the step is too. Processes are counted before their threads and their memory are measured one by one.
    pub(super) fn excess(&mut self, tier: Tier, main: Pid, now: Moment) -> Option<String> {
        if self.next()? > now {
            return None;
        }
        let most = Usage::of_machine().unwrap_or(Usage::UNKNOWN);
        let excess = self.excess_of(&most).and_then(|_| {
            let pids = pids(tier, main);
            let counted = Usage { processes: pids.len() as u64, ..Usage::default() };
            self.excess_of(&counted).or_else(|| {
                let threads = if self.may_exceed_threads(&most) { usage::threads(&pids) } else { 0 };
                let memory = if self.may_exceed_memory(&most) { usage::memory(&pids, self.memory) } else { 0 };
                self.excess_of(&Usage { threads, memory, ..counted })
            })
        });
        let looked = Moment::now();
        self.next = looked.plus((looked.since(now) * PAUSE_FACTOR).clamp(LOOK_EVERY_MS, LOOK_LATEST_MS));
        excess
    }

    fn threads_max(&self) -> u64 {
        self.processes.saturating_mul(THREADS_PER_PROCESS)
    }

    fn may_exceed_threads(&self, usage: &Usage) -> bool {
        self.processes > 0 && usage.threads > self.threads_max()
    }

    fn may_exceed_memory(&self, usage: &Usage) -> bool {
        self.memory > 0 && usage.memory > self.memory
    }

    fn excess_of(&self, usage: &Usage) -> Option<String> {
        if self.processes > 0 && usage.processes > self.processes {
            return Some(killed(format_args!(
                "{} processes; {} are the limit of a step",
                usage.processes, self.processes
            )));
        }
        if self.may_exceed_threads(usage) {
            return Some(killed(format_args!(
                "{} threads; {} are the limit of a step",
                usage.threads,
                self.threads_max()
            )));
        }
        let (memory, most) = (Bytes(usage.memory), Bytes(self.memory));
        self.may_exceed_memory(usage).then(|| killed(format_args!("memory, {memory} of {most}")))
    }
}

fn pids(tier: Tier, main: Pid) -> Vec<Pid> {
    let found = match tier {
        Tier::Plain => descent::in_group(main),
        Tier::Guard => descent::descendants(getpid()),
    };
    found.into_iter().collect()
}

fn killed(what: std::fmt::Arguments<'_>) -> String {
    format!("{}{what}", Exit::KILLED)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message about a step that exceeds a limit names the limit.
    #[test]
    fn a_step_beyond_a_limit_is_told_which() {
        let bounds = Bounds { processes: 4, memory: 2 << 30, next: Moment(0) };
        let said = |processes, threads, memory| bounds.excess_of(&Usage { processes, threads, memory });
        assert_eq!(said(4, 32, 2 << 30), None);
        assert_eq!(said(5, 5, 0).unwrap(), "killed: 5 processes; 4 are the limit of a step");
        assert_eq!(said(1, 33, 0).unwrap(), "killed: 33 threads; 32 are the limit of a step");
        assert_eq!(said(1, 1, (2 << 30) + (300 << 20)).unwrap(), "killed: memory, 2.3 GiB of 2.0 GiB");
        let free = Bounds { processes: 0, memory: 0, next: Moment(0) };
        assert_eq!((free.next(), free.excess_of(&Usage { processes: 9, threads: 99, memory: 1 << 40 })), (None, None));
    }
}
