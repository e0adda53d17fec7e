//! The worker's side of a supervisor: how to start one, and how to reach one that another worker started.

use super::door::knock;
use super::forker::{SupervisorForker, become_supervisor};
use super::link::is_same_user;
use super::order::{Order, StepFiles};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

/// A step whose order is written, with what its supervisor gets from the start.
pub struct Prepared<'a> {
    dir: &'a Path,
    step: u16,
    ours: UnixStream,
    theirs: UnixStream,
    locked: File,
}

/// Writes the order for a step, and makes the line to who will supervise it.
pub fn prepare<'a>(dir: &'a Path, step: u16, order: &Order) -> io::Result<Prepared<'a>> {
    let (ours, theirs) = UnixStream::pair()?;
    let locked = StepFiles::new(dir, step).write_order(order)?;
    Ok(Prepared { dir, step, ours, theirs, locked })
}

impl Prepared<'_> {
    /// Gets a supervisor for the step: a new fork, or one that is at rest. An error means that there is no supervisor.
    pub fn ask(&self, forker: &SupervisorForker) -> io::Result<()> {
        forker.ask(self.dir, self.step, self.theirs.as_fd(), self.locked.as_fd())
    }

    /// The command that runs the supervisor as a program of its own. `program` is a binary that answers to
    /// [`super::SUPERVISE`].
    pub fn command(&self, program: &Path) -> io::Result<Command> {
        let mut command = Command::new(program);
        become_supervisor(&mut command, [self.dir.as_os_str(), self.step.to_string().as_ref()]);
        command.stdin(Stdio::from(OwnedFd::from(self.theirs.try_clone()?)));
        command.stdout(Stdio::from(self.locked.try_clone()?)).stderr(Stdio::null());
        Ok(command)
    }

    /// The line to the supervisor that was made. From here on only the supervisor holds its end and its lock.
    pub fn line(self) -> UnixStream {
        self.ours
    }
}

/// Reaches the supervisor of a step; also one of an earlier version, as a worker may be upgraded while a step runs.
pub fn connect(dir: &Path, step: u16) -> io::Result<UnixStream> {
    let found = knock(&StepFiles::new(dir, step));
    found.and_then(|line| if is_same_user(&line) { Ok(line) } else { Err(io::ErrorKind::PermissionDenied.into()) })
}
