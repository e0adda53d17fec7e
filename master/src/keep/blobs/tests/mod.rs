//! Blobs with crashes, callers that go away, and uploads of the same bytes: each blob with a reference is there, and no other.

mod histories;

use super::*;
use crate::decide::coordinator::record::BuildId;
use futures::FutureExt as _;
use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

const JOB: JobKey = JobKey { build: BuildId(7), index: 2 };

/// `Committed` plays the store: it has the seals that were committed.
#[derive(Clone, Default)]
struct Committed {
    seals: Rc<RefCell<BTreeMap<UploadKey, Seal>>>,
    /// The bytes that others have stored, according to the store.
    others: Rc<Cell<BlobUsage>>,
}

impl BlobIndex for Committed {
    fn sealed(&self, key: UploadKey) -> LocalBoxFuture<'_, Result<Option<Seal>, String>> {
        Box::pin(async move {
            // a real query does not answer at once
            tokio::task::yield_now().await;
            Ok(self.seals.borrow().get(&key).copied())
        })
    }

    fn usage(&self, _: UploadKey) -> LocalBoxFuture<'_, Result<BlobUsage, String>> {
        Box::pin(async { Ok(self.others.get()) })
    }

    fn referenced(&self, hashes: Vec<BlobHash>) -> LocalBoxFuture<'_, Result<BTreeSet<BlobHash>, String>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let seals = self.seals.borrow();
            Ok(hashes.into_iter().filter(|hash| seals.values().any(|seal| seal.hash == *hash)).collect())
        })
    }
}

/// The limit for the bytes that all projects store together.
const QUOTA: u64 = 200 << 30;

/// `Disk` is what survives a crash of the master: the state directory and the committed seals.
struct Disk {
    dir: tempfile::TempDir,
    committed: Committed,
}

impl Disk {
    fn new() -> Disk {
        Disk { dir: tempfile::tempdir().unwrap(), committed: Committed::default() }
    }

    fn open(&self, trusted: bool) -> Blobs {
        Blobs::open(self.dir.path(), QUOTA, trusted, false, Box::new(self.committed.clone())).unwrap()
    }

    /// Seals an upload as the API does: its file gets its name, then its reference is committed, and then the blobs record it.
    async fn seal(&self, blobs: &Blobs, key: &UploadKey, bytes: &[u8]) -> Result<(), Refusal> {
        let placed = blobs.place(key, seal_of(bytes)).await?;
        if !placed.is_recorded {
            self.committed.seals.borrow_mut().insert(key.clone(), placed.seal());
            blobs.record(placed);
        }
        Ok(())
    }

    /// Returns the names of all files below a folder of the blobs.
    fn files(&self, folder: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.dir.path().join("blobs").join(folder)];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    found.insert(path.file_name().unwrap().to_string_lossy().into_owned());
                }
            }
        }
        found
    }

    fn sealed(&self, bytes: &[u8]) -> bool {
        self.files("sealed").contains(&blake3::hash(bytes).to_hex().to_string())
    }
}

fn key(name: &str) -> UploadKey {
    UploadKey { job: JOB, attempt: 1, name: name.to_owned(), project: "demo".to_owned() }
}

fn seal_of(bytes: &[u8]) -> Seal {
    Seal { size: bytes.len() as u64, hash: *blake3::hash(bytes).as_bytes() }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(test))
}

async fn write(blobs: &Blobs, key: &UploadKey, offset: usize, bytes: &[u8]) -> Result<u64, Refusal> {
    let room = blobs.room(bytes.len()).await?;
    blobs.write(key, offset as u64, BlobWrite { bytes: bytes.to_vec(), room }).await
}

/// Returns all bytes of a blob, as a new reader reads them.
async fn whole(blobs: &Blobs, seal: Seal) -> io::Result<Vec<u8>> {
    let (reader, mut bytes) = (blobs.reader(seal), Vec::new());
    loop {
        let more = blobs.read(&reader, bytes.len() as u64, 100_000).await?;
        if more.is_empty() {
            return Ok(bytes);
        }
        bytes.extend(more);
    }
}

/// Searches all folders for files without references, as retention does after a start.
async fn tidy(blobs: &Blobs) {
    for shard in blobs.shards().await.unwrap() {
        let found = blobs.hashes(shard).await.unwrap();
        blobs.remove_unreferenced(found).await.unwrap();
    }
}

fn refused<T>(result: Result<T, Refusal>) -> (RefusalCode, String) {
    let refusal = result.err().expect("it is refused");
    (refusal.code, refusal.text)
}

#[test]
fn what_is_sealed_can_be_read_by_its_hash() {
    run(async {
        for length in [0, 1, 300_000] {
            let disk = Disk::new();
            let blobs = disk.open(true);
            let bytes: Vec<u8> = (0..length).map(|at: u32| at as u8).collect();
            assert_eq!(write(&blobs, &key("a"), 0, &bytes).await.unwrap(), u64::from(length));
            disk.seal(&blobs, &key("a"), &bytes).await.unwrap();
            assert_eq!(whole(&blobs, seal_of(&bytes)).await.unwrap(), bytes);
            assert_eq!(blobs.received(&key("a")).await.unwrap(), (u64::from(length), true));
            // a worker that lost the answer gets it again, and another hash or length is refused
            disk.seal(&blobs, &key("a"), &bytes).await.unwrap();
            let (code, text) = refused(disk.seal(&blobs, &key("a"), b"another").await);
            assert_eq!(
                (code, text.as_str()),
                (RefusalCode::Conflict, "the blob is sealed, with another length or hash")
            );
            assert_eq!(refused(write(&blobs, &key("a"), bytes.len(), b"more").await).0, RefusalCode::Conflict);
            assert!(disk.files("partial").is_empty());
        }
    });
}

#[test]
fn a_wrong_length_or_hash_is_refused_by_name() {
    run(async {
        let disk = Disk::new();
        let blobs = disk.open(true);
        write(&blobs, &key("a"), 0, b"abc").await.unwrap();
        let missing = refused(blobs.place(&key("a"), seal_of(b"abcd")).await);
        assert_eq!(missing, (RefusalCode::Offset, "the length is wrong: 3 bytes were received, not 4".to_owned()));
        assert_eq!(blobs.received(&key("a")).await.unwrap().0, 3, "what is missing can be sent");
        let other = refused(blobs.place(&key("a"), seal_of(b"abd")).await);
        let text = "the hash is wrong: the bytes that were received have another BLAKE3";
        assert_eq!(other, (RefusalCode::Invalid, text.to_owned()));
        assert_eq!(blobs.received(&key("a")).await.unwrap().0, 0, "which bytes are wrong is not known");
        write(&blobs, &key("a"), 0, b"abcd").await.unwrap();
        let longer = refused(blobs.place(&key("a"), seal_of(b"abc")).await);
        assert_eq!(longer, (RefusalCode::Invalid, "the length is wrong: 4 bytes were received, not 3".to_owned()));
        write(&blobs, &key("a"), 0, b"abc").await.unwrap();
        disk.seal(&blobs, &key("a"), b"abc").await.unwrap();
        assert_eq!(whole(&blobs, seal_of(b"abc")).await.unwrap(), b"abc");
    });
}

#[test]
fn the_same_bytes_are_stored_once() {
    run(async {
        let disk = Disk::new();
        let blobs = disk.open(true);
        for name in ["a", "b"] {
            write(&blobs, &key(name), 0, b"same").await.unwrap();
        }
        let (one, two) = (key("a"), key("b"));
        let sealed = futures::join!(disk.seal(&blobs, &one, b"same"), disk.seal(&blobs, &two, b"same"));
        assert_eq!(sealed, (Ok(()), Ok(())));
        assert_eq!(disk.files("sealed").len(), 1);
        // one reference is removed, and the other keeps the blob
        disk.committed.seals.borrow_mut().remove(&key("a"));
        tidy(&blobs).await;
        assert!(disk.sealed(b"same"));
        disk.committed.seals.borrow_mut().remove(&key("b"));
        tidy(&blobs).await;
        assert!(disk.files("sealed").is_empty());
    });
}

#[test]
fn a_blob_that_is_being_sealed_is_not_removed() {
    run(async {
        let disk = Disk::new();
        let blobs = disk.open(true);
        write(&blobs, &key("a"), 0, b"x").await.unwrap();
        let placed = blobs.place(&key("a"), seal_of(b"x")).await.unwrap();
        // its reference is not committed yet, but the blob must stay while it is being sealed
        tidy(&blobs).await;
        assert!(disk.sealed(b"x"));
        disk.committed.seals.borrow_mut().insert(key("a"), placed.seal());
        blobs.record(placed);
        tidy(&blobs).await;
        assert!(disk.sealed(b"x"));
    });
}

#[test]
fn a_seal_waits_for_the_removal_of_the_same_bytes() {
    run(async {
        let disk = Disk::new();
        let blobs = disk.open(true);
        write(&blobs, &key("a"), 0, b"x").await.unwrap();
        disk.seal(&blobs, &key("a"), b"x").await.unwrap();
        disk.committed.seals.borrow_mut().clear();
        write(&blobs, &key("b"), 0, b"x").await.unwrap();
        let removed = blobs.remove_unreferenced(vec![seal_of(b"x").hash]).await.unwrap();
        assert_eq!((removed.hashes().len(), disk.sealed(b"x")), (1, false));
        let second = key("b");
        let mut sealing = pin!(disk.seal(&blobs, &second, b"x"));
        for _ in 0..20 {
            assert!(sealing.as_mut().now_or_never().is_none(), "its row is still to be deleted");
            tokio::task::yield_now().await;
        }
        drop(removed);
        sealing.await.unwrap();
        assert_eq!(whole(&blobs, seal_of(b"x")).await.unwrap(), b"x");
    });
}

#[test]
fn an_attempt_that_ends_leaves_what_it_sealed_and_nothing_else() {
    run(async {
        let disk = Disk::new();
        let blobs = disk.open(true);
        for name in ["sealed", "placed", "partial"] {
            write(&blobs, &key(name), 0, name.as_bytes()).await.unwrap();
        }
        disk.seal(&blobs, &key("sealed"), b"sealed").await.unwrap();
        // the commit of its reference was refused, because the lease had ended
        drop(blobs.place(&key("placed"), seal_of(b"placed")).await.unwrap());
        // a write that has begun is finished before the end of the attempt
        let partial = key("partial");
        let (begun, ended) = futures::join!(write(&blobs, &partial, 7, b"begun"), blobs.end_attempt(JOB, 1));
        assert_eq!((begun, ended.is_ok()), (Ok(12), true));
        assert_eq!(disk.files("partial").len(), 0);
        assert_eq!((disk.files("sealed").len(), disk.sealed(b"sealed")), (1, true));
    });
}

#[test]
fn an_upload_goes_on_after_a_restart_where_its_attempt_does() {
    run(async {
        for (trusted, runs, kept) in [(true, true, 5), (true, false, 0), (false, true, 0)] {
            let disk = Disk::new();
            write(&disk.open(true), &key("a/b"), 0, b"bytes").await.unwrap();
            let blobs = disk.open(trusted);
            blobs.keep_partials(|job, attempt| runs && (job, attempt) == (JOB, 1)).unwrap();
            assert_eq!(disk.files("partial").len(), usize::from(kept > 0), "trusted: {trusted}, runs: {runs}");
            assert_eq!(blobs.received(&key("a/b")).await.unwrap(), (kept, false));
            blobs.end_attempt(JOB, 1).await.unwrap();
            assert!(disk.files("partial").is_empty());
        }
        // here no call asks for the upload after the restart
        let disk = Disk::new();
        write(&disk.open(true), &key("a"), 0, b"bytes").await.unwrap();
        disk.open(true).end_attempt(JOB, 1).await.unwrap();
        assert!(disk.files("partial").is_empty());
    });
}

#[test]
fn a_quota_is_kept_to_the_byte() {
    run(async {
        let full = |attempt, project| BlobUsage { attempt, project, ..BlobUsage::default() };
        let all_full = BlobUsage { total: QUOTA - 10, ..BlobUsage::default() };
        for (others, text) in [
            (full(ATTEMPT_BYTES_MAX - 10, 0), "there is no room for these bytes: an attempt may store 8.0 GiB"),
            (full(0, PROJECT_BYTES_MAX - 10), "there is no room for these bytes: a project may store 100.0 GiB"),
            (all_full, "there is no room for these bytes: all projects together may store 200.0 GiB"),
        ] {
            let disk = Disk::new();
            let blobs = disk.open(true);
            disk.committed.others.set(others);
            write(&blobs, &key("a"), 0, b"12345").await.unwrap();
            write(&blobs, &key("b"), 0, b"12345").await.unwrap();
            let beyond = refused(write(&blobs, &key("b"), 5, b"6").await);
            assert_eq!(beyond, (RefusalCode::Conflict, text.to_owned()));
            assert_eq!(blobs.received(&key("b")).await.unwrap().0, 5, "nothing of it counts");
            assert_eq!(write(&blobs, &key("b"), 4, b"5").await, Ok(5), "what is there may come again");
            blobs.end_attempt(JOB, 1).await.unwrap();
            let next = UploadKey { attempt: 2, ..key("a") };
            assert_eq!(write(&blobs, &next, 0, b"1234567890").await, Ok(10), "what went gave its room back");
        }
    });
}

#[test]
fn all_projects_share_one_quota_which_a_reload_may_change() {
    run(async {
        let disk = Disk::new();
        let blobs = disk.open(true);
        blobs.set_quota(10);
        let other = UploadKey { project: "other".to_owned(), job: JobKey { build: BuildId(9), index: 0 }, ..key("b") };
        write(&blobs, &key("a"), 0, b"12345").await.unwrap();
        write(&blobs, &other, 0, b"12345").await.unwrap();
        let text = "there is no room for these bytes: all projects together may store 10 B".to_owned();
        assert_eq!(refused(write(&blobs, &key("c"), 0, b"6").await), (RefusalCode::Conflict, text));
        blobs.set_quota(11);
        assert_eq!(write(&blobs, &key("c"), 0, b"6").await, Ok(1), "the same bytes, once there is room");
        blobs.set_quota(1);
        disk.seal(&blobs, &key("a"), b"12345").await.unwrap();
        blobs.end_attempt(other.job, 1).await.unwrap();
        assert_eq!(blobs.received(&key("c")).await.unwrap().0, 1, "what was let in stays where the quota is less now");
    });
}

#[test]
fn an_attempt_has_few_uploads_at_once_and_few_blobs() {
    run(async {
        let disk = Disk::new();
        let blobs = disk.open(true);
        for index in 0..UPLOADS_MAX {
            write(&blobs, &key(&index.to_string()), 0, b"x").await.unwrap();
        }
        let one_more = refused(write(&blobs, &key("more"), 0, b"x").await);
        assert_eq!(
            one_more,
            (RefusalCode::Conflict, "the attempt already has 16 open uploads, and may have no more".to_owned())
        );
        disk.seal(&blobs, &key("0"), b"x").await.unwrap();
        write(&blobs, &key("more"), 0, b"x").await.unwrap();
        disk.seal(&blobs, &key("more"), b"x").await.unwrap();
        disk.committed.others.set(BlobUsage { count: ATTEMPT_BLOBS_MAX, ..BlobUsage::default() });
        assert_eq!(refused(write(&blobs, &key("last"), 0, b"x").await).0, RefusalCode::Conflict);
        assert!(blobs.uploads.borrow().len() < UPLOADS_MAX, "what was not let in is not held");
        for index in 0..3 {
            disk.committed.others.set(BlobUsage::default());
            write(&blobs, &key(&format!("again{index}")), 0, b"x").await.ok();
        }
        assert_eq!(blobs.received(&key("0")).await.unwrap(), (1, true), "what is sealed still says so");
    });
}

#[test]
fn uploads_under_way_count_as_blobs_of_their_attempt() {
    run(async {
        let disk = Disk::new();
        let blobs = disk.open(true);
        disk.committed.others.set(BlobUsage { count: ATTEMPT_BLOBS_MAX - 2, ..BlobUsage::default() });
        for name in ["a", "b"] {
            write(&blobs, &key(name), 0, b"x").await.unwrap();
        }
        let text = "the attempt already has 1000 blobs, open uploads included, and may have no more".to_owned();
        assert_eq!(refused(write(&blobs, &key("c"), 0, b"x").await), (RefusalCode::Conflict, text));
        assert_eq!(write(&blobs, &key("b"), 1, b"y").await, Ok(2), "what was let in goes on");
        disk.seal(&blobs, &key("a"), b"x").await.unwrap();
        disk.committed.others.set(BlobUsage { count: ATTEMPT_BLOBS_MAX - 1, ..BlobUsage::default() });
        assert_eq!(
            refused(write(&blobs, &key("c"), 0, b"x").await).0,
            RefusalCode::Conflict,
            "a sealed one counts once"
        );
        disk.committed.others.set(BlobUsage { count: ATTEMPT_BLOBS_MAX - 2, ..BlobUsage::default() });
        assert_eq!(write(&blobs, &key("c"), 0, b"x").await, Ok(1), "what was refused has left no trace");
        let of_another = UploadKey { attempt: 2, ..key("d") };
        assert_eq!(write(&blobs, &of_another, 0, b"x").await, Ok(1), "each attempt counts for itself");
    });
}

#[test]
fn a_reader_that_has_begun_reads_on_when_the_blob_is_removed() {
    run(async {
        let disk = Disk::new();
        let blobs = disk.open(true);
        let bytes = vec![7; 200_000];
        write(&blobs, &key("a"), 0, &bytes).await.unwrap();
        disk.seal(&blobs, &key("a"), &bytes).await.unwrap();
        let (begun, late) = (blobs.reader(seal_of(&bytes)), blobs.reader(seal_of(&bytes)));
        assert_eq!(blobs.read(&begun, 0, 1_000).await.unwrap().len(), 1_000);
        disk.committed.seals.borrow_mut().clear();
        tidy(&blobs).await;
        assert_eq!(blobs.read(&begun, 1_000, 250_000).await.unwrap().len(), 199_000);
        assert_eq!(blobs.read(&late, 0, 1).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    });
}

#[test]
fn a_full_disk_costs_nothing_that_was_received() {
    run(async {
        let disk = Disk::new();
        let blobs = disk.open(true);
        write(&blobs, &key("good"), 0, b"good").await.unwrap();
        // the partial file is replaced by a link to /dev/full, which takes no bytes
        let name = disk.files("partial").pop_first().unwrap();
        blobs.end_attempt(JOB, 1).await.unwrap();
        std::os::unix::fs::symlink("/dev/full", disk.dir.path().join("blobs/partial").join(&name)).unwrap();
        disk.committed.others.set(BlobUsage { attempt: ATTEMPT_BYTES_MAX - 4, ..BlobUsage::default() });
        for _ in 0..3 {
            let (code, text) = refused(write(&blobs, &key("good"), 0, b"good").await);
            assert!(code == RefusalCode::Unavailable && text.contains("No space left on device"), "{text}");
            assert_eq!(blobs.received(&key("good")).await.unwrap(), (0, false));
        }
        // the failed writes did not count against the quota
        blobs.end_attempt(JOB, 1).await.unwrap();
        assert_eq!(write(&blobs, &key("good"), 0, b"good").await, Ok(4));
    });
}

#[test]
fn a_write_whose_caller_is_gone_is_whole_or_not_there() {
    run(async {
        let disk = Disk::new();
        let blobs = disk.open(true);
        let sent = vec![b'a'; 900_000];
        let (mut received, upload) = (0, key("a"));
        while received < sent.len() {
            let end = (received + 90_000).min(sent.len());
            let mut dropped = Box::pin(write(&blobs, &upload, received, &sent[received..end]));
            // the write is dropped wherever it is after some polls
            for _ in 0..3 {
                if dropped.as_mut().now_or_never().is_some() {
                    break;
                }
            }
            drop(dropped);
            // later calls wait until the dropped write has ended
            let (now, _) = blobs.received(&key("a")).await.unwrap();
            assert!(now == received as u64 || now == end as u64);
            received = write(&blobs, &key("a"), received, &sent[received..end]).await.unwrap() as usize;
        }
        disk.seal(&blobs, &key("a"), &sent).await.unwrap();
        assert_eq!(whole(&blobs, seal_of(&sent)).await.unwrap(), sent);
    });
}
