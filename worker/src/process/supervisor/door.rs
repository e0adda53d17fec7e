//! The socket at which a worker that comes back finds the supervisor of a step. It is in the attempt's directory, which no other
//! user may enter. Supervisors of version 0.2.0 listen at a name without a file, which any user of the machine could take.

use super::clock::Moment;
use super::order::StepFiles;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The prefix of the names at which supervisors of version 0.2.0 listen. The names of the attempt and the step follow it.
const ADDRESS_BEFORE: &str = "guild-step/";
/// The directory in which the kernel shows the open files of this process. A path through it to an open directory stays short, however
/// deep the state directory is.
const NEAR: &str = "/proc/self/fd";
/// The limit for the path of a socket, in bytes. The kernel has 108 bytes for it, and the last one is a zero.
const SOCKET_PATH_MAX: usize = 107;
/// How long a step runs, in milliseconds, before its supervisor makes the socket. Most steps that end sooner never need one. Making
/// and removing it would cost more than everything else that the supervisor does on the disk.
const DOOR_AFTER_MS: u64 = 100;
/// How long the supervisor waits, in milliseconds, before it tries again to make a socket that could not be made.
const DOOR_EVERY_MS: u64 = 1_000;

/// The socket at which a worker that comes back finds a supervisor. It is made once the worker has gone, or once the step has run
/// for a moment. A worker that comes earlier sees by the order's lock that there is a supervisor, and tries again.
#[derive(Debug)]
pub(super) struct Door {
    files: StepFiles,
    /// The socket. `None` means that it is not made yet, or could not be made, as on a full disk. The step runs on, and the door
    /// tries again.
    listener: Option<UnixListener>,
    /// The moment at which the socket must be made, if there is no socket yet.
    due: Moment,
}

impl Door {
    /// Makes a door that opens by itself after [`DOOR_AFTER_MS`].
    pub(super) fn new(files: StepFiles) -> Door {
        Door { files, listener: None, due: Moment::now().plus(DOOR_AFTER_MS) }
    }

    pub(super) fn listener(&self) -> Option<&UnixListener> {
        self.listener.as_ref()
    }

    /// Returns the moment at which [`Door::next`] must be called even if nobody connects. `None` means that the socket exists.
    pub(super) fn due(&self) -> Option<Moment> {
        self.listener.is_none().then_some(self.due)
    }

    /// Makes the socket at once, because the worker has gone.
    pub(super) fn open(&mut self) {
        if self.listener.is_none() {
            self.listener = self.bind().ok();
            self.due = Moment::now().plus(DOOR_EVERY_MS);
        }
    }

    fn bind(&self) -> io::Result<UnixListener> {
        let socket = Socket::of(&self.files)?;
        let listener = UnixListener::bind(&socket.path).or_else(|_| {
            // The socket was left by a supervisor that was killed. The lock of the order says that this process is the only
            // supervisor.
            std::fs::remove_file(&socket.path)?;
            UnixListener::bind(&socket.path)
        })?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Returns the next worker that has connected, if there is one.
    pub(super) fn next(&mut self) -> Option<UnixStream> {
        if self.due().is_some_and(|due| Moment::now() >= due) {
            self.open();
        }
        self.listener.as_ref()?.accept().ok().map(|(peer, _)| peer)
    }

    pub(super) fn close(&mut self) {
        if self.listener.take().is_some()
            && let Ok(socket) = Socket::of(&self.files)
        {
            let _ = std::fs::remove_file(&socket.path);
        }
    }
}

/// Connects to a step's supervisor. It may be of version 0.2.0, because a worker may be upgraded while a step runs.
pub(super) fn knock(files: &StepFiles) -> io::Result<UnixStream> {
    let found = Socket::of(files).and_then(|socket| UnixStream::connect(&socket.path));
    found.or_else(|_| UnixStream::connect_addr(&address_before(files)?))
}

fn address_before(files: &StepFiles) -> io::Result<SocketAddr> {
    let attempt = files.dir().file_name().unwrap_or_default().as_encoded_bytes();
    let step = format!("/{}", files.step());
    SocketAddr::from_abstract_name([ADDRESS_BEFORE.as_bytes(), attempt, step.as_bytes()].concat())
}

/// A socket's file under a short path, which is valid while its directory is held open.
#[derive(Debug)]
struct Socket {
    path: PathBuf,
    _dir: File,
}

impl Socket {
    /// Returns the socket of a step. Its path has the attempt's name if that is short enough, so that `/proc/net/unix` shows which
    /// attempts live.
    fn of(files: &StepFiles) -> io::Result<Socket> {
        let socket = files.socket();
        let name = Path::new(socket.file_name().unwrap_or_default());
        if let (Some(parent), Some(attempt)) = (files.dir().parent(), files.dir().file_name()) {
            let named = Socket::in_dir(parent, &Path::new(attempt).join(name))?;
            if named.path.as_os_str().len() <= SOCKET_PATH_MAX {
                return Ok(named);
            }
        }
        Socket::in_dir(files.dir(), name)
    }

    fn in_dir(dir: &Path, name: &Path) -> io::Result<Socket> {
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
        let dir = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(dir)?;
        Ok(Socket { path: Path::new(NEAR).join(dir.as_raw_fd().to_string()).join(name), _dir: dir })
    }
}

/// Returns the names of the attempts whose supervisors listen on this machine, whichever user they belong to.
pub(crate) fn listening() -> BTreeSet<String> {
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    sockets.lines().filter_map(attempt_at).map(str::to_owned).collect()
}

/// Returns the attempt whose supervisor listens at a socket on this line of proc_net_unix(5). The path comes last, as it was when
/// the socket was bound. An abstract name begins with `@`.
fn attempt_at(line: &str) -> Option<&str> {
    if let Some((_, name)) = line.split_once('@') {
        return name.strip_prefix(ADDRESS_BEFORE)?.split('/').next();
    }
    let (_, path) = line.split_once(NEAR)?;
    let mut parts = path.split('/').skip(2);
    let (attempt, name) = (parts.next()?, parts.next()?);
    (name.starts_with("step-") && name.ends_with(".sock")).then_some(attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_seen_by_the_sockets_of_their_supervisors() {
        let line = |path: &str| format!("0000000000000000: 00000002 00000000 00010000 0001 01 48213 {path}");
        let at = |path: &str| attempt_at(&line(path)).map(str::to_owned);
        assert_eq!(at("/proc/self/fd/9/0123456789abcdef/step-12.sock"), Some("0123456789abcdef".to_owned()));
        assert_eq!(at("@guild-step/0123456789abcdef/12"), Some("0123456789abcdef".to_owned()), "of version 0.2.0");
        for other in ["/proc/self/fd/9/control", "/proc/self/fd/9/a/other.sock", "/run/a/step-1.sock", "@other/a/1", ""]
        {
            assert_eq!(at(other), None, "{other}");
        }
    }

    #[test]
    fn a_socket_has_a_short_path_however_deep_it_lies() {
        let root = tempfile::tempdir().unwrap();
        for attempt in ["a".repeat(32), "b".repeat(200)] {
            let deep = root.path().join("long-name/".repeat(30)).join(&attempt);
            std::fs::create_dir_all(&deep).unwrap();
            let socket = Socket::of(&StepFiles::new(&deep, u16::MAX)).unwrap();
            assert!(socket.path.as_os_str().len() <= SOCKET_PATH_MAX, "{}", socket.path.display());
            std::fs::write(&socket.path, "").unwrap();
            assert!(deep.join("step-65535.sock").exists());
        }
    }

    #[test]
    fn a_door_opens_when_the_worker_is_gone_and_not_for_each_step() {
        let dir = tempfile::tempdir().unwrap();
        let files = StepFiles::new(dir.path(), 3);
        let mut door = Door::new(files.clone());
        assert!(door.due().is_some(), "it opens by itself in a moment");
        assert!(!files.socket().exists());
        door.open();
        assert!(files.socket().exists() && door.due().is_none());
        let mut later = Door { due: Moment::now(), ..Door::new(StepFiles::new(dir.path(), 4)) };
        assert!(later.next().is_none() && later.listener().is_some());
        door.close();
        assert!(!files.socket().exists());
        // This is the file that a killed supervisor left.
        std::fs::write(files.socket(), "").unwrap();
        door.open();
        assert!(UnixStream::connect(files.socket()).is_ok());
    }
}
