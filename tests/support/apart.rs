//! A master in a process of its own, so that a test can measure its memory.

use crate::guild::{Played, Repo, enroll, first_operator};
use crate::programs::{Credential, connected, free_port};
use client::Guild;
use schema::identity::Identity;
use schema::sturdy_ref::SturdyRef;
use schema::values::{GrantKind, What};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use tempfile::TempDir;

pub struct Apart {
    child: Child,
    pub credential: Credential,
    pub guild: Guild,
    pub repo: Repo,
    _dir: TempDir,
}

impl Apart {
    /// Starts a master with the project `demo` and connects as its operator. `program` is a program that serves a master until
    /// its standard input ends. Its arguments are the state directory, the address, and the repository of `demo`.
    pub async fn open(program: &Path, pipeline: &str) -> Apart {
        let dir = tempfile::tempdir().unwrap();
        let (state, repo) = (dir.path().join("state"), dir.path().join("demo"));
        let demo = Repo::new(repo.clone(), pipeline);
        let address = format!("127.0.0.1:{}", free_port());
        let identity = Rc::new(Identity::generate());
        let operator = first_operator(&state, &identity, &address).await;
        let child = Command::new(program).arg(&state).arg(&address).arg(&repo).stdin(Stdio::piped()).spawn().unwrap();
        let credential = (operator, identity);
        let guild = connected(&credential).await;
        Apart { child, credential, guild, repo: demo, _dir: dir }
    }

    /// Issues a grant below the operator's and redeems it with a new key. Returns the credential and the key.
    pub async fn enroll(&self, kind: GrantKind, name: &str, what: What) -> (SturdyRef, Identity) {
        let identity = Identity::generate();
        let (reference, _) = enroll(&self.guild, &self.credential.0, &identity, kind, name, what).await;
        (reference, identity)
    }

    /// Enrolls and attaches a worker that the test plays.
    pub async fn worker(&self, name: &str) -> Played {
        Played::attach(self.enroll(GrantKind::Worker, name, What::default()).await, Vec::new()).await
    }

    /// Returns the resident memory of the master at this moment, in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
