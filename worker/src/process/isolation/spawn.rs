//! Starts the process of a step, and the process that does so. This is the only module of the worker with unsafe code, for the time
//! between fork and exec, and for descriptors that nobody owns yet.
#![expect(unsafe_code, reason = "fork, pre_exec, and closing descriptors that this process inherited")]

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Closes all descriptors beyond the standard three that our starter left open. Call it first in `main`.
pub(crate) fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<i32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // the number of the listing itself is among them, and closed by now
    let is_open = |number: &i32| std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
    for number in numbers.into_iter().filter(|number| *number > 2).filter(is_open) {
        // SAFETY: nothing in this process has opened a descriptor that is still open, so nobody owns this one.
        unsafe { rustix::io::close(number) };
    }
}

/// Starts a step with this whole environment in an absolute directory. Answers the reading end of the one pipe that takes both of
/// its outputs. The step leads a process group of its own, and dies with the calling thread. `files`: how many files each of its
/// processes may have open, where somebody says.
pub(crate) fn spawn(
    argv: &[String],
    env: &[(String, String)],
    dir: &Path,
    files: Option<u64>,
) -> io::Result<(Child, OwnedFd)> {
    let (name, arguments) =
        argv.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an empty command"))?;
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(name);
    command
        .args(arguments)
        .env_clear()
        .envs(env.iter().map(|(name, value)| (name, value)))
        .current_dir(dir)
        .stdin(Stdio::from(File::open("/dev/null")?))
        .stdout(Stdio::from(writer.try_clone()?))
        .stderr(Stdio::from(writer))
        .process_group(0);
    let supervisor = getpid();
    let files = files.unwrap_or(FILES.1);
    let blame = blame();
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated: the error has no text.
    unsafe {
        command.pre_exec(move || {
            forget_origin(files);
            take_blame(&blame);
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // it may have died before the line above
            match getppid() == Some(supervisor) {
                true => Ok(()),
                false => Err(io::ErrorKind::BrokenPipe.into()),
            }
        });
    }
    let child = command.spawn()?;
    Ok((child, reader.into()))
}

/// The usual umask, so that others may read the files of a step, if they can reach them.
const USUAL_UMASK: libc::mode_t = 0o022;

/// Has a program make files with the usual modes, for which this process has another umask.
pub(crate) fn with_usual_umask(command: &mut Command) {
    // SAFETY: between fork and exec only a system call is made, and nothing is allocated.
    unsafe {
        command.pre_exec(|| {
            libc::umask(USUAL_UMASK);
            Ok(())
        });
    }
}

/// The usual soft limits of a process on Linux, which each step has at least. A lower limit is raised, because the service
/// manager or the shell that started this process may have lowered it. Limits that are not in this list are left alone.
const LIMITS: [(libc::__rlimit_resource_t, libc::rlim_t); 5] = [
    (libc::RLIMIT_STACK, 8 << 20),
    (libc::RLIMIT_CPU, libc::RLIM_INFINITY),
    (libc::RLIMIT_FSIZE, libc::RLIM_INFINITY),
    (libc::RLIMIT_DATA, libc::RLIM_INFINITY),
    (libc::RLIMIT_AS, libc::RLIM_INFINITY),
];

/// The open files that a step has at least, and the most that it may ask for. The worker itself may have far more, for its own
/// connections. A step gets fewer, because some programs close or poll every file that they may have.
const FILES: (libc::rlim_t, libc::rlim_t) = (1_024, 65_536);

/// The file by which the kernel chooses which process to kill if the machine is out of memory.
const BLAME_FILE: &std::ffi::CStr = c"/proc/self/oom_score_adj";
/// The least value in that file for a step. Usual processes have 0, and 1,000 is the highest value. Half of that lets a step go
/// before the worker, before its supervisor and before other services.
const BLAME: i32 = 500;

/// What a step writes to [`BLAME_FILE`]. A step may be blamed more than its supervisor, but not less.
fn blame() -> Vec<u8> {
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse::<i32>().ok());
    own.unwrap_or(0).max(BLAME).to_string().into_bytes()
}

/// Has the kernel choose this process before its supervisor. If it does not let us, it chooses as before.
fn take_blame(blame: &[u8]) {
    // SAFETY: called between fork and exec, where each of these calls may be; nothing is allocated.
    unsafe {
        let file = libc::open(BLAME_FILE.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, blame.as_ptr().cast(), blame.len());
            libc::close(file);
        }
    }
}

/// The size of a buffer that holds a `struct sigaction` of the kernel.
const DEFAULT_ACTION: [u64; 8] = [0; 8];
/// A set of 64 signals.
const SIGNAL_SET_BYTES: usize = 8;

/// Undoes what our starter left to its children: ignored or blocked signals, the umask, and soft limits that are lower than
/// usual. A hard limit stays, because it cannot be raised. Limits the open files of a step.
fn forget_origin(files_max: libc::rlim_t) {
    // SAFETY: called between fork and exec, where each of these may be; the structures live on this stack.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            // by the kernel's own call, since the C library refuses the two signals that it uses itself. All zeros are the
            // default action. It fails for those that cannot be ignored.
            libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT_ACTION.as_ptr(), 0_usize, SIGNAL_SET_BYTES);
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::umask(USUAL_UMASK);
        for (resource, usual) in LIMITS {
            let mut limit = std::mem::zeroed::<libc::rlimit>();
            if libc::getrlimit(resource, &raw mut limit) == 0 {
                limit.rlim_cur = limit.rlim_cur.max(usual.min(limit.rlim_max));
                libc::setrlimit(resource, &raw const limit);
            }
        }
        let mut files = std::mem::zeroed::<libc::rlimit>();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut files) == 0 {
            files.rlim_max = files.rlim_max.min(files_max);
            files.rlim_cur = files.rlim_cur.max(FILES.0).min(files.rlim_max);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const files);
        }
        // a dump of one large process fills a disk, so a step that wants them asks for them
        let mut core = std::mem::zeroed::<libc::rlimit>();
        if libc::getrlimit(libc::RLIMIT_CORE, &raw mut core) == 0 {
            core.rlim_cur = 0;
            libc::setrlimit(libc::RLIMIT_CORE, &raw const core);
        }
    }
}

/// Which of the two processes this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forked {
    Parent,
    Child,
}

/// Makes a copy of this process, which must have no other thread.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: there is no other thread that could hold a lock in the child.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(Forked::Parent),
    }
}

/// Children need not be waited for: they are gone when they end.
pub(crate) fn forget_children() -> io::Result<()> {
    children(libc::SIG_IGN)
}

/// Takes [`forget_children`] back, which a fork inherits.
pub(crate) fn mind_children() -> io::Result<()> {
    children(libc::SIG_DFL)
}

fn children(action: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: both actions are the kernel's own; no code of ours runs in a handler.
    match unsafe { libc::signal(libc::SIGCHLD, action) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// What `ps` calls this process.
pub(crate) fn set_name(name: &std::ffi::CStr) {
    let _ = rustix::thread::set_name(name);
}
