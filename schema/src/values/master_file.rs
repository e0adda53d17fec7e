//! The values of calls about a master file: its differences, and a project to add.

use serde::{Deserialize, Serialize};

/// A key of the master file whose value differs from the one that the master runs with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The key with its tables, such as `project.pyfoo.poll`.
    pub key: String,
    /// The value that the master runs with, as the file would write it; empty means none.
    pub before: String,
    /// The value that the file has now; empty means none.
    pub after: String,
    /// Whether the change takes effect only after a restart of the master.
    pub needs_restart: bool,
}

/// A project to add to the master file. An empty field means the default of the master file. The JSON leaves out the secrets.
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
    /// The interval at which the master looks for changes, such as `30s`.
    pub poll: String,
    /// The pools whose workers may run its jobs.
    pub pools: Vec<String>,
    /// Whether everybody may see the project on the pages without a login.
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
    /// The kind of forge whose webhooks are accepted: `github`, `gitea`, `gitlab` or `generic`. Empty means none.
    pub hook_kind: String,
}
