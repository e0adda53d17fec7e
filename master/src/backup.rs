//! A master in one file, and a master made from it: the store, the key and the logs. Not the mirrors, which are fetched
//! again, nor the master file. It may be taken while the master runs.
//!
//! The file is an SQLite database: a row per file with its size and BLAKE3 hash, and its bytes in parts. The store is
//! copied first, so that every log that it calls sealed is there.

use crate::installation::{IDENTITY_FILE, InstallError, create_private};
use crate::store::{self, DATABASE_FILE, StoreError};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

/// Marks the file as a backup of Guild's: "GLDB".
const APPLICATION: i32 = 0x474c_4442;
const FORMAT: i32 = 1;
const PART_BYTES: usize = 1 << 20;
const LOGS: &str = "logs";
const TABLES: &str = "
    create table file (id integer primary key, path text not null unique, size integer not null, hash blob not null);
    create table part (file integer not null, number integer not null, bytes blob not null, unique (file, number));";

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{} exists: name a file that does not", .0.display())]
    Exists(PathBuf),
    #[error("{} holds a master already: restore into a state directory without one", .0.display())]
    Occupied(PathBuf),
    #[error("{} is no backup of a master", .0.display())]
    Foreign(PathBuf),
    #[error("the backup has format {found}, this program knows {FORMAT}: use a newer guild-master")]
    Newer { found: i32 },
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the backup: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Install(#[from] InstallError),
}

/// How much a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub files: u64,
    /// In bytes.
    pub size: u64,
}

/// Writes a backup of the state directory to a path where there is nothing yet: whole, or not at all.
pub fn write(state: &Path, output: &Path) -> Result<Held, BackupError> {
    if output.exists() {
        return Err(BackupError::Exists(output.to_owned()));
    }
    let (fresh, copy) = (beside(output, "new"), beside(output, "store"));
    let written = write_fresh(state, &fresh, &copy).and_then(|held| {
        name(&fresh, output)?;
        sync(folder(output))?;
        Ok(held)
    });
    let _ = std::fs::remove_file(copy);
    if written.is_err() {
        let _ = std::fs::remove_file(fresh);
    }
    written
}

fn write_fresh(state: &Path, fresh: &Path, copy: &Path) -> Result<Held, BackupError> {
    // what an earlier backup left when it was killed
    for stale in [fresh, copy] {
        let _ = std::fs::remove_file(stale);
    }
    // it holds the master's key: nobody else may read it, from the first byte on
    for made in [fresh, copy] {
        private().create_new(true).open(made).map_err(at(made))?;
    }
    store::copy(state, copy)?;
    let mut archive = Connection::open(fresh)?;
    archive.pragma_update(None, "journal_mode", "off")?;
    archive.pragma_update(None, "application_id", APPLICATION)?;
    archive.pragma_update(None, "user_version", FORMAT)?;
    let transaction = archive.transaction()?;
    transaction.execute_batch(TABLES)?;
    let mut held = Held::default();
    add(&transaction, copy, DATABASE_FILE, &mut held)?;
    add(&transaction, &state.join(IDENTITY_FILE), IDENTITY_FILE, &mut held)?;
    for path in files_below(&state.join(LOGS))? {
        let name = path.strip_prefix(state).unwrap_or(&path).to_string_lossy().into_owned();
        match add(&transaction, &path, &name, &mut held) {
            // removed since it was listed
            Err(BackupError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            added => added?,
        }
    }
    transaction.commit()?;
    Ok(held)
}

fn add(archive: &Transaction<'_>, path: &Path, name: &str, held: &mut Held) -> Result<(), BackupError> {
    let mut file = File::open(path).map_err(at(path))?;
    archive.execute("insert into file (path, size, hash) values (?1, 0, x'')", [name])?;
    let id = archive.last_insert_rowid();
    let mut insert = archive.prepare_cached("insert into part (file, number, bytes) values (?1, ?2, ?3)")?;
    let (mut hasher, mut size) = (blake3::Hasher::new(), 0);
    for number in 0_i64.. {
        let mut part = Vec::new();
        (&mut file).take(PART_BYTES as u64).read_to_end(&mut part).map_err(at(path))?;
        if part.is_empty() {
            break;
        }
        hasher.update(&part);
        size += part.len() as u64;
        insert.execute((id, number, part))?;
    }
    let (hash, length) = (hasher.finalize(), i64::try_from(size).unwrap_or(i64::MAX));
    archive.execute("update file set size = ?2, hash = ?3 where id = ?1", (id, length, hash.as_bytes()))?;
    held.files += 1;
    held.size += size;
    Ok(())
}

/// Makes a state directory from a backup. The master that opens it begins another incarnation: old leases and cursors are
/// told so. May be repeated until it was done: the store comes last.
pub fn restore(backup: &Path, state: &Path) -> Result<Held, BackupError> {
    if state.join(DATABASE_FILE).exists() {
        return Err(BackupError::Occupied(state.to_owned()));
    }
    let archive = open(backup)?;
    let mut files = archive.prepare("select id, path, size, hash from file order by path = ?1")?;
    let rows = files.query_map([DATABASE_FILE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let (mut held, mut folders) = (Held::default(), BTreeSet::new());
    create_private(state)?;
    for row in rows {
        let (id, path, size, hash): (i64, String, i64, Vec<u8>) = row?;
        let path = checked(&path)?;
        let (target, is_store) = (state.join(path), path == Path::new(DATABASE_FILE));
        if is_store {
            // whoever finds the store finds all that it names
            folders.iter().try_for_each(|folder: &PathBuf| sync(folder))?;
        }
        create_private(folder(&target))?;
        let fresh = beside(&target, "new");
        if extract(&archive, id, &fresh)? != (size, hash) {
            return Err(BackupError::Damaged(format!("{} is not what was saved", path.display())));
        }
        name(&fresh, &target)?;
        folders.extend(path.ancestors().skip(1).map(|folder| state.join(folder)));
        held.files += 1;
        held.size += u64::try_from(size).unwrap_or(0);
    }
    if !state.join(DATABASE_FILE).exists() {
        return Err(BackupError::Damaged("it holds no store".to_owned()));
    }
    sync(state)?;
    Ok(held)
}

fn open(backup: &Path) -> Result<Connection, BackupError> {
    File::open(backup).map_err(at(backup))?;
    let archive = Connection::open_with_flags(backup, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let number = |name: &str| archive.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).optional();
    if !matches!(number("application_id"), Ok(Some(APPLICATION))) {
        return Err(BackupError::Foreign(backup.to_owned()));
    }
    match number("user_version")? {
        Some(FORMAT) => Ok(archive),
        found => Err(BackupError::Newer { found: found.unwrap_or_default() }),
    }
}

/// Answers size and hash of what was written.
fn extract(archive: &Connection, id: i64, target: &Path) -> Result<(i64, Vec<u8>), BackupError> {
    let mut file = private().create(true).truncate(true).open(target).map_err(at(target))?;
    let (mut hasher, mut size) = (blake3::Hasher::new(), 0);
    let mut parts = archive.prepare_cached("select bytes from part where file = ?1 order by number")?;
    let mut rows = parts.query([id])?;
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(0)?.as_blob().map_err(|error| BackupError::Damaged(error.to_string()))?;
        hasher.update(bytes);
        size += bytes.len() as i64;
        file.write_all(bytes).map_err(at(target))?;
    }
    Ok((size, hasher.finalize().as_bytes().to_vec()))
}

/// A path that a backup names lies in the state directory and is one of those that a backup holds.
fn checked(name: &str) -> Result<&Path, BackupError> {
    let path = Path::new(name);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let is_ours = name == DATABASE_FILE || name == IDENTITY_FILE || path.starts_with(LOGS);
    match is_plain && is_ours {
        true => Ok(path),
        false => Err(BackupError::Damaged(format!("it names `{name}`, which is no file of a master"))),
    }
}

fn files_below(dir: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(at(&dir)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(at(&dir))?;
            let kind = entry.file_type().map_err(at(&dir))?;
            match kind.is_dir() {
                true => open.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    Ok(found)
}

/// Gives a whole file its name. The name is on the disk when its folder is.
fn name(fresh: &Path, target: &Path) -> Result<(), BackupError> {
    sync(fresh)?;
    std::fs::rename(fresh, target).map_err(at(target))
}

/// A file's bytes, or a folder's names.
fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(at(path))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

fn private() -> std::fs::OpenOptions {
    let mut options = File::options();
    options.write(true).mode(0o600);
    options
}

fn at(path: &Path) -> impl Fn(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { path: path.clone(), source }
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
