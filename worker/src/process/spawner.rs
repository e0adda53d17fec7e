//! Starts the supervisors of this worker's steps. One process forks them, in a scope of its own if a service manager makes one. If
//! nothing can fork, each supervisor is started as a program.

use crate::process::supervisor::{self, Prepared, ServiceManager, SupervisorForker};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// How long the worker waits for a scope. A service manager that has not made one by then is unlikely to make it later.
const SCOPE_MAX: Duration = Duration::from_secs(5);

/// Starts supervisors, and keeps the process that forks them.
pub(crate) struct SupervisorSpawner {
    /// A program that becomes a supervisor if its first argument is [`crate::SUPERVISE`].
    program: PathBuf,
    /// The service manager that makes scopes. `None` means that there is no service manager, or that it makes no scopes.
    service_manager: Option<ServiceManager>,
    /// The process that forks supervisors. `None` means that it was not started yet, or has ended.
    forker: Option<SupervisorForker>,
}

impl SupervisorSpawner {
    pub(crate) fn new(program: PathBuf) -> SupervisorSpawner {
        SupervisorSpawner { program, service_manager: supervisor::service_manager(), forker: None }
    }

    /// Starts the supervisor of a step: by a fork, or as a program of its own if nothing forks.
    pub(crate) fn spawn(&mut self, prepared: &Prepared<'_>) -> io::Result<()> {
        if let Err(error) = self.fork(prepared) {
            tracing::warn!(%error, "no process can fork supervisors: the worker starts a supervisor itself");
            // The runtime reaps the process, which lives on when this process ends.
            tokio::process::Command::from(prepared.command(&self.program)?).spawn()?;
        }
        Ok(())
    }

    /// Does ahead of the first step what takes long, which is making a scope. Without a scope the forking process costs so little
    /// that it can wait until a step needs it.
    pub(crate) fn settle_in(&mut self) {
        if self.service_manager.is_none() || self.forker.is_some() {
            return;
        }
        match self.start_forker() {
            Ok(fresh) => self.forker = Some(fresh),
            Err(error) => tracing::warn!(%error, "the process that forks supervisors could not be started yet"),
        }
    }

    /// Asks the forker for a supervisor. If the last forker has ended, starts a new one.
    fn fork(&mut self, prepared: &Prepared<'_>) -> io::Result<()> {
        if let Some(forker) = self.forker.as_ref()
            && prepared.ask(forker).is_ok()
        {
            return Ok(());
        }
        let fresh = self.start_forker()?;
        prepared.ask(self.forker.insert(fresh))
    }

    /// Starts a forking process, in a scope of its own if the service manager makes one.
    fn start_forker(&mut self) -> io::Result<SupervisorForker> {
        if let Some(manager) = self.service_manager {
            match self.start_forker_in(manager) {
                Ok(fresh) => return Ok(fresh),
                Err(error) => {
                    tracing::warn!(%error, "systemd-run makes no scope: steps run in the worker's own unit");
                    self.service_manager = None;
                }
            }
        }
        let (command, fresh) = SupervisorForker::command(&self.program)?;
        // The runtime reaps the process when it ends.
        tokio::process::Command::from(command).spawn()?;
        Ok(fresh)
    }

    fn start_forker_in(&self, manager: ServiceManager) -> io::Result<SupervisorForker> {
        let (command, fresh) = SupervisorForker::command_in(manager, &self.program)?;
        let mut command = tokio::process::Command::from(command);
        command.spawn()?;
        // No other process may keep the forker's descriptors open, because their closing shows that the forker has ended.
        drop(command);
        fresh.wait(SCOPE_MAX)?;
        Ok(fresh)
    }
}
