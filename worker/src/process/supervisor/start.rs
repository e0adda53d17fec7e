//! The worker's side of a supervisor: how to start one, and how to connect to one that an earlier worker started.

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

/// A step whose order is written, with the descriptors that its supervisor gets at its start.
pub struct Prepared<'a> {
    dir: &'a Path,
    step: u16,
    ours: UnixStream,
    theirs: UnixStream,
    locked: File,
}

/// Writes the order for a step, and makes the connection for its supervisor.
pub fn prepare<'a>(dir: &'a Path, step: u16, order: &Order) -> io::Result<Prepared<'a>> {
    let (ours, theirs) = UnixStream::pair()?;
    let locked = StepFiles::new(dir, step).write_order(order)?;
    Ok(Prepared { dir, step, ours, theirs, locked })
}

impl Prepared<'_> {
    /// Asks the forker for a supervisor of the step: a new fork, or one at rest. An error means that there is no supervisor.
    pub fn ask(&self, forker: &SupervisorForker) -> io::Result<()> {
        forker.ask(self.dir, self.step, self.theirs.as_fd(), self.locked.as_fd())
    }

    /// Returns the command that runs the supervisor as a program of its own. `program` is a binary that answers to
    /// [`super::SUPERVISE`].
    pub fn command(&self, program: &Path) -> io::Result<Command> {
        let mut command = Command::new(program);
        become_supervisor(&mut command, [self.dir.as_os_str(), self.step.to_string().as_ref()]);
        command.stdin(Stdio::from(OwnedFd::from(self.theirs.try_clone()?)));
        command.stdout(Stdio::from(self.locked.try_clone()?)).stderr(Stdio::null());
        Ok(command)
    }

    /// Returns the connection to the supervisor. From here on only the supervisor holds the other end and the lock of the order.
    pub fn line(self) -> UnixStream {
        self.ours
    }
}

/// Connects to the supervisor of a step. It may be of an earlier version, because a worker may be upgraded while a step runs.
pub fn connect(dir: &Path, step: u16) -> io::Result<UnixStream> {
    let found = knock(&StepFiles::new(dir, step));
    found.and_then(|line| if is_same_user(&line) { Ok(line) } else { Err(io::ErrorKind::PermissionDenied.into()) })
}
