//! The threads of a process share few parts of its heap. This is alone in its process, because the number holds for all of it.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::thread;

/// The addresses of one part of the heap differ in these low bits at most: it has 64 MiB.
const PART_BITS: u32 = 26;

/// Says in which part of the heap a thread has what it takes, while all the others have something too.
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
    // one more, because that of the first thread may lie across a border
    assert!(parts.len() <= 5, "{} parts", parts.len());
}
