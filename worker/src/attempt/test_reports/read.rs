//! Reads the reports of a step, on a thread that may block. Finds the files, makes the list of tests, keeps the original reports, and
//! notes all of it in the attempt's directory.

use super::find::{Search, open};
use super::originals::Originals;
use super::patience::{Patience, Patient};
use super::{LIST, NOTE, NotedFile, ORIGINALS, ReadTests};
use crate::disk::atomic_file;
use crate::process::supervisor::{KillCause, StepFiles, milliseconds};
use reports::{Collection, encode};
use schema::values::{ReportFormat, ReportPlan, Time};
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much older than the step's start a file may seem although the step wrote it. The clock of files advances in intervals of some
/// milliseconds.
const CLOCK_STEP: Duration = Duration::from_millis(50);

/// The test reports to read, with the paths of the reports and of the files for the results.
pub(super) struct Wanted {
    /// The directory of the checkout.
    pub tree: PathBuf,
    /// The step's directory, relative to the checkout.
    pub dir: String,
    pub reports: Vec<ReportPlan>,
    /// The moment when the step began.
    pub started: Time,
    /// The cause that ended the step.
    pub cause: KillCause,
    /// The number of bytes that the step printed.
    pub printed: u64,
    pub files: StepFiles,
}

/// The reading of a step's reports, with its results so far.
struct ReportReading<'a> {
    wanted: &'a Wanted,
    patience: &'a Patience,
    root: PathBuf,
    collection: Collection,
    originals: Originals,
    lacks: Vec<String>,
}

/// Reads the reports and notes the results. Fails only if the attempt's directory cannot be written. Errors of a report are noted in
/// the list.
pub(super) fn read(wanted: &Wanted, patience: &Patience) -> io::Result<ReadTests> {
    let tree = wanted.tree.canonicalize()?;
    let root = tree.join(&wanted.dir).canonicalize().ok().filter(|root| root.starts_with(&tree));
    let mut reading = ReportReading {
        wanted,
        patience,
        root: root.clone().unwrap_or_else(|| tree.join(&wanted.dir)),
        collection: Collection::below(&tree.to_string_lossy(), &wanted.dir),
        originals: Originals::create(&wanted.files.named(ORIGINALS))?,
        lacks: Vec::new(),
    };
    if let Some(why) = cut_short(&wanted.cause) {
        reading.collection.add_trouble(format_args!("the step was stopped because {why}, so tests may be missing"));
    }
    let mut search = Search::new(&tree, root.as_deref().unwrap_or(Path::new("/dev/null")), patience);
    for report in &wanted.reports {
        reading.report(report, &mut search, &tree);
    }
    if patience.is_stopped() {
        return Err(io::Error::other("nobody waits for them any more"));
    }
    reading.note()
}

/// Returns why a step did not end by itself, so that its reports may be incomplete. `None` means that the step did.
fn cut_short(cause: &KillCause) -> Option<&'static str> {
    match cause {
        KillCause::Ended => None,
        KillCause::StepTime => Some("its time was over"),
        KillCause::AttemptTime => Some("the time of its job was over"),
        KillCause::Idle => Some("it printed nothing for too long"),
        KillCause::Excess(_) => Some("it exceeded a limit"),
        KillCause::LeaseOver
        | KillCause::Orphaned
        | KillCause::Stopped(_)
        | KillCause::Impossible(_)
        | KillCause::Broken(_) => Some("its worker could not continue it"),
    }
}

impl ReportReading<'_> {
    fn report(&mut self, report: &ReportPlan, search: &mut Search<'_>, tree: &Path) {
        let Some(format) = ReportFormat::of_word(&report.format) else {
            let text = format!("this worker does not know reports of the form `{}`: upgrade it", report.format);
            return self.collection.add_trouble(text);
        };
        if report.path.is_empty() {
            return self.printed(format);
        }
        let (found, looked) = search.find(&report.path);
        let count = found.len();
        let mut fresh = 0;
        for name in found {
            fresh += usize::from(self.file(format, &name, tree));
        }
        match looked {
            Err(error) => self.collection.add_trouble(format_args!("{}: {error}", report.path)),
            Ok(()) if fresh > 0 => {}
            Ok(()) => self.lack(&report.path, count),
        }
    }

    /// Notes that the step did not write a report. `old` is the number of files that match but are older than the step.
    fn lack(&mut self, pattern: &str, old: usize) {
        let is_pattern = pattern.contains(['*', '?']) || pattern.ends_with('/');
        let why = match (is_pattern, old) {
            (false, 0) => format!("{pattern} was not written"),
            (false, _) => format!("{pattern} was not written: the file there is older than the step"),
            (true, 0) => format!("no file was written that matches {pattern}"),
            (true, 1) => format!("no file was written that matches {pattern}: the one there is older than the step"),
            (true, old) => {
                format!("no file was written that matches {pattern}: the {old} there are older than the step")
            }
        };
        self.lacks.push(why);
    }

    fn printed(&mut self, format: ReportFormat) {
        match File::open(self.wanted.files.spool()) {
            Ok(file) => self.collect(format, "", file.take(self.wanted.printed)),
            // The step printed nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.collect(format, "", io::empty()),
            Err(error) => self.collection.add_trouble(format_args!("the step's output cannot be read: {error}")),
        }
    }

    /// Reads a file, unless it is older than the step. Returns true if the step wrote it, or if that is not known.
    fn file(&mut self, format: ReportFormat, name: &str, tree: &Path) -> bool {
        let opened = open(tree, &self.root.join(name)).and_then(|file| Ok((self.is_own(&file)?, file)));
        match opened {
            Ok((false, _)) => return false,
            Ok((true, mut file)) => {
                self.collect(format, name, &file);
                self.keep(name, &mut file);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(error) => self.collection.add_trouble(format_args!("{name}: {error}")),
        }
        true
    }

    /// Whether the step wrote the file, which means that its content, name or mode changed after the step began. No program can set the
    /// time of that change back.
    fn is_own(&self, file: &File) -> io::Result<bool> {
        let found = file.metadata()?;
        let seconds = u64::try_from(found.ctime()).unwrap_or_default();
        let changed = Duration::new(seconds, u32::try_from(found.ctime_nsec()).unwrap_or_default());
        Ok(milliseconds(changed + CLOCK_STEP) >= self.wanted.started.0)
    }

    fn collect(&mut self, format: ReportFormat, name: &str, from: impl Read) {
        self.collection.read(format, name, Patient { from, patience: self.patience });
    }

    /// Keeps the original report. If that fails, the list of tests is not affected.
    fn keep(&mut self, name: &str, file: &mut File) {
        let kept = file.rewind().and_then(|()| {
            let size = file.metadata()?.len();
            self.originals.add(name, size, Patient { from: file, patience: self.patience })
        });
        if let Err(error) = kept {
            tracing::warn!(name, %error, "a test report is not kept");
        }
    }

    fn note(mut self) -> io::Result<ReadTests> {
        if !self.lacks.is_empty() {
            // The sentences about missing reports are why the step fails, and a master keeps only the beginning of the trouble.
            self.collection.put_trouble_first(self.lacks.join("; "));
        }
        let (files, list) = (&self.wanted.files, self.collection.finish());
        let mut reported = list.in_short();
        // If no test was read, the text of the trouble says everything.
        let has_list = !list.results.is_empty() || list.trouble.is_empty();
        let list = if has_list { Some(write(&files.named(LIST), &encode(&list)?)?) } else { None };
        reported.list = list.as_ref().map(|list| list.hash.clone()).unwrap_or_default();
        let originals = if self.originals.finish()? { Some(noted(&files.named(ORIGINALS))?) } else { None };
        let read = ReadTests { reported, lacks: self.lacks, list, originals };
        atomic_file::write(&files.named(NOTE), &serde_json::to_vec(&read)?)?;
        Ok(read)
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<NotedFile> {
    std::fs::write(path, bytes)?;
    Ok(NotedFile { size: bytes.len() as u64, hash: blake3::hash(bytes).as_bytes().to_vec() })
}

fn noted(path: &Path) -> io::Result<NotedFile> {
    let mut hasher = blake3::Hasher::new();
    let size = io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(NotedFile { size, hash: hasher.finalize().as_bytes().to_vec() })
}
