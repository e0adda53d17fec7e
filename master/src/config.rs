//! The master file.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug)]
pub struct Config {
    pub url: String,
    /// Where the store, logs, mirrors and the identity are.
    pub state: PathBuf,
    pub listen: Listen,
    pub limits: Limits,
    pub projects: BTreeMap<String, ProjectConfig>,
    pub pools: BTreeMap<String, PoolConfig>,
    pub roles: BTreeMap<String, RoleConfig>,
}

#[derive(Debug)]
pub struct Listen {
    /// `address:port`
    pub rpc: String,
    /// What a sturdy ref says of where this master is.
    pub advertise: Vec<String>,
}

#[derive(Debug)]
pub struct Limits {
    pub job_timeout: Duration,
    pub lease: Duration,
    /// How long an offer waits for its `accept`.
    pub offer: Duration,
    pub log_bytes: u64,
}

#[derive(Debug)]
pub struct ProjectConfig {
    pub repo: String,
    pub aliases: Vec<String>,
    pub credential_file: Option<PathBuf>,
    pub known_hosts_file: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    /// Patterns of short names.
    pub branches: Vec<String>,
    pub tags: Vec<String>,
    pub poll: Duration,
    /// None: the default pool.
    pub pools: Vec<String>,
    /// The pipeline where the repository has no file of its own; not in the file: `guild-master up` sets it.
    pub inferred: Option<String>,
}

#[derive(Debug)]
pub struct PoolConfig {
    /// What a worker must have besides its grant.
    pub matches: Vec<String>,
    pub lease: Option<Duration>,
}

#[derive(Debug)]
pub struct RoleConfig {
    pub may: Vec<String>,
    pub projects: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("failed to read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {text}", path.display())]
    Invalid { path: PathBuf, text: String },
}

impl Config {
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(read)?;
        let file: File =
            toml::from_str(&text).map_err(|e| ConfigError::Invalid { path: path.to_owned(), text: e.to_string() })?;
        let base = std::path::absolute(path).map_err(read)?;
        let base = base.parent().unwrap_or(Path::new("/")).to_owned();
        let duration = |text: &Option<String>, or: u64| match text {
            None => Ok(Duration::from_secs(or)),
            Some(text) => jiff::SignedDuration::try_from(text.parse::<jiff::Span>().unwrap_or_default())
                .map(|d| d.unsigned_abs())
                .map_err(|e| ConfigError::Invalid { path: path.to_owned(), text: e.to_string() }),
        };
        let poll = duration(&file.defaults.project.poll, 120)?;
        let mut projects = BTreeMap::new();
        for (name, project) in file.project {
            let mut config = ProjectConfig::of(project.repo);
            config.poll = match &project.poll {
                None => poll,
                some => duration(some, 0)?,
            };
            config.aliases = project.aliases;
            config.pools = project.pools;
            config.credential_file = project.credential_file.map(|file| base.join(file));
            config.known_hosts_file = project.known_hosts_file.map(|file| base.join(file));
            config.token_file = project.token_file.map(|file| base.join(file));
            if let Some(branches) = project.branches {
                config.branches = branches;
            }
            config.tags = project.tags;
            projects.insert(name, config);
        }
        let mut pools = BTreeMap::new();
        for (name, pool) in file.pool {
            let lease = pool.lease.as_ref().map(|_| duration(&pool.lease, 600)).transpose()?;
            pools.insert(name, PoolConfig { matches: pool.matches, lease });
        }
        Ok(Config {
            url: file.url,
            state: base.join(file.state),
            listen: Listen { rpc: file.listen.rpc, advertise: file.listen.advertise },
            limits: Limits {
                job_timeout: duration(&file.limits.job_timeout, 7200)?,
                lease: duration(&file.limits.lease, 600)?,
                offer: duration(&file.limits.offer, 10)?,
                log_bytes: 256 << 20,
            },
            projects,
            pools,
            roles: BTreeMap::new(),
        })
    }

    /// The configuration of a master without a file.
    pub fn standalone(state: &Path, address: &str) -> Config {
        Config {
            url: String::new(),
            state: state.to_owned(),
            listen: Listen { rpc: address.to_owned(), advertise: vec![address.to_owned()] },
            limits: Limits {
                job_timeout: Duration::from_secs(2 * 3600),
                lease: Duration::from_secs(600),
                offer: Duration::from_secs(10),
                log_bytes: 256 << 20,
            },
            projects: BTreeMap::new(),
            pools: BTreeMap::new(),
            roles: BTreeMap::new(),
        }
    }
}

impl ProjectConfig {
    /// A project with defaults: every branch, no tags.
    pub fn of(repo: String) -> ProjectConfig {
        ProjectConfig {
            repo,
            aliases: Vec::new(),
            credential_file: None,
            known_hosts_file: None,
            token_file: None,
            branches: vec!["**".to_owned()],
            tags: Vec::new(),
            poll: Duration::from_secs(120),
            pools: Vec::new(),
            inferred: None,
        }
    }
}

/// The master file that `guild-master init` writes.
pub fn starter(advertise: &str) -> Result<String, String> {
    let port = advertise.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let port = port.ok_or_else(|| format!("--advertise `{advertise}` is not HOST:PORT"))?;
    Ok(format!(
        "version = 1\nstate = \".\"\n\n[listen]\nrpc = \"0.0.0.0:{port}\"\nadvertise = [\"{advertise}\"]\n\n\
         # [project.NAME]\n# repo = \"/path/or/address\"\n"
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[expect(dead_code, reason = "only 1 exists")]
    version: u32,
    #[serde(default)]
    url: String,
    #[serde(default = "dot")]
    state: String,
    listen: FileListen,
    #[serde(default)]
    limits: FileLimits,
    #[serde(default)]
    defaults: FileDefaults,
    #[serde(default)]
    project: BTreeMap<String, FileProject>,
    #[serde(default)]
    pool: BTreeMap<String, FilePool>,
}

fn dot() -> String {
    ".".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileListen {
    rpc: String,
    advertise: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileLimits {
    job_timeout: Option<String>,
    lease: Option<String>,
    offer: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileDefaults {
    project: FilePoll,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FilePoll {
    poll: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileProject {
    repo: String,
    #[serde(default)]
    aliases: Vec<String>,
    poll: Option<String>,
    #[serde(default)]
    pools: Vec<String>,
    branches: Option<Vec<String>>,
    #[serde(default)]
    tags: Vec<String>,
    credential_file: Option<String>,
    known_hosts_file: Option<String>,
    token_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePool {
    #[serde(default, rename = "match")]
    matches: Vec<String>,
    lease: Option<String>,
}
