//! A log that can still be written.
//!
//! A change of a log holds the writer, so changes happen one after another. A change that touches a file takes the writer to
//! another thread and completes there, so a caller that goes away leaves nothing half done.

use super::files::{Files, Pair};
use super::{LogExtent, SMALL_MAX, Sealed, TimeMark, Written};
use crate::decide::coordinator::record::{SealRow, StepKey};
use crate::keep::bytes::budget::{Budget, Share};
use crate::keep::bytes::snapshot::{ByteSnapshot, Bytes};
use crate::keep::bytes::sum::Sum;
use crate::keep::bytes::{drop_known, measure};
use schema::limits::borders::LOGS_IN_MEMORY;
use schema::values::{Refusal, RefusalCode};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use system::tail::Tail;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, watch};

/// The bytes that the small logs of one attempt and their marks may take in memory: 1 MiB. It is bounded because a plan may
/// have thousands of steps. It fits 16 logs of the largest size or some hundred short ones; further logs go into files.
const ATTEMPT_BYTES_MAX: usize = LOGS_IN_MEMORY.count();
/// The length of the line that reports a gap, in bytes, at most.
const GAP_BYTES: usize = 160;
/// The number of marks that are kept of one write, and of a log in memory. Workers usually send one mark for each line, and
/// more marks would not show more.
const MARKS_MAX: usize = 4_096;
/// The size of a mark in memory, in bytes.
const MARK_BYTES: usize = size_of::<TimeMark>();
/// The size of all marks of one write, in bytes, at most.
const MARKS_BYTES_MAX: usize = MARKS_MAX * MARK_BYTES;

/// A log to which its worker may still write.
pub(super) struct LiveLog {
    files: Files,
    key: StepKey,
    limit: u64,
    /// The writer, behind a fair lock, so that changes take effect in the order of the calls.
    writer: Arc<tokio::sync::Mutex<Writer>>,
    /// The log's share of the memory that its attempt may have.
    share: Share,
    /// The part that readers see. It is locked only briefly, and never during file work.
    view: Mutex<LogView>,
    changed: watch::Sender<()>,
}

/// The right to change the log.
pub(super) type WriterGuard = OwnedMutexGuard<Writer>;

/// The state of a log that only its changes use.
#[derive(Default)]
pub(super) struct Writer {
    pair: Option<Pair>,
    /// The hash of all bytes that the worker sent.
    sent: Sum,
    /// The hash of the stored bytes; `None` while it equals the hash of the sent bytes.
    stored: Option<Sum>,
    last: Option<u8>,
    /// The last bytes that came beyond the limit, which are kept because errors usually stand at the end.
    tail: Tail,
    /// The marks of a log that is in memory.
    marks: Vec<TimeMark>,
    next_mark: u64,
    /// The offset where the worker's bytes end and lines of the master's own follow. Once it is set, the worker may not write.
    ends_at: Option<u64>,
    end_told: bool,
}

/// The part of a growing log that its readers see.
struct LogView {
    taken_up: bool,
    /// The number of bytes that the worker need not send again.
    received: u64,
    /// The stored bytes: the received ones up to the limit, and lines of the master's own.
    source: ByteSnapshot,
    sealed: Option<SealRow>,
}

/// The bytes and marks that a worker sends in one write.
pub struct Write {
    pub bytes: Vec<u8>,
    pub marks: Vec<TimeMark>,
    /// The room in the queue, which is given back when the bytes are written.
    pub room: OwnedSemaphorePermit,
}

impl LiveLog {
    pub(super) fn new(files: Files, key: StepKey, limit: u64, budget: Budget) -> LiveLog {
        let view = Mutex::new(LogView { taken_up: false, received: 0, source: ByteSnapshot::empty(), sealed: None });
        let share = Share::of(budget);
        LiveLog { files, key, limit, writer: Arc::default(), share, view, changed: watch::Sender::new(()) }
    }

    /// Returns the budget that all logs of the attempt share.
    pub(super) fn budget(&self) -> Budget {
        self.share.budget()
    }

    pub(super) async fn turn(&self) -> WriterGuard {
        self.writer.clone().lock_owned().await
    }

    /// Takes up the log as it is: sealed by an earlier call, left as a file by an earlier master, or new.
    pub(super) async fn open(
        self: &Arc<Self>,
        mut turn: WriterGuard,
        sealed: Option<SealRow>,
        has_file: bool,
    ) -> io::Result<WriterGuard> {
        if let Some(row) = sealed {
            let source = super::sealed_source(&self.files, &row);
            *self.view() = LogView { taken_up: false, received: row.size, source, sealed: Some(row) };
        } else if has_file {
            let live = self.clone();
            let work = move || live.take_up(&mut turn).map(|()| turn);
            turn = Box::pin(self.files.work.run(work)).await?;
        }
        self.view().taken_up = true;
        self.changed.send_replace(());
        Ok(turn)
    }

    fn take_up(&self, writer: &mut Writer) -> io::Result<()> {
        let pair = self.files.resume(self.key)?;
        let (size, hash, last) = measure(pair.log.file())?;
        writer.last = last;
        (writer.sent, writer.next_mark) = (hash, size);
        let mut view = self.view();
        (view.received, view.source) = (size, ByteSnapshot { size, bytes: Bytes::Open(pair.log.file().clone()) });
        writer.pair = Some(pair);
        Ok(())
    }

    /// Appends at `offset`. Bytes that were received before are dropped, and a gap is refused.
    pub(super) async fn write(
        self: &Arc<Self>,
        turn: WriterGuard,
        offset: u64,
        mut write: Write,
    ) -> Result<Written, Refusal> {
        if self.is_sealed() || turn.ends_at.is_some() {
            return Err(Refusal::new(RefusalCode::Stale, "the log is sealed"));
        }
        drop_known(self.received(), offset, &mut write.bytes)?;
        let length = write.bytes.len();
        let change = move |live: &LiveLog, writer: &mut Writer| live.take_in(writer, write);
        self.change(turn, length, change).await.map_err(|error| super::cannot_write(&error))
    }

    pub(super) fn received(&self) -> u64 {
        self.view().received
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.view().sealed.is_some()
    }

    /// Whether [`LiveLog::open`] has completed, so that the bytes of an earlier master are known.
    pub(super) fn is_taken_up(&self) -> bool {
        self.view().taken_up
    }

    pub(super) fn source_and_seal(&self) -> (ByteSnapshot, bool) {
        let view = self.view();
        (view.source.clone(), view.sealed.is_some())
    }

    fn source(&self) -> ByteSnapshot {
        self.view().source.clone()
    }

    pub(super) fn size(&self) -> LogExtent {
        let view = self.view();
        LogExtent {
            size: view.source.size,
            sealed: view.sealed.is_some(),
            hash: view.sealed.as_ref().map(|row| row.hash),
        }
    }

    pub(super) async fn marks(&self) -> io::Result<Vec<TimeMark>> {
        let turn = self.turn().await;
        if turn.pair.is_none() {
            return Ok(turn.marks.clone());
        }
        let (files, key) = (self.files.clone(), self.key);
        self.files.work.run(move || files.marks(key)).await
    }

    /// Waits until there is a byte at `offset`, or until the log is sealed.
    pub(super) async fn wait(&self, offset: u64) -> LogExtent {
        let mut changed = self.changed.subscribe();
        let seen = |_: &()| {
            let size = self.size();
            size.sealed || size.size > offset
        };
        let _ = changed.wait_for(seen).await;
        self.size()
    }

    /// Seals the log. `size` and `hash` are the worker's claim, which is compared with the received bytes.
    pub(super) async fn seal(self: &Arc<Self>, turn: WriterGuard, size: u64, hash: &[u8]) -> io::Result<Sealed> {
        let hash = hash.to_vec();
        let close = move |live: &LiveLog, writer: &mut Writer| {
            let row = live.close(writer, None)?;
            // only the stored bytes are known of a log that was sealed before this master started
            let sent = if writer.sent.is_empty() { row.hash } else { writer.sent.hash() };
            let agrees = live.received() == size && (hash.is_empty() || hash == sent);
            Ok(Sealed { row, agrees })
        };
        let growth = turn.growth_at_end();
        self.change(turn, growth, close).await
    }

    /// Seals the log with a line of the master's own, no matter what its worker sent.
    pub(super) async fn end(self: &Arc<Self>, turn: WriterGuard, line: &str) -> io::Result<SealRow> {
        let line = line.to_owned();
        let growth = line.len() + turn.growth_at_end();
        self.change(turn, growth, move |live, writer| live.close(writer, Some(&line))).await
    }

    /// Discards the log, in memory and on the disk. Later writes are refused.
    pub(super) async fn discard(self: &Arc<Self>, turn: WriterGuard) -> io::Result<()> {
        let live = self.clone();
        let has_file = turn.pair.is_some() || !self.is_taken_up();
        let discard = move |mut writer: WriterGuard| {
            *writer = Writer { ends_at: Some(0), ..Writer::default() };
            let row = SealRow { key: live.key, size: 0, hash: Sum::default().hash(), bytes: None };
            *live.view() = LogView { taken_up: true, received: 0, source: ByteSnapshot::empty(), sealed: Some(row) };
            live.changed.send_replace(());
            if has_file { live.files.remove_log(live.key) } else { Ok(()) }
        };
        if !has_file {
            return discard(turn);
        }
        let files = self.files.clone();
        files.work.run(move || discard(turn)).await
    }

    /// Makes one change of the log. It runs on this thread if the log stays in memory, and otherwise as file work.
    async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        mut turn: WriterGuard,
        growth: usize,
        change: impl FnOnce(&LiveLog, &mut Writer) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let live = self.clone();
        let is_short = self.view().source.size + growth as u64 <= SMALL_MAX as u64;
        let is_small =
            turn.pair.is_none() && is_short && self.share.has_room(growth + MARKS_BYTES_MAX, ATTEMPT_BYTES_MAX);
        let work = move || {
            let done = change(&live, &mut turn);
            live.changed.send_replace(());
            done
        };
        // boxed, because only few changes need this future, and without the box every caller's future would be as large
        if is_small { work() } else { Box::pin(self.files.work.run(work)).await }
    }

    fn take_in(&self, writer: &mut Writer, write: Write) -> io::Result<Written> {
        let Write { bytes, marks, room: queued } = write;
        if let Some(pair) = &mut writer.pair {
            pair.log.poll_sync()?;
        }
        let (received, stored) = (self.received(), self.view().source.size);
        let room = usize::try_from(self.limit.saturating_sub(stored)).unwrap_or(usize::MAX);
        let (kept, dropped) = bytes.split_at(room.min(bytes.len()));
        // marks are written first: if marks lie beyond the end of the log, the next master drops them
        let known = writer.marks.len();
        writer.note(&marks, received + kept.len() as u64)?;
        let is_kept = self.share.take(writer.marks.len().saturating_sub(known) * MARK_BYTES, ATTEMPT_BYTES_MAX);
        if !is_kept && let Bytes::Memory(small) = self.source().bytes {
            self.begin_file(writer, &small)?;
        }
        self.store(writer, kept)?;
        writer.sent.update(kept);
        if !dropped.is_empty() {
            writer.part();
            writer.sent.update(dropped);
            writer.tail.push(dropped);
        }
        let received = received + bytes.len() as u64;
        self.view().received = received;
        drop(queued);
        Ok(Written { received, durable: writer.pair.as_ref().map_or(0, |pair| pair.log.durable()) })
    }

    /// Stores bytes in memory while they are few, and otherwise in the file. After an error none of them counts.
    fn store(&self, writer: &mut Writer, bytes: &[u8]) -> io::Result<()> {
        let Some(last) = bytes.last() else { return Ok(()) };
        if !self.store_small(bytes) {
            self.store_large(writer, bytes)?;
        }
        writer.last = Some(*last);
        Ok(())
    }

    /// Stores bytes in memory. Returns `false` if the log is a file already, if it would get too large, or if its attempt may take no
    /// more memory.
    fn store_small(&self, bytes: &[u8]) -> bool {
        let source = &mut self.view().source;
        let end = source.size + bytes.len() as u64;
        match &mut source.bytes {
            Bytes::Memory(small) if end <= SMALL_MAX as u64 && self.share.take(bytes.len(), ATTEMPT_BYTES_MAX) => {
                Arc::make_mut(small).extend_from_slice(bytes)
            }
            Bytes::Memory(_) | Bytes::Open(_) | Bytes::Closed(_) => return false,
        }
        source.size = end;
        true
    }

    fn store_large(&self, writer: &mut Writer, bytes: &[u8]) -> io::Result<()> {
        let ByteSnapshot { size, bytes: place } = self.source();
        if let Bytes::Memory(small) = place {
            self.begin_file(writer, &small)?;
        }
        let pair = writer.pair.as_mut().ok_or_else(|| io::Error::other("the log is sealed"))?;
        pair.log.append(size, bytes)?;
        let (end, log) = (size + bytes.len() as u64, pair.log.file().clone());
        self.view().source = ByteSnapshot { size: end, bytes: Bytes::Open(log) };
        Ok(())
    }

    fn begin_file(&self, writer: &mut Writer, small: &[u8]) -> io::Result<()> {
        let mut pair = self.files.begin(self.key)?;
        pair.add_marks(&writer.marks)?;
        writer.ends_at.map_or(Ok(()), |offset| pair.note_end(offset))?;
        pair.log.append(0, small)?;
        let log = pair.log.file().clone();
        writer.pair = Some(pair);
        writer.marks = Vec::new();
        // set here, because the file holds the bytes even if the next write fails
        self.view().source.bytes = Bytes::Open(log);
        self.share.give_back();
        Ok(())
    }

    /// Seals the log once, and returns the same row when it is repeated. A log that is a file is durable when this returns.
    /// After an error the call may be repeated.
    fn close(&self, writer: &mut Writer, line: Option<&str>) -> io::Result<SealRow> {
        if let Some(row) = &self.view().sealed {
            return Ok(row.clone());
        }
        if !writer.tail.is_empty() {
            self.add_tail(writer)?;
        }
        if let Some(line) = line.filter(|_| !writer.end_told) {
            self.tell(writer, line)?;
            writer.end_told = true;
        }
        if let Some(pair) = &mut writer.pair {
            pair.log.close(self.view().source.size)?;
            self.files.sync_names(self.key)?;
        }
        let hash = writer.stored.as_ref().unwrap_or(&writer.sent).hash();
        let mut view = self.view();
        let bytes = match &view.source.bytes {
            Bytes::Memory(bytes) => Some(bytes.to_vec()),
            Bytes::Open(_) | Bytes::Closed(_) => None,
        };
        let row = SealRow { key: self.key, size: view.source.size, hash, bytes };
        view.sealed = Some(row.clone());
        Ok(row)
    }

    /// Adds the last bytes that came beyond the limit, after a line that says how many bytes are missing before them.
    fn add_tail(&self, writer: &mut Writer) -> io::Result<()> {
        let (missing, end) = writer.tail.clone().take();
        let limit = self.limit;
        let gap =
            format!("[guild: log limit of {limit} bytes reached, {missing} bytes dropped here; the end follows]\n");
        let gap = if missing > 0 { on_a_line(writer, &gap) } else { String::new() };
        self.add(writer, &[gap.as_bytes(), &end].concat())?;
        writer.tail = Tail::default();
        Ok(())
    }

    /// Adds a line of the master's own to the log.
    fn tell(&self, writer: &mut Writer, line: &str) -> io::Result<()> {
        let line = on_a_line(writer, line);
        self.add(writer, line.as_bytes())
    }

    /// Adds bytes of the master's own. The worker may not write after them.
    fn add(&self, writer: &mut Writer, bytes: &[u8]) -> io::Result<()> {
        if writer.ends_at.is_none() {
            let size = self.view().source.size;
            writer.pair.as_mut().map_or(Ok(()), |pair| pair.note_end(size))?;
            writer.ends_at = Some(size);
        }
        self.store(writer, bytes)?;
        writer.part().update(bytes);
        Ok(())
    }

    fn view(&self) -> MutexGuard<'_, LogView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the line so that it begins a new line of the log.
fn on_a_line(writer: &Writer, line: &str) -> String {
    let is_broken = writer.last.is_some_and(|last| last != b'\n');
    if is_broken { format!("\n{line}") } else { line.to_owned() }
}

impl Writer {
    /// Returns how many bytes sealing may add to the log.
    fn growth_at_end(&self) -> usize {
        if self.tail.is_empty() { 0 } else { self.tail.kept() + GAP_BYTES }
    }

    /// Returns the hash of the stored bytes, which from here on differs from the hash of the sent bytes.
    fn part(&mut self) -> &mut Sum {
        self.stored.get_or_insert_with(|| self.sent.clone())
    }

    /// Keeps the marks of new bytes, up to the offset `end`.
    fn note(&mut self, marks: &[TimeMark], end: u64) -> io::Result<()> {
        let mut new = Vec::new();
        for mark in marks {
            if (self.next_mark..end).contains(&mark.offset) && new.len() < MARKS_MAX {
                self.next_mark = mark.offset + 1;
                new.push(*mark);
            }
        }
        match &mut self.pair {
            Some(pair) => pair.add_marks(&new),
            None => {
                self.marks.extend(new);
                self.marks.truncate(MARKS_MAX);
                Ok(())
            }
        }
    }
}
