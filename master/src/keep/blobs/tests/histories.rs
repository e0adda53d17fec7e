//! Random histories of uploads with crashes between any two steps, compared with a plain model. A seed repeats its history.

use super::*;
use crate::keep::store::tests::rows::Dice;

const HISTORIES: u64 = 150;
const STEPS: u64 = 60;

/// `Model` plays a history, and knows its right result.
struct Model {
    disk: Disk,
    blobs: Blobs,
    dice: Dice,
    /// The uploads, each with the bytes that its worker sends. Several send the same bytes.
    uploads: Vec<(UploadKey, Vec<u8>)>,
    /// The number of bytes that were received, by the upload.
    received: BTreeMap<UploadKey, usize>,
    crashes: u32,
}

#[test]
fn a_reference_has_its_bytes_and_a_file_its_reference() {
    let (mut sealed, mut crashes) = (0, 0);
    for seed in 0..HISTORIES {
        run(async {
            let mut model = Model::new(seed);
            for _ in 0..STEPS {
                model.step().await;
                model.check(seed).await;
            }
            sealed += model.disk.committed.seals.borrow().len();
            crashes += model.crashes;
            model.end(seed).await;
        });
    }
    assert!(sealed > 150 && crashes > 300, "the histories are too poor: {sealed} sealed, {crashes} crashes");
}

impl Model {
    fn new(seed: u64) -> Model {
        let disk = Disk::new();
        let mut dice = Dice(seed);
        let contents: Vec<Vec<u8>> = (0..3).map(|at| vec![at; dice.below(9_000) as usize]).collect();
        let uploads = (0..6).map(|at: u64| {
            let attempt = u16::try_from(1 + at % 2).expect("it is small");
            (UploadKey { attempt, ..key(&at.to_string()) }, contents[dice.below(3) as usize].clone())
        });
        let (uploads, blobs) = (uploads.collect(), disk.open(true));
        Model { disk, blobs, dice, uploads, received: BTreeMap::new(), crashes: 0 }
    }

    async fn step(&mut self) {
        let (key, bytes) = self.uploads[self.dice.below(6) as usize].clone();
        match self.dice.below(12) {
            0..=5 => self.write(&key, &bytes).await,
            6 | 7 => self.seal(&key, &bytes).await,
            8 => self.crash(true),
            9 if self.dice.below(3) == 0 => self.crash(false),
            10 if self.dice.below(3) == 0 => self.end_attempt(key.attempt).await,
            11 if self.dice.below(4) == 0 => self.forget(&key).await,
            _ => tidy(&self.blobs).await,
        }
    }

    fn has(&self, key: &UploadKey) -> usize {
        self.received.get(key).copied().unwrap_or(0)
    }

    fn is_sealed(&self, key: &UploadKey) -> bool {
        self.disk.committed.seals.borrow().contains_key(key)
    }

    async fn write(&mut self, key: &UploadKey, bytes: &[u8]) {
        let has = self.has(key);
        if self.is_sealed(key) {
            return assert_eq!(refused(write(&self.blobs, key, has, b"x").await).0, RefusalCode::Conflict);
        }
        if self.dice.below(5) == 0 {
            return assert_eq!(refused(write(&self.blobs, key, has + 1, b"x").await).0, RefusalCode::Offset);
        }
        let start = has - self.dice.below(has.min(500) as u64 + 1) as usize;
        let end = (start + self.dice.below(6_000) as usize).min(bytes.len());
        let received = write(&self.blobs, key, start, &bytes[start..end.max(start)]).await.unwrap();
        self.received.insert(key.clone(), has.max(end));
        assert_eq!(received as usize, has.max(end));
    }

    /// Seals an upload. The master may crash after the file got its name, and before the reference is committed.
    async fn seal(&mut self, key: &UploadKey, bytes: &[u8]) {
        let is_whole = self.has(key) == bytes.len();
        if !is_whole && !self.is_sealed(key) {
            return assert_eq!(refused(self.blobs.place(key, seal_of(bytes)).await).0, RefusalCode::Offset);
        }
        if self.dice.below(3) > 0 {
            return self.disk.seal(&self.blobs, key, bytes).await.unwrap();
        }
        let placed = self.blobs.place(key, seal_of(bytes)).await.unwrap();
        if !placed.is_recorded {
            // the partial file has its final name now, so the worker sends the bytes again unless the upload was sealed
            self.received.insert(key.clone(), 0);
        }
        drop(placed);
        self.crash(true);
    }

    fn crash(&mut self, trusted: bool) {
        self.crashes += 1;
        self.blobs = self.disk.open(trusted);
        if !trusted {
            let sealed: BTreeSet<UploadKey> = self.disk.committed.seals.borrow().keys().cloned().collect();
            self.received.retain(|key, _| sealed.contains(key));
        }
    }

    async fn end_attempt(&mut self, attempt: u16) {
        self.blobs.end_attempt(JOB, attempt).await.unwrap();
        let sealed: BTreeSet<UploadKey> = self.disk.committed.seals.borrow().keys().cloned().collect();
        self.received.retain(|key, _| key.attempt != attempt || sealed.contains(key));
    }

    /// Plays retention that removes the build of an upload and its reference.
    async fn forget(&mut self, key: &UploadKey) {
        if self.is_sealed(key) {
            self.disk.committed.seals.borrow_mut().remove(key);
            self.received.remove(key);
        }
    }

    async fn check(&self, seed: u64) {
        for (key, _) in &self.uploads {
            let received = self.blobs.received(key).await.unwrap();
            assert_eq!(received, (self.has(key) as u64, self.is_sealed(key)), "seed {seed}: {key:?}");
        }
        let seals = self.disk.committed.seals.borrow().clone();
        for (key, seal) in seals {
            let bytes = &self.uploads.iter().find(|(of, _)| *of == key).unwrap().1;
            assert_eq!((seal, whole(&self.blobs, seal).await.unwrap()), (seal_of(bytes), bytes.clone()), "seed {seed}");
        }
    }

    /// Ends the history. After one look through all folders, there is a file for each hash with a reference, and no other file.
    async fn end(&mut self, seed: u64) {
        for attempt in [1, 2] {
            self.end_attempt(attempt).await;
        }
        tidy(&self.blobs).await;
        self.check(seed).await;
        let seals = self.disk.committed.seals.borrow();
        let wanted: BTreeSet<String> =
            seals.values().map(|seal| blake3::Hash::from_bytes(seal.hash).to_hex().to_string()).collect();
        assert_eq!(self.disk.files("sealed"), wanted, "seed {seed}");
        assert!(self.disk.files("partial").is_empty(), "seed {seed}");
    }
}
