//! The worker's side of a supervisor: how to start one, and how to reach one that another worker started.

use super::SUPERVISE;
use super::order::{Order, StepFiles};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes the order for a step and makes the command that supervises it, with this side of the line to it. `program`
/// is a binary that answers to [`SUPERVISE`].
pub fn command(program: &Path, dir: &Path, step: u16, order: &Order) -> io::Result<(Command, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let locked = StepFiles::new(dir, step).write_order(order)?;
    let mut command = Command::new(program);
    command
        .arg(SUPERVISE)
        .arg(dir)
        .arg(step.to_string())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(locked))
        .stderr(Stdio::null());
    Ok((command, ours))
}

/// Reaches the supervisor of a step.
pub fn connect(dir: &Path, step: u16) -> io::Result<UnixStream> {
    // a socket's address has at most 108 bytes, a path has more
    let dir = File::options().read(true).custom_flags(rustix::fs::OFlags::PATH.bits().cast_signed()).open(dir)?;
    let near = format!("/proc/self/fd/{}", dir.as_raw_fd());
    UnixStream::connect(StepFiles::new(Path::new(&near), step).socket())
}
