//! Tries a tier of isolation on this machine, so that a worker offers no tier that it cannot give. A process of this program sets
//! itself up like a supervisor of the tier. It starts a step that tries to get away, and checks that it can end all of that step's
//! processes.

use super::SUPERVISE;
use super::forker::become_supervisor;
use crate::process::isolation::launch::launch;
use crate::process::isolation::spawn::{self, Forked};
use crate::process::isolation::{descent, establish, usage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process_group, setsid, wait, waitpid};
use schema::values::Tier;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The argument after [`SUPERVISE`] with which this program tries a tier. The name of the tier follows it.
pub(super) const PROBE: &str = "probe";
/// The argument after [`SUPERVISE`] with which this program tries to measure a step.
pub(super) const BOUNDS: &str = "bounds";
/// The argument after [`SUPERVISE`] with which this program is the step of a try. The name of the tier follows it.
pub(super) const STRAY: &str = "stray";

/// How long the worker waits for the answer of a try. A try takes about 20 ms; a machine that needs longer than this is not fit for
/// steps.
pub(crate) const PROBE_MAX: Duration = Duration::from_secs(10);
/// How long the step of a try lives if nobody ends it. It is longer than [`PROBE_MAX`], so that the step outlives the try.
const STRAY_MAX: Duration = Duration::from_secs(20);
/// The limit for the answer of a try, in bytes. The answer is one sentence.
const ANSWER_MAX: u64 = 1024;
/// The answer of a tier that works.
const WORKS: &str = "works";

/// Tries a tier in a process of its own, for at most `patience`. An error says why the worker must not offer the tier. `program` is a
/// binary that answers to [`SUPERVISE`].
pub(crate) fn probe(program: &Path, tier: Tier, patience: Duration) -> Result<(), String> {
    ask(program, &[PROBE, tier.word()], patience)
}

/// Tries in a process of its own whether this machine shows how many processes and how much memory a step takes. An error says why not.
/// In that case, no step is held to its limits.
pub(crate) fn probe_bounds(program: &Path, patience: Duration) -> Result<(), String> {
    ask(program, &[BOUNDS], patience)
}

fn ask(program: &Path, words: &[&str], patience: Duration) -> Result<(), String> {
    let mut command = Command::new(program);
    become_supervisor(&mut command, words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("the probe cannot be started: {error}"))?;
    let answer = answer(&mut child, patience);
    let _ = child.kill();
    let _ = child.wait();
    match answer?.trim() {
        WORKS => Ok(()),
        "" => Err("the probe ended without an answer".to_owned()),
        why => Err(why.to_owned()),
    }
}

/// Reads the text that the process of a try writes, until it closes its output.
fn answer(child: &mut Child, patience: Duration) -> Result<String, String> {
    let mut output = child.stdout.take().ok_or("the probe has no output")?;
    let until = Instant::now() + patience;
    let mut answer = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if !is_readable(&output, left).map_err(|error| format!("the answer of the probe cannot be read: {error}"))? {
            return Err(format!("the probe did not answer within {} ms", patience.as_millis()));
        }
        let mut part = [0; 256];
        match output.read(&mut part) {
            Ok(0) | Err(_) => return Ok(String::from_utf8_lossy(&answer).into_owned()),
            Ok(count) if (answer.len() + count) as u64 <= ANSWER_MAX => answer.extend_from_slice(&part[..count]),
            Ok(_) => return Err("the answer of the probe is too long".to_owned()),
        }
    }
}

/// Whether `from` has something to read, or has ended, before `left` is over.
fn is_readable(from: &impl AsFd, left: Duration) -> io::Result<bool> {
    let left = Timespec::try_from(left).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&left)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Runs the process of a try, which writes the result to its standard output.
pub(super) fn serve(word: &str) -> ExitCode {
    let tried = Tier::read(word).ok_or_else(|| format!("there is no tier `{word}`")).and_then(try_out);
    say(tried)
}

/// Serves the try to measure a step, as [`serve`] does for a tier.
pub(super) fn serve_bounds() -> ExitCode {
    say(measure_step())
}

/// Starts a step, and checks that this process can see the step and measure its memory.
fn measure_step() -> Result<(), String> {
    let (main, output) = start(Tier::Plain).map_err(|error| format!("a step cannot be started: {error}"))?;
    let has_begun = matches!(rustix::io::read(&output, &mut [0; 1]), Ok(1));
    let pids: Vec<Pid> = descent::descendants(getpid()).into_iter().collect();
    let found = (pids.len(), usage::threads(&pids), usage::memory(&pids, 0));
    end_group(main)?;
    match (has_begun, found) {
        (true, (1, 1.., 1..)) => Ok(()),
        (true, _) => Err("/proc does not show the processes of a step and their memory".to_owned()),
        (false, _) => Err("a step ended too early".to_owned()),
    }
}

fn say(tried: Result<(), String>) -> ExitCode {
    let answer = tried.err().unwrap_or_else(|| WORKS.to_owned());
    match writeln!(io::stdout(), "{answer}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn try_out(tier: Tier) -> Result<(), String> {
    let _ = setsid();
    establish(tier).map_err(|error| error.to_string())?;
    let (main, output) = start(tier).map_err(|error| format!("a step cannot be started: {error}"))?;
    // From here on the step behaves as badly as it can.
    if !matches!(rustix::io::read(&output, &mut [0; 1]), Ok(1)) {
        return Err("a step that starts processes ended too early".to_owned());
    }
    match tier {
        Tier::Plain => end_group(main),
        Tier::Guard => catch(main),
    }
}

/// Starts this program as a step, in the same way as every step. The step gets our environment, because a loader may need it.
fn start(tier: Tier) -> io::Result<(Pid, OwnedFd)> {
    let argv = ["/proc/self/exe", SUPERVISE, STRAY, tier.word()].map(str::to_owned);
    let texts = std::env::vars_os().map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let env: Vec<(String, String)> = texts.flatten().collect();
    launch(&argv, &env, Path::new("/"), None)
}

/// Ends a step that has stayed in its process group, with one signal to the group.
fn end_group(main: Pid) -> Result<(), String> {
    let ended = kill_process_group(main, Signal::KILL).and_then(|()| waitpid(Some(main), WaitOptions::empty()));
    ended.map(drop).map_err(|error| format!("the process group of a step cannot be ended: {error}"))
}

/// Ends what a step has left behind: a process in a session of its own, which must have become a child of this process.
fn catch(main: Pid) -> Result<(), String> {
    waitpid(Some(main), WaitOptions::empty()).map_err(|error| format!("a step cannot be waited for: {error}"))?;
    if descent::kill_descendants(getpid()) == 0 {
        return Err("a process that leaves its parent gets away from the supervisor of its step".to_owned());
    }
    loop {
        match wait(WaitOptions::empty()) {
            Err(Errno::CHILD) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(format!("a process that left its parent cannot be ended: {error}")),
        }
    }
}

/// Runs the step of a trial. For the tier `guard`, the step's child gets a session of its own and loses its parent.
pub(super) fn stray(word: &str) -> ExitCode {
    if Tier::read(word) == Some(Tier::Guard) {
        match spawn::fork() {
            Ok(Forked::Parent) => return ExitCode::SUCCESS,
            Ok(Forked::Child) => _ = setsid(),
            Err(_) => return ExitCode::FAILURE,
        }
    }
    let _ = io::stdout().write_all(b".").and_then(|()| io::stdout().flush());
    std::thread::sleep(STRAY_MAX);
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// Runs [`probe`] with a script as the program.
    fn probe_with(script: &str, patience: Duration) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        // If another test forks a child meanwhile, that child may hold the file open for writing for a moment.
        loop {
            match probe(&program, Tier::Guard, patience) {
                Err(why) if why.contains("Text file busy") => std::thread::yield_now(),
                answer => return answer,
            }
        }
    }

    #[test]
    fn what_the_process_of_a_try_says_is_the_answer() {
        assert_eq!(probe_with("echo works", PROBE_MAX), Ok(()));
        let asked = probe_with("test \"$*\" = 'supervise probe guard' && echo works", PROBE_MAX);
        assert_eq!(asked, Ok(()), "it is told what to try");
        let why = "this system does not make it a subreaper: Invalid argument (os error 22)";
        assert_eq!(probe_with(&format!("echo '{why}'"), PROBE_MAX), Err(why.to_owned()));
    }

    #[test]
    fn no_answer_is_no_tier() {
        let silent = probe_with("exit 1", PROBE_MAX).unwrap_err();
        assert_eq!(silent, "the probe ended without an answer");
        let late = probe_with("exec sleep 60", Duration::from_millis(50)).unwrap_err();
        assert_eq!(late, "the probe did not answer within 50 ms");
        let long = probe_with("exec yes", PROBE_MAX).unwrap_err();
        assert_eq!(long, "the answer of the probe is too long");
        let none = probe(Path::new("/nowhere/program"), Tier::Guard, PROBE_MAX).unwrap_err();
        assert!(none.starts_with("the probe cannot be started: "), "{none}");
    }
}
