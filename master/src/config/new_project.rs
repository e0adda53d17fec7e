//! A project's own file, as the master writes it: `projects/NAME.toml`, and its secrets beside it.

use super::HookKind;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Beside the master file.
const FOLDER: &str = "projects";

/// A project to follow. What is empty is not written.
#[derive(Clone, Debug, Default)]
pub struct NewProject {
    pub name: String,
    pub repository: String,
    pub aliases: Vec<String>,
    pub branches: Vec<String>,
    pub tags: Vec<String>,
    pub poll: String,
    pub pools: Vec<String>,
    pub public: bool,
    /// An SSH key.
    pub credential: Vec<u8>,
    pub known_hosts: Vec<u8>,
    /// For HTTPS.
    pub token: Vec<u8>,
    pub hook: Option<HookKind>,
    /// What its hook is signed with.
    pub hook_secret: String,
}

impl NewProject {
    /// Relative to the master file's directory.
    pub fn file(&self) -> PathBuf {
        Path::new(FOLDER).join(format!("{}.toml", self.name))
    }

    /// What the file says; refused where a value cannot stand in one.
    pub fn text(&self) -> Result<String, String> {
        let mut lines = vec![format!("[project.{}]", self.name), format!("repo = {}", quoted(&self.repository)?)];
        let lists =
            [("aliases", &self.aliases), ("branches", &self.branches), ("tags", &self.tags), ("pools", &self.pools)];
        for (key, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
            let values: Result<Vec<String>, String> = values.iter().map(|value| quoted(value)).collect();
            lines.push(format!("{key} = [{}]", values?.join(", ")));
        }
        if !self.poll.is_empty() {
            lines.push(format!("poll = {}", quoted(&self.poll)?));
        }
        if self.public {
            lines.push("public = true".to_owned());
        }
        for (key, file) in self.secrets().iter().filter_map(|(key, file, _)| Some(((*key)?, file))) {
            lines.push(format!("{key} = {}", quoted(file)?));
        }
        if let Some(kind) = self.hook {
            let file = self.secret_name("hook");
            lines.push(format!("hook = {{ kind = {}, secret_file = {} }}", quoted(kind.word())?, quoted(&file)?));
        }
        Ok(lines.join("\n") + "\n")
    }

    /// Writes secrets and file, never over others. What it wrote is removed where it fails.
    pub fn write(&self, base: &Path, text: &str) -> io::Result<()> {
        let folder = base.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let mut written = Vec::new();
        let done = self.write_all(&folder, text, &mut written);
        if done.is_err() {
            written.iter().for_each(|path| drop(fs::remove_file(path)));
        }
        done
    }

    /// The file last: with it the project is there.
    fn write_all(&self, folder: &Path, text: &str, written: &mut Vec<PathBuf>) -> io::Result<()> {
        for (_, name, secret) in self.secrets() {
            let path = folder.join(name);
            create(&path, secret, 0o600)?;
            written.push(path);
        }
        let path = folder.join(format!("{}.toml", self.name));
        create(&path, text.as_bytes(), 0o644)?;
        written.push(path);
        fs::File::open(folder)?.sync_all()
    }

    /// Removes what [`NewProject::write`] wrote.
    pub fn remove(&self, base: &Path) {
        let folder = base.join(FOLDER);
        let names = self.secrets().into_iter().map(|(_, name, _)| name).chain([format!("{}.toml", self.name)]);
        for path in names.map(|name| folder.join(name)) {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "a file of a project that was refused is left");
            }
        }
    }

    /// The hook's secret, as it was written.
    pub fn written_secret(&self, base: &Path) -> Option<String> {
        fs::read_to_string(base.join(FOLDER).join(self.secret_name("hook"))).ok()
    }

    /// Key, where it has one of its own, file and content.
    fn secrets(&self) -> Vec<(Option<&'static str>, String, &[u8])> {
        let all: [(Option<&str>, &str, &[u8]); 4] = [
            (Some("credential_file"), "key", &self.credential),
            (Some("known_hosts_file"), "known_hosts", &self.known_hosts),
            (Some("token_file"), "token", &self.token),
            (None, "hook", self.hook_secret.as_bytes()),
        ];
        let given = all.into_iter().filter(|(_, _, content)| !content.is_empty());
        given.map(|(key, ending, content)| (key, self.secret_name(ending), content)).collect()
    }

    fn secret_name(&self, ending: &str) -> String {
        format!("{}.{ending}", self.name)
    }
}

fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(told)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(|error| {
        drop(fs::remove_file(path));
        told(error)
    })
}

fn quoted(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err(format!("{text:?} has a control character"));
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}
