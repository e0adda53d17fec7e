//! Contexts: which credential and key the commands use, and for which repository. They are files below `$XDG_CONFIG_HOME/guild`
//! (default `~/.config/guild`):
//!
//! ```text
//! identity.key          this user's key, made at the first login, mode 0600
//! current               the name of the context that is used if no other one applies
//! contexts/NAME.toml    one context
//! contexts/NAME.cap     its credential, mode 0600
//! contexts/NAME.running locked by the process that serves the context, if the context was registered for one (`guild-master up`)
//! ```
//!
//! A context is a TOML file. Its relative paths are relative to the directory of that file:
//!
//! ```toml
//! credential = "NAME.cap"
//! identity   = "../identity.key"      # the key that the credential is bound to; this is the default
//! repository = "/home/me/src/pyfoo"   # optional: use this context within that directory
//! ```
//!
//! The first of these is used: `--cap FILE`, `--context NAME`, the context of the innermost repository that contains the working
//! directory, the current context. A context that was registered for a process counts only while that process lives. If no context
//! names a credential, its key is `FILE.key` beside `FILE.cap`, or else the user's own key. Without a home directory, a new key is made
//! beside the credential. This module opens no connection.

#[cfg(test)]
mod tests;

use crate::error::Error;
use schema::identity::Identity;
use schema::sturdy_ref::SturdyRef;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

const DEFAULT_IDENTITY: &str = "../identity.key";
/// The prefix of the name of a context that was registered for a process.
const REGISTERED: &str = "repository-";
/// The number of tries to take a lock, one millisecond apart. A process that only checks the lock holds it for a moment. If the lock is
/// still held after all tries, another process really has it.
const LOCK_TRIES: u32 = 50;

/// The places of a credential and of the key that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The name by which a person chooses the context, or the path of the credential if no context has it.
    pub name: String,
    /// The file of the credential.
    pub credential: PathBuf,
    /// The file of the key that the credential is bound to.
    pub identity: PathBuf,
    /// The directory within which this context is used without being named.
    pub repository: Option<PathBuf>,
}

/// The directory that holds a user's contexts.
#[derive(Clone, Debug)]
pub struct Contexts {
    root: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContextFile {
    credential: PathBuf,
    #[serde(default = "default_identity")]
    identity: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<PathBuf>,
}

/// A context that counts while this value lives, however the process ends.
#[derive(Debug)]
pub struct Registration {
    /// The context, as the commands find it.
    pub context: Context,
    /// A file that this process has locked, unless another process of the same repository has the lock.
    _running: std::fs::File,
}

/// Makes the commands of this user find the credential within `repository`, without a login, while the registration lives. May be
/// repeated.
///
/// # Errors
/// [`Error::Usage`] if the user has no home directory; [`Error::File`] if a file cannot be found or written.
pub fn register(repository: &Path, credential: &Path, identity: &Path) -> Result<Registration, Error> {
    Contexts::of_user()?.register(repository, credential, identity)
}

/// Returns the context of a credential file. It works without a directory of contexts as well.
pub fn of_file(cap: &Path) -> Context {
    match Contexts::of_user() {
        Ok(contexts) => contexts.of_file(cap),
        // The credential may still be in a directory of contexts.
        Err(_) => match cap.parent().and_then(Path::parent) {
            Some(root) if cap.parent().is_some_and(|parent| parent.ends_with("contexts")) => {
                Contexts::at(root.to_owned()).of_file(cap)
            }
            Some(_) | None => Context::of_credential(cap, key_beside(cap)),
        },
    }
}

fn key_beside(cap: &Path) -> PathBuf {
    cap.with_extension("key")
}

impl Context {
    fn of_credential(cap: &Path, identity: PathBuf) -> Context {
        Context { name: cap.display().to_string(), credential: cap.to_owned(), identity, repository: None }
    }

    fn holds(&self, here: &Path) -> bool {
        self.repository.as_ref().is_some_and(|repository| here.starts_with(repository))
    }

    /// Reads the credential and the key. Makes a key if there is none. Both files must be readable by the user alone.
    ///
    /// # Errors
    /// [`Error::Credential`] if one of the files cannot be read, can be read by others, or makes no sense.
    pub fn open(&self) -> Result<(SturdyRef, Rc<Identity>), Error> {
        let unusable = |why: String| Error::Credential { credential: self.name.clone(), why };
        let reference = SturdyRef::load(&self.credential).map_err(|error| unusable(error.to_string()))?;
        let identity = Identity::load_or_create(&self.identity).map_err(|error| unusable(error.to_string()))?;
        Ok((reference, Rc::new(identity)))
    }
}

impl Contexts {
    /// Returns the contexts of the user who runs this process, in `$XDG_CONFIG_HOME/guild` or `~/.config/guild`.
    ///
    /// # Errors
    /// [`Error::Usage`] if neither `XDG_CONFIG_HOME` nor `HOME` is set.
    pub fn of_user() -> Result<Contexts, Error> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = set("XDG_CONFIG_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| set("HOME").map(|home| home.join(".config")))
            .ok_or_else(|| Error::usage("neither HOME nor XDG_CONFIG_HOME is set").help("name a file with --cap"))?;
        Ok(Contexts::at(root.join("guild")))
    }

    /// Returns the contexts in this directory, which need not exist yet.
    pub fn at(root: PathBuf) -> Contexts {
        Contexts { root }
    }

    /// Returns the file of this user's own key.
    pub fn identity(&self) -> PathBuf {
        self.root.join("identity.key")
    }

    /// Returns the file in which the credential of a context of this name is usually kept.
    pub fn credential(&self, name: &str) -> PathBuf {
        self.directory().join(format!("{name}.cap"))
    }

    /// Returns the directory of the contexts and their credentials.
    pub fn directory(&self) -> PathBuf {
        self.root.join("contexts")
    }

    /// Returns the context to use in the directory `here`, unless a credential file or a name chooses another. The module says the
    /// order.
    ///
    /// # Errors
    /// [`Error::NoContext`] if no context applies; [`Error::Ended`] if the only one that would apply is of a process that has ended;
    /// otherwise as [`Contexts::load`].
    pub fn choose(&self, cap: Option<&Path>, name: Option<&str>, here: &Path) -> Result<Context, Error> {
        if let Some(cap) = cap {
            return Ok(self.of_file(cap));
        }
        if let Some(name) = name {
            return self.load(name);
        }
        if let Some(context) = self.of_directory(here) {
            return Ok(context);
        }
        match (self.current(), self.ended(here)) {
            (Some(name), _) => self.load(&name),
            (None, Some(ended)) => {
                let kept = ended.credential.parent().map_or_else(PathBuf::new, Path::to_owned);
                Err(Error::Ended { context: ended.name, kept })
            }
            (None, None) => Err(Error::NoContext),
        }
    }

    /// Returns the context of the repository here if its process has ended. `None` if another context counts here.
    pub fn ended(&self, here: &Path) -> Option<Context> {
        let here = std::fs::canonicalize(here).ok()?;
        match self.of_directory(&here) {
            Some(_) => None,
            None => innermost(self.all().filter(|context| context.holds(&here))),
        }
    }

    /// Reads the context of this name.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such context; [`Error::Usage`] if the name cannot be a context's, or if the file makes no
    /// sense.
    pub fn load(&self, name: &str) -> Result<Context, Error> {
        check_name(name)?;
        let path = self.file(name);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            if error.kind() != std::io::ErrorKind::NotFound {
                return Error::file(&path, error);
            }
            Error::NotFound {
                text: format!("there is no context `{name}`"),
                help: format!("choose one of: {}", self.names().join(", ")),
            }
        })?;
        let file: ContextFile =
            toml::from_str(&text).map_err(|error| Error::usage(format!("{}: {}", path.display(), error.message())))?;
        let directory = self.directory();
        Ok(Context {
            name: name.to_owned(),
            credential: directory.join(file.credential),
            identity: directory.join(file.identity),
            repository: file.repository.map(|repository| directory.join(repository)),
        })
    }

    /// Returns the names of all contexts, in alphabetical order.
    pub fn names(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.directory()) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
            .collect();
        names.sort();
        names
    }

    /// Returns the name of the context that is used if no other one applies.
    pub fn current(&self) -> Option<String> {
        let name = std::fs::read_to_string(self.root.join("current")).ok()?;
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    }

    /// Makes the context of this name the one that is used if no other one applies.
    ///
    /// # Errors
    /// [`Error::Usage`] if the name cannot be a context's; [`Error::File`] if it cannot be written.
    pub fn set_current(&self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        write_private(&self.root.join("current"), &format!("{name}\n"))
    }

    /// Writes a context whose credential is, or will be, at its usual place.
    ///
    /// # Errors
    /// [`Error::Usage`] if the name cannot be a context's; [`Error::File`] if it cannot be written.
    pub fn save(&self, name: &str) -> Result<Context, Error> {
        check_name(name)?;
        let file = ContextFile {
            credential: PathBuf::from(format!("{name}.cap")),
            identity: default_identity(),
            repository: None,
        };
        self.write(name, &file)?;
        self.load(name)
    }

    /// Like [`register`], in this directory.
    ///
    /// # Errors
    /// [`Error::File`] if a file cannot be found or written.
    pub fn register(&self, repository: &Path, credential: &Path, identity: &Path) -> Result<Registration, Error> {
        let repository = absolute(repository)?;
        let name = name_of_repository(&repository);
        let file = ContextFile {
            credential: absolute(credential)?,
            identity: absolute(identity)?,
            repository: Some(repository),
        };
        let running = self.lock(&name)?;
        self.write(&name, &file)?;
        Ok(Registration { context: self.load(&name)?, _running: running })
    }

    fn lock(&self, name: &str) -> Result<std::fs::File, Error> {
        let path = self.running(name);
        std::fs::create_dir_all(self.directory()).map_err(|error| Error::file(self.directory(), error))?;
        let file = std::fs::File::create(&path).map_err(|error| Error::file(&path, error))?;
        for _ in 0..LOCK_TRIES {
            if file.try_lock().is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Ok(file)
    }

    /// Whether the context was not registered for a process, or its process lives.
    fn counts(&self, context: &Context) -> bool {
        let is_locked = || {
            let Ok(file) = std::fs::File::open(self.running(&context.name)) else { return false };
            matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
        };
        !context.name.starts_with(REGISTERED) || is_locked()
    }

    /// Whether this context was registered for a `guild-master up` that has ended.
    pub fn has_ended(&self, context: &Context) -> bool {
        !self.counts(context)
    }

    /// Removes a context, and its credential if that is at its usual place.
    ///
    /// # Errors
    /// [`Error::File`] if a file cannot be removed; otherwise as [`Contexts::load`].
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let context = self.load(name)?;
        if context.credential == self.credential(name) {
            remove_if_there(&context.credential)?;
        }
        remove_if_there(&self.file(name))?;
        remove_if_there(&self.running(name))?;
        if self.current().as_deref() == Some(name) {
            remove_if_there(&self.root.join("current"))?;
        }
        Ok(())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory().join(format!("{name}.toml"))
    }

    fn running(&self, name: &str) -> PathBuf {
        self.directory().join(format!("{name}.running"))
    }

    fn write(&self, name: &str, file: &ContextFile) -> Result<(), Error> {
        let text = toml::to_string(file).map_err(|error| Error::usage(format!("context `{name}`: {error}")))?;
        write_private(&self.file(name), &text)
    }

    fn all(&self) -> impl Iterator<Item = Context> {
        // A broken context stops only the callers that name it.
        self.names().into_iter().filter_map(|name| self.load(&name).ok())
    }

    /// Returns the context that names a credential. If there is none, makes one with the key beside the credential, or with the user's
    /// own key.
    fn of_file(&self, cap: &Path) -> Context {
        let wanted = std::fs::canonicalize(cap).unwrap_or_else(|_| cap.to_owned());
        let known = self.all().find(|context| std::fs::canonicalize(&context.credential).is_ok_and(|at| at == wanted));
        let beside = key_beside(cap);
        let identity = if beside.exists() { beside } else { self.identity() };
        known.unwrap_or_else(|| Context::of_credential(cap, identity))
    }

    fn of_directory(&self, here: &Path) -> Option<Context> {
        let here = std::fs::canonicalize(here).ok()?;
        innermost(self.all().filter(|context| context.holds(&here) && self.counts(context)))
    }
}

fn innermost(contexts: impl Iterator<Item = Context>) -> Option<Context> {
    contexts.max_by_key(|context| context.repository.as_ref().map(|path| path.components().count()))
}

/// Checks that a text can be a context's name, which becomes the name of a file. It has at most 100 letters, digits, `.`, `_` and `-`,
/// and does not begin with a dot.
///
/// # Errors
/// [`Error::Usage`] if the text cannot be such a name.
pub fn check_name(name: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match !name.is_empty() && name.len() <= 100 && !name.starts_with('.') && name.chars().all(allowed) {
        true => Ok(()),
        false => Err(Error::usage(format!("`{name}` is not a valid name for a context"))
            .help("letters, digits, `.`, `_` and `-`; give one with --name")),
    }
}

fn default_identity() -> PathBuf {
    PathBuf::from(DEFAULT_IDENTITY)
}

/// Returns a name for a repository's context: its directory's name for people, and a hash of its path, because many have the same name.
fn name_of_repository(repository: &Path) -> String {
    let own = repository.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let own: String = own.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).take(40).collect();
    let hash = Sha256::digest(repository.as_os_str().as_encoded_bytes());
    format!("{REGISTERED}{own}-{}", data_encoding::HEXLOWER.encode(&hash[..4]))
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::fs::canonicalize(path).map_err(|error| Error::file(path, error))
}

fn remove_if_there(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file(path, error)),
        _ => Ok(()),
    }
}

/// Writes the whole file or nothing, because another command may read it at this moment.
fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = |error| Error::file(path, error);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft);
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&draft, path).map_err(failed)
}
