//! The files that the master writes for a project: `projects/NAME.toml`, and the secrets beside it.

use schema::values::NewProject;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use system::private_file;

/// The folder for the files of added projects, beside the master file.
const FOLDER: &str = "projects";

/// A `ProjectFile` is the file of a new project, with its secrets. Empty values are not written.
pub struct ProjectFile {
    pub project: NewProject,
    /// The secret with which the forge signs its deliveries.
    pub hook_secret: String,
}

impl ProjectFile {
    /// Returns the path of the file, relative to the master file's directory.
    pub fn file(&self) -> PathBuf {
        Path::new(FOLDER).join(format!("{}.toml", self.project.name))
    }

    /// Returns the text of the file. Fails if a value has a control character.
    pub fn text(&self) -> Result<String, String> {
        let mut lines =
            vec![format!("[project.{}]", self.project.name), format!("repo = {}", quoted(&self.project.repository)?)];
        let lists = [
            ("aliases", &self.project.aliases),
            ("branches", &self.project.branches),
            ("tags", &self.project.tags),
            ("pools", &self.project.pools),
        ];
        for (key, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
            let values: Result<Vec<String>, String> = values.iter().map(|value| quoted(value)).collect();
            lines.push(format!("{key} = [{}]", values?.join(", ")));
        }
        if !self.project.poll.is_empty() {
            lines.push(format!("poll = {}", quoted(&self.project.poll)?));
        }
        if self.project.public {
            lines.push("public = true".to_owned());
        }
        for (key, file) in self.secrets().iter().filter_map(|(key, file, _)| Some(((*key)?, file))) {
            lines.push(format!("{key} = {}", quoted(file)?));
        }
        if self.has_hook() {
            let (kind, file) = (quoted(&self.project.hook_kind)?, quoted(&self.secret_name("hook"))?);
            lines.push(format!("hook = {{ kind = {kind}, secret_file = {file} }}"));
        }
        Ok(lines.join("\n") + "\n")
    }

    /// Writes the secrets and the file, and never over existing files. If it fails, it removes what it wrote.
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

    /// Writes all files. The project file comes last, because with it the project exists.
    fn write_all(&self, folder: &Path, text: &str, written: &mut Vec<PathBuf>) -> io::Result<()> {
        let secrets = self.secrets().into_iter().map(|(_, name, secret)| (name, secret));
        for (name, content) in secrets.chain([(format!("{}.toml", self.project.name), text.as_bytes())]) {
            let path = folder.join(name);
            let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            private_file::create(&path, content).map_err(told)?;
            written.push(path);
        }
        Ok(())
    }

    pub fn has_hook(&self) -> bool {
        !self.project.hook_kind.is_empty()
    }

    /// Removes the files that [`ProjectFile::write`] wrote.
    pub fn remove(&self, base: &Path) {
        let folder = base.join(FOLDER);
        let names = self.secrets().into_iter().map(|(_, name, _)| name).chain([format!("{}.toml", self.project.name)]);
        for path in names.map(|name| folder.join(name)) {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "a project was refused, and this file of it could not be removed");
            }
        }
    }

    /// Returns the hook's secret from the file that was written.
    pub fn written_secret(&self, base: &Path) -> Option<String> {
        fs::read_to_string(base.join(FOLDER).join(self.secret_name("hook"))).ok()
    }

    /// Returns the secrets of the project: each with its key, if it has a key of its own, its file and its content.
    fn secrets(&self) -> Vec<(Option<&'static str>, String, &[u8])> {
        let all: [(Option<&str>, &str, &[u8]); 4] = [
            (Some("credential_file"), "key", &self.project.credential),
            (Some("known_hosts_file"), "known_hosts", &self.project.known_hosts),
            (Some("token_file"), "token", &self.project.token),
            (None, "hook", self.hook_secret.as_bytes()),
        ];
        let given = all.into_iter().filter(|(_, _, content)| !content.is_empty());
        given.map(|(key, ending, content)| (key, self.secret_name(ending), content)).collect()
    }

    fn secret_name(&self, ending: &str) -> String {
        format!("{}.{ending}", self.project.name)
    }
}

fn quoted(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err(format!("{text:?} must not have a control character"));
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}
