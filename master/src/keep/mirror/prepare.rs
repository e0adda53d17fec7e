//! Makes a mirror's directory ready for git when git is needed there for the first time. So a master of thousands of projects
//! serves before it has touched any of them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use super::gate::Pass;

/// The file of our configuration in the mirror's directory; git itself knows no file of this name.
pub(super) const CONFIG_FILE: &str = "guild.config";

/// Whether a mirror's directory is ready, and what makes it so.
#[derive(Debug)]
pub(super) struct Preparation {
    /// The only protocol that git may speak.
    protocol: &'static str,
    done: tokio::sync::OnceCell<()>,
    /// Held by the thread that prepares: whoever asked for it may be gone, and somebody else may have asked again.
    under_way: Arc<Mutex<()>>,
}

impl Preparation {
    /// The preparation of a mirror whose remote speaks this protocol.
    pub(super) fn new(protocol: &'static str) -> Preparation {
        Preparation { protocol, done: tokio::sync::OnceCell::new(), under_way: Arc::default() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done.initialized()
    }

    /// Makes this directory ready, unless it is. What failed is tried again by whoever comes next. `init`: how git is called to
    /// make an empty repository there, with its pass.
    pub(super) async fn make_ready(&self, dir: &Path, init: Command, pass: Pass) -> io::Result<()> {
        let (dir, protocol, under_way) = (dir.to_owned(), self.protocol, self.under_way.clone());
        let prepare = move || {
            let (_alone, _pass) = (under_way.lock().unwrap_or_else(PoisonError::into_inner), pass);
            prepare(&dir, init, protocol)
        };
        let prepared = move || async move { tokio::task::spawn_blocking(prepare).await.map_err(io::Error::from)? };
        self.done.get_or_try_init(prepared).await.map(drop)
    }
}

fn prepare(dir: &Path, init: Command, protocol: &str) -> io::Result<()> {
    finish_swap(dir)?;
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join(CONFIG_FILE), configuration(protocol))?;
    if !is_repository(dir) {
        empty(dir)?;
        initialize(init, "sha1")?;
    }
    clear_locks(dir)?;
    clear_halves(dir)
}

/// Makes an empty repository, whose objects have this format. `init`: how git is called for it.
pub(super) fn initialize(mut init: Command, format: &str) -> io::Result<()> {
    init.args(["--bare", "--quiet", "--template=", &format!("--object-format={format}")]);
    let output = init.output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("git init failed: {}", text.trim())))
}

/// Removes what keeps others out of refs. We are the only ones here, and whoever held it was ended by force; no ref's name
/// ends like that.
pub(super) fn clear_locks(dir: &Path) -> io::Result<()> {
    let mut places = vec![dir.join("refs")];
    let mut names: Vec<PathBuf> =
        ["packed-refs.lock", "HEAD.lock", "config.lock", "shallow.lock"].map(|name| dir.join(name)).into();
    while let Some(place) = places.pop() {
        for entry in std::fs::read_dir(place)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                places.push(entry.path());
            } else if entry.path().extension().is_some_and(|end| end == "lock") {
                names.push(entry.path());
            }
        }
    }
    names.iter().try_for_each(|name| remove_file(name))
}

/// Removes packs that were not received or written to their end.
fn clear_halves(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir.join("objects/pack"))? {
        let entry = entry?;
        let name = entry.file_name();
        if [&b"tmp_"[..], b".tmp-"].iter().any(|start| name.as_encoded_bytes().starts_with(start)) {
            remove_file(&entry.path())?;
        }
    }
    Ok(())
}

/// Where a mirror is fetched that shall take the place of this one.
pub(super) fn twin(dir: &Path) -> PathBuf {
    beside(dir, "~new")
}

/// Where a mirror is that another one took the place of, until it is removed.
fn replaced(dir: &Path) -> PathBuf {
    beside(dir, "~old")
}

/// No project has such a name, because `~` is not a letter of one.
fn beside(dir: &Path, ending: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Puts the [`twin`] of a mirror in its place. What stops it in the middle is undone, or finished, by [`finish_swap`].
pub(super) fn swap(dir: &Path) -> io::Result<()> {
    let (fresh, old) = (twin(dir), replaced(dir));
    remove_tree(&old)?;
    match std::fs::rename(dir, &old) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    std::fs::rename(&fresh, dir)?;
    remove_tree(&old)
}

/// A mirror that was being replaced when the master ended has no directory, or two.
fn finish_swap(dir: &Path) -> io::Result<()> {
    let (fresh, old) = (twin(dir), replaced(dir));
    if !dir.exists() && old.exists() && is_repository(&fresh) {
        std::fs::rename(&fresh, dir)?;
    }
    [fresh, old].iter().try_for_each(|rest| remove_tree(rest))
}

/// Removes a directory, if it is there. A git that was killed a moment ago may still put a file into it, so that is tried again.
pub(super) fn remove_tree(dir: &Path) -> io::Result<()> {
    for _ in 0..REMOVALS_MAX {
        match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => std::thread::sleep(REMOVAL_PAUSE),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => return Ok(()),
        }
    }
    std::fs::remove_dir_all(dir)
}

/// How often a directory is removed into which somebody still writes. A killed process is gone within a second.
const REMOVALS_MAX: u32 = 40;
/// The pause before the next try.
const REMOVAL_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Whether a directory has what no repository is without.
pub(super) fn is_repository(dir: &Path) -> bool {
    ["HEAD", "config"].iter().all(|name| dir.join(name).is_file())
        && ["objects/pack", "refs"].iter().all(|name| dir.join(name).is_dir())
}

/// Removes all that git keeps in a mirror, as far as it is there. What is ours stays.
pub(super) fn empty(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    ["HEAD", "config", "packed-refs", "shallow"].iter().try_for_each(|name| remove_file(&dir.join(name)))?;
    ["objects", "refs", "logs"].iter().try_for_each(|name| remove_tree(&dir.join(name)))
}

pub(super) fn is_sha256(dir: &Path) -> bool {
    std::fs::read_to_string(dir.join("config")).is_ok_and(|config| config.contains("sha256"))
}

pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// All that git is told, beside the repository's own file of configuration. No protocol but the address's own, no hooks, no
/// prompts, no collection behind our back; a local repository may belong to anyone.
pub(super) fn configuration(protocol: &str) -> String {
    let sections = [
        ("safe", "directory = *"),
        (
            "core",
            "hooksPath = /dev/null\n\tfsmonitor = false\n\tquotePath = false\n\tfsync = committed,reference\n\tfsyncMethod = batch",
        ),
        ("protocol", "allow = never"),
        (&format!("protocol \"{protocol}\""), "allow = always"),
        ("credential", "helper ="),
        ("gc", "autoDetach = false\n\tpruneExpire = never"),
        ("maintenance", "auto = false"),
        // what came packed stays packed: taken apart, it would be packed anew for each worker's first checkout
        ("fetch", "recurseSubmodules = false\n\tunpackLimit = 1"),
        ("http", "lowSpeedLimit = 100\n\tlowSpeedTime = 60"),
        ("log", "showSignature = false"),
        ("i18n", "logOutputEncoding = UTF-8"),
    ];
    sections.iter().map(|(name, lines)| format!("[{name}]\n\t{lines}\n")).collect()
}
