//! Gives the memory that this process has freed back to the machine. An allocator keeps freed memory, in pieces between the used
//! ones. So after a peer that needed much memory, the process would stay as large as that made it.

#![expect(unsafe_code, reason = "glibc's allocator is controlled only through C functions")]

use std::fs;

/// The bytes by which the process must have grown over its smallest known size before it gives memory back. Below that, the
/// milliseconds that it takes are not worth it.
const WORTH: u64 = 4 << 20;

/// The most parts into which the allocator cuts its heap. They are few, because a part keeps the memory that its threads freed.
const ARENAS: i32 = 4;

/// Makes all threads share a few parts of the heap. Otherwise the allocator makes up to eight parts for each processor, and memory that
/// a thread frees stays in its part. Call this before there are other threads.
pub fn share() {
    few_arenas();
}

/// The decision when to give memory back, which depends on the earlier sizes of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap {
    /// The smallest size of the process after it gave memory back, in bytes. `None` means that it has not done so yet.
    least: Option<u64>,
}

impl Heap {
    /// Gives free memory back if the process has grown. This takes some milliseconds, during which other threads go on.
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

/// Returns the resident memory of this process in bytes (proc_pid_status(5)).
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

/// Does nothing, because other allocators have no such parts.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn few_arenas() {}

/// Does nothing, because other allocators give memory back by themselves, or cannot be asked to.
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
