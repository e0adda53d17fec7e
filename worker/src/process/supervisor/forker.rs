//! The process that forks supervisors. It runs this program, and forks a supervisor if none is at rest. Loading and relocating the
//! whole program for each step would cost more than many a step does. A forked small process shares all of it, and a supervisor
//! that had a step before has its memory mapped already.
//!
//! A message is the step's number, as two bytes with the low one first, and the attempt's directory. With it come the two
//! descriptors that a supervisor has from the start. The forker sends its worker one message, when it is ready. A supervisor at
//! rest sends its forker the same message.

use super::scope::ServiceManager;
use super::supervise;
use crate::process::isolation::spawn::{self, Forked};
use crate::process::open_files;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, Shutdown, SocketFlags, SocketType, recv, recvmsg, send, sendmsg, shutdown, socketpair,
};
use rustix::process::{WaitOptions, wait};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use system::systemd;

/// The argument after [`super::SUPERVISE`] that makes this program the forker of supervisors.
pub(super) const FORKER: &str = "forker";

/// The message of a forker that is ready, and of a supervisor at rest.
const READY: &[u8] = b"here";

/// The longest path that Linux allows, in bytes.
const PATH_MAX: usize = 4096;

/// How long a supervisor waits for another step before it ends. After that, an idle worker has no spare processes.
const REST: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// The worker's connection to the process that forks its supervisors. That process ends when this is dropped, or when the worker
/// ends. Supervisors that have a step go on.
#[derive(Debug)]
pub struct SupervisorForker(OwnedFd);

impl SupervisorForker {
    /// Returns the command that runs the forker. `program` is a binary that answers to [`super::SUPERVISE`].
    pub fn command(program: &Path) -> io::Result<(Command, SupervisorForker)> {
        SupervisorForker::run_by(Command::new(program))
    }

    /// Like [`SupervisorForker::command`], but in a scope of its own. Call [`SupervisorForker::wait`] after the start, because
    /// making the scope may fail.
    pub fn command_in(manager: ServiceManager, program: &Path) -> io::Result<(Command, SupervisorForker)> {
        SupervisorForker::run_by(manager.command(program))
    }

    fn run_by(mut command: Command) -> io::Result<(Command, SupervisorForker)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        become_supervisor(&mut command, [FORKER]);
        command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        Ok((command, SupervisorForker(ours)))
    }

    /// Waits until the forker is ready.
    pub fn wait(&self, patience: Duration) -> io::Result<()> {
        let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
        if retry_on_intr(|| poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&patience)))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match recv(&self.0, &mut [0; READY.len()], RecvFlags::DONTWAIT)?.0 {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Asks for the supervisor of a step whose order is written. An error means that no supervisor was started.
    pub(super) fn ask(&self, dir: &Path, step: u16, line: BorrowedFd<'_>, locked: BorrowedFd<'_>) -> io::Result<()> {
        let message = [&step.to_le_bytes(), dir.as_os_str().as_bytes()].concat();
        hand_on(self.0.as_fd(), &message, [line, locked])
    }
}

/// Adds the arguments with which a program of ours becomes a supervisor, or the forker. Also removes the variables of the service
/// manager, because a process that outlives the worker must not speak for it there.
pub(super) fn become_supervisor<A: AsRef<OsStr>>(command: &mut Command, arguments: impl IntoIterator<Item = A>) {
    command.arg(super::SUPERVISE).args(arguments);
    for name in systemd::VARIABLES {
        command.env_remove(name);
    }
    open_files::tell(command);
}

/// Sends a message with descriptors, without waiting. A receiver that does not keep up counts as gone.
fn hand_on(to: BorrowedFd<'_>, message: &[u8], fds: [BorrowedFd<'_>; 2]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(to, &[IoSlice::new(message)], &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The order for a supervisor: a message, and the descriptors that came with it.
struct Given {
    message: Vec<u8>,
    line: OwnedFd,
    locked: OwnedFd,
}

/// Serves the worker at standard input until it has gone. Also returns in each supervisor that it forked, when that ends.
pub(super) fn serve() -> ExitCode {
    // A signal to the worker's terminal must not reach this process.
    let _ = rustix::process::setsid();
    spawn::set_name(c"forker");
    if spawn::forget_children().is_err() {
        return ExitCode::from(4);
    }
    // If nobody waits for this message, nothing is lost.
    let _ = say_ready(io::stdin().as_fd());
    match serve_all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(4),
    }
}

fn serve_all() -> io::Result<()> {
    let mut made = Vec::new();
    while let Some(given) = receive(io::stdin().as_fd())? {
        if is_taken(&mut made, &given) {
            continue;
        }
        // If no socket can be made, the connection of the step ends, which tells the worker.
        let Ok((ours, theirs)) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        else {
            continue;
        };
        match spawn::fork() {
            Ok(Forked::Child) => {
                // Other processes must see that the forker ended.
                drop((made, ours));
                return live(theirs.as_fd(), given);
            }
            Ok(Forked::Parent) => made.push(ours),
            Err(_) => {}
        }
    }
    Ok(())
}

/// Hands the step to a supervisor at rest, and returns whether one took it. Forgets supervisors that have ended.
fn is_taken(made: &mut Vec<OwnedFd>, given: &Given) -> bool {
    let fds = [given.line.as_fd(), given.locked.as_fd()];
    let mut is_taken = false;
    made.retain(|supervisor| {
        if is_taken {
            return true;
        }
        match recv(supervisor, &mut [0; READY.len()], RecvFlags::DONTWAIT) {
            Ok((0, _)) => false,
            Ok(_) => {
                is_taken = hand_on(supervisor.as_fd(), &given.message, fds).is_ok();
                is_taken
            }
            Err(error) => matches!(error, Errno::AGAIN | Errno::INTR),
        }
    });
    is_taken
}

/// Runs a supervisor: one step after another, until no step comes, its forker has gone, or a step left processes behind.
fn live(forker: BorrowedFd<'_>, first: Given) -> io::Result<()> {
    spawn::mind_children()?;
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    let mut next = Some(first);
    while let Some(given) = next {
        spawn::set_name(c"supervisor");
        rustix::stdio::dup2_stdin(&given.line)?;
        rustix::stdio::dup2_stdout(&given.locked)?;
        drop((given.line, given.locked));
        let (step, dir) = given.message.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
        supervise(Path::new(OsStr::from_bytes(dir)), u16::from_le_bytes(*step))?;
        // The worker now sees the end of the connection, and the next holder gets the lock.
        rustix::stdio::dup2_stdin(&nothing)?;
        rustix::stdio::dup2_stdout(&nothing)?;
        // If processes could not be killed, no further step begins here, because it would mistake them for its own.
        next = match wait(WaitOptions::NOHANG) {
            Err(Errno::CHILD) => rest(forker)?,
            Ok(_) | Err(_) => None,
        };
    }
    Ok(())
}

/// Waits for another step, at most [`REST`]. `None` means that none came.
fn rest(forker: BorrowedFd<'_>) -> io::Result<Option<Given>> {
    spawn::set_name(c"spare");
    if say_ready(forker).is_err() {
        return Ok(None);
    }
    if retry_on_intr(|| poll(&mut [PollFd::new(&forker, PollFlags::IN)], Some(&REST)))? == 0 {
        // From here on the forker can send nothing to this process; a message that was sent before is still there.
        shutdown(forker, Shutdown::Read)?;
    }
    receive(forker)
}

fn say_ready(to: BorrowedFd<'_>) -> io::Result<()> {
    send(to, READY, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for a message. `None` means that the other end has gone.
fn receive(from: BorrowedFd<'_>) -> io::Result<Option<Given>> {
    let mut message = [0; 2 + PATH_MAX];
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(from, &mut [IoSliceMut::new(&mut message)], &mut control, RecvFlags::CMSG_CLOEXEC);
        let size = match received {
            Err(Errno::INTR) => continue,
            // The forker left without reading the message of this process.
            Err(Errno::CONNRESET) => return Ok(None),
            received => received?.bytes,
        };
        if size == 0 {
            return Ok(None);
        }
        let mut fds = control
            .drain()
            .filter_map(|part| if let RecvAncillaryMessage::ScmRights(fds) = part { Some(fds) } else { None });
        let mut fds = fds.next().into_iter().flatten();
        if let (Some(line), Some(locked)) = (fds.next(), fds.next()) {
            return Ok(Some(Given { message: message[..size].to_vec(), line, locked }));
        }
    }
}
