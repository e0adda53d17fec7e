//! The test reports of a step. After the step's end they are found in its directory and read into one list of tests. The list is noted
//! in the attempt's directory and then stored at the master. The report of the step's end waits for both, but the reading is limited by
//! [`TIME_MAX`].

mod find;
mod originals;
mod patience;
mod read;
mod store;

pub(crate) use store::{StoreError, store};

use crate::attempt::ledger::Entry;
use crate::disk::atomic_file;
use crate::process::supervisor::{Journal, KillCause, StepFiles};
use crate::process::world::BlockingWork;
use patience::{Patience, StopOnDrop};
use read::Wanted;
use schema::values::TestsReported;
use serde::{Deserialize, Serialize};
use std::io;
use std::time::Duration;

/// How long the reports of one step may be read. Reading reports of the largest allowed size takes some seconds.
const TIME_MAX: Duration = Duration::from_secs(60);

/// How much longer the worker waits for the thread that reads. The thread checks its time with each read, so only a reader or a disk
/// that hangs takes longer.
const OVERTIME: Duration = Duration::from_secs(15);

/// The extensions of the files in the attempt's directory: the summary, the list of the tests, and the reports themselves.
const NOTE: &str = "tests";
const LIST: &str = "list";
const ORIGINALS: &str = "reports";

/// The summary of a step's reports, which is noted for the next worker process. Files beside it have the list and the reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ReadTests {
    pub(crate) reported: TestsReported,
    /// One sentence for each report that the step did not write.
    pub(crate) lacks: Vec<String>,
    /// The list of the tests. `None` means that there is no list.
    list: Option<NotedFile>,
    /// The reports themselves. `None` means that they are not kept.
    originals: Option<NotedFile>,
}

/// A file that must be stored at the master, as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct NotedFile {
    size: u64,
    /// The BLAKE3 hash of the file.
    hash: Vec<u8>,
}

/// Reads the reports of a step that has ended, or returns the notes that an earlier process made of them. `None` means that the plan
/// names no reports, that the step did not start, or that its worker or its master stopped it. Dropping the future stops the reading.
pub(crate) async fn read(blocking: BlockingWork, entry: &Entry, step: u16, journal: &Journal) -> Option<ReadTests> {
    let plan = &entry.assignment.job.steps[usize::from(step)];
    if plan.reports.is_empty() || !has_run(&journal.cause) {
        return None;
    }
    let files = entry.files(step);
    if let Some(noted) = noted(&files) {
        return Some(noted);
    }
    let Some(workspace) = entry.workspace() else {
        return Some(unreadable(&io::Error::other("the step's directory no longer exists")));
    };
    let wanted = Wanted {
        tree: workspace.tree(),
        dir: plan.dir.clone(),
        reports: plan.reports.clone(),
        started: journal.started,
        cause: journal.cause.clone(),
        printed: journal.size,
        files,
    };
    let patience = Patience::new(TIME_MAX);
    let _stop = StopOnDrop(patience.clone());
    let read = run_within(TIME_MAX + OVERTIME, blocking, move || read::read(&wanted, &patience)).await;
    Some(read.unwrap_or_else(|error| {
        tracing::warn!(job = %entry.assignment.job.name, step, %error, "the test reports of a step are lost");
        unreadable(&error)
    }))
}

/// Runs work that may block, and waits at most `time` for it. If the work hangs, its thread is lost.
async fn run_within<T: Send + 'static>(
    time: Duration,
    blocking: BlockingWork,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let Ok(done) = tokio::time::timeout(time, blocking.run(work)).await else {
        return Err(io::Error::new(io::ErrorKind::TimedOut, format!("it did not end within {} s", time.as_secs())));
    };
    done.flatten()
}

fn unreadable(error: &io::Error) -> ReadTests {
    let trouble = format!("the test reports were not read: {error}");
    ReadTests { reported: TestsReported { trouble, ..TestsReported::default() }, ..ReadTests::default() }
}

/// Whether the step ran, and ended for a reason of its own rather than of its worker or its master.
fn has_run(cause: &KillCause) -> bool {
    match cause {
        KillCause::Ended | KillCause::StepTime | KillCause::AttemptTime | KillCause::Idle | KillCause::Excess(_) => {
            true
        }
        KillCause::LeaseOver
        | KillCause::Orphaned
        | KillCause::Stopped(_)
        | KillCause::Impossible(_)
        | KillCause::Broken(_) => false,
    }
}

/// Returns the notes of an earlier process. `None` means that there are none that can be read, so the reports are read again.
fn noted(files: &StepFiles) -> Option<ReadTests> {
    let bytes = atomic_file::read(&files.named(NOTE)).ok()??;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reading_that_hangs_is_not_waited_for() {
        let (release, hang) = std::sync::mpsc::channel::<()>();
        let work = move || hang.recv_timeout(Duration::from_secs(10)).map_err(io::Error::other);
        let error = run_within(Duration::from_millis(20), BlockingWork::Threads, work).await.unwrap_err();
        assert_eq!(unreadable(&error).reported.trouble, "the test reports were not read: it did not end within 0 s");
        release.send(()).unwrap();
        assert_eq!(run_within(Duration::from_secs(60), BlockingWork::Threads, || Ok(1)).await.unwrap(), 1);
    }
}
