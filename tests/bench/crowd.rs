//! A process of this program that plays many clients until its standard input is closed.

use crate::lab::Lab;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

pub struct Crowd(Child, BufReader<ChildStdout>);

impl Crowd {
    /// Starts this program with `words`, which [`crate::inside::main`] understands, and waits until all its clients are connected.
    pub fn gather(words: &[&OsStr]) -> Crowd {
        let own = std::env::current_exe().expect("this program has a path");
        let mut child =
            Command::new(own).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut crowd = Crowd(child, out);
        assert_eq!(crowd.line(), "ready");
        crowd
    }

    /// Starts `count` connections that follow the logs of steps. If `whose` is `all`, each connection follows each log. If it is
    /// `one`, each log is followed by one of them in turn. The last line of the crowd is the number of bytes that it read.
    pub fn followers(lab: &Lab, count: usize, whose: &str) -> Crowd {
        let contexts = lab.path("home/config/guild");
        Crowd::gather(&["_followers".as_ref(), contexts.as_os_str(), count.to_string().as_ref(), whose.as_ref()])
    }

    /// Closes the crowd's standard input, and returns the last line that the crowd prints.
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
