//! Delivers notices by a command. The command gets the notice on stdin, a small environment, and half a minute.

use super::{Channel, Handed, Parcel, PutOff};
use crate::keep::process_group::ProcessGroup;
use crate::serve::reporters::notice::Notice;
use futures::future::LocalBoxFuture;
use futures::{FutureExt as _, TryFutureExt as _};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

const DEADLINE: Duration = Duration::from_secs(30);
/// The time for which the command's last output is read after the command has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
const STDERR_BYTES_MAX: usize = 2 << 10;
/// The variables of the master's environment that the command sees.
const PASSED: [&str; 3] = ["PATH", "HOME", "LANG"];

/// A `CommandChannel` starts a program for each notice.
pub(super) struct CommandChannel {
    pub(super) argv: Vec<String>,
    /// The directory in which the command runs.
    pub(super) dir: PathBuf,
}

impl Channel for CommandChannel {
    fn pack<'a>(&'a self, notice: &Notice) -> Result<Option<Box<dyn Parcel + 'a>>, String> {
        let input = serde_json::to_vec(notice).map_err(|error| error.to_string())?;
        Ok(Some(Box::new(CommandParcel { channel: self, input })))
    }
}

struct CommandParcel<'a> {
    channel: &'a CommandChannel,
    input: Vec<u8>,
}

impl Parcel for CommandParcel<'_> {
    fn hand_over(&mut self) -> LocalBoxFuture<'_, Result<Handed, PutOff>> {
        let run = run(&self.channel.argv, &self.channel.dir, &self.input);
        run.map_ok(|()| Handed::Whole).map_err(PutOff::of_the_way).boxed_local()
    }
}

/// Runs a command in a directory. An error says why it did not succeed. Dropping the future ends the command and its whole process group.
async fn run(argv: &[String], dir: &Path, input: &[u8]) -> Result<(), String> {
    run_within(argv, dir, input, DEADLINE).await
}

async fn run_within(argv: &[String], dir: &Path, input: &[u8], deadline: Duration) -> Result<(), String> {
    let name = argv.first().cloned().unwrap_or_default();
    let mut group = spawn(argv, dir).map_err(|error| format!("failed to start {name}: {error}"))?;
    let mut said = Vec::new();
    match tokio::time::timeout(deadline, converse(&mut group.0, input, &mut said)).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{name} failed ({status}){}", words(&said))),
        Ok(Err(error)) => Err(format!("failed to follow {name}: {error}")),
        Err(_) => Err(format!("{name} was ended, because it took more than {} s{}", deadline.as_secs(), words(&said))),
    }
}

fn words(said: &[u8]) -> String {
    let text = crate::serve::reporters::excerpt::plain(&String::from_utf8_lossy(said));
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn spawn(argv: &[String], dir: &Path) -> io::Result<ProcessGroup> {
    let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    let passed = PASSED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    command.args(arguments).current_dir(dir).env_clear().envs(passed);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    ProcessGroup::spawn(command)
}

/// Feeds the command and waits for its end. `said` gets the end of its stderr. A command may end without reading its input; its status
/// tells why.
async fn converse(child: &mut Child, input: &[u8], said: &mut Vec<u8>) -> io::Result<ExitStatus> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let mut listening = std::pin::pin!(async {
        let Some(mut pipe) = stderr else { return };
        let mut chunk = [0; 1 << 10];
        while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
            said.extend_from_slice(&chunk[..count]);
            said.drain(..said.len().saturating_sub(STDERR_BYTES_MAX));
        }
    });
    let mut feeding = std::pin::pin!(async {
        if let Some(mut pipe) = stdin {
            let _ = pipe.write_all(input).await;
        }
    });
    let (mut has_fed, mut has_ended) = (false, false);
    let status = {
        let mut ending = std::pin::pin!(child.wait());
        loop {
            tokio::select! {
                status = &mut ending => break status?,
                () = &mut feeding, if !has_fed => has_fed = true,
                () = &mut listening, if !has_ended => has_ended = true,
            }
        }
    };
    if !has_ended {
        // another process may hold the pipe open, and nobody waits for that one
        let _ = tokio::time::timeout(LAST_WORDS, listening).await;
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    async fn tell(script: &str, input: &[u8]) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        run(&shell(script), dir.path(), input).await
    }

    #[tokio::test]
    async fn it_gets_its_input_and_little_else() {
        let dir = tempfile::tempdir().unwrap();
        let script = "cat > got; env | sed 's/=.*//' | sort > names; echo ignored";
        // this is more than a pipe holds
        let input = vec![b'x'; 200_000];
        run(&shell(script), dir.path(), &input).await.unwrap();
        assert_eq!(std::fs::read(dir.path().join("got")).unwrap(), input);
        let names = std::fs::read_to_string(dir.path().join("names")).unwrap();
        // the shell sets these itself
        let names: Vec<&str> = names.lines().filter(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name)).collect();
        assert!(names.iter().all(|name| PASSED.contains(name)), "{names:?}");
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told() {
        let input = vec![b'x'; 200_000];
        assert_eq!(tell("exec <&-; exit 0", &input).await, Ok(()));
        let failed = tell("cat > /dev/null; printf 'no \\033[31mway' >&2; exit 3", b"x").await;
        assert_eq!(failed, Err("/bin/sh failed (exit status: 3): no way".to_owned()));
        let dir = tempfile::tempdir().unwrap();
        let missing = run(&["/nowhere/tell".to_owned()], dir.path(), b"").await.unwrap_err();
        assert!(missing.starts_with("failed to start /nowhere/tell: "), "{missing}");
    }

    #[tokio::test]
    async fn one_that_hangs_is_ended_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let script = "sleep 1000 & echo $! > child; echo waiting >&2; wait";
        let hung = run_within(&shell(script), dir.path(), b"", Duration::from_millis(500)).await.unwrap_err();
        assert!(hung.contains("was ended"), "{hung}");
        let child = std::fs::read_to_string(dir.path().join("child")).unwrap();
        let child = rustix::process::Pid::from_raw(child.trim().parse().unwrap()).unwrap();
        // the process that adopted the child must wait for it first
        for _ in 0..400 {
            if rustix::process::test_kill_process(child).is_err() || is_zombie(child) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("its child lives on");
    }

    fn is_zombie(pid: rustix::process::Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
    }
}
