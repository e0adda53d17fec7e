//! An archive is one file that holds other files. It is an SQLite database with a row for each file, its size and its BLAKE3,
//! and with the file's bytes in parts. This module knows no paths of a master: its caller says what a backup holds.

use crate::keep::bytes::Seal;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use std::io::{self, Read, Write};
use std::path::Path;

/// Marks the database as a backup of Guild: the letters "GLDB".
const APPLICATION: i32 = 0x474c_4442;
/// The newest version of these tables that this program reads and writes. Archives of version 1 have no files of projects.
pub(crate) const FORMAT: i32 = 2;
/// The size of a part, in bytes: 1 MiB, so that a large file has few rows and one row needs little memory.
pub(crate) const PART_BYTES: usize = 1 << 20;
const TABLES: &str = "
    create table file (id integer primary key, path text not null unique, size integer not null, hash blob not null);
    create table part (file integer not null, number integer not null, bytes blob not null, unique (file, number));";

/// Why an archive was not written or not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error("it is not an archive")]
    Foreign,
    #[error("it has format {0}")]
    Newer(i32),
    #[error("{0}")]
    Damaged(String),
    /// An error of the file that is added or extracted, and not of the archive.
    #[error("{0}")]
    File(io::Error),
    #[error("{0}")]
    Failed(String),
}

impl From<rusqlite::Error> for ArchiveError {
    fn from(error: rusqlite::Error) -> ArchiveError {
        ArchiveError::Failed(error.to_string())
    }
}

/// An archive that is being written. It is complete once [`NewArchive::finish`] has succeeded.
pub(crate) struct NewArchive(Connection);

impl NewArchive {
    /// Creates an archive in a file, which must exist and be empty.
    pub(crate) fn create(path: &Path) -> Result<NewArchive, ArchiveError> {
        let archive = Connection::open(path)?;
        archive.pragma_update(None, "journal_mode", "off")?;
        archive.pragma_update(None, "application_id", APPLICATION)?;
        archive.pragma_update(None, "user_version", FORMAT)?;
        archive.execute_batch("begin")?;
        archive.execute_batch(TABLES)?;
        Ok(NewArchive(archive))
    }

    /// Adds a file under a name. Returns its size and its hash.
    pub(crate) fn add(&self, name: &str, file: &mut impl Read) -> Result<Seal, ArchiveError> {
        let archive = &self.0;
        archive.execute("insert into file (path, size, hash) values (?1, 0, x'')", [name])?;
        let id = archive.last_insert_rowid();
        let mut insert = archive.prepare_cached("insert into part (file, number, bytes) values (?1, ?2, ?3)")?;
        let (mut hasher, mut size) = (blake3::Hasher::new(), 0);
        for number in 0_i64.. {
            let mut part = Vec::new();
            file.by_ref().take(PART_BYTES as u64).read_to_end(&mut part).map_err(ArchiveError::File)?;
            if part.is_empty() {
                break;
            }
            hasher.update(&part);
            size += part.len() as u64;
            insert.execute((id, number, part))?;
        }
        let (hash, length) = (hasher.finalize(), i64::try_from(size).unwrap_or(i64::MAX));
        archive.execute("update file set size = ?2, hash = ?3 where id = ?1", (id, length, hash.as_bytes()))?;
        Ok(Seal { size, hash: *hash.as_bytes() })
    }

    pub(crate) fn finish(self) -> Result<(), ArchiveError> {
        Ok(self.0.execute_batch("commit")?)
    }
}

/// One file of an archive, as it was when it was added.
#[derive(Debug)]
pub(crate) struct ArchivedFile {
    id: i64,
    pub(crate) name: String,
    /// The size of the file, in bytes.
    pub(crate) size: u64,
    hash: Vec<u8>,
}

/// An archive that is open for reading.
pub(crate) struct Archive(Connection);

impl Archive {
    pub(crate) fn open(path: &Path) -> Result<Archive, ArchiveError> {
        let archive = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let number = |name: &str| archive.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).optional();
        if !matches!(number("application_id"), Ok(Some(APPLICATION))) {
            return Err(ArchiveError::Foreign);
        }
        match number("user_version")? {
            Some(1..=FORMAT) => Ok(Archive(archive)),
            found => Err(ArchiveError::Newer(found.unwrap_or_default())),
        }
    }

    /// Returns all files. If one of them is named `last`, it comes last.
    pub(crate) fn files(&self, last: &str) -> Result<Vec<ArchivedFile>, ArchiveError> {
        let mut files = self.0.prepare("select id, path, size, hash from file order by path = ?1")?;
        let read = |row: &rusqlite::Row<'_>| {
            let size = u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
            Ok(ArchivedFile { id: row.get(0)?, name: row.get(1)?, size, hash: row.get(3)? })
        };
        Ok(files.query_map([last], read)?.collect::<Result<_, _>>()?)
    }

    /// Writes the bytes of a file to `target`. Fails if they are not the bytes that were added.
    pub(crate) fn extract(&self, file: &ArchivedFile, target: &mut impl Write) -> Result<(), ArchiveError> {
        let (mut hasher, mut size) = (blake3::Hasher::new(), 0);
        let mut parts = self.0.prepare_cached("select bytes from part where file = ?1 order by number")?;
        let mut rows = parts.query([file.id])?;
        while let Some(row) = rows.next()? {
            let bytes = row.get_ref(0)?.as_blob().map_err(|error| ArchiveError::Damaged(error.to_string()))?;
            hasher.update(bytes);
            size += bytes.len() as u64;
            target.write_all(bytes).map_err(ArchiveError::File)?;
        }
        let is_whole = size == file.size && hasher.finalize().as_bytes().as_slice() == file.hash;
        let damaged = || ArchiveError::Damaged(format!("{} is not what was saved", file.name));
        if is_whole { Ok(()) } else { Err(damaged()) }
    }
}
