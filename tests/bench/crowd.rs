//! A process of this program that plays many clients, until it is asked to leave.

use crate::lab::Lab;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

pub struct Crowd(Child, BufReader<ChildStdout>);

impl Crowd {
    /// Once it says that all of it are there. `words`: what [`crate::inside::main`] knows.
    pub fn gather(words: &[&OsStr]) -> Crowd {
        let own = std::env::current_exe().expect("this program has a path");
        let mut child =
            Command::new(own).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut crowd = Crowd(child, out);
        assert_eq!(crowd.line(), "ready");
        crowd
    }

    /// So many connections that follow logs: `whose` are `all` of each step, or each step's `one` in turn. It leaves when all
    /// that it follows are whole, and says how many bytes it read.
    pub fn followers(lab: &Lab, count: usize, whose: &str) -> Crowd {
        let contexts = lab.path("home/config/guild");
        Crowd::gather(&["_followers".as_ref(), contexts.as_os_str(), count.to_string().as_ref(), whose.as_ref()])
    }

    /// Answers its last line.
    pub fn leave(mut self) -> String {
        drop(self.0.stdin.take());
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).expect("it speaks");
        line.trim().to_owned()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
