//! Makes a mirror's directory ready when git is needed there for the first time. So a master of thousands of projects can serve
//! before it has touched any of them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use super::gate::Pass;

/// The file of Guild's git configuration in the mirror's directory. Git itself has no file of this name.
pub(super) const CONFIG_FILE: &str = "guild.config";

/// The folder of packs that are being received. Each has a folder of its own there. Whatever an earlier master left is removed.
pub(super) const INCOMING: &str = "guild.incoming";

/// The preparation of a mirror's directory, and whether it is done.
#[derive(Debug)]
pub(super) struct Preparation {
    /// The only protocol that git may use.
    protocol: &'static str,
    done: tokio::sync::OnceCell<()>,
    /// The lock of the thread that prepares. The future that began it may be dropped, and another one may have begun it again.
    under_way: Arc<Mutex<()>>,
}

impl Preparation {
    /// Returns the preparation of a mirror whose remote uses this protocol; nothing is made ready yet.
    pub(super) fn new(protocol: &'static str) -> Preparation {
        Preparation { protocol, done: tokio::sync::OnceCell::new(), under_way: Arc::default() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done.initialized()
    }

    /// Makes this directory ready, unless it is. After a failure, the next caller tries again. `init` is the git command that
    /// makes an empty repository there, and `pass` its permission.
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
    remove_tree(&dir.join(INCOMING))?;
    clear_halves(dir)
}

/// Makes an empty repository with this object format. `init` is the git command for it.
pub(super) fn initialize(mut init: Command, format: &str) -> io::Result<()> {
    init.args(["--bare", "--quiet", "--template=", &format!("--object-format={format}")]);
    let output = init.output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("git init failed: {}", text.trim())))
}

/// Removes git's locks on refs, `config` and `shallow`. The master is the only user of the mirror, so a lock belongs to a git that was
/// killed, unless a git runs now. No ref has a name that ends in `.lock`.
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

/// Removes packs that were not received or written completely.
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

/// Returns the directory in which a replacement of this mirror is fetched.
pub(super) fn twin(dir: &Path) -> PathBuf {
    beside(dir, "~new")
}

/// Returns the directory to which a replaced mirror is moved until it is removed.
fn replaced(dir: &Path) -> PathBuf {
    beside(dir, "~old")
}

/// Returns a path beside the mirror. No project has such a name, because names of projects have no `~`.
fn beside(dir: &Path, ending: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Replaces a mirror by its [`twin`]. If this is interrupted, [`finish_swap`] undoes or finishes it.
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

/// Undoes or finishes a swap during which the master ended. Then the mirror may have no directory, or two.
fn finish_swap(dir: &Path) -> io::Result<()> {
    let (fresh, old) = (twin(dir), replaced(dir));
    if !dir.exists() && old.exists() && is_repository(&fresh) {
        std::fs::rename(&fresh, dir)?;
    }
    [fresh, old].iter().try_for_each(|rest| remove_tree(rest))
}

/// Removes a directory if it exists. A git that was killed a moment ago may still write a file into it, so the removal is
/// repeated.
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

/// The number of tries to remove a directory into which a killed process may still write. Such a process ends within a second.
const REMOVALS_MAX: u32 = 40;
/// The pause between two tries to remove a directory.
const REMOVAL_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Whether a directory has the files and folders that every repository has.
pub(super) fn is_repository(dir: &Path) -> bool {
    ["HEAD", "config"].iter().all(|name| dir.join(name).is_file())
        && ["objects/pack", "refs"].iter().all(|name| dir.join(name).is_dir())
}

/// Removes all that git keeps in a mirror, as far as it exists. Guild's own files stay.
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

/// Returns Guild's configuration of git, which git reads beside the repository's own. It allows only the protocol of the
/// address, and no hooks, prompts or background collection. A local repository may belong to any user.
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
        // fetched packs stay packed, because loose objects would have to be packed again for each worker's first checkout
        ("fetch", "recurseSubmodules = false\n\tunpackLimit = 1"),
        ("http", "lowSpeedLimit = 100\n\tlowSpeedTime = 60"),
        ("log", "showSignature = false"),
        ("i18n", "logOutputEncoding = UTF-8"),
    ];
    sections.iter().map(|(name, lines)| format!("[{name}]\n\t{lines}\n")).collect()
}
