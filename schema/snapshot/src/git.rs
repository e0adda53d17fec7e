//! Runs the user's git on the user's checkout. Settings that decide about the content of files apply, but settings by which git would
//! write or start something are switched off.

use super::SnapshotError;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The settings under which git writes only the requested objects, and starts nothing in the background.
const QUIET: [&str; 6] = [
    "core.splitIndex=false",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.hooksPath=/dev/null",
    "gc.auto=0",
    "maintenance.auto=false",
];

#[derive(Clone, Debug)]
pub(super) struct Git {
    top: PathBuf,
    env: Vec<(String, OsString)>,
}

impl Git {
    pub(super) fn of(top: &Path) -> Git {
        Git { top: top.to_owned(), env: Vec::new() }
    }

    pub(super) fn with<V: Into<OsString>>(mut self, env: impl IntoIterator<Item = (String, V)>) -> Git {
        self.env.extend(env.into_iter().map(|(name, value)| (name, value.into())));
        self
    }

    /// Runs git and returns its output. Fails if git fails.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, SnapshotError> {
        succeeded(self.output(arguments)?, arguments)
    }

    /// Runs git and returns the one line that it prints, trimmed.
    pub(super) fn line(&self, arguments: &[&str]) -> Result<String, SnapshotError> {
        Ok(text_of(&self.run(arguments)?).trim().to_owned())
    }

    /// Runs git and returns its trimmed output. `None` means that git failed, which is how it answers no.
    pub(super) fn optional(&self, arguments: &[&str]) -> Result<Option<String>, SnapshotError> {
        let output = self.output(arguments)?;
        Ok(output.status.success().then(|| text_of(&output.stdout).trim().to_owned()))
    }

    /// Runs git with files as its input and output. Fails if git fails.
    pub(super) fn copy(&self, arguments: &[&str], input: File, output: File) -> Result<(), SnapshotError> {
        let output = self.command(arguments).stdin(input).stdout(output).stderr(Stdio::piped()).output();
        succeeded(output.map_err(SnapshotError::Start)?, arguments).map(drop)
    }

    fn output(&self, arguments: &[&str]) -> Result<Output, SnapshotError> {
        self.command(arguments).output().map_err(SnapshotError::Start)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.top).args(QUIET.iter().flat_map(|setting| ["-c", setting])).args(arguments);
        // without optional locks, git does not refresh the user's index as a side effect
        command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C").stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

fn succeeded(output: Output, arguments: &[&str]) -> Result<Vec<u8>, SnapshotError> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let verb = arguments.iter().find(|word| !word.starts_with('-') && !word.contains('=')).copied();
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(SnapshotError::Git { verb: verb.unwrap_or_default().to_owned(), text })
}

pub(super) fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
