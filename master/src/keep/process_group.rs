//! Runs a program in a process group of its own, so that the program and all that it starts end together.

use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use tokio::process::{Child, Command};

/// A child process in a process group of its own. Dropping it also kills the processes that the child has started, such as the
/// ssh of git.
#[derive(Debug)]
pub(crate) struct ProcessGroup(pub(crate) Child);

impl ProcessGroup {
    pub(crate) fn spawn(command: impl Into<Command>) -> io::Result<ProcessGroup> {
        let mut command: Command = command.into();
        command.process_group(0).kill_on_drop(true).spawn().map(ProcessGroup)
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // `id` is `None` after the child was waited for, because its number may belong to another process by then
        if let Some(id) = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}
