//! The configuration of notices: `[mail]` and `[[notice]]`.

use super::Means;
use crate::decide::coordinator::record::Transition;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// A `MailConfig` says how to send mail: the server, the sender and the login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailConfig {
    pub host: String,
    pub port: u16,
    /// The sender of mails, `guild@example.org` or `Guild <guild@example.org>`.
    pub from: String,
    /// The user and the file with the password; `None` means no login.
    pub login: Option<(String, PathBuf)>,
}

/// One `[[notice]]`. Its JSON names the reporter in the store, so a notice that changes is another reporter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeConfig {
    pub events: Vec<Transition>,
    pub by: Means,
    /// The patterns of the projects that the notice is about.
    pub projects: Vec<String>,
    /// The patterns of the short names of the branches that the notice is about.
    pub branches: Vec<String>,
    /// The time between two reminders of a branch that is still red. `None` means that nobody is reminded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remind: Option<Duration>,
}
