//! `guild try` builds the files of the checkout as they are. It commits nothing, pushes nothing, and leaves the checkout as it is.

use super::check::plan_of_try;
use super::watch::until_end;
use crate::connected::Connected;
use clap::Args;
use client::{Error, Tried, words};
use schema::limits::TRY_COMMITS;
use schema::limits::borders::size;
use snapshot::{Snapshot, SnapshotError};
use std::path::Path;

/// The most bytes that new files may have together. They are taken along without being named, so the bound is above the size of source
/// code, and below a forgotten disk image.
const NEW_BYTES_MAX: u64 = 50 << 20;
/// The size from which the size of a new file is told, in bytes. Smaller files are source code.
const LARGE: u64 = 100 << 10;
/// The most new files that are named. More would hide the rest of what is told.
const NAMED_MAX: usize = 10;
/// The size of a pack from which its sending is told, in bytes. A usual link needs about a second for it.
const SLOW: u64 = 4 << 20;

#[derive(Args)]
pub(crate) struct Try {
    /// The jobs to run, such as `test` or `test@linux-x86_64,3.14`, with the jobs that they need [default: all]
    jobs: Vec<String>,
    /// The project to build them for [default: the project of the repository here, else the only project that you may see]
    #[arg(long)]
    project: Option<String>,
    /// Run only the jobs of this platform, such as linux-aarch64; a job that names no platform runs there
    #[arg(long = "on", value_name = "PLATFORM")]
    platform: Option<String>,
    /// Leave out the changes within submodules, instead of refusing to build without them
    #[arg(long)]
    without_submodules: bool,
    /// Do not wait for the end of the build
    #[arg(long)]
    no_wait: bool,
}

impl Try {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        connected.wait_for_master();
        let Some(copy) = connected.copy() else {
            return Err(Error::usage("this directory is not in a git checkout").help("change to the files to build"));
        };
        let platform = self.platform.clone().unwrap_or_default();
        plan_of_try(connected, &copy.toplevel.join("guild.toml"), &self.jobs, &platform)?;
        let place = tempfile::tempdir().map_err(|error| Error::file(std::env::temp_dir(), error))?;
        let taken = self.take(&copy.toplevel, place.path())?;
        let project = connected.project(self.project.as_deref()).await?.name.clone();
        connected.printer.note(format!("try: {project}, {}", told(&taken)));
        new_files(&taken).into_iter().for_each(|line| connected.printer.note(line));
        let number = self.send(connected, &project, &taken, place.path()).await?;
        connected.say_build(&project, number).await?;
        if self.no_wait {
            return Ok(0);
        }
        connected.follow_until_interrupt(&project, number);
        until_end(connected, &project, number).await
    }

    /// Takes a snapshot of the files. Refuses it if something would be lost without a word.
    fn take(&self, top: &Path, place: &Path) -> Result<Snapshot, Error> {
        let taken = snapshot::take(top, &place.join("snapshot"), NEW_BYTES_MAX).map_err(refused)?;
        if taken.left_out.is_empty() || self.without_submodules {
            return Ok(taken);
        }
        let text = format!("a try does not take the changes within submodules: {}", taken.left_out.join(", "));
        Err(Error::usage(text).help("commit and push them there, or leave them out with --without-submodules"))
    }

    async fn send(&self, connected: &Connected, project: &str, taken: &Snapshot, place: &Path) -> Result<u32, Error> {
        let top = &connected.copy().map(|copy| copy.toplevel.clone()).unwrap_or_default();
        let commits = snapshot::ancestors(top, TRY_COMMITS.most).map_err(refused)?;
        let sending = connected.guild().await?.new_try(project, commits);
        let base = sending.base().await.map_err(|error| match error.is_unimplemented() {
            true => Error::Protocol("its version has no tries; upgrade the master".to_owned()),
            false => error,
        })?;
        let pack = place.join("pack");
        taken.pack(&base, &pack).map_err(refused)?;
        let bytes = std::fs::metadata(&pack).map_or(0, |found| found.len());
        if base.is_empty() {
            let text = format!("the master has none of the commits here, so all of them are sent ({})", amount(bytes));
            connected.printer.note(text);
        } else if bytes >= SLOW {
            connected.printer.note(format!("sending {}", amount(bytes)));
        }
        let jobs = self.jobs.clone();
        let what = Tried { commit: taken.tip().to_owned(), jobs, platform: self.platform.clone().unwrap_or_default() };
        sending.build(&pack, &what, |_, _| {}).await
    }
}

/// Returns the sentence about the files that go along.
fn told(taken: &Snapshot) -> String {
    let commit = schema::values::ShortCommit::of(&taken.base);
    match (taken.changed, taken.new.len()) {
        (0, _) => format!("HEAD {commit} without changes"),
        (changed, 0) => format!("{} on {commit}", words::count(changed, "changed file")),
        (changed, new) => format!("{} on {commit}, {new} of them new", words::count(changed, "changed file")),
    }
}

/// Returns a line for each new file, the largest first. Git does not know them, so that their sender may not know of them either.
fn new_files(taken: &Snapshot) -> Vec<String> {
    let mut new = taken.new.clone();
    new.sort_by_key(|(path, size)| (std::cmp::Reverse(*size), path.clone()));
    let line = |(path, size): &(String, u64)| match *size >= LARGE {
        true => format!("  new: {path} ({})", amount(*size)),
        false => format!("  new: {path}"),
    };
    let more = new.len().saturating_sub(NAMED_MAX);
    let lines = new.iter().take(NAMED_MAX).map(line);
    lines.chain((more > 0).then(|| format!("  and {more} more"))).collect()
}

/// Returns a number of bytes as a person reads it, in whole MiB or KiB from above.
fn amount(bytes: u64) -> String {
    match bytes {
        0..1024 => size(bytes),
        1024..1_048_576 => size(bytes.div_ceil(1 << 10) << 10),
        _ => size(bytes.div_ceil(1 << 20) << 20),
    }
}

/// Turns the refusal of a checkout into an error of usage, because the caller has to change the checkout.
fn refused(error: SnapshotError) -> Error {
    if let SnapshotError::Io { place, cause } = error {
        return Error::file(place, cause);
    }
    Error::usage(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_along_is_told() {
        let new = vec![("a".to_owned(), 10), ("image".to_owned(), 3 << 20), ("b".to_owned(), 200 << 10)];
        let base = "0123456789abcdef".to_owned();
        let mut taken = Snapshot {
            repository: "/r".into(),
            commit: "c".to_owned(),
            tree: "t".to_owned(),
            base,
            changed: 4,
            left_out: Vec::new(),
            new,
        };
        assert!(told(&taken).starts_with("4 changed files on 0123456") && told(&taken).ends_with(", 3 of them new"));
        assert_eq!(new_files(&taken), ["  new: image (3 MiB)", "  new: b (200 KiB)", "  new: a"]);
        taken.new = (0..12).map(|number| (format!("{number:02}"), 1)).collect();
        assert_eq!(new_files(&taken).last().map(String::as_str), Some("  and 2 more"));
        (taken.changed, taken.new) = (0, Vec::new());
        assert!(told(&taken).ends_with("without changes"));
    }
}
