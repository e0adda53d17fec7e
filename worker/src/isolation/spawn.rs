//! Starts the process of a step, and the process that does so. The only module with unsafe code: what must happen between
//! fork and exec, and descriptors that belong to nobody yet.
#![expect(unsafe_code, reason = "fork, pre_exec, and closing descriptors that this process inherited")]

use crate::supervisor::Order;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

/// Closes what whoever started us left open beyond the standard three. Call it first of all in `main`.
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

/// Starts the step, both of its outputs going into one pipe, whose end to read comes back. It leads a process group
/// of its own, and dies with the calling thread.
pub(crate) fn spawn(order: &Order) -> io::Result<(Child, OwnedFd)> {
    let (name, arguments) =
        order.argv.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an empty command"))?;
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(name);
    command
        .args(arguments)
        .env_clear()
        .envs(order.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&order.dir)
        .stdin(Stdio::from(File::open("/dev/null")?))
        .stdout(Stdio::from(writer.try_clone()?))
        .stderr(Stdio::from(writer))
        .process_group(0);
    let supervisor = getpid();
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated: the error has no text.
    unsafe {
        command.pre_exec(move || {
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
