//! What the system says of a process.

use std::fs;
use std::time::Duration;

/// Of `/proc/PID/stat`, per second: fixed by Linux's interface.
const TICKS: f64 = 100.0;

/// Seconds of a core.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub own: f64,
    /// Of children that ended and were waited for, and of theirs.
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

/// Seconds that all cores together were busy since the machine started: what processes that nobody waits for took is in it.
pub fn machine_busy() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line.split_ascii_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq
    [0, 1, 2, 5, 6].into_iter().filter_map(|field| ticks.get(field)).sum::<f64>() / TICKS
}

/// KiB of a process, by a field of its `smaps_rollup`, as `Rss`.
pub fn memory_kib(pid: u32, field: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
}

/// The most memory that a process ever had, in KiB.
pub fn peak_kib(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
}

pub fn wall() -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("the clock is past 1970")
}

/// The open descriptors of a process.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The processes of git that a process started itself, without what these start in turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct GitProcesses {
    pub at_work: usize,
    /// Those that stay to be asked.
    pub waiting: usize,
}

impl GitProcesses {
    pub fn below(parent: u32) -> GitProcesses {
        let mut found = GitProcesses::default();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let text = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            // behind the name in brackets stand the state and the parent
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
