//! The master file, `master.toml`, as typed values that were checked once. Reads the file and those that it includes, and opens no other
//! path in it.

pub mod channel;
pub mod clock;
pub mod forge;
mod include;
pub mod keys;
mod notice;
pub(crate) mod pace;
mod project_file;
mod read;
mod secret;
#[cfg(test)]
mod tests;
mod told;

pub use channel::{Means, Recipient};
pub use notice::{MailConfig, NoticeConfig};
pub use project_file::ProjectFile;
pub use secret::CREDENTIALS;
pub use told::differences;

use include::Text;
use schema::limits::borders::CONNECTIONS;
use schema::values::{Tier, What};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml_file::Diagnostics;

const POLL: Duration = Duration::from_secs(2 * 60);

#[derive(Clone, Debug)]
pub struct Config {
    /// The path from which the configuration was read; `None` means that there is no file, as under `guild-master up`.
    pub file: Option<PathBuf>,
    /// The patterns of further files to read.
    pub include: Vec<String>,
    /// The address at which people reach this master; empty if the file does not name one.
    pub url: String,
    /// The directory of the store, the logs, the mirrors and the identity.
    pub state: PathBuf,
    pub listen: Listen,
    pub limits: Limits,
    pub projects: BTreeMap<String, ProjectConfig>,
    pub pools: BTreeMap<String, PoolConfig>,
    pub mail: Option<MailConfig>,
    pub notices: Vec<NoticeConfig>,
    /// The roles: names for the rights and projects of grants.
    pub roles: BTreeMap<String, What>,
    /// The warnings about an old form of the file, a sentence each.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Listen {
    /// The address for RPC, `address:port`.
    pub rpc: String,
    /// The addresses that a sturdy ref gives for this master.
    pub advertise: Vec<String>,
    /// The address at which browsers get pages; `None` means that there are no pages.
    pub web: Option<String>,
    /// Whether everyone who reaches the pages sees everything. The file has no such key: `guild-master up` sets it.
    pub web_is_open: bool,
    /// Whether the numbers at `/metrics` name projects.
    pub metrics_name_projects: bool,
}

#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest time that a job may ask for.
    pub job_timeout: Duration,
    pub lease: Duration,
    /// The time in which a worker must accept an offer.
    pub offer: Duration,
    /// The most bytes of one log.
    pub log_bytes: u64,
    /// The most bytes of the stored files of all projects, unfinished uploads included.
    pub blob_bytes_total: u64,
    /// The most connections that one grant has open, together with its browsers.
    pub connections: u32,
    pub retain: Retain,
}

/// `Retain` says how much of history is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retain {
    /// The number of each project's newest builds that are kept.
    pub builds: u32,
    /// The time for which logs are kept after the end of their build.
    pub logs: Duration,
    /// The limit for the bytes of all logs together.
    pub log_bytes_total: u64,
    pub events: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            job_timeout: Duration::from_secs(2 * 3600),
            lease: Duration::from_secs(10 * 60),
            offer: Duration::from_secs(10),
            log_bytes: 256 << 20,
            blob_bytes_total: 200 << 30,
            connections: CONNECTIONS.most as u32,
            retain: Retain::default(),
        }
    }
}

impl Default for Retain {
    fn default() -> Retain {
        const DAY: u64 = 86_400;
        Retain {
            builds: 500,
            logs: Duration::from_secs(365 * DAY),
            log_bytes_total: 100 << 30,
            events: Duration::from_secs(30 * DAY),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectConfig {
    pub repo: String,
    pub aliases: Vec<String>,
    pub credential_file: Option<PathBuf>,
    pub known_hosts_file: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    /// The patterns of the short names of branches to follow.
    pub branches: Vec<String>,
    pub tags: Vec<String>,
    pub poll: Duration,
    /// The pools whose workers may run the project's jobs. An empty list means the default pool.
    pub pools: Vec<String>,
    /// The hook by which a forge reports pushes; `None` means that the project has no hook.
    pub hook: Option<HookConfig>,
    /// The address of a commit's page at the forge, with `{commit}` in it. `None` means that it follows from the repository's address or
    /// the hook.
    pub commit_url: Option<String>,
    /// Whether everyone may look at the project.
    pub public: bool,
    /// The pipeline for a repository without a file of its own. The master file has no such key: `guild-master up` sets it.
    pub inferred: Option<String>,
}

impl Config {
    /// Returns the files that the master file includes now.
    pub fn included_files(&self) -> Vec<PathBuf> {
        let base = self.file.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
        include::files(base, &self.include)
    }

    /// Returns the files that the master file names, with their keys. The master reads them when it needs them.
    pub fn named_files(&self) -> Vec<(String, PathBuf)> {
        let of_projects = self.projects.iter().flat_map(|(name, project)| {
            let files = [
                ("credential_file", project.credential_file.as_ref()),
                ("known_hosts_file", project.known_hosts_file.as_ref()),
                ("token_file", project.token_file.as_ref()),
                ("hook.secret_file", project.hook.as_ref().map(|hook| &hook.secret_file)),
            ];
            files.into_iter().filter_map(move |(key, file)| Some((format!("project.{name}.{key}"), file?.clone())))
        });
        let of_notices = self.notices.iter().filter_map(|notice| notice.by.secret_file());
        let of_notices = of_notices.map(|(key, file)| (format!("notice.{key}"), file.to_owned()));
        let of_mail =
            self.mail.iter().filter_map(|mail| Some(("mail.password_file".to_owned(), mail.login.as_ref()?.1.clone())));
        of_projects.chain(of_notices).chain(of_mail).collect()
    }
}

/// The kind of a hook, which says how the forge signs and names its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookKind {
    GitHub,
    /// Gitea and Forgejo, which sign in the same way.
    Gitea,
    /// GitLab, which shows the secret itself instead of a signature.
    GitLab,
    Generic,
}

impl HookKind {
    pub const ALL: [HookKind; 4] = [HookKind::GitHub, HookKind::Gitea, HookKind::GitLab, HookKind::Generic];

    pub const fn word(self) -> &'static str {
        match self {
            HookKind::GitHub => "github",
            HookKind::Gitea => "gitea",
            HookKind::GitLab => "gitlab",
            HookKind::Generic => "generic",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookConfig {
    pub kind: HookKind,
    pub secret_file: PathBuf,
}

#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// The labels that a worker must have, besides a grant for the pool.
    pub matches: Vec<String>,
    /// The length of the pool's leases. `None` means that `[limits]` decides.
    pub lease: Option<Duration>,
    /// The weakest tier of isolation in which the pool's jobs run. `None` means that the job or the default decides.
    pub isolation: Option<Tier>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("failed to read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} has errors\n{errors}", path.display())]
    Invalid { path: PathBuf, errors: Diagnostics },
}

impl Config {
    /// Reads and checks a master file with what it includes. Paths in a file are relative to its directory.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        Config::load_with(path, None)
    }

    /// Like [`Config::load`], but with one more file as if it existed. `more` has its path, relative to the master file's directory, and
    /// its text.
    pub fn load_with(path: &Path, more: Option<(&Path, &str)>) -> Result<Config, ConfigError> {
        let failed = |source| ConfigError::Read { path: path.to_owned(), source };
        let bytes = std::fs::read(path).map_err(failed)?;
        let absolute = std::path::absolute(path).map_err(failed)?;
        let base = absolute.parent().unwrap_or(Path::new("/"));
        let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let main = Text { name: name(path), bytes, base: base.to_owned() };
        let more = more.map(|(path, text)| Text {
            name: name(path),
            bytes: text.as_bytes().to_owned(),
            base: base.join(path.parent().unwrap_or(path)),
        });
        let config = read::config(&main, more);
        let config = config.map_err(|errors| ConfigError::Invalid { path: path.to_owned(), errors })?;
        Ok(Config { file: Some(absolute), ..config })
    }

    /// Like [`Config::load`], but from a text. `base` is the directory to which its paths are relative.
    pub fn parse(file_name: &str, text: &[u8], base: &Path) -> Result<Config, Diagnostics> {
        read::config(&Text { name: file_name.to_owned(), bytes: text.to_owned(), base: base.to_owned() }, None)
    }

    /// Logs the warnings about an old form of the file.
    pub fn warn(&self) {
        let file = self.file.as_deref().unwrap_or(Path::new("master.toml"));
        self.warnings.iter().for_each(|warning| tracing::warn!("{}: {warning}", file.display()));
    }

    /// Copies from `running` the values that a master cannot change while it runs.
    pub fn keep_fixed(&mut self, running: &Config) {
        told::keep_fixed(running, self);
    }

    /// Returns the configuration of a master without a file.
    pub fn standalone(state: &Path, address: &str) -> Config {
        Config {
            file: None,
            include: Vec::new(),
            url: String::new(),
            state: state.to_owned(),
            listen: Listen {
                rpc: address.to_owned(),
                advertise: vec![address.to_owned()],
                web: None,
                web_is_open: false,
                metrics_name_projects: false,
            },
            limits: Limits::default(),
            projects: BTreeMap::new(),
            pools: BTreeMap::new(),
            mail: None,
            notices: Vec::new(),
            roles: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }
}

impl ProjectConfig {
    /// Returns a project with the defaults: every branch, and no tags.
    pub fn of(repo: String) -> ProjectConfig {
        ProjectConfig {
            repo,
            aliases: Vec::new(),
            credential_file: None,
            known_hosts_file: None,
            token_file: None,
            branches: vec!["**".to_owned()],
            tags: Vec::new(),
            poll: POLL,
            pools: Vec::new(),
            hook: None,
            commit_url: None,
            public: false,
            inferred: None,
        }
    }
}

/// Returns the master file that `guild-master init` writes. `web` is where pages are served, and `url` is how browsers reach them.
pub fn starter(advertise: &str, listen: Option<&str>, web: Option<&str>, url: Option<&str>) -> Result<String, String> {
    let wrong = |option: &str, value: &str| format!("{option} `{value}` is not HOST:PORT");
    let is_plain = |text: &str| !text.contains(['"', '\\']) && !text.contains(char::is_control);
    let port = read::port(advertise).filter(|port| *port > 0 && is_plain(advertise));
    let port = port.ok_or_else(|| wrong("--advertise", advertise))?;
    if let Some(listen) = listen.filter(|listen| read::port(listen).is_none() || !is_plain(listen)) {
        return Err(wrong("--listen", listen));
    }
    let rpc = listen.map_or_else(|| format!("0.0.0.0:{port}"), str::to_owned);
    if let Some(web) = web.filter(|web| read::port(web).is_none() || !is_plain(web)) {
        return Err(wrong("--web", web));
    }
    if let Some(url) = url.filter(|url| !read::is_web_address(url) || !is_plain(url)) {
        return Err(format!("--url `{url}` is not a web address: it begins with https:// or http://"));
    }
    let url = url.map_or_else(String::new, |url| format!("url = \"{url}\"\n"));
    let web = web.map_or_else(|| "# web = \"127.0.0.1:8080\"".to_owned(), |web| format!("web = \"{web}\""));
    Ok(format!(
        "version = 1\n{url}state = \".\"\ninclude = [\"projects/*.toml\"]\n\n[listen]\nrpc = \"{rpc}\"\nadvertise = [\"{advertise}\"]\n{web}\n\n\
         # `guild grant issue --role developer --names ada,grace -o caps/`\n[role.developer]\n\
         may = [\"view\", \"run\", \"retry\", \"cancel\"]\nprojects = [\"*\"]\n\n\
         # `guild project add` writes projects/NAME.toml, or by hand:\n# [project.NAME]\n# repo = \"/path/or/address\"\n"
    ))
}
