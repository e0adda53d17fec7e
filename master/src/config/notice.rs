//! What is told to the outside world, to whom and how: `[mail]` and `[[notice]]`.

use super::Means;
use crate::decide::coordinator::record::Transition;
use serde::Serialize;
use std::path::PathBuf;

/// Where mail is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailConfig {
    pub host: String,
    pub port: u16,
    /// `guild@example.org` or `Guild <guild@example.org>`
    pub from: String,
    /// Both or none: a user, and the file with the password.
    pub login: Option<(String, PathBuf)>,
}

/// One `[[notice]]`. Its JSON names the reporter in the store: another content is another reporter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeConfig {
    pub events: Vec<Transition>,
    pub by: Means,
    /// Patterns of projects.
    pub projects: Vec<String>,
    /// Patterns of short names.
    pub branches: Vec<String>,
}
