//! One log while it is written.
//!
//! Changes of a log follow each other, because each holds the writer. A change that touches a file takes the writer along to
//! another thread and runs there to its end. So a caller that goes away in the middle leaves nothing half done.

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

/// Bytes of small logs and of their marks that one attempt has in memory, because a plan may have thousands of steps. What
/// comes beyond it goes into files, as a large log does: 16 logs of the largest kind, or some hundred of a few lines.
const ATTEMPT_BYTES_MAX: usize = LOGS_IN_MEMORY.count();
/// Bytes of the line that names a gap, at most.
const GAP_BYTES: usize = 160;
/// Marks kept of one write, and of a log in memory: a line each is usual, and more show nothing.
const MARKS_MAX: usize = 4_096;
/// What a mark takes in memory.
const MARK_BYTES: usize = size_of::<TimeMark>();
/// All marks of one write.
const MARKS_BYTES_MAX: usize = MARKS_MAX * MARK_BYTES;

/// A log to which a step may still write.
pub(super) struct LiveLog {
    files: Files,
    key: StepKey,
    limit: u64,
    /// Fair: changes take effect in the order of calls.
    writer: Arc<tokio::sync::Mutex<Writer>>,
    /// The log's share of the memory that its attempt may have.
    share: Share,
    /// Locked for moments only, never over file work.
    view: Mutex<LogView>,
    changed: watch::Sender<()>,
}

/// The right to change the log.
pub(super) type WriterGuard = OwnedMutexGuard<Writer>;

/// What only changes look at.
#[derive(Default)]
pub(super) struct Writer {
    pair: Option<Pair>,
    /// The sum of all that the worker sent.
    sent: Sum,
    /// The sum of what is stored, from where that is no longer the same.
    stored: Option<Sum>,
    last: Option<u8>,
    /// The end of what came beyond the limit: an error stands at the end.
    tail: Tail,
    /// While the log is in memory.
    marks: Vec<TimeMark>,
    next_mark: u64,
    /// Where the worker's bytes end and lines of ours follow: it may not go on.
    ends_at: Option<u64>,
    end_told: bool,
}

/// What the readers of a growing log see.
struct LogView {
    taken_up: bool,
    /// Bytes that the worker need not send again.
    received: u64,
    /// The bytes that were received, up to the limit, and our own lines.
    source: ByteSnapshot,
    sealed: Option<SealRow>,
}

/// What a worker sends, as far as it is new.
pub struct Write {
    pub bytes: Vec<u8>,
    pub marks: Vec<TimeMark>,
    /// Given back when the bytes are written.
    pub room: OwnedSemaphorePermit,
}

impl LiveLog {
    pub(super) fn new(files: Files, key: StepKey, limit: u64, budget: Budget) -> LiveLog {
        let view = Mutex::new(LogView { taken_up: false, received: 0, source: ByteSnapshot::empty(), sealed: None });
        let share = Share::of(budget);
        LiveLog { files, key, limit, writer: Arc::default(), share, view, changed: watch::Sender::new(()) }
    }

    /// What all logs of its attempt share.
    pub(super) fn budget(&self) -> Budget {
        self.share.budget()
    }

    pub(super) async fn turn(&self) -> WriterGuard {
        self.writer.clone().lock_owned().await
    }

    /// Takes up the log as it is. It was sealed by an earlier call, or begun by an earlier master, which left a file, or there is
    /// nothing yet.
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

    /// Appends at `offset`: what overlaps is dropped, a gap is refused.
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

    /// [`LiveLog::open`] was done: what an earlier master left is known.
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

    /// Resolves when there is a byte at `offset`, or when the log is sealed.
    pub(super) async fn wait(&self, offset: u64) -> LogExtent {
        let mut changed = self.changed.subscribe();
        let seen = |_: &()| {
            let size = self.size();
            size.sealed || size.size > offset
        };
        let _ = changed.wait_for(seen).await;
        self.size()
    }

    /// Ends the log with its worker's word for length and hash.
    pub(super) async fn seal(self: &Arc<Self>, turn: WriterGuard, size: u64, hash: &[u8]) -> io::Result<Sealed> {
        let hash = hash.to_vec();
        let close = move |live: &LiveLog, writer: &mut Writer| {
            let row = live.close(writer, None)?;
            // of a log that was sealed before this master started only the stored bytes are known
            let sent = if writer.sent.is_empty() { row.hash } else { writer.sent.hash() };
            let agrees = live.received() == size && (hash.is_empty() || hash == sent);
            Ok(Sealed { row, agrees })
        };
        let growth = turn.growth_at_end();
        self.change(turn, growth, close).await
    }

    /// Ends the log with a line of ours, whatever its worker sent.
    pub(super) async fn end(self: &Arc<Self>, turn: WriterGuard, line: &str) -> io::Result<SealRow> {
        let line = line.to_owned();
        let growth = line.len() + turn.growth_at_end();
        self.change(turn, growth, move |live, writer| live.close(writer, Some(&line))).await
    }

    /// Throws the log away, in memory and on the disk. Writes that come later are refused.
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

    /// Makes one change of a log: at once while it stays in memory, else on another thread.
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
        // in a box: few changes need it, and all wait in a future of this size
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
        // marks first: those beyond the end of the log are dropped when it is taken up
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

    /// Stores bytes: in memory while they are few, else in the file. On an error nothing of them counts.
    fn store(&self, writer: &mut Writer, bytes: &[u8]) -> io::Result<()> {
        let Some(last) = bytes.last() else { return Ok(()) };
        if !self.store_small(bytes) {
            self.store_large(writer, bytes)?;
        }
        writer.last = Some(*last);
        Ok(())
    }

    /// `false` means that they are too many.
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
        // also where the write that follows fails
        self.view().source.bytes = Bytes::Open(log);
        self.share.give_back();
        Ok(())
    }

    /// Ends the log, once; large ones are on the disk when this answers. After an error it may be tried again.
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

    /// Adds the end of what came beyond the limit, after a line that says what is missing before it.
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

    /// Adds a line of ours.
    fn tell(&self, writer: &mut Writer, line: &str) -> io::Result<()> {
        let line = on_a_line(writer, line);
        self.add(writer, line.as_bytes())
    }

    /// Adds what the worker may not go on after.
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

/// A line of ours, which begins a line of the log.
fn on_a_line(writer: &Writer, line: &str) -> String {
    let is_broken = writer.last.is_some_and(|last| last != b'\n');
    if is_broken { format!("\n{line}") } else { line.to_owned() }
}

impl Writer {
    /// How many bytes its end may add to the log.
    fn growth_at_end(&self) -> usize {
        if self.tail.is_empty() { 0 } else { self.tail.kept() + GAP_BYTES }
    }

    /// Begins the hash of what is stored, which from here on differs from what was sent.
    fn part(&mut self) -> &mut Sum {
        self.stored.get_or_insert_with(|| self.sent.clone())
    }

    /// Keeps the marks of new bytes, up to `end`.
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
