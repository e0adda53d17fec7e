//! A master in a process of its own, whose memory can be looked at.

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
    /// `program`: what serves the state of its first argument, at the address of its second, with the project `demo` of its
    /// third, until its standard input ends.
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

    /// A credential of a new grant below the operator's, redeemed by a fresh key.
    pub async fn enroll(&self, kind: GrantKind, name: &str, what: What) -> (SturdyRef, Identity) {
        let identity = Identity::generate();
        let (reference, _) = enroll(&self.guild, &self.credential.0, &identity, kind, name, what).await;
        (reference, identity)
    }

    /// A worker that is played by hand.
    pub async fn worker(&self, name: &str) -> Played {
        Played::attach(self.enroll(GrantKind::Worker, name, What::default()).await, Vec::new()).await
    }

    /// The memory that it has at the moment, in KiB.
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
