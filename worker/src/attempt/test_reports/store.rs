//! Stores the list of a step's tests, and the reports themselves, at the master: under `tests/STEP/` of the attempt's files. Bytes that
//! were sent before a lost connection or a restart are not sent again.

use super::{LIST, NotedFile, ORIGINALS, ReadTests};
use crate::attempt::window::Window;
use crate::process::supervisor::StepFiles;
use schema::common_capnp::byte_sink;
use schema::values::{Refusal, RefusalCode, TestsReported, originals_name};
use schema::wire;
use schema::worker_capnp::lease;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The most bytes in one call. A call for a log has the same limit.
const CHUNK_BYTES: usize = 128 << 10;
/// The number of refusals of one file after which the worker still tries again. They say that the master failed, or that it has other
/// bytes than the worker sent.
const FAULTS_MAX: u32 = 5;

/// Why the report of a step's end must wait, or is no longer wanted.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// The lease of the attempt is over.
    Stale(Refusal),
    /// The master has no room now, but keeps the bytes that were sent.
    NotYet(Refusal),
    /// The connection to the master is lost.
    Call(capnp::Error),
}

/// Why a file is not stored.
enum Unstored {
    Wait(StoreError),
    /// The file will never be stored, for this reason.
    Final(String),
}

impl From<capnp::Error> for Unstored {
    fn from(error: capnp::Error) -> Unstored {
        if error.kind == capnp::ErrorKind::Unimplemented {
            return Unstored::Final("the master is older and keeps no files".to_owned());
        }
        match matches!(error.kind, capnp::ErrorKind::Disconnected | capnp::ErrorKind::Overloaded) {
            true => Unstored::Wait(StoreError::Call(error)),
            false => Unstored::Final(error.to_string()),
        }
    }
}

impl From<Refusal> for Unstored {
    fn from(refusal: Refusal) -> Unstored {
        match refusal.code {
            RefusalCode::Stale => Unstored::Wait(StoreError::Stale(refusal)),
            RefusalCode::Unavailable => Unstored::Wait(StoreError::NotYet(refusal)),
            RefusalCode::Internal
            | RefusalCode::NotPermitted
            | RefusalCode::NotFound
            | RefusalCode::Conflict
            | RefusalCode::Invalid
            | RefusalCode::Revoked
            | RefusalCode::Expired
            | RefusalCode::Unknown
            | RefusalCode::Version
            | RefusalCode::Offset => Unstored::Final(refusal.text),
        }
    }
}

impl From<io::Error> for Unstored {
    fn from(error: io::Error) -> Unstored {
        Unstored::Final(error.to_string())
    }
}

/// Stores the list and the reports, and returns the summary of the tests for the step's report. A file that cannot be stored does not
/// stop the other file.
pub(crate) async fn store(
    lease: &lease::Client,
    files: &StepFiles,
    step: u16,
    tests: &ReadTests,
    window: &Window,
) -> Result<TestsReported, StoreError> {
    let mut reported = tests.reported.clone();
    if let Some(list) = &tests.list {
        match send(lease, &format!("tests/{step}/list"), &files.named(LIST), list, window).await {
            Ok(()) => {}
            Err(Unstored::Wait(error)) => return Err(error),
            Err(Unstored::Final(why)) => {
                reported.list.clear();
                let between = if reported.trouble.is_empty() { "" } else { "; " };
                reported.trouble.push_str(&format!("{between}the list of tests was not stored: {why}"));
            }
        }
    }
    // Without the list, nobody can find the original reports.
    if let Some(originals) = tests.originals.as_ref().filter(|_| !reported.list.is_empty()) {
        match send(lease, &originals_name(step), &files.named(ORIGINALS), originals, window).await {
            Ok(()) => {}
            Err(Unstored::Wait(error)) => return Err(error),
            Err(Unstored::Final(why)) => tracing::warn!(step, why, "the test reports of a step are not kept"),
        }
    }
    Ok(reported)
}

async fn send(
    lease: &lease::Client,
    name: &str,
    path: &Path,
    noted: &NotedFile,
    window: &Window,
) -> Result<(), Unstored> {
    let sink = sink_of(lease, name).await?;
    let file = File::open(path)?;
    let (mut received, mut is_sealed) = size(&sink).await?;
    let mut faults = 0;
    loop {
        let step = match is_sealed || received >= noted.size {
            true => match seal(&sink, noted).await? {
                None => return Ok(()),
                refusal => refusal,
            },
            false => match write(&sink, &file, received, noted.size, window).await? {
                Ok(now) if now > received => {
                    received = now;
                    None
                }
                Ok(now) => Some(Refusal::new(
                    RefusalCode::Internal,
                    format!("it says {now} bytes after {received} were received"),
                )),
                Err(refusal) => Some(refusal),
            },
        };
        if let Some(refusal) = step {
            let may_go_on = matches!(refusal.code, RefusalCode::Offset | RefusalCode::Invalid | RefusalCode::Internal);
            faults += 1;
            if !may_go_on || faults > FAULTS_MAX {
                return Err(refusal.into());
            }
            (received, is_sealed) = size(&sink).await?;
        }
    }
}

async fn sink_of(lease: &lease::Client, name: &str) -> Result<byte_sink::Client, Unstored> {
    let mut request = lease.artifact_request();
    request.get().set_path(name);
    let answer = request.send().promise.await?;
    let results = answer.get()?;
    match wire::refusal(results.has_refusal(), results.get_refusal())? {
        Some(refusal) => Err(refusal.into()),
        None => Ok(results.get_sink()?),
    }
}

/// Returns the number of bytes that the master has, and whether the file is complete there.
async fn size(sink: &byte_sink::Client) -> Result<(u64, bool), Unstored> {
    let answer = sink.size_request().send().promise.await?;
    let results = answer.get()?;
    match wire::refusal(results.has_refusal(), results.get_refusal())? {
        Some(refusal) => Err(refusal.into()),
        None => Ok((results.get_received(), results.get_sealed())),
    }
}

/// Sends the next bytes, and returns how many bytes the master has received in all.
async fn write(
    sink: &byte_sink::Client,
    file: &File,
    at: u64,
    size: u64,
    window: &Window,
) -> Result<Result<u64, Refusal>, Unstored> {
    let wanted = usize::try_from(size - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
    let room = window.room(wanted).await;
    let count = wanted.min(room.bytes());
    let mut request = sink.write_request();
    let mut params = request.get();
    params.set_offset(at);
    file.read_exact_at(params.init_bytes(wire::length(count)), at)?;
    let answer = request.send().promise.await?;
    room.answered();
    let results = answer.get()?;
    match wire::refusal(results.has_refusal(), results.get_refusal())? {
        Some(refusal) if refusal.code == RefusalCode::Offset => Ok(Err(refusal)),
        Some(refusal) => Err(refusal.into()),
        // The master cannot have received more than was sent, whatever it says.
        None => Ok(Ok(results.get_received().min(at + count as u64))),
    }
}

/// Ends the file at the master. A refusal says that the master has other bytes than the worker sent.
async fn seal(sink: &byte_sink::Client, noted: &NotedFile) -> Result<Option<Refusal>, Unstored> {
    let mut request = sink.seal_request();
    request.get().set_length(noted.size);
    request.get().set_blake3(&noted.hash);
    let answer = request.send().promise.await?;
    let results = answer.get()?;
    match wire::refusal(results.has_refusal(), results.get_refusal())? {
        Some(refusal) if matches!(refusal.code, RefusalCode::Offset | RefusalCode::Invalid) => Ok(Some(refusal)),
        Some(refusal) => Err(refusal.into()),
        None => Ok(None),
    }
}
