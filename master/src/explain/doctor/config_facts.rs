//! The facts of the master file that the doctor needs. They are made again whenever the master file is taken up.

use super::files::NamedFile;
use crate::config::{Config, MailConfig, ProjectConfig};
use crate::keep::health::DeliveryHealth;
use crate::keep::soundness::SoundnessCell;
use crate::keep::write_health::WriteHealth;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

#[derive(Debug, Default)]
pub struct ConfigFacts {
    pub(super) state: PathBuf,
    /// The limit for the bytes that all projects may store beside their logs.
    pub(super) blob_bytes_total: u64,
    pub(super) files: Vec<NamedFile>,
    /// The address at which browsers reach the pages. Empty means that there is none.
    pub(super) url: String,
    /// The address at which the pages listen. `None` means that they are not served.
    pub(super) web: Option<SocketAddr>,
    /// The projects that wait for deliveries from a forge.
    pub(super) hooks: Vec<String>,
    pub(super) reporters: Vec<Rc<DeliveryHealth>>,
    pub(super) soundness: Rc<SoundnessCell>,
    pub(super) writes: Rc<WriteHealth>,
}

impl ConfigFacts {
    /// Takes the facts from the master file. `web` is the address at which the pages listen, and `url` that at which browsers reach them.
    pub fn new(
        config: &Config,
        web: Option<SocketAddr>,
        url: Option<&str>,
        reporters: Vec<Rc<DeliveryHealth>>,
    ) -> ConfigFacts {
        let of_projects = config.projects.iter().flat_map(|(name, project)| project_files(name, project));
        let of_notices = config.notices.iter().filter_map(|notice| notice.by.secret_file());
        let of_notices = of_notices.map(|(key, path)| NamedFile::new("", key, path, true));
        let hooks = config.projects.iter().filter(|(_, project)| project.hook.is_some());
        ConfigFacts {
            state: config.state.clone(),
            blob_bytes_total: config.limits.blob_bytes_total,
            files: of_projects.chain(config.mail.as_ref().and_then(mail_file)).chain(of_notices).collect(),
            url: url.unwrap_or_default().to_owned(),
            web,
            hooks: hooks.map(|(name, _)| name.clone()).collect(),
            reporters,
            soundness: Rc::default(),
            writes: Rc::default(),
        }
    }

    /// Returns the same facts, with the notes about checks of the store and about failed writes of logs.
    #[must_use]
    pub fn with_disk(self, soundness: Rc<SoundnessCell>, writes: Rc<WriteHealth>) -> ConfigFacts {
        ConfigFacts { soundness, writes, ..self }
    }
}

impl ConfigFacts {
    /// The directory of the master's state.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The health of each reporter's deliveries.
    pub fn reporters(&self) -> impl Iterator<Item = &DeliveryHealth> {
        self.reporters.iter().map(|health| &**health)
    }
}

fn project_files(name: &str, project: &ProjectConfig) -> Vec<NamedFile> {
    let secret = |key: &str, path: &Path| NamedFile::new(name, key, path, true);
    let key = project.credential_file.iter().map(|path| secret("credential_file", path));
    let token = project.token_file.iter().map(|path| secret("token_file", path));
    let hook = project.hook.iter().map(|hook| secret("hook.secret_file", &hook.secret_file));
    let hosts = project.known_hosts_file.iter();
    let hosts = hosts.map(|path| NamedFile::new(name, "known_hosts_file", path, false));
    key.chain(token).chain(hook).chain(hosts).collect()
}

fn mail_file(mail: &MailConfig) -> Option<NamedFile> {
    mail.login.as_ref().map(|(_, path)| NamedFile::new("", "password_file", path, true))
}
