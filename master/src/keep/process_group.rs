//! A program with all that it starts: it leads a process group, which ends as one. Does not know what the programs are for.

use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use tokio::process::{Child, Command};

/// A child process in a process group of its own. Dropping it kills what the child has started too, as git starts ssh and
/// others.
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
        // `id` is none once the child was waited for, because the number may be another's by then
        if let Some(id) = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}
