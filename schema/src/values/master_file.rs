//! The values of calls about a master file: its differences, and a project to add.

use serde::{Deserialize, Serialize};

/// A key of the master file that says something else than what the master runs with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The key with its tables, as `project.pyfoo.poll`.
    pub key: String,
    /// What the master runs with, as it would be written; empty means nothing.
    pub before: String,
    /// What the file says now; empty means nothing.
    pub after: String,
    /// Whether only the next start takes it up.
    pub needs_restart: bool,
}

/// A project to follow. The defaults of the master file hold for what is empty. Its secrets are not a part of its JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NewProject {
    /// The name of the project.
    pub name: String,
    /// A path on the master's machine, or an address from which git can fetch.
    pub repository: String,
    /// Other addresses of the repository, by which a checkout is recognised.
    pub aliases: Vec<String>,
    /// Patterns of the branches to build.
    pub branches: Vec<String>,
    /// Patterns of the tags to build.
    pub tags: Vec<String>,
    /// How often to look for changes, as `30s`.
    pub poll: String,
    /// The pools whose workers may run its jobs.
    pub pools: Vec<String>,
    /// Whether everybody may look at it on the pages, without a login.
    pub public: bool,
    /// An SSH key for the repository.
    #[serde(skip)]
    pub credential: Vec<u8>,
    /// The hosts to trust with that key, as in a file `known_hosts`.
    #[serde(skip)]
    pub known_hosts: Vec<u8>,
    /// A token for the repository over HTTPS.
    #[serde(skip)]
    pub token: Vec<u8>,
    /// Whose webhooks are taken: `github`, `gitea`, `gitlab` or `generic`; empty means nobody's.
    pub hook_kind: String,
}
