//! The programs themselves, started as a user would start them, with a home of their own, free ports and small repositories.

use client::Guild;
use client::context::Contexts;
use schema::identity::Identity;
use schema::sturdy_ref::SturdyRef;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

pub type Credential = (SturdyRef, Rc<Identity>);

/// `Programs` has the directory of the programs and the home directory that they get.
pub struct Programs {
    bin: PathBuf,
    home: PathBuf,
}

impl Programs {
    pub fn new(bin: &Path, home: PathBuf) -> Programs {
        Programs { bin: bin.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", bin.display())), home }
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env("HOME", &self.home).env("XDG_CONFIG_HOME", self.home.join("config")).stdin(Stdio::null());
        command
    }

    /// Makes the state of a new master, which will listen on loopback, and adds `more` to its master file.
    pub fn init(&self, state: &Path, more: &str) {
        let port = free_port();
        let mut init = self.command("guild-master");
        done(init.arg("init").arg(state).args(["--advertise", &format!("127.0.0.1:{port}")]));
        let file = state.join("master.toml");
        let text = std::fs::read_to_string(&file).expect("init wrote it").replace("0.0.0.0:", "127.0.0.1:");
        std::fs::write(&file, text + more).expect("the master file is written");
    }

    /// Logs in as the operator with the join that `init` wrote. Waits for the master to start.
    pub async fn log_in(&self, join: &Path) -> Credential {
        let join = SturdyRef::load(join).expect("init wrote it");
        let contexts = Contexts::at(self.home.join("config/guild"));
        let logging_in = async {
            loop {
                match client::login(&contexts, "operator", &join).await {
                    Ok(context) => return context.open().expect("it was just stored"),
                    Err(_) => sleep(Duration::from_millis(5)).await,
                }
            }
        };
        timeout(Duration::from_secs(20), logging_in).await.expect("the master starts")
    }

    /// Issues a grant for a worker, and makes the worker's state with `settings` as its `worker.toml`.
    pub fn enroll_worker(&self, name: &str, state: &Path, settings: &str) {
        let cap = state.with_extension("cap");
        done(self.command("guild").args(["grant", "issue", "--kind", "worker", "--name", name, "-o"]).arg(&cap));
        done(self.command("guild-worker").arg("join").arg(&cap).arg("--state").arg(state));
        std::fs::write(state.join("worker.toml"), settings).expect("worker.toml is written");
    }
}

/// Connects as soon as the master answers, and tries for as long as it does not.
pub async fn connected(credential: &Credential) -> Guild {
    loop {
        match Guild::connect(credential.0.clone(), credential.1.clone()).await {
            Ok(guild) => return guild,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port()
}

/// Makes a git repository with one commit that has this pipeline.
pub fn repository(repo: &Path, pipeline: &str) {
    std::fs::create_dir_all(repo).expect("a directory");
    std::fs::write(repo.join("guild.toml"), pipeline).expect("guild.toml is written");
    git(repo, &["init", "-q", "-b", "main"]);
    git(repo, &["add", "-A"]);
    git(repo, &["commit", "-qm", "first"]);
}

/// Runs git in a repository. Returns its output without white space around it.
pub fn git(repo: &Path, arguments: &[&str]) -> String {
    let who = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"];
    done(Command::new("git").arg("-C").arg(repo).args(who).args(arguments)).trim().to_owned()
}

/// Runs a command that must succeed, and returns its output.
pub fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
