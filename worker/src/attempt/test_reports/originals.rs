//! The reports of a step as its tools wrote them: one tar file, compressed with zstd, because a step can have thousands of them.
//! The form is that of POSIX.1-1988, with GNU's way to write a long name.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

/// The limit for all originals of one step, in bytes before compression. A file that does not fit is left out.
const ORIGINALS_MAX: u64 = 64 << 20;

const BLOCK_BYTES: usize = 512;
/// The size of the field for a file's name in the header, in bytes.
const NAME_BYTES: usize = 100;
/// The level of compression. At this level, XML reports shrink to about a tenth.
const LEVEL: i32 = 3;

/// The tar file, while it is written.
pub(super) struct Originals {
    to: zstd::Encoder<'static, BufWriter<File>>,
    left: u64,
    count: usize,
    /// Whether a write to the archive failed, so that nothing after that place can be read.
    is_broken: bool,
}

impl Originals {
    pub(super) fn create(path: &Path) -> io::Result<Originals> {
        let to = zstd::Encoder::new(BufWriter::new(File::create(path)?), LEVEL)?;
        Ok(Originals { to, left: ORIGINALS_MAX, count: 0, is_broken: false })
    }

    /// Adds the first `size` bytes of a file. If the file has become shorter or cannot be read to its end, zeros fill the rest, because
    /// the size precedes it.
    pub(super) fn add(&mut self, name: &str, size: u64, from: impl Read) -> io::Result<()> {
        let Some(left) = self.left.checked_sub(size).filter(|_| !self.is_broken) else { return Ok(()) };
        self.left = left;
        self.count += 1;
        let mut from = Readable { from, error: None };
        let written = self.write(name, size, &mut from);
        self.is_broken = written.is_err();
        from.error.map_or(written, Err)
    }

    fn write(&mut self, name: &str, size: u64, from: impl Read) -> io::Result<()> {
        if name.len() > NAME_BYTES {
            self.header("././@LongLink", name.len() as u64 + 1, b'L')?;
            self.blocks(name.len() as u64 + 1, name.as_bytes())?;
        }
        let end = name.floor_char_boundary(name.len().min(NAME_BYTES));
        self.header(&name[..end], size, b'0')?;
        self.blocks(size, from)
    }

    fn header(&mut self, name: &str, size: u64, kind: u8) -> io::Result<()> {
        let mut block = [0; BLOCK_BYTES];
        block[..name.len()].copy_from_slice(name.as_bytes());
        let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(100, "0000644\0");
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{size:011o}\0"));
        put(136, "00000000000\0");
        put(148, "        ");
        put(257, "ustar\0");
        put(263, "00");
        block[156] = kind;
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.to.write_all(&block)
    }

    /// Writes the first `size` bytes of a reader, and zeros up to the end of a block.
    fn blocks(&mut self, size: u64, from: impl Read) -> io::Result<()> {
        let whole = size.next_multiple_of(BLOCK_BYTES as u64);
        let written = io::copy(&mut from.take(size), &mut self.to)?;
        io::copy(&mut io::repeat(0).take(whole - written), &mut self.to).map(drop)
    }

    /// Ends the file. Returns false if the file is empty or lacks something that was added.
    pub(super) fn finish(mut self) -> io::Result<bool> {
        if self.is_broken {
            return Ok(false);
        }
        self.to.write_all(&[0; 2 * BLOCK_BYTES])?;
        self.to.finish()?.flush()?;
        Ok(self.count > 0)
    }
}

/// The readable part of a file. A read error ends it and is kept.
struct Readable<R> {
    from: R,
    error: Option<io::Error>,
}

impl<R: Read> Read for Readable<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.from.read(into) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                self.error = Some(error);
                Ok(0)
            }
            read => read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// The system's own `tar` reads the archive.
    #[test]
    fn tar_reads_what_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reports");
        let long = format!("{}/é.xml", "long".repeat(40));
        let mut originals = Originals::create(&path).unwrap();
        originals.add("a.xml", 5, &b"whole and more"[..]).unwrap();
        originals.add(&long, 3, &b"x"[..]).unwrap();
        originals.add("too large", ORIGINALS_MAX, &b""[..]).unwrap();
        originals.add("empty", 0, &b""[..]).unwrap();
        let error = originals.add("broken", 1_000, b"begin".chain(Failing)).unwrap_err();
        assert_eq!(error.to_string(), "the disk is broken");
        originals.add("last", 4, &b"last"[..]).unwrap();
        assert!(originals.finish().unwrap());
        let plain = dir.path().join("plain.tar");
        std::fs::write(&plain, zstd::decode_all(File::open(&path).unwrap()).unwrap()).unwrap();
        let made = Command::new("tar").arg("-xf").arg(&plain).arg("-C").arg(dir.path()).status().unwrap();
        assert!(made.success());
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!((read("a.xml").as_str(), read(&long).as_str(), read("empty").as_str()), ("whole", "x\0\0", ""));
        assert!(!dir.path().join("too large").exists());
        assert_eq!(read("broken"), format!("begin{}", "\0".repeat(995)));
        assert_eq!(read("last"), "last");
    }

    struct Failing;

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is broken"))
        }
    }

    #[test]
    fn a_file_that_could_not_be_written_is_not_kept() {
        let to = zstd::Encoder::new(BufWriter::new(File::options().write(true).open("/dev/full").unwrap()), LEVEL);
        let mut originals = Originals { to: to.unwrap(), left: ORIGINALS_MAX, count: 0, is_broken: false };
        let mut seed = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (seed >> 56) as u8
        })
        .take(4 << 20)
        .collect();
        originals.add("a", noise.len() as u64, &noise[..]).unwrap_err();
        originals.add("b", 1, &b"b"[..]).unwrap();
        assert!(!originals.finish().unwrap());
    }
}
