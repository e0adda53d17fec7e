//! What is asked and told of a master file: differences, and a project to add.

use serde::{Deserialize, Serialize};

/// A key of the master file that says something else than what the master runs with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// `project.pyfoo.poll`
    pub key: String,
    /// As it would be written; empty: nothing.
    pub before: String,
    pub after: String,
    /// Taken up by the next start only.
    pub needs_restart: bool,
}

/// A project to follow. What is empty is left to the master file's defaults. Its secrets are no part of its JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NewProject {
    pub name: String,
    /// A path on the master's machine, or what git can fetch from.
    pub repository: String,
    pub aliases: Vec<String>,
    pub branches: Vec<String>,
    pub tags: Vec<String>,
    /// `30s`
    pub poll: String,
    pub pools: Vec<String>,
    pub public: bool,
    /// An SSH key.
    #[serde(skip)]
    pub credential: Vec<u8>,
    #[serde(skip)]
    pub known_hosts: Vec<u8>,
    /// For HTTPS.
    #[serde(skip)]
    pub token: Vec<u8>,
    /// `github`, `gitea`, `gitlab` or `generic`.
    pub hook_kind: String,
}
