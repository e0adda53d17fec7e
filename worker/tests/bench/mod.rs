//! The process of a worker with the master that a test plays, and functions to look at it.

use crate::fake::{Master, PATIENCE};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use schema::identity::Identity;
use std::cell::RefCell;
use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

pub(crate) struct Bench {
    dir: tempfile::TempDir,
    pub(crate) master: Rc<Master>,
    /// The processes of steps that noted their pids. They are kept as descriptors, which never name another process later.
    started: RefCell<Vec<OwnedFd>>,
}

/// A test that fails must leave no process running.
impl Drop for Bench {
    fn drop(&mut self) {
        for process in self.started.get_mut() {
            // the process may have ended, as the test wanted
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
    }
}

impl Bench {
    pub(crate) async fn new() -> Bench {
        Bench::with("reserve = 0\nslots = 1\n").await
    }

    pub(crate) async fn with(config: &str) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        Identity::load_or_create(&dir.path().join("identity.key")).unwrap();
        let (master, reference) = Master::start().await;
        reference.save(&dir.path().join(worker::CREDENTIAL_FILE)).unwrap();
        std::fs::write(dir.path().join("worker.toml"), config).unwrap();
        Bench { dir, master, started: RefCell::default() }
    }

    pub(crate) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guild-worker"));
        command.arg(verb).arg("--state").arg(self.dir.path()).kill_on_drop(true);
        command
    }

    pub(crate) fn worker(&self) -> Child {
        self.command("run").spawn().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the path of a file of the test, for a shell.
    pub(crate) fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) async fn pid_in(&self, name: &str) -> Pid {
        let path = self.path(name);
        eventually(|| std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))).await;
        let pid = Pid::from_raw(std::fs::read_to_string(path).unwrap().trim().parse().unwrap()).unwrap();
        self.started.borrow_mut().extend(pidfd_open(pid, PidfdFlags::empty()));
        pid
    }

    /// Waits until the worker keeps no files of any attempt, because the master knows the results.
    pub(crate) async fn is_tidy(&self) {
        let empty = |name: &str| std::fs::read_dir(self.path(name)).map_or(true, |mut all| all.next().is_none());
        eventually(|| empty("attempts") && empty("tmp")).await;
    }
}

pub(crate) fn test(body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async { timeout(2 * PATIENCE, body).await.expect("a hang") });
}

pub(crate) async fn eventually(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it did not come to pass");
}

pub(crate) async fn ends(name: &str, pid: Pid) {
    if timeout(PATIENCE / 2, eventually(|| !is_alive(pid))).await.is_err() {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        panic!("{name} lives on: {stat:?}");
    }
}

pub(crate) fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()).is_some_and(|state| state != 'Z')
}

pub(crate) async fn exit_code(worker: &mut Child) -> Option<i32> {
    timeout(PATIENCE, worker.wait()).await.unwrap().unwrap().code()
}
