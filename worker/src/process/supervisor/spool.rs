//! The output of a step on disk. One file has the bytes in the order in which the step wrote them, and another has the times at which
//! they came. This module writes both files, and [`crate::attempt::output`] reads them.

use super::StepFiles;
use super::clock::{Moment, wall};
use schema::limits::grouped;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use system::tail::Tail;

/// The least time between two marks, in milliseconds. One mark is enough for all bytes that come within this time.
const MARK_EVERY_MS: u64 = 100;
/// The size of a mark: an offset and a time, each 8 bytes with the low one first.
pub(crate) const MARK_BYTES: usize = 16;

/// The output of a step as it is written: the bytes, and the marks that say when they came.
#[derive(Debug)]
pub(super) struct Spool {
    log: LazyFile,
    marks: LazyFile,
    size: u64,
    most: u64,
    /// The end of the output that came beyond the limit. `None` means that nothing did.
    tail: Option<Tail>,
    /// Whether the last line of the output has no end yet.
    is_amid_line: bool,
    marked: Option<Moment>,
}

impl Spool {
    /// Makes a spool that keeps at most `most` bytes of the beginning, and the end of an output that is longer.
    pub(super) fn new(log: PathBuf, marks: PathBuf, most: u64) -> Spool {
        let lazy = |path| LazyFile { path, file: None };
        Spool { log: lazy(log), marks: lazy(marks), size: 0, most, tail: None, is_amid_line: false, marked: None }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Appends output that the step wrote.
    pub(super) fn append(&mut self, bytes: &[u8], now: Moment) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(tail) = &mut self.tail {
            tail.push(bytes);
            return Ok(());
        }
        let room = usize::try_from(self.most.saturating_sub(self.size)).unwrap_or(usize::MAX);
        let kept = &bytes[..bytes.len().min(room)];
        self.mark(now)?;
        self.write(kept)?;
        if kept.len() < bytes.len() {
            let mut tail = Tail::default();
            tail.push(&bytes[kept.len()..]);
            self.tail = Some(tail);
        }
        Ok(())
    }

    /// Writes the end of an output that was too long, and before it the number of missing bytes. After it come only the supervisor's
    /// lines.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let Some(tail) = self.tail.take() else { return Ok(()) };
        self.most = u64::MAX;
        let (missing, bytes) = tail.take();
        if missing > 0 {
            let missing = grouped(usize::try_from(missing).unwrap_or(usize::MAX));
            self.note(&format!(
                "{missing} bytes are left out here, because the output is longer than `output` of the worker"
            ))?;
        }
        self.mark(Moment::now())?;
        self.write(&bytes)
    }

    /// Writes a line of the supervisor's own, even if the output is beyond every limit.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        if let Some(tail) = &mut self.tail {
            tail.push(format!("\n[guild: {text}]\n").as_bytes());
            return Ok(());
        }
        self.mark(Moment::now())?;
        let start = if self.is_amid_line { "\n" } else { "" };
        self.write(format!("{start}[guild: {text}]\n").as_bytes())
    }

    /// Writes a mark before the bytes, so that a reader who sees the bytes also finds their mark.
    fn mark(&mut self, now: Moment) -> io::Result<()> {
        if self.marked.is_some_and(|last| now.since(last) < MARK_EVERY_MS) {
            return Ok(());
        }
        self.marked = Some(now);
        self.marks.write(&mark_at(self.size))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.log.write(bytes)?;
        self.size += bytes.len() as u64;
        self.is_amid_line = bytes.last().map_or(self.is_amid_line, |last| *last != b'\n');
        Ok(())
    }
}

/// Appends lines of the worker's own to the spool of a step that has ended, after its first `size` bytes. Returns the new size. If it
/// is called again, it writes the lines to the same place.
pub(crate) fn append_notes(files: &StepFiles, size: u64, notes: &[String]) -> io::Result<u64> {
    let open = |path| File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let (log, marks) = (open(files.spool())?, open(files.marks())?);
    let mut last = [b'\n'];
    if let Some(at) = size.checked_sub(1) {
        log.read_exact_at(&mut last, at)?;
    }
    let lines: String = notes.iter().map(|note| format!("[guild: {note}]\n")).collect();
    let text = if last == [b'\n'] { lines } else { format!("\n{lines}") };
    let count = marks.metadata()?.len() / MARK_BYTES as u64;
    let mut mark = [0; MARK_BYTES];
    if let Some(last) = count.checked_sub(1) {
        marks.read_exact_at(&mut mark, last * MARK_BYTES as u64)?;
    }
    let marked = mark.first_chunk().map_or(0, |offset| u64::from_le_bytes(*offset));
    let is_marked = count > 0 && marked >= size;
    if !is_marked {
        marks.write_all_at(&mark_at(size), count * MARK_BYTES as u64)?;
    }
    log.write_all_at(text.as_bytes(), size)?;
    Ok(size + text.len() as u64)
}

/// Returns a mark for bytes that are written at this offset now.
fn mark_at(offset: u64) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    mark[..8].copy_from_slice(&offset.to_le_bytes());
    mark[8..].copy_from_slice(&wall().0.to_le_bytes());
    mark
}

/// A file that is created with the first write, because many a step prints nothing.
#[derive(Debug)]
struct LazyFile {
    path: PathBuf,
    file: Option<File>,
}

impl LazyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let made = File::options().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
                self.file.insert(made)
            }
        };
        file.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C26: both ends of a long output are kept, because the reason of a failure is at the end.
    #[test]
    fn of_an_output_beyond_the_limit_both_ends_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let spooled = |parts: &[&str]| {
            let mut spool = Spool::new(log.clone(), dir.path().join("marks"), 5);
            parts.iter().for_each(|part| spool.append(part.as_bytes(), Moment(0)).unwrap());
            spool.finish().unwrap();
            spool.note("ours").unwrap();
            let text = std::fs::read_to_string(&log).unwrap();
            assert_eq!(spool.size(), text.len() as u64);
            text
        };
        assert_eq!(spooled(&["abc", "def", "ghi\n"]), "abcdefghi\n[guild: ours]\n", "nothing is missing");
        let long = "x\n".repeat(100_000);
        let text = spooled(&["abc\n", &long, "THE-REASON\n"]);
        let named = text.find("[guild: ").unwrap();
        assert_eq!(&text[..named], "abc\nx\n");
        let (gap, tail) = text[named..].split_once('\n').unwrap();
        assert!(
            gap.ends_with(" bytes are left out here, because the output is longer than `output` of the worker]"),
            "{gap}"
        );
        let missing: usize =
            gap.trim_start_matches("[guild: ").split(' ').next().unwrap().replace(',', "").parse().unwrap();
        let tail = tail.trim_end_matches("[guild: ours]\n");
        // The gap begins after the fifth byte, and its note begins a line.
        assert_eq!(5 + missing + tail.len(), "abc\n".len() + long.len() + "THE-REASON\n".len());
        assert!(text.ends_with("x\nTHE-REASON\n[guild: ours]\n"));
        assert!(text.len() < (64 << 10) + 200, "{}", text.len());
    }

    #[test]
    fn a_line_of_ours_begins_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut spool = Spool::new(log.clone(), dir.path().join("marks"), u64::MAX);
        for part in ["one\n", "tw", "o"] {
            spool.append(part.as_bytes(), Moment(0)).unwrap();
        }
        spool.note("ours").unwrap();
        spool.note("again").unwrap();
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(text, "one\ntwo\n[guild: ours]\n[guild: again]\n");
        assert_eq!(spool.size(), text.len() as u64);
    }

    #[test]
    fn marks_are_coarse() {
        let dir = tempfile::tempdir().unwrap();
        let marks = dir.path().join("marks");
        let mut spool = Spool::new(dir.path().join("log"), marks.clone(), u64::MAX);
        for at in [0, 99, 100, 250] {
            spool.append(b"line\n", Moment(at)).unwrap();
        }
        let bytes = std::fs::read(&marks).unwrap();
        let offsets: Vec<u8> = bytes.chunks(MARK_BYTES).map(|mark| mark[0]).collect();
        assert_eq!(offsets, [0, 10, 15]);
    }

    #[test]
    fn notes_behind_the_end_come_to_the_same_place_again() {
        let dir = tempfile::tempdir().unwrap();
        let files = StepFiles::new(dir.path(), 3);
        let notes = ["one".to_owned(), "two".to_owned()];
        assert_eq!(append_notes(&files, 0, &notes).unwrap(), 26, "a step that was silent has no files");
        std::fs::write(files.spool(), "ab").unwrap();
        for _ in 0..2 {
            let size = append_notes(&files, 2, &notes).unwrap();
            let text = std::fs::read_to_string(files.spool()).unwrap();
            assert_eq!((text.as_str(), size), ("ab\n[guild: one]\n[guild: two]\n", text.len() as u64));
            assert_eq!(std::fs::metadata(files.marks()).unwrap().len(), 2 * MARK_BYTES as u64);
        }
    }
}
