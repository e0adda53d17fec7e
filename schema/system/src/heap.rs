//! Memory that this process let go of, given back to the machine. An allocator keeps what was freed, in pieces between what is in
//! use. So after a peer that had much done, a process would stay as large as it was at that moment.

#![expect(unsafe_code, reason = "the allocator of glibc is asked by a function of C")]

use std::fs;

/// How much larger than ever before the process must be for a look at its heap to be worth it, in bytes.
const WORTH: u64 = 4 << 20;

/// The most parts into which the allocator cuts its heap.
const ARENAS: i32 = 4;

/// Has all threads share few parts of the heap. By itself the allocator makes a part of its own for each of the first threads, up to
/// eight for each processor. Memory that a thread freed stays in its part. To be called before there are other threads.
pub fn share() {
    few_arenas();
}

/// When to give back, from how large the process was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap {
    /// The least that the process had after memory was given back, in bytes. `None` means that that was never tried.
    least: Option<u64>,
}

impl Heap {
    /// Gives back what is free, where the process is large. Takes some milliseconds, and other threads go on meanwhile.
    pub fn tidy(&mut self) {
        let Some(size) = resident() else { return };
        if self.is_due(size) {
            give_back();
            self.note(resident().unwrap_or(size));
        }
    }

    fn is_due(&self, size: u64) -> bool {
        self.least.is_none_or(|least| size > least + WORTH)
    }

    fn note(&mut self, size: u64) {
        self.least = Some(self.least.map_or(size, |least| least.min(size)));
    }
}

/// The memory that this process has, in bytes: see proc_pid_status(5).
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_back() {
    // SAFETY: the function takes the locks that it needs, and touches only memory that is free.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn few_arenas() {
    // SAFETY: the function only notes the number, under its own lock.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS) };
}

/// Other allocators have no such parts.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn few_arenas() {}

/// Other allocators give back by themselves, or have no way to be asked.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_where_a_process_has_grown() {
        let mut heap = Heap::default();
        assert!(heap.is_due(1), "nobody knows yet how small it can be");
        heap.note(30 << 20);
        assert_eq!([34, 35].map(|mib| heap.is_due(mib << 20)), [false, true]);
        heap.note(50 << 20);
        assert!(heap.is_due(50 << 20), "what was in use then may be free by now");
    }

    #[test]
    fn this_process_gives_back_what_it_freed() {
        let pieces: Vec<Vec<u8>> = (0..40_000).map(|_| vec![1; 1_000]).collect();
        // every thousandth stays, so that nothing is free at the end of the heap
        let kept: Vec<Vec<u8>> = pieces.into_iter().step_by(1_000).collect();
        let before = resident().unwrap();
        Heap::default().tidy();
        let after = resident().unwrap();
        assert!(cfg!(not(target_env = "gnu")) || after + (20 << 20) < before, "{before} -> {after}, {}", kept.len());
    }
}
