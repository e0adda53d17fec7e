//! CPU, memory and descriptors of processes, as `/proc` of Linux has them.

use std::fs;
use std::time::Duration;

/// The ticks per second in `/proc/PID/stat` and `/proc/stat`: USER_HZ, which is 100 on the machines that we measure on.
const TICKS: f64 = 100.0;

/// `Cpu` is the CPU that a process has used, in seconds of one core.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub own: f64,
    /// The CPU of the children that have ended and that the process waited for, with their own such children.
    pub children: f64,
}

impl Cpu {
    pub fn of(pid: u32) -> Cpu {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let field = |number: usize| rest.split_ascii_whitespace().nth(number).and_then(|text| text.parse::<f64>().ok());
        let ticks = |first: usize| field(first).unwrap_or(0.0) + field(first + 1).unwrap_or(0.0);
        Cpu { own: ticks(11) / TICKS, children: ticks(13) / TICKS }
    }

    pub fn all(self) -> f64 {
        self.own + self.children
    }

    pub fn since(self, before: Cpu) -> Cpu {
        Cpu { own: self.own - before.own, children: self.children - before.children }
    }
}

/// Returns the seconds that all cores together were busy since the machine started. They include processes that no parent waits for.
pub fn machine_busy() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line.split_ascii_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // the fields are user, nice, system, idle, iowait, irq and softirq; idle and iowait do not count as busy
    [0, 1, 2, 5, 6].into_iter().filter_map(|field| ticks.get(field)).sum::<f64>() / TICKS
}

/// Returns the memory of a process in KiB: a field of `/proc/PID/smaps_rollup`, for example `Rss`.
pub fn memory_kib(pid: u32, field: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
}

/// Returns the peak of a process's resident memory, in KiB.
pub fn peak_kib(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
}

pub fn wall() -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("the clock is past 1970")
}

/// Returns the number of open file descriptors of a process.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// `GitProcesses` counts the git processes that are children of a process. The children of those are not counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct GitProcesses {
    pub at_work: usize,
    /// The processes of `git cat-file`, which stay and wait for requests.
    pub waiting: usize,
}

impl GitProcesses {
    pub fn below(parent: u32) -> GitProcesses {
        let mut found = GitProcesses::default();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let text = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            // in this file the name in brackets is followed by the state and the parent
            let parent_of = |stat: &str| stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse::<u32>().ok();
            if parent_of(&text("stat")) == Some(parent) {
                match text("cmdline").split('\0').nth(1) {
                    Some("cat-file") => found.waiting += 1,
                    Some(_) => found.at_work += 1,
                    None => {}
                }
            }
        }
        found
    }
}
