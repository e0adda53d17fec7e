//! Tests that the threads of a process share few parts of its heap. The test has a process of its own, because the number of parts
//! is a setting of the whole process.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::thread;

/// The number of low bits in which addresses of one part of the heap may differ, because a part has 64 MiB.
const PART_BITS: u32 = 26;

/// Allocates memory in this thread, and returns the number of its part of the heap. All threads hold memory at the same time.
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
    // one more than 4, because the part of the first thread may lie across a border
    assert!(parts.len() <= 5, "{} parts", parts.len());
}
