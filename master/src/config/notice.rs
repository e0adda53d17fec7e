//! What is told to the outside world, to whom and how: `[mail]` and `[[notice]]`.

use super::Means;
use crate::decide::coordinator::record::Transition;
use serde::Serialize;
use std::path::PathBuf;

/// How mail is sent: the server that takes it, the sender and the login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailConfig {
    pub host: String,
    pub port: u16,
    /// The sender of mails, `guild@example.org` or `Guild <guild@example.org>`.
    pub from: String,
    /// Both or none: a user, and the file with the password.
    pub login: Option<(String, PathBuf)>,
}

/// One `[[notice]]`. Its JSON names the reporter in the store: another content is another reporter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeConfig {
    pub events: Vec<Transition>,
    pub by: Means,
    /// Patterns of the projects of which it tells.
    pub projects: Vec<String>,
    /// Patterns of the short names of branches of which it tells.
    pub branches: Vec<String>,
}
