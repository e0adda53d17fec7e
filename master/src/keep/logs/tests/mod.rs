//! Logs with threads, crashes and callers that go away: the stored bytes are always a prefix of the sent bytes.

mod attempts;
mod damage;
mod lines;
mod removed;

use super::*;
use crate::decide::coordinator::record::BuildId;
use futures::FutureExt as _;
use futures::future::join_all;
use std::cell::Cell;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use system::tail::TAIL_BYTES;

const KEY: StepKey = StepKey { job: JobKey { build: BuildId(4_321), index: 2 }, attempt: 1, step: 3 };
const LIMIT: u64 = 20 << 20;

/// `Committed` plays the store: it has the seals that were committed, and whether the build was removed.
#[derive(Clone, Default)]
struct Committed(Rc<RefCell<BTreeMap<StepKey, SealRow>>>, Rc<Cell<bool>>);

impl Seals for Committed {
    fn find(&self, key: StepKey) -> LocalBoxFuture<'_, Result<Option<SealRow>, String>> {
        let committed = self.0.clone();
        Box::pin(async move {
            // a real query does not answer at once
            tokio::task::yield_now().await;
            Ok(committed.borrow().get(&key).cloned())
        })
    }

    fn removed(&self, _: BuildId) -> LocalBoxFuture<'_, Result<Option<String>, String>> {
        let removed = self.1.get().then(|| "the logs were removed".to_owned());
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(removed)
        })
    }
}

/// `Disk` is what survives a crash of the master: the state directory and the committed seals.
struct Disk {
    dir: tempfile::TempDir,
    committed: Committed,
    limit: u64,
}

impl Disk {
    fn new(limit: u64) -> Disk {
        Disk { dir: tempfile::tempdir().unwrap(), committed: Committed::default(), limit }
    }

    fn open(&self) -> Logs {
        Logs::open(self.dir.path(), self.limit, true, Box::new(self.committed.clone())).unwrap()
    }

    fn commit(&self, logs: &Logs, row: SealRow) {
        let key = row.key;
        self.committed.0.borrow_mut().insert(key, row);
        logs.forget_sealed([key]);
    }

    /// Removes the logs of the build as retention does: first from the store, and then the files.
    async fn remove(&self, logs: &Logs) {
        self.forget();
        logs.remove(vec![KEY.job.build]).await.unwrap();
    }

    fn forget(&self) {
        self.committed.0.borrow_mut().clear();
        self.committed.1.set(true);
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.dir.path().join(format!("logs/4/4321/2.1.3.{kind}"))
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(test))
}

fn below(seed: &Cell<u64>, end: usize) -> usize {
    // an LCG (Knuth, MMIX): the same seed gives the same test
    seed.set(seed.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    (seed.get() >> 33) as usize % end
}

async fn write(logs: &Logs, offset: usize, bytes: &[u8]) -> u64 {
    logs.write(KEY, offset as u64, bytes.to_vec(), Vec::new()).await.unwrap().received
}

async fn seal(logs: &Logs, sent: &[u8]) -> Sealed {
    logs.seal(KEY, sent.len() as u64, blake3::hash(sent).as_bytes()).await.unwrap()
}

async fn whole(logs: &Logs) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let chunk = logs.read(KEY, bytes.len() as u64, 100_000).await.unwrap();
        if chunk.bytes.is_empty() {
            return bytes;
        }
        bytes.extend(chunk.bytes);
    }
}

#[test]
fn exactly_64_kib_stay_in_memory_and_one_byte_more_is_a_file() {
    run(async {
        for length in [0, 1, SMALL_MAX - 1, SMALL_MAX, SMALL_MAX + 1] {
            for first in [0, 1, length / 2, length] {
                let disk = Disk::new(LIMIT);
                let logs = disk.open();
                let sent: Vec<u8> = (0..length).map(|at| at as u8).collect();
                write(&logs, 0, &sent[..first.min(length)]).await;
                write(&logs, first.min(length), &sent[first.min(length)..]).await;
                let sealed = seal(&logs, &sent).await;
                assert!(sealed.agrees);
                assert_eq!(sealed.row.bytes.is_some(), length <= SMALL_MAX, "{length} bytes");
                assert_eq!(disk.path("log").exists(), length > SMALL_MAX, "{length} bytes");
                assert_eq!((sealed.row.size, sealed.row.hash), (length as u64, *blake3::hash(&sent).as_bytes()));
                assert_eq!(whole(&logs).await, sent);
                disk.commit(&logs, sealed.row);
                assert_eq!(whole(&logs).await, sent);
            }
        }
    });
}

#[test]
fn pipelined_writes_crashes_and_repetitions_give_a_prefix() {
    for first in 0..60 {
        let seed = Cell::new(first);
        run(async {
            let disk = Disk::new(LIMIT);
            let sent: Vec<u8> = (0..below(&seed, 300_000)).map(|_| below(&seed, 256) as u8).collect();
            let mut logs = disk.open();
            let mut received = 0;
            while received < sent.len() {
                let start = received - below(&seed, received.min(2_000) + 1);
                let ends: Vec<usize> =
                    (1..6).map(|step| (start + step * below(&seed, 9_000)).min(sent.len())).collect();
                let mut at = start;
                let mut writes = Vec::new();
                for end in ends {
                    let bytes = sent[at..end.max(at)].to_vec();
                    writes.push(logs.write(KEY, at as u64, bytes, Vec::new()));
                    at = end.max(at);
                }
                let answers = join_all(writes).await;
                assert!(answers.iter().all(Result::is_ok), "seed {first}: {answers:?}");
                received = received.max(at);
                assert_eq!(logs.received(KEY).await.unwrap(), (received as u64, false), "seed {first}");
                if below(&seed, 9) == 0 {
                    drop(logs);
                    logs = disk.open();
                    let (kept, _) = logs.received(KEY).await.unwrap();
                    assert!(kept == received as u64 || received <= SMALL_MAX && kept == 0, "seed {first}: {kept}");
                    received = kept as usize;
                }
                assert_eq!(whole(&logs).await, sent[..received], "seed {first}");
            }
            assert!(seal(&logs, &sent).await.agrees, "seed {first}");
            assert_eq!(whole(&logs).await, sent, "seed {first}");
        });
    }
}

#[test]
fn a_write_whose_caller_is_gone_is_whole_or_not_there() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = disk.open();
        let sent = vec![b'a'; 900_000];
        let mut received = 0;
        while received < sent.len() {
            let end = (received + 90_000).min(sent.len());
            let mut dropped = Box::pin(logs.write(KEY, received as u64, sent[received..end].to_vec(), Vec::new()));
            // the write is dropped wherever it is after some polls
            for _ in 0..3 {
                if dropped.as_mut().now_or_never().is_some() {
                    break;
                }
            }
            drop(dropped);
            // later calls wait until the dropped write has ended
            let (now, _) = logs.received(KEY).await.unwrap();
            assert!(now == received as u64 || now == end as u64);
            received = write(&logs, received, &sent[received..end]).await as usize;
        }
        assert!(seal(&logs, &sent).await.agrees);
        assert_eq!(whole(&logs).await, sent);
    });
}

#[test]
fn lines_of_ours_are_not_taken_for_the_workers_after_a_crash() {
    run(async {
        let disk = Disk::new(100_000);
        let logs = disk.open();
        let sent = vec![b'x'; 170_000];
        assert_eq!(write(&logs, 0, &sent).await, 170_000);
        let first = seal(&logs, &sent).await;
        assert!(first.agrees);
        // the master crashed before the commit of the seal
        let logs = disk.open();
        assert_eq!(logs.received(KEY).await.unwrap(), (100_000, false));
        assert_eq!(write(&logs, 99_000, &sent[99_000..]).await, 170_000);
        let second = seal(&logs, &sent).await;
        assert!(second.agrees);
        assert_eq!(first.row, second.row);
        let stored = whole(&logs).await;
        let end = String::from_utf8(stored[100_000..].to_vec()).unwrap();
        let line = "\n[guild: log limit of 100000 bytes reached, 4464 bytes dropped here; the end follows]\n";
        assert_eq!(end.strip_prefix(line), Some(&*"x".repeat(TAIL_BYTES)));
        assert_eq!(second.row.hash, *blake3::hash(&stored).as_bytes());
    });
}

/// A log that is too long keeps its beginning and its end, because the error is at the end (C26 in `tests/cases.tsv`).
#[test]
fn the_end_of_a_log_that_is_too_long_is_kept() {
    run(async {
        let beyond = "padding\n".repeat(20_000) + "THE-REASON\n";
        for (limit, ends_itself) in [(1_000, true), (100_000, true), (1_000, false)] {
            let disk = Disk::new(limit);
            let logs = disk.open();
            let head = "head\n".repeat(limit as usize / 5);
            let sent = format!("{head}{beyond}");
            for (at, part) in (0..).step_by(9_999).zip(sent.as_bytes().chunks(9_999)) {
                write(&logs, at, part).await;
            }
            let row = match ends_itself {
                true => seal(&logs, sent.as_bytes()).await.row,
                false => logs.end_attempt(KEY.job, 1, "[lost]\n").await.unwrap().remove(0),
            };
            let stored = String::from_utf8(whole(&logs).await).unwrap();
            assert_eq!(row.hash, *blake3::hash(stored.as_bytes()).as_bytes());
            let (before, after) = stored.split_once("[guild: log limit of ").unwrap();
            assert_eq!(before, head);
            let (gap, end) = after.split_once("; the end follows]\n").unwrap();
            let missing = beyond.len() - end.trim_end_matches("[lost]\n").len();
            assert_eq!(gap, format!("{limit} bytes reached, {missing} bytes dropped here"));
            assert!(end.starts_with("padding\n") && end.contains("padding\nTHE-REASON\n"), "{limit}");
            assert!(end.len() > TAIL_BYTES - 100, "{}", end.len());
            let (_, last) = logs.last_lines_on(KEY, &Grip::default(), 2).await.unwrap();
            assert!(String::from_utf8(last.bytes).unwrap().contains("THE-REASON"));
        }
    });
}

/// A log that is only a little too long is kept whole, and has no mark of a gap.
#[test]
fn a_log_that_is_a_little_too_long_is_whole() {
    run(async {
        for beyond in [1, TAIL_BYTES] {
            let disk = Disk::new(1_000);
            let logs = disk.open();
            let sent = vec![b'x'; 1_000 + beyond];
            write(&logs, 0, &sent).await;
            let sealed = seal(&logs, &sent).await;
            assert!(sealed.agrees);
            assert_eq!((whole(&logs).await, sealed.row.hash), (sent.clone(), *blake3::hash(&sent).as_bytes()));
        }
    });
}

#[test]
fn an_attempt_that_ended_twice_has_one_line_of_it() {
    run(async {
        for length in [5, SMALL_MAX - 3, SMALL_MAX + 5] {
            let disk = Disk::new(LIMIT);
            let logs = disk.open();
            write(&logs, 0, &vec![b'x'; length]).await;
            let first = logs.end_attempt(KEY.job, 1, "[lost]\n").await.unwrap();
            assert_eq!(first[0].size, length as u64 + 8);
            assert_eq!(logs.end_attempt(KEY.job, 1, "[again]\n").await.unwrap(), first, "it was not recorded yet");
            let late = logs.write(KEY, length as u64, vec![b'y'], Vec::new()).await.unwrap_err();
            assert_eq!(late.code, RefusalCode::Stale);
            // after a crash before the commit the file is there, and bytes that were in memory are lost
            let logs = disk.open();
            let again = logs.end_attempt(KEY.job, 1, "[lost]\n").await.unwrap();
            assert_eq!(again, if disk.path("log").exists() { first } else { Vec::new() });
        }
    });
}

#[test]
fn a_file_of_another_boot_is_not_trusted() {
    run(async {
        let disk = Disk::new(LIMIT);
        let sent = vec![b'x'; 70_000];
        write(&disk.open(), 0, &sent).await;
        let mut side = std::fs::read(disk.path("marks")).unwrap();
        side[3] ^= 1;
        std::fs::write(disk.path("marks"), side).unwrap();
        // this also holds if the machine was not restarted since the last master
        let logs = disk.open();
        assert_eq!(logs.received(KEY).await.unwrap(), (0, false));
        write(&logs, 0, &sent).await;
        let logs = disk.open();
        assert_eq!(logs.received(KEY).await.unwrap(), (70_000, false), "begun anew in this boot");
        let distrustful = Logs::open(disk.dir.path(), LIMIT, false, Box::new(disk.committed.clone())).unwrap();
        assert_eq!(distrustful.received(KEY).await.unwrap(), (0, false));
    });
}

#[test]
fn a_sealed_log_never_changes() {
    run(async {
        for length in [10, 70_000] {
            let disk = Disk::new(LIMIT);
            let sent = vec![b'x'; length];
            let logs = disk.open();
            write(&logs, 0, &sent).await;
            let row = seal(&logs, &sent).await.row;
            disk.commit(&logs, row.clone());
            for trusted in [true, false] {
                let logs = Logs::open(disk.dir.path(), LIMIT, trusted, Box::new(disk.committed.clone())).unwrap();
                let late = logs.write(KEY, length as u64, vec![b'y'], Vec::new()).await.unwrap_err();
                assert_eq!(late.code, RefusalCode::Stale);
                assert_eq!(logs.received(KEY).await.unwrap(), (length as u64, true));
                let again = seal(&logs, &sent).await;
                assert!(again.agrees && again.row == row);
                assert!(!seal(&logs, b"another").await.agrees);
                assert!(logs.end_attempt(KEY.job, 1, "[lost]\n").await.unwrap().is_empty());
                assert_eq!(whole(&logs).await, sent);
                assert!(logs.wait(KEY, 1 << 40).await.unwrap().sealed);
            }
        }
    });
}

#[test]
fn what_the_worker_says_is_compared() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = disk.open();
        write(&logs, 0, b"abc").await;
        assert!(!logs.seal(KEY, 4, blake3::hash(b"abc").as_bytes()).await.unwrap().agrees, "its length");
        assert!(!logs.seal(KEY, 3, blake3::hash(b"abd").as_bytes()).await.unwrap().agrees, "its hash");
        assert!(!logs.seal(KEY, 3, b"short").await.unwrap().agrees, "no hash at all");
        assert!(logs.seal(KEY, 3, blake3::hash(b"abc").as_bytes()).await.unwrap().agrees);
        assert!(logs.seal(KEY, 3, b"").await.unwrap().agrees, "it said none");
    });
}

#[test]
fn who_waits_before_the_log_begins_sees_its_first_byte_and_its_end() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = disk.open();
        let byte = logs.wait(KEY, 0);
        let far = logs.wait(KEY, 500);
        let (mut byte, mut far) = (pin!(byte), pin!(far));
        for _ in 0..3 {
            assert!(byte.as_mut().now_or_never().is_none());
            assert!(far.as_mut().now_or_never().is_none());
        }
        write(&logs, 0, b"a").await;
        assert_eq!(byte.await.unwrap().size, 1);
        assert!(far.as_mut().now_or_never().is_none());
        seal(&logs, b"a").await;
        let end = far.await.unwrap();
        assert_eq!((end.size, end.sealed, end.hash), (1, true, Some(*blake3::hash(b"a").as_bytes())));
    });
}

#[test]
fn a_seal_that_is_committed_while_somebody_waits_is_seen() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = disk.open();
        let mut waits = pin!(logs.wait(KEY, 0));
        for _ in 0..3 {
            assert!(waits.as_mut().now_or_never().is_none());
        }
        let sealed = seal(&logs, b"").await;
        disk.commit(&logs, sealed.row);
        assert!(waits.await.unwrap().sealed);
    });
}

#[test]
fn marks_are_kept_once_and_in_order() {
    run(async {
        let disk = Disk::new(LIMIT);
        let mut logs = disk.open();
        let mark = |offset| TimeMark { offset, time: Time(offset + 1) };
        let add = async |logs: &Logs, from: u64, to: u64, marks: &[u64]| {
            let marks = marks.iter().copied().map(mark).collect();
            logs.write(KEY, from, vec![0; (to - from) as usize], marks).await.unwrap();
        };
        add(&logs, 0, 100, &[0, 50, 50, 100, 7]).await;
        add(&logs, 90, 200, &[50, 90, 150]).await;
        assert_eq!(logs.marks(KEY).await.unwrap(), [0, 50, 90, 150].map(mark));
        add(&logs, 200, 70_000, &[200, 60_000]).await;
        logs = disk.open();
        assert_eq!(logs.marks(KEY).await.unwrap(), [0, 50, 90, 150, 200, 60_000].map(mark));
        add(&logs, 70_000, 70_001, &[70_000]).await;
        let sent = vec![0; 70_001];
        let sealed = seal(&logs, &sent).await;
        disk.commit(&logs, sealed.row);
        assert_eq!(disk.open().marks(KEY).await.unwrap(), [0, 50, 90, 150, 200, 60_000, 70_000].map(mark));
    });
}

#[test]
fn inline_file_work_waits_for_nothing() {
    let disk = Disk::new(LIMIT);
    let logs = Logs::open_inline(disk.dir.path(), LIMIT, true, Box::new(Inline)).unwrap();
    let sent = vec![b'x'; 200_000];
    let written = logs.write(KEY, 0, sent.clone(), Vec::new()).now_or_never().unwrap().unwrap();
    assert_eq!(written.received, 200_000);
    assert!(logs.seal(KEY, 200_000, blake3::hash(&sent).as_bytes()).now_or_never().unwrap().unwrap().agrees);
    assert_eq!(logs.read(KEY, 199_999, 9).now_or_never().unwrap().unwrap().bytes, b"x");
}

#[test]
fn of_an_attempt_that_began_here_no_seal_is_looked_for() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = disk.open();
        let empty = blake3::hash(b"");
        assert!(logs.seal(KEY, 0, empty.as_bytes()).now_or_never().is_none(), "the store is asked");
        let logs = disk.open();
        logs.begin_attempt(KEY.job, KEY.attempt);
        let sealed = logs.seal(KEY, 0, empty.as_bytes()).now_or_never().expect("nobody is asked").unwrap();
        assert!(sealed.agrees);
        disk.commit(&logs, sealed.row);
        logs.forget_attempt(KEY.job, KEY.attempt);
        assert_eq!(logs.received(KEY).await.unwrap(), (0, true));
    });
}

struct Inline;

impl Seals for Inline {
    fn find(&self, _: StepKey) -> LocalBoxFuture<'_, Result<Option<SealRow>, String>> {
        Box::pin(async { Ok(None) })
    }

    fn removed(&self, _: BuildId) -> LocalBoxFuture<'_, Result<Option<String>, String>> {
        Box::pin(async { Ok(None) })
    }
}

#[test]
#[ignore = "a measurement: cargo test -p master --lib a_log_of_100_mib -- --ignored --nocapture"]
fn a_log_of_100_mib() {
    run(async {
        let disk = Disk::new(1 << 30);
        let logs = disk.open();
        let part =
            b"a line of a log as compilers write them, about as long as a hundred characters are, give or take \n"
                .repeat(10_486);
        let mut hash = blake3::Hasher::new();
        for _ in 0..100 {
            hash.update(&part);
        }
        let start = std::time::Instant::now();
        for number in 0..100 {
            write(&logs, number * part.len(), &part).await;
        }
        let size = 100 * part.len() as u64;
        assert!(logs.seal(KEY, size, hash.finalize().as_bytes()).await.unwrap().agrees);
        println!("{size} bytes written and sealed in {:?}", start.elapsed());
        for line in [1_000_000, 1_000_001, 500_000] {
            let start = std::time::Instant::now();
            let found = logs.lines(KEY, line, 100).await.unwrap();
            println!("100 lines from {line} ({} bytes) in {:?}", found.bytes.len(), start.elapsed());
        }
        let start = std::time::Instant::now();
        assert_eq!(whole(&logs).await.len() as u64, size);
        println!("read back in {:?}", start.elapsed());
    });
}
