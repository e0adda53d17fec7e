//! The worker process of `up`, which is this program under its other name.

use super::{Credentials, UpError};
use rustix::fs::FileType;
use rustix::process::{Signal, getpid, kill_process};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tokio::process::{Child, ChildStdin, Command};

/// The first argument that makes this program a worker.
pub const WORKER: &str = "worker";

/// The longest time that a worker gets to end its steps after the second SIGTERM. Then it is killed.
const STOP: Duration = Duration::from_secs(15);

/// Runs this program as the worker of an `up`. If the `up` is killed, its worker hands its steps over and ends, so that the next `up`
/// can start one.
pub fn work(arguments: Vec<String>) -> ExitCode {
    if is_pipe(&std::io::stdin()) {
        std::thread::spawn(end_with_up);
    }
    worker::cli(arguments)
}

fn is_pipe(input: &impl AsFd) -> bool {
    rustix::fs::fstat(input).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// Waits until nobody has the other end of the standard input, and then ends this worker in order. A signal at the death of the
/// parent would not do, because it can come more than once if the parent has threads, and a second SIGTERM cancels the steps.
fn end_with_up() {
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    let _ = kill_process(getpid(), Signal::TERM);
}

pub(super) struct Worker {
    child: Child,
    /// The other end of the worker's standard input, by whose end the worker sees that this program was killed.
    _life: Option<ChildStdin>,
}

impl Worker {
    /// Starts a worker, which first joins if no earlier `up` did so.
    pub(super) async fn start(state: &Path, caps: &Credentials) -> Result<Worker, UpError> {
        let dir = state.join("worker");
        if !dir.join(worker::CREDENTIAL_FILE).exists() {
            let join = caps.worker_join.to_string_lossy().into_owned();
            // the output of a join is shown only if it fails, because one machine needs no such news
            let joining = command(&dir, &["join", &join])?.stderr(Stdio::piped()).output().await;
            let joined = joining.map_err(UpError::io("the worker"))?;
            if !joined.status.success() {
                let said = String::from_utf8_lossy(&joined.stderr).trim().to_owned();
                return Err(UpError::Worker(format!("failed to join: {}: {said}", joined.status)));
            }
        }
        let mut child = command(&dir, &["run"])?.stdin(Stdio::piped()).spawn().map_err(UpError::io("the worker"))?;
        // waiting for the process would close it
        let life = child.stdin.take();
        Ok(Worker { child, _life: life })
    }

    /// Returns how the process ended, when it ends by itself.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => format!("ended: {status}"),
            Err(error) => format!("cannot be waited for: {error}"),
        }
    }

    /// Ends the process and its steps. The first SIGTERM hands steps over, and the second one cancels them.
    pub(super) async fn stop(&mut self) {
        self.signal();
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.signal();
        if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    fn signal(&self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

fn command(dir: &Path, arguments: &[&str]) -> Result<Command, UpError> {
    let program = std::env::current_exe().map_err(UpError::io("this program's path"))?;
    let mut command = Command::new(program);
    command.arg(WORKER).args(arguments).arg("--state").arg(dir).stdin(Stdio::null()).stdout(Stdio::null());
    if std::env::var_os("GUILD_LOG").is_none() {
        command.env("GUILD_LOG", "warn");
    }
    // an interrupt at the terminal goes to `up` only, which then ends its worker in order
    command.process_group(0);
    Ok(command)
}
