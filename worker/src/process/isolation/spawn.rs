//! Forks this process, and undoes what a process inherited from its starter.
#![expect(unsafe_code, reason = "fork, pre_exec, and closing descriptors that this process inherited")]

use super::origin::USUAL_UMASK;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Closes all descriptors beyond the standard three that the starter of this process left open. Call it first in `main`.
pub(crate) fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<i32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // The list also contains the descriptor with which it was read, which is closed by now.
    let is_open = |number: &i32| std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
    for number in numbers.into_iter().filter(|number| *number > 2).filter(is_open) {
        // SAFETY: nothing in this process has opened a descriptor that is still open, so nobody owns this one.
        unsafe { rustix::io::close(number) };
    }
}

/// Lets a program make files with the usual modes, because this process has a stricter umask.
pub(crate) fn with_usual_umask(command: &mut Command) {
    // SAFETY: between fork and exec only a system call is made, and nothing is allocated.
    unsafe {
        command.pre_exec(|| {
            libc::umask(USUAL_UMASK);
            Ok(())
        });
    }
}

/// The side of a fork on which this process is.
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

/// Lets the kernel remove each child as soon as it ends, so that nobody needs to wait for it.
pub(crate) fn forget_children() -> io::Result<()> {
    children(libc::SIG_IGN)
}

/// Undoes [`forget_children`], which a fork inherits.
pub(crate) fn mind_children() -> io::Result<()> {
    children(libc::SIG_DFL)
}

fn children(action: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: both actions are the kernel's own, so no code of ours runs in a handler.
    match unsafe { libc::signal(libc::SIGCHLD, action) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Sets the name under which `ps` shows this process.
pub(crate) fn set_name(name: &std::ffi::CStr) {
    let _ = rustix::thread::set_name(name);
}
