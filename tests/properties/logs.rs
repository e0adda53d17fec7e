//! Stored logs compared with a plain vector: writes that overlap, repeat or leave gaps, restarts, limits, readers and lines.

use futures::future::LocalBoxFuture;
use master::decide::coordinator::record::{BuildId, JobKey, SealRow, StepKey};
use master::keep::logs::{Logs, SMALL_MAX, Seals};
use schema::values::RefusalCode;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use support::guild::run;
use support::seed::{Random, with_seeds};

const KEY: StepKey = StepKey { job: JobKey { build: BuildId(7), index: 0 }, attempt: 1, step: 0 };
const LIMIT: u64 = 300_000;

/// `Committed` plays the store: it has the seals that were committed.
#[derive(Clone, Default)]
struct Committed(Rc<RefCell<BTreeMap<StepKey, SealRow>>>);

impl Seals for Committed {
    fn find(&self, key: StepKey) -> LocalBoxFuture<'_, Result<Option<SealRow>, String>> {
        let found = self.0.borrow().get(&key).cloned();
        Box::pin(async move { Ok(found) })
    }

    fn removed(&self, _: BuildId) -> LocalBoxFuture<'_, Result<Option<String>, String>> {
        Box::pin(async { Ok(None) })
    }
}

fn open(dir: &Path, committed: &Committed, trusted: bool) -> Logs {
    Logs::open(dir, LIMIT, trusted, Box::new(committed.clone())).unwrap()
}

fn text(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| if random.chance(3) { b'\n' } else { random.draw() as u8 }).collect()
}

async fn whole(logs: &Logs) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let chunk = logs.read(KEY, bytes.len() as u64, 10_000).await.unwrap();
        if chunk.bytes.is_empty() {
            return bytes;
        }
        bytes.extend(chunk.bytes);
    }
}

#[test]
fn any_sequence_of_writes_stores_a_prefix_of_what_the_step_wrote() {
    with_seeds("any_sequence_of_writes_stores_a_prefix", 60, |seed| run(random_log(seed)));
}

async fn random_log(seed: u64) {
    let mut random = Random::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let committed = Committed::default();
    let length = [0, 1, 100, SMALL_MAX, SMALL_MAX + 1, 200_000][random.below(6)];
    let step = text(&mut random, length);
    let mut logs = open(dir.path(), &committed, true);
    let mut received = 0usize;
    for _ in 0..200 {
        match random.below(12) {
            0 => {
                let gap = logs.write(KEY, received as u64 + 1, vec![1], Vec::new()).await.unwrap_err();
                assert_eq!(gap.code, RefusalCode::Offset);
            }
            1 => {
                logs = open(dir.path(), &committed, true);
                received = logs.received(KEY).await.unwrap().0 as usize;
            }
            2 if random.chance(30) => {
                logs = open(dir.path(), &committed, false);
                assert_eq!(logs.received(KEY).await.unwrap(), (0, false), "after a power cut nothing is trusted");
                received = 0;
            }
            _ => {
                let start = received - random.below(received.min(500) + 1);
                let end = (received + random.below(20_000)).min(step.len());
                let bytes = step.get(start..end.max(start)).unwrap_or_default().to_vec();
                let written = logs.write(KEY, start as u64, bytes, Vec::new()).await.unwrap();
                received = received.max(end);
                assert_eq!(written.received, received as u64);
            }
        }
        assert_eq!(whole(&logs).await, step[..received], "what is stored is a prefix");
    }
    while received < step.len() {
        let end = (received + 50_000).min(step.len());
        logs.write(KEY, received as u64, step[received..end].to_vec(), Vec::new()).await.unwrap();
        received = end;
    }
    let sealed = logs.seal(KEY, step.len() as u64, blake3::hash(&step).as_bytes()).await.unwrap();
    assert!(sealed.agrees);
    assert_eq!(sealed.row.bytes.is_some(), step.len() <= SMALL_MAX);
    committed.0.borrow_mut().insert(KEY, sealed.row);
    logs.forget_sealed([KEY]);
    assert_eq!(whole(&logs).await, step);
    assert!(logs.read(KEY, step.len() as u64, 1).await.unwrap().sealed);
    assert_lines(&logs, &step, &mut random).await;
}

async fn assert_lines(logs: &Logs, step: &[u8], random: &mut Random) {
    let starts: Vec<usize> =
        std::iter::once(0).chain(step.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1)).collect();
    for _ in 0..20 {
        let (first, count) = (1 + random.below(starts.len() + 2), 1 + random.below(5));
        let found = logs.lines(KEY, first as u64, count as u32).await.unwrap();
        let start = starts.get(first - 1).copied().unwrap_or(step.len()).min(step.len());
        let end = starts.get(first - 1 + count).copied().unwrap_or(step.len()).max(start);
        assert_eq!(found.bytes, step[start..end], "lines {first} to {}", first + count - 1);
    }
}

#[test]
fn beyond_the_limit_only_the_end_is_kept_and_the_log_says_so() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let logs = open(dir.path(), &Committed::default(), true);
        let bytes = vec![b'x'; 400_000];
        assert_eq!(logs.write(KEY, 0, bytes.clone(), Vec::new()).await.unwrap().received, 400_000);
        let sealed = logs.seal(KEY, 400_000, blake3::hash(&bytes).as_bytes()).await.unwrap();
        assert!(sealed.agrees, "what the worker sent is what it says");
        let stored = whole(&logs).await;
        assert!(stored.starts_with(&bytes[..LIMIT as usize]));
        let end = String::from_utf8_lossy(&stored[LIMIT as usize..]);
        let line = "\n[guild: log limit of 300000 bytes reached, 34464 bytes dropped here; the end follows]\n";
        assert_eq!(end.strip_prefix(line), Some(&*"x".repeat(65_536)));
    });
}

#[test]
fn who_waits_is_woken_by_a_byte_and_by_the_seal() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let logs = Rc::new(open(dir.path(), &Committed::default(), true));
        let waiting = {
            let logs = logs.clone();
            tokio::task::spawn_local(async move { logs.wait(KEY, 0).await.unwrap() })
        };
        tokio::task::yield_now().await;
        logs.write(KEY, 0, b"a".to_vec(), Vec::new()).await.unwrap();
        assert_eq!(waiting.await.unwrap().size, 1);
        let waiting = {
            let logs = logs.clone();
            tokio::task::spawn_local(async move { logs.wait(KEY, 1).await.unwrap() })
        };
        tokio::task::yield_now().await;
        logs.seal(KEY, 1, blake3::hash(b"a").as_bytes()).await.unwrap();
        assert!(waiting.await.unwrap().sealed);
        assert_eq!(logs.write(KEY, 1, b"b".to_vec(), Vec::new()).await.unwrap_err().code, RefusalCode::Stale);
    });
}

#[test]
fn a_lost_attempt_ends_its_logs_with_the_reason() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let committed = Committed::default();
        let logs = open(dir.path(), &committed, true);
        logs.write(KEY, 0, b"half a line".to_vec(), Vec::new()).await.unwrap();
        let rows = logs.end_attempt(KEY.job, 1, "[guild: lost]\n").await.unwrap();
        assert_eq!(rows[0].bytes.as_deref(), Some(b"half a line\n[guild: lost]\n".as_slice()));
        assert_eq!(
            logs.end_attempt(KEY.job, 1, "[again]\n").await.unwrap(),
            rows,
            "it ends once, and is not recorded yet"
        );
        committed.0.borrow_mut().extend(rows.into_iter().map(|row| (row.key, row)));
        assert!(logs.end_attempt(KEY.job, 1, "[again]\n").await.unwrap().is_empty(), "now it is");
    });
}
