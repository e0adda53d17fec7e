//! The threads of a process share few parts of its heap. This test is alone in its process, because it counts the parts of all
//! threads.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::thread;

/// The number of low bits in which addresses of one part of the heap can differ, because a part has 64 MiB.
const PART_BITS: u32 = 26;

/// Returns the part of the heap from which this thread gets memory while all other threads have some too.
fn part(together: &Barrier) -> usize {
    let piece = vec![1_u8; 4_000];
    together.wait();
    piece.as_ptr() as usize >> PART_BITS
}

#[test]
fn many_threads_share_few_parts_of_the_heap() {
    const THREADS: usize = 32;
    system::heap::share();
    let together = Arc::new(Barrier::new(THREADS));
    let started: Vec<_> = (0..THREADS)
        .map(|_| {
            let together = together.clone();
            thread::spawn(move || part(&together))
        })
        .collect();
    let parts: BTreeSet<usize> = started.into_iter().map(|thread| thread.join().unwrap()).collect();
    // there may be one more, because the part of the first thread may cross a border of 64 MiB
    assert!(parts.len() <= 5, "{} parts", parts.len());
}
