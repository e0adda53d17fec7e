//! A step's output on disk: its bytes as they came, and beside them when they came. Written here, read by
//! [`crate::attempt::output`].

use super::clock::{Moment, wall};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// The least time between two marks, in milliseconds. One is enough for what comes within it.
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
    is_full: bool,
    /// Whether the last byte ends no line.
    is_amid_line: bool,
    marked: Option<Moment>,
}

impl Spool {
    /// Makes a spool that keeps at most `most` bytes, and then a line that says so.
    pub(super) fn new(log: PathBuf, marks: PathBuf, most: u64) -> Spool {
        let lazy = |path| LazyFile { path, file: None };
        Spool { log: lazy(log), marks: lazy(marks), size: 0, most, is_full: false, is_amid_line: false, marked: None }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Appends what the step wrote.
    pub(super) fn append(&mut self, bytes: &[u8], now: Moment) -> io::Result<()> {
        if self.is_full || bytes.is_empty() {
            return Ok(());
        }
        let room = usize::try_from(self.most.saturating_sub(self.size)).unwrap_or(usize::MAX);
        let kept = &bytes[..bytes.len().min(room)];
        self.mark(now)?;
        self.write(kept)?;
        if kept.len() < bytes.len() {
            self.is_full = true;
            let notice = format!("\n[guild: what follows is beyond {} bytes and was dropped]\n", self.most);
            self.write(notice.as_bytes())?;
        }
        Ok(())
    }

    /// Writes a line of ours, beyond every limit.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        self.mark(Moment::now())?;
        let start = if self.is_amid_line { "\n" } else { "" };
        self.write(format!("{start}[guild: {text}]\n").as_bytes())
    }

    /// Writes a mark before the bytes, so that a reader who sees them finds it.
    fn mark(&mut self, now: Moment) -> io::Result<()> {
        if self.marked.is_some_and(|last| now.since(last) < MARK_EVERY_MS) {
            return Ok(());
        }
        self.marked = Some(now);
        let mut mark = [0; MARK_BYTES];
        mark[..8].copy_from_slice(&self.size.to_le_bytes());
        mark[8..].copy_from_slice(&wall().0.to_le_bytes());
        self.marks.write(&mark)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.log.write(bytes)?;
        self.size += bytes.len() as u64;
        self.is_amid_line = bytes.last().map_or(self.is_amid_line, |last| *last != b'\n');
        Ok(())
    }
}

/// A file that is made when it is first written, because many a step prints nothing.
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

    #[test]
    fn beyond_the_limit_there_is_one_notice() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut spool = Spool::new(log.clone(), dir.path().join("marks"), 5);
        for part in ["abc", "def", "ghi"] {
            spool.append(part.as_bytes(), Moment(0)).unwrap();
        }
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(text, "abcde\n[guild: what follows is beyond 5 bytes and was dropped]\n");
        assert_eq!(spool.size(), text.len() as u64);
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
}
