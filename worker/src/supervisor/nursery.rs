//! Where supervisors come from: a process of this program that forks one for each step. To load and relocate the whole
//! program anew costs more than many a step does; a fork of a small process shares all of it.
//!
//! A message is the step's number, as two bytes with the low one first, and the attempt's directory; with it come the
//! two descriptors that a supervisor has from the start. The nursery itself sends one message, when it is there.

use super::scope::Keeper;
use super::supervise;
use crate::isolation::spawn::{self, Forked};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recv, recvmsg, send, sendmsg, socketpair,
};
use schema::systemd;
use std::ffi::OsStr;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// The argument behind [`super::SUPERVISE`].
pub(super) const NURSERY: &str = "nursery";

/// What it says when it is there.
const HERE: &[u8] = b"here";

/// Of a path, as Linux has it.
const PATH_MAX: usize = 4096;

/// The worker's hold on its nursery, which ends when this is dropped, or with the worker. Supervisors do not.
#[derive(Debug)]
pub struct Nursery(OwnedFd);

impl Nursery {
    /// What runs it. `program`: a binary that answers to [`super::SUPERVISE`].
    pub fn command(program: &Path) -> io::Result<(Command, Nursery)> {
        Nursery::run_by(Command::new(program))
    }

    /// Like [`Nursery::command`] in a scope of its own. To be waited for: the scope may not come to be.
    pub fn command_in(keeper: Keeper, program: &Path) -> io::Result<(Command, Nursery)> {
        Nursery::run_by(keeper.command(program))
    }

    fn run_by(mut command: Command) -> io::Result<(Command, Nursery)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        command.arg(super::SUPERVISE).arg(NURSERY);
        // it is not for what outlives the worker to speak for it
        for name in systemd::VARIABLES {
            command.env_remove(name);
        }
        command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        Ok((command, Nursery(ours)))
    }

    /// Waits until it is there.
    pub fn wait(&self, patience: Duration) -> io::Result<()> {
        let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
        if retry_on_intr(|| poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&patience)))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match recv(&self.0, &mut [0; HERE.len()], RecvFlags::DONTWAIT)?.0 {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Asks for the supervisor of a step whose order is written. An error: there is none, and will be none.
    pub(super) fn ask(&self, dir: &Path, step: u16, line: BorrowedFd<'_>, locked: BorrowedFd<'_>) -> io::Result<()> {
        let message = [&step.to_le_bytes(), dir.as_os_str().as_bytes()].concat();
        let fds = [line, locked];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        // a nursery that does not keep up is none
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        sendmsg(&self.0, &[IoSlice::new(&message)], &mut control, flags)?;
        Ok(())
    }
}

/// Serves the worker at standard input until it is gone. Comes back in each supervisor too, when its step is over.
pub(super) fn serve() -> ExitCode {
    // a signal to the worker's terminal is not for us
    let _ = rustix::process::setsid();
    spawn::set_name(c"nursery");
    if spawn::forget_children().is_err() {
        return ExitCode::from(4);
    }
    // where nobody waits for it, that is well too
    let _ = send(io::stdin(), HERE, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    let mut message = [0; 2 + PATH_MAX];
    loop {
        match receive(&mut message) {
            Ok(Some((size, line, locked))) => match spawn::fork() {
                Ok(Forked::Child) => return begin(&message[..size], line, locked),
                // where there is no room for a process, its line ends, which says so
                Ok(Forked::Parent) | Err(_) => {}
            },
            Ok(None) => return ExitCode::SUCCESS,
            Err(_) => return ExitCode::from(4),
        }
    }
}

/// None: the worker is gone.
fn receive(message: &mut [u8]) -> io::Result<Option<(usize, OwnedFd, OwnedFd)>> {
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let input = io::stdin();
        let received = recvmsg(input.as_fd(), &mut [IoSliceMut::new(message)], &mut control, RecvFlags::CMSG_CLOEXEC);
        let size = match received {
            Err(Errno::INTR) => continue,
            // it left without having read what we said
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
            return Ok(Some((size, line, locked)));
        }
    }
}

fn begin(message: &[u8], line: OwnedFd, locked: OwnedFd) -> ExitCode {
    spawn::set_name(c"supervisor");
    let given = spawn::mind_children()
        .and_then(|()| Ok(rustix::stdio::dup2_stdin(&line)?))
        .and_then(|()| Ok(rustix::stdio::dup2_stdout(&locked)?));
    drop((line, locked));
    let Some((step, dir)) = message.split_first_chunk().filter(|_| given.is_ok()) else { return ExitCode::from(4) };
    match supervise(Path::new(OsStr::from_bytes(dir)), u16::from_le_bytes(*step)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(4),
    }
}
