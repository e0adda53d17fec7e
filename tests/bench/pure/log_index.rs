//! The time to find a line of a log by its number.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use futures::executor::block_on;
use futures::future::LocalBoxFuture;
use master::decide::coordinator::record::{BuildId, JobKey, SealRow, StepKey};
use master::keep::logs::{Logs, Seals};
use std::path::Path;

const LINE: &str = "a line of a log that is as long as lines of logs usually are, which is eighty bytes or so";
const MIB: [u64; 3] = [1, 10, 100];
const WRITE: usize = 128 << 10;

/// `Unsealed` says that no log is sealed and no build was removed.
struct Unsealed;

impl Seals for Unsealed {
    fn find(&self, _: StepKey) -> LocalBoxFuture<'_, Result<Option<SealRow>, String>> {
        Box::pin(async { Ok(None) })
    }

    fn removed(&self, _: BuildId) -> LocalBoxFuture<'_, Result<Option<String>, String>> {
        Box::pin(async { Ok(None) })
    }
}

/// Measures reading the last line of a log that was not read before, so all its line ends must be counted.
pub(crate) fn first_look(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log first look");
    for mib in MIB {
        let dir = tempfile::tempdir().expect("a directory");
        let last = write(&open(dir.path()), mib);
        group.throughput(Throughput::Bytes(mib << 20));
        group.bench_function(BenchmarkId::new("MiB", mib), |bencher| {
            let look =
                |logs: Logs| assert!(!block_on(logs.lines(key(), last, 1)).expect("it is read").bytes.is_empty());
            bencher.iter_batched(|| open(dir.path()), look, BatchSize::PerIteration);
        });
    }
    group.finish();
}

/// Measures reading 100 lines anywhere in a log whose line ends have been counted.
pub(crate) fn later_look(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log later look");
    for mib in MIB {
        let dir = tempfile::tempdir().expect("a directory");
        let logs = open(dir.path());
        let last = write(&logs, mib);
        block_on(logs.lines(key(), last, 1)).expect("it is read");
        let mut line = 1;
        group.bench_function(BenchmarkId::new("MiB", mib), |bencher| {
            bencher.iter(|| {
                // each time somewhere else, far from the last place
                line = 1 + (line + 7_919) % (last - 100);
                let found = block_on(logs.lines(key(), line, 100)).expect("it is read");
                assert_eq!(found.bytes.len(), 100 * (LINE.len() + 1));
            });
        });
    }
    group.finish();
}

fn open(dir: &Path) -> Logs {
    Logs::open_inline(dir, u64::MAX, true, Box::new(Unsealed)).expect("the logs open")
}

fn key() -> StepKey {
    StepKey { job: JobKey { build: BuildId(1), index: 0 }, attempt: 1, step: 0 }
}

/// Writes a log of this many MiB, and returns the number of its lines.
fn write(logs: &Logs, mib: u64) -> u64 {
    let line = format!("{LINE}\n");
    let (mut lines, mut offset) = (0, 0);
    while offset < mib << 20 {
        let bytes = line.repeat(WRITE / line.len()).into_bytes();
        lines += (bytes.len() / line.len()) as u64;
        let count = bytes.len() as u64;
        block_on(logs.write(key(), offset, bytes, Vec::new())).expect("it is written");
        offset += count;
    }
    lines
}
