//! The running worker's socket in its state directory, for `status` and `drain` on the same machine. The caller sends one word, and
//! the worker answers with lines. The answer to `drain` lasts until the worker ends.

use crate::attempt::ledger::Entry;
use crate::disk::removal::remove_file;
use crate::process::environment::token_hex;
use crate::worker_shared::WorkerShared;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

const SOCKET: &str = "control.sock";
/// The limit for the word of a caller, in bytes. It is far longer than any word that the worker knows.
const WORD_BYTES_MAX: u64 = 64;
/// How long the worker waits for the word, so that a silent caller does not hold a connection for ever.
const WORD_MAX: Duration = Duration::from_secs(5);

/// The socket's task. The worker listens until this is dropped.
pub(crate) struct Control(tokio::task::JoinHandle<()>);

impl Drop for Control {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Binds the control socket in place of an older one. Only the worker that holds the state directory's lock may call this.
pub(crate) fn serve(worker: &Rc<WorkerShared>) -> io::Result<Control> {
    let near = Near::new(&worker.shared.state)?;
    remove_file(near.socket())?;
    let listener = UnixListener::bind(near.socket())?;
    let worker = worker.clone();
    Ok(Control(tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let worker = worker.clone();
            tokio::task::spawn_local(async move {
                if let Err(error) = answer(&worker, stream).await {
                    tracing::debug!(%error, "a caller of the control socket did not get its whole answer");
                }
            });
        }
    })))
}

/// Sends a word to the worker of a state directory, and calls `line` with each line of its answer.
pub(crate) async fn ask(state: &Path, word: &str, mut line: impl FnMut(&str)) -> io::Result<()> {
    let near = Near::new(state)?;
    let mut stream = UnixStream::connect(near.socket()).await?;
    stream.write_all(word.as_bytes()).await?;
    stream.shutdown().await?;
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(stream));
    while let Some(text) = lines.next_line().await? {
        line(&text);
    }
    Ok(())
}

async fn answer(worker: &WorkerShared, mut stream: UnixStream) -> io::Result<()> {
    let mut word = String::new();
    let reading = (&mut stream).take(WORD_BYTES_MAX);
    let mut reading = std::pin::pin!(reading);
    timeout(WORD_MAX, reading.read_to_string(&mut word)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    match word.trim() {
        "status" => stream.write_all(status(worker).as_bytes()).await,
        "drain" => drain(worker, stream).await,
        other => stream.write_all(format!("error\tno such word: {other}\n").as_bytes()).await,
    }
}

fn status(worker: &WorkerShared) -> String {
    let link = if *worker.attached.borrow() { "attached" } else { "unattached" };
    let draining = if *worker.draining.borrow() { "draining" } else { "taking" };
    let mut text = format!("worker\t{link}\t{draining}\n");
    for entry in worker.shared.ledger.all() {
        text.push_str(&line_of(&entry));
    }
    text
}

fn line_of(entry: &Entry) -> String {
    let assignment = &entry.assignment;
    let state = match (entry.is_idle(), entry.abandoned().is_some()) {
        (_, true) => "ending",
        (true, false) => "reporting",
        (false, false) => "running",
    };
    let (step, steps) = (entry.ended().len() + 1, assignment.job.steps.len());
    format!(
        "attempt\t{}/{}/{}\t{state}\t{}/{steps}\t{}\n",
        assignment.project,
        assignment.build,
        assignment.job.name,
        step.min(steps),
        token_hex(&assignment.token)
    )
}

async fn drain(worker: &WorkerShared, mut stream: UnixStream) -> io::Result<()> {
    worker.draining.send_replace(true);
    let mut changes = worker.shared.ledger.changes();
    let mut told = None;
    loop {
        let left = worker.shared.ledger.count();
        if told.replace(left) != Some(left) {
            stream.write_all(format!("draining\t{left}\n").as_bytes()).await?;
        }
        if changes.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// A path to the state directory that is short enough for a socket's address.
struct Near {
    /// The directory, held open because the path goes through it.
    _dir: File,
    socket: PathBuf,
}

impl Near {
    fn new(state: &Path) -> io::Result<Near> {
        let flags = rustix::fs::OFlags::PATH.bits().cast_signed();
        let dir = File::options().read(true).custom_flags(flags).open(state)?;
        let socket = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()));
        Ok(Near { _dir: dir, socket })
    }

    fn socket(&self) -> &Path {
        &self.socket
    }
}
