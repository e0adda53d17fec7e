//! The supervisor's connection to its worker: a socket pair from the start, and a listening socket for the next worker. Both sides
//! send lines of text, and ignore a line that they do not know.
//!
//! ```text
//! until MOMENT     when the lease ends
//! deadline MS      the lease lasts MS milliseconds from now: for supervisors of 0.1.0, and from workers of 0.1.0
//! stop WHY         end the step
//!                              output BYTES     the spool holds BYTES bytes
//!                              exited           the journal is written
//! ```

use super::clock::Moment;
use super::door::Door;
use super::order::StepFiles;
use rustix::event::{PollFd, PollFlags};
use rustix::net::sockopt::{socket_peercred, socket_type};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

/// The limit for a line of a worker, in bytes. The supervisor drops a worker that sends a longer one.
const LINE_BYTES_MAX: usize = 4096;
/// The least time between two messages about output, in milliseconds. The first output is reported at once.
const TELL_EVERY_MS: u64 = 2;

/// How long the supervisor waits, in milliseconds, before it writes again to a worker that does not read.
const RETRY_MS: u64 = 100;

/// A message from a worker to a supervisor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    Until(Moment),
    Deadline(u64),
    Stop(String),
}

/// The connection of a supervisor to its worker.
#[derive(Debug)]
pub(super) struct Link {
    door: Door,
    peer: Option<UnixStream>,
    received: Vec<u8>,
    /// Whether the worker says at which moment the lease ends. If so, the supervisor ignores `deadline` lines, because they are
    /// less exact.
    is_exact: bool,
    told: u64,
    told_at: Moment,
}

impl Link {
    /// Opens the connection. `inherited` is the socket that the worker passed on, if it did.
    pub(super) fn open(files: StepFiles, inherited: OwnedFd) -> io::Result<Link> {
        let peer = socket_type(&inherited).is_ok().then(|| UnixStream::from(inherited));
        if let Some(peer) = &peer {
            peer.set_nonblocking(true)?;
        }
        let mut door = Door::new(files);
        if peer.is_none() {
            door.open();
        }
        Ok(Link { door, peer, received: Vec::new(), is_exact: false, told: 0, told_at: Moment(0) })
    }

    /// Removes the socket. From here on a worker that comes back does not find this supervisor, and looks for the journal instead.
    pub(super) fn close(&mut self) {
        self.door.close();
    }

    pub(super) fn is_up(&self) -> bool {
        self.peer.is_some()
    }

    /// Returns the moment at which [`Link::receive`] must be called even if nothing has arrived.
    pub(super) fn due(&self) -> Option<Moment> {
        self.door.due()
    }

    pub(super) fn poll_fds(&self) -> [Option<PollFd<'_>>; 2] {
        let readable = PollFlags::IN;
        let peer = self.peer.as_ref().map(|peer| PollFd::from_borrowed_fd(peer.as_fd(), readable));
        [self.door.listener().map(|listener| PollFd::from_borrowed_fd(listener.as_fd(), readable)), peer]
    }

    /// Accepts a worker that connects again, drops the connection of an older worker, and reads what the worker says.
    pub(super) fn receive(&mut self) -> Vec<Word> {
        while let Some(peer) = self.door.next() {
            if is_same_user(&peer) && peer.set_nonblocking(true).is_ok() {
                self.peer = Some(peer);
                self.received.clear();
                self.is_exact = false;
                self.told = 0;
            }
        }
        if self.fill().is_err() {
            self.lose_worker();
        }
        self.words()
    }

    /// Tells the worker how many bytes the spool holds. If it is too early for that, returns the moment to call again.
    pub(super) fn tell_output(&mut self, size: u64, now: Moment) -> Option<Moment> {
        if self.peer.is_none() || size == self.told {
            return None;
        }
        let next = self.told_at.plus(TELL_EVERY_MS);
        if now < next {
            return Some(next);
        }
        self.told_at = now;
        // The next message tells the whole size again, so a full socket loses nothing.
        if self.send(&format!("output {size}\n")) {
            self.told = size;
            return None;
        }
        Some(now.plus(RETRY_MS))
    }

    pub(super) fn tell_exited(&mut self) {
        if let Some(peer) = &self.peer {
            // The worker also sees the end of the connection; this message only reaches it sooner.
            let _ = peer.set_nonblocking(false);
            let _ = peer.set_write_timeout(Some(std::time::Duration::from_secs(1)));
        }
        self.send("exited\n");
    }

    fn send(&mut self, line: &str) -> bool {
        let Some(peer) = &mut self.peer else { return false };
        match peer.write(line.as_bytes()) {
            Ok(sent) if sent == line.len() => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            // Half a line would spoil the next line.
            Ok(_) | Err(_) => {
                self.lose_worker();
                false
            }
        }
    }

    fn lose_worker(&mut self) {
        self.peer = None;
        self.door.open();
    }

    fn fill(&mut self) -> io::Result<()> {
        let Some(peer) = &mut self.peer else { return Ok(()) };
        let mut buffer = [0; 512];
        loop {
            match peer.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
            if self.received.len() > LINE_BYTES_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
        }
    }

    fn words(&mut self) -> Vec<Word> {
        let Some(end) = self.received.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let lines: Vec<u8> = self.received.drain(..=end).collect();
        let words: Vec<Word> = String::from_utf8_lossy(&lines).lines().filter_map(parse).collect();
        self.is_exact |= words.iter().any(|word| matches!(word, Word::Until(_)));
        words.into_iter().filter(|word| !self.is_exact || !matches!(word, Word::Deadline(_))).collect()
    }
}

/// Whether the process at the other end runs as our own user. An earlier version used an abstract socket, which has no file and so
/// no file mode. Nothing else keeps other users from connecting to such a socket.
pub(super) fn is_same_user(peer: &UnixStream) -> bool {
    socket_peercred(peer).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

fn parse(line: &str) -> Option<Word> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    match verb {
        "until" => rest.parse().ok().map(|end| Word::Until(Moment(end))),
        "deadline" => rest.parse().ok().map(Word::Deadline),
        "stop" => Some(Word::Stop(rest.to_owned())),
        _ => None,
    }
}
