//! The scope in which supervisors run if systemd runs the worker (systemd.scope(5)). It is beside the worker's unit, so a stop or an
//! upgrade of the unit does not end supervisors. This file only builds the command, and starts nothing.
//!
//! One scope holds the process that forks supervisors, with all its descendants. systemd takes longer to make a scope than many a job
//! runs, so the worker makes it ahead of the first job.

use rustix::process::{getpid, getppid};
use std::path::{Path, PathBuf};
use std::process::Command;
use system::chance;

/// The service manager that runs this process: the system's, or one of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceManager {
    System,
    User,
}

/// Returns the service manager that started this process. `None` means that no service manager did, so none ends the processes that
/// this one leaves.
pub fn service_manager() -> Option<ServiceManager> {
    let parent = getppid()?.as_raw_pid();
    service_manager_of(parent, |name| std::env::var(name).ok())
}

/// Returns the service manager for a process with this parent and these variables. Programs that a service starts have its variables
/// too, but only its main process is the service manager's child.
fn service_manager_of(parent: i32, variable: impl Fn(&str) -> Option<String>) -> Option<ServiceManager> {
    variable("INVOCATION_ID")?;
    match variable("MANAGERPID").and_then(|pid| pid.parse::<i32>().ok()) {
        Some(pid) => (pid == parent).then_some(ServiceManager::User),
        None => (parent == 1).then_some(ServiceManager::System),
    }
}

impl ServiceManager {
    /// Returns the command that becomes `program` in a scope of its own, in the same process and with the same descriptors.
    pub(super) fn command(self, program: &Path) -> Command {
        let mut command = Command::new("systemd-run");
        if self == ServiceManager::User {
            command.arg("--user");
        }
        command.args(["--scope", "--collect", "--quiet", "--no-ask-password"]);
        // The limits that the owner of the worker set are the limits of its slice.
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        command.args(slice(&own).map(|slice| format!("--slice={slice}")));
        command.arg(format!("--unit=guild-steps-{:016x}", chance::word()));
        command.arg("--description=Steps of a Guild worker");
        // A step that takes too much memory ends alone, because systemd does not touch a scope that is delegated.
        command.arg("--property=Delegate=yes").arg("--");
        // systemd-run itself is `/proc/self/exe` when it looks for the program, so the path names this process by its id.
        let own = PathBuf::from(format!("/proc/{}/exe", getpid().as_raw_pid()));
        command.arg(if program == Path::new("/proc/self/exe") { &own } else { program });
        command
    }
}

/// Returns the slice of a process whose `/proc/PID/cgroup` is `cgroups`.
fn slice(cgroups: &str) -> Option<&str> {
    let path = cgroups.lines().find_map(|line| {
        let (hierarchy, path) = line.split_once(':')?.1.split_once(':')?;
        ["", "name=systemd"].contains(&hierarchy).then_some(path)
    });
    path?.rsplit('/').nth(1).filter(|name| name.ends_with(".slice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_in_the_slice_of_its_worker() {
        let user = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/guild-worker.service\n";
        assert_eq!(slice(user), Some("app.slice"));
        let mixed = "9:name=systemd:/a.slice/ci.slice/guild-worker.service\n8:pids:/\n0::/elsewhere\n";
        assert_eq!(slice(mixed), Some("ci.slice"));
        assert_eq!(slice("8:pids:/\n0::/\n"), None);
        assert_eq!(slice("0::/docker/0a1b\n"), None);
        assert_eq!(slice(""), None);
    }

    #[test]
    fn only_the_main_process_of_a_unit_is_kept() {
        let manager = |parent, id: Option<&str>, pid: Option<&str>| {
            service_manager_of(parent, |name| match name {
                "INVOCATION_ID" => id.map(str::to_owned),
                "MANAGERPID" => pid.map(str::to_owned),
                _ => None,
            })
        };
        assert_eq!(manager(700, Some("ab"), Some("700")), Some(ServiceManager::User));
        assert_eq!(manager(701, Some("ab"), Some("700")), None, "a shell in a terminal that a unit started");
        assert_eq!(manager(1, Some("ab"), None), Some(ServiceManager::System));
        assert_eq!(manager(700, Some("ab"), None), None);
        assert_eq!(manager(1, None, None), None, "the first process of a container");
        assert_eq!(manager(1, Some("ab"), Some("700")), None, "whoever started it is gone");
    }
}
