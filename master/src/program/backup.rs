//! Saves a master in one file, and makes a master from such a file. The file has the store, the key, the logs, the blobs, and the files
//! of projects that the master wrote. It has neither the mirrors, which are fetched again, nor the master file. A backup may be taken
//! while the master runs.
//!
//! The file is an archive, which returns exactly what was added or reports damage. The store is copied first, so every log and every blob
//! that the copy calls sealed is on the disk. Retention may remove some of them before they are read. The backup then lacks them, but
//! their builds were due for removal, and retention removes them again after a restore.

mod sealed;

use crate::keep::bytes::Seal;
use crate::keep::installation::{IDENTITY_FILE, InstallError, create_private};
use crate::keep::store::archive::{Archive, ArchiveError, ArchivedFile, FORMAT, NewArchive};
use crate::keep::store::{self, DATABASE_FILE, StoreError};
use sealed::ExpectedFiles;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

const LOGS: &str = "logs";
/// The folder of sealed blobs. Partial uploads are left out, because their senders send them again.
const BLOBS: &str = "blobs/sealed";
/// The folder, beside the master file, of the files that `guild project add` wrote, with their secrets.
pub const PROJECTS: &str = "projects";

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{} already exists: name a new file", .0.display())]
    Exists(PathBuf),
    #[error(
        "{} already holds a master: restore into a state directory without one; `guild-master begin-anew` sets it aside",
        .0.display()
    )]
    Occupied(PathBuf),
    #[error("{} is not a backup of a master", .0.display())]
    Foreign(PathBuf),
    #[error("the backup has format {found}, but this program knows only {FORMAT}: use a newer guild-master")]
    Newer { found: i32 },
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    #[error(
        "{}, so no backup was written; keep your earlier backups, or save what is left with `--accept-damage`",
        .0.join("; ")
    )]
    Unsound(Vec<String>),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the backup: {0}")]
    Archive(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Install(#[from] InstallError),
}

/// A `BackupSize` says how much a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupSize {
    pub files: u64,
    /// The size of the file, in bytes.
    pub size: u64,
}

/// Writes a backup of the state directory to a new file, as a whole or not at all. Fails if the store is damaged, or if a log or a stored
/// file is not the one that was sealed.
pub fn write(state: &Path, output: &Path) -> Result<BackupSize, BackupError> {
    write_and_tell(state, None, output, false).map(|(held, _)| held)
}

/// Writes a backup like [`write()`]. `base` is the folder of the master file, whose projects are saved as well. With `accepts_damage`,
/// damaged or lost logs and stored files do not stop the backup, and are returned as texts.
pub fn write_and_tell(
    state: &Path,
    base: Option<&Path>,
    output: &Path,
    accepts_damage: bool,
) -> Result<(BackupSize, Vec<String>), BackupError> {
    if output.exists() {
        return Err(BackupError::Exists(output.to_owned()));
    }
    let (fresh, copy) = (beside(output, "new"), beside(output, "store"));
    let written = write_fresh(state, base, &fresh, &copy).and_then(|(held, damage)| {
        if !damage.is_empty() && !accepts_damage {
            return Err(BackupError::Unsound(damage));
        }
        name(&fresh, output)?;
        sync(folder(output))?;
        Ok((held, damage))
    });
    let _ = std::fs::remove_file(copy);
    if written.is_err() {
        let _ = std::fs::remove_file(fresh);
    }
    written
}

/// Writes the backup under a temporary name. Also returns what is damaged.
fn write_fresh(
    state: &Path,
    base: Option<&Path>,
    fresh: &Path,
    copy: &Path,
) -> Result<(BackupSize, Vec<String>), BackupError> {
    // a backup that was killed leaves these files
    for stale in [fresh, copy] {
        let _ = std::fs::remove_file(stale);
    }
    // both hold the master's key, so nobody else may read them, from the first byte on
    for made in [fresh, copy] {
        private().create_new(true).open(made).map_err(at(made))?;
    }
    store::copy(state, copy)?;
    let archive = NewArchive::create(fresh).map_err(of(fresh))?;
    let (mut held, mut expected) = (BackupSize::default(), ExpectedFiles::of(copy)?);
    add(&archive, copy, DATABASE_FILE, &mut held)?;
    add(&archive, &state.join(IDENTITY_FILE), IDENTITY_FILE, &mut held)?;
    for path in base.map_or(Ok(Vec::new()), |base| files_of(&base.join(PROJECTS)))? {
        let name = format!("{PROJECTS}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        add(&archive, &path, &name, &mut held)?;
    }
    let bytes = [LOGS, BLOBS].map(|folder| files_below(&state.join(folder)));
    for path in bytes.into_iter().collect::<Result<Vec<_>, _>>()?.concat() {
        let name = path.strip_prefix(state).unwrap_or(&path).to_string_lossy().into_owned();
        match add(&archive, &path, &name, &mut held) {
            // the file was removed after it was listed
            Err(BackupError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            added => expected.found(&name, &added?),
        }
    }
    archive.finish().map_err(of(fresh))?;
    if !expected.is_empty() {
        expected.keep_those_of(&ExpectedFiles::of(&state.join(DATABASE_FILE))?);
    }
    Ok((held, expected.told(state)))
}

fn add(archive: &NewArchive, path: &Path, name: &str, held: &mut BackupSize) -> Result<Seal, BackupError> {
    let mut file = File::open(path).map_err(at(path))?;
    let added = archive.add(name, &mut file).map_err(of(path))?;
    held.size += added.size;
    held.files += 1;
    Ok(added)
}

/// Makes a state directory from a backup. The master that opens it begins another incarnation, in which old leases and cursors are
/// refused. If it fails, it may be called again, because the store comes last.
pub fn restore(backup: &Path, state: &Path) -> Result<BackupSize, BackupError> {
    restore_beside(backup, state, None)
}

/// Restores like [`restore()`], and also the project files into `base`, the folder of the master file. A project file that exists stays
/// as it is.
pub fn restore_beside(backup: &Path, state: &Path, base: Option<&Path>) -> Result<BackupSize, BackupError> {
    if state.join(DATABASE_FILE).exists() {
        return Err(BackupError::Occupied(state.to_owned()));
    }
    let archive = open(backup)?;
    let (mut held, mut folders) = (BackupSize::default(), BTreeSet::new());
    create_private(state)?;
    for file in archive.files(DATABASE_FILE).map_err(of(backup))? {
        let path = checked(&file.name)?;
        let root = if path.starts_with(PROJECTS) { base } else { Some(state) };
        let Some(root) = root else { continue };
        let (target, is_store) = (root.join(path), path == Path::new(DATABASE_FILE));
        if path.starts_with(PROJECTS) && target.exists() {
            continue;
        }
        if is_store {
            // when the store has its name, all that it refers to must be on the disk
            folders.iter().try_for_each(|folder: &PathBuf| sync(folder))?;
            // the store may be older than the one that was here before, whose mark would refuse it
            store::mark::forget(state).map_err(at(state))?;
        }
        create_private(folder(&target))?;
        let fresh = beside(&target, "new");
        extract(&archive, &file, &fresh)?;
        name(&fresh, &target)?;
        folders.extend(path.ancestors().skip(1).map(|folder| root.join(folder)));
        held.files += 1;
        held.size += file.size;
    }
    if !state.join(DATABASE_FILE).exists() {
        return Err(BackupError::Damaged("it has no store".to_owned()));
    }
    sync(state)?;
    Ok(held)
}

fn open(backup: &Path) -> Result<Archive, BackupError> {
    File::open(backup).map_err(at(backup))?;
    Archive::open(backup).map_err(of(backup))
}

fn extract(archive: &Archive, file: &ArchivedFile, target: &Path) -> Result<(), BackupError> {
    let mut written = private().create(true).truncate(true).open(target).map_err(at(target))?;
    archive.extract(file, &mut written).map_err(of(target))
}

/// Checks that a path in a backup names a file that a backup of a master may have.
fn checked(name: &str) -> Result<&Path, BackupError> {
    let path = Path::new(name);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let is_of_project = path.starts_with(PROJECTS) && path.components().count() == 2;
    let is_bytes = path.starts_with(LOGS) || path.starts_with(BLOBS);
    let is_ours = name == DATABASE_FILE || name == IDENTITY_FILE || is_bytes || is_of_project;
    match is_plain && is_ours {
        true => Ok(path),
        false => Err(BackupError::Damaged(format!("it names `{name}`, which is not a file of a master"))),
    }
}

/// Returns the files directly in a folder.
fn files_of(dir: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let found = files_below(dir)?;
    Ok(found.into_iter().filter(|path| path.parent() == Some(dir)).collect())
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

/// Gives a whole file its final name. The name is durable once its folder is synced.
fn name(fresh: &Path, target: &Path) -> Result<(), BackupError> {
    sync(fresh)?;
    std::fs::rename(fresh, target).map_err(at(target))
}

/// Makes the bytes of a file, or the names in a folder, durable.
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

/// Converts an error of an archive. `path` is the file that was being added, extracted or opened.
fn of(path: &Path) -> impl Fn(ArchiveError) -> BackupError {
    let path = path.to_owned();
    move |error| match error {
        ArchiveError::Foreign => BackupError::Foreign(path.clone()),
        ArchiveError::Newer(found) => BackupError::Newer { found },
        ArchiveError::Damaged(why) => BackupError::Damaged(why),
        ArchiveError::File(source) => BackupError::File { path: path.clone(), source },
        ArchiveError::Failed(why) => BackupError::Archive(why),
    }
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
