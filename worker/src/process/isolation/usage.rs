//! Measures the processes of a step: their number and their memory. Reads the kernel's files below `/proc`, and ends no process.

use super::descent;
use rustix::process::Pid;
use std::fs;

/// The resources that all processes of a step take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// The number of processes of the step, including those that have ended and that nobody has waited for.
    pub(crate) processes: u64,
    /// The number of threads of all processes of the step.
    pub(crate) threads: u64,
    /// The memory that would be free without the step's processes, in bytes. Memory that they share counts once.
    pub(crate) memory: u64,
}

impl Usage {
    /// The largest usage, which stands for processes whose usage is not known.
    pub(crate) const UNKNOWN: Usage = Usage { processes: u64::MAX, threads: u64::MAX, memory: u64::MAX };

    /// Returns the threads and the memory that all processes of the machine use, which no step exceeds. Reads only two short files.
    /// `None` means that the usage is not known.
    pub(crate) fn of_machine() -> Option<Usage> {
        let threads = tasks(&fs::read_to_string("/proc/loadavg").ok()?)?;
        let memory = memory_in_use(&fs::read_to_string("/proc/meminfo").ok()?)?;
        Some(Usage { processes: threads, threads, memory })
    }
}

/// Returns the number of threads of these processes.
pub(crate) fn threads(pids: &[Pid]) -> u64 {
    pids.iter().filter_map(|pid| descent::threads(*pid)).sum()
}

/// Returns the memory of these processes, in bytes. First adds up a cheap figure, which counts shared memory once for each process.
/// Measures exactly only if that sum is above `enough`.
pub(crate) fn memory(pids: &[Pid], enough: u64) -> u64 {
    let at_most: u64 = pids.iter().filter_map(|pid| part(*pid, "status", AT_MOST)).sum();
    if at_most > enough { pids.iter().filter_map(|pid| exact(*pid)).sum() } else { at_most }
}

/// The lines of proc_pid_status(5) that add up to the cheap figure. They leave out pages of mapped files, because the kernel can
/// take those back. They also leave out swap, because the limit is for memory.
const AT_MOST: &[&str] = &["RssAnon:", "RssShmem:"];
/// The lines of `smaps_rollup` that add up to the exact figure. A page that several processes share counts in part for each of
/// them.
const EXACT: &[&str] = &["Pss_Anon:", "Pss_Shmem:"];

/// Returns the exact memory of a process, in bytes. If the kernel does not tell it, as for a process of another user, the cheap
/// figure counts.
fn exact(pid: Pid) -> Option<u64> {
    let found = part(pid, "smaps_rollup", EXACT).filter(|bytes| *bytes > 0);
    found.or_else(|| part(pid, "status", AT_MOST))
}

fn part(pid: Pid, file: &str, names: &[&str]) -> Option<u64> {
    Some(sum_of(&String::from_utf8_lossy(&descent::read(pid, file)?), names))
}

/// Returns the sum of the lines with these names, in bytes. The file has them in KiB.
fn sum_of(text: &str, names: &[&str]) -> u64 {
    names.iter().filter_map(|name| kib(text, name)).sum::<u64>() * 1024
}

fn kib(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok())
}

/// Returns the number of threads of the machine, in the fourth field of proc_loadavg(5). `None` means that this kernel does not
/// say.
fn tasks(loadavg: &str) -> Option<u64> {
    let (_, all) = loadavg.split_ascii_whitespace().nth(3)?.split_once('/')?;
    all.parse().ok().filter(|all| *all > 0)
}

/// Returns the memory and swap in use, in bytes, from the content of proc_meminfo(5).
fn memory_in_use(meminfo: &str) -> Option<u64> {
    let used = kib(meminfo, "MemTotal:")?.saturating_sub(kib(meminfo, "MemAvailable:")?);
    let swapped = kib(meminfo, "SwapTotal:").unwrap_or(0).saturating_sub(kib(meminfo, "SwapFree:").unwrap_or(0));
    Some((used + swapped) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_has_in_use_is_read() {
        let meminfo =
            "MemTotal:  4000 kB\nMemFree: 100 kB\nMemAvailable:  1500 kB\nSwapTotal: 900 kB\nSwapFree: 800 kB\n";
        assert_eq!(memory_in_use(meminfo), Some(2_600 * 1024));
        assert_eq!(memory_in_use("MemTotal: 4000 kB\n"), None, "a kernel that does not say what is available");
        assert_eq!((tasks("0.20 0.18 0.12 1/80 11206"), tasks("0.20 0.18 0.12 0/0 1")), (Some(80), None));
    }

    #[test]
    fn the_memory_of_a_process_is_what_it_alone_needs() {
        let status = "VmRSS:\t 900 kB\nRssAnon:\t 100 kB\nRssFile:\t 700 kB\nRssShmem:\t 100 kB\nVmSwap:\t 4 kB\n";
        assert_eq!(sum_of(status, AT_MOST), 200 * 1024);
        let rollup = "Rss: 900 kB\nPss: 500 kB\nPss_Anon: 20 kB\nPss_File: 440 kB\nPss_Shmem: 40 kB\nSwapPss: 1 kB\n";
        assert_eq!(sum_of(rollup, EXACT), 60 * 1024);
    }

    #[test]
    fn this_process_takes_something() {
        let own = [rustix::process::getpid()];
        assert!(threads(&own) >= 1 && memory(&own, 0) > 64 << 10 && memory(&own, u64::MAX) > 64 << 10);
        let all = Usage::of_machine().unwrap();
        assert!(all.threads >= threads(&own) && all.memory >= memory(&own, 0) / 2, "{all:?}");
    }
}
