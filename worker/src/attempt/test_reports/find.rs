//! Finds the files of a step's directory that a pattern matches. Programs that are not trusted left the files there. So links that lead
//! out of the checkout are not followed, and only regular files are opened.

use super::patience::Patience;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The limit for the files that the reports of one step match together. A large build with one file per class stays below it.
pub(super) const FILES_MAX: usize = 10_000;
/// The limit for the directory entries that the search for the reports of one step reads. It keeps that search short.
const LOOKED_MAX: usize = 1_000_000;
/// The limit for the depth of directories. The search skips deeper ones.
const DEPTH_MAX: usize = 100;

/// A search through a step's directory, for the patterns of all its reports.
pub(super) struct Search<'a> {
    /// The checkout, without links in its path.
    tree: &'a Path,
    root: &'a Path,
    patience: &'a Patience,
    looked: usize,
    files: usize,
    /// Whether a directory of the current pattern is outside of the checkout, so that its files were left out.
    leads_out: bool,
}

impl Search<'_> {
    pub(super) fn new<'a>(tree: &'a Path, root: &'a Path, patience: &'a Patience) -> Search<'a> {
        Search { tree, root, patience, looked: 0, files: 0, leads_out: false }
    }

    /// Returns the files that match, by their names relative to the root, in the order of the names. An error says why there may be
    /// more.
    pub(super) fn find(&mut self, pattern: &str) -> (BTreeSet<String>, io::Result<()>) {
        let pattern = if pattern.ends_with('/') { format!("{pattern}**") } else { pattern.to_owned() };
        let mut parts: Vec<&str> = pattern.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        parts.dedup_by(|later, earlier| later == earlier && *later == "**");
        let mut found = BTreeSet::new();
        let looked = if pattern.starts_with('/') || parts.contains(&"..") {
            Err(io::Error::other("it leads out of the step's directory"))
        } else {
            self.leads_out = false;
            self.walk("", &parts, 0, &mut found)
        };
        let looked = looked.and_then(|()| if self.leads_out { Err(outside()) } else { Ok(()) });
        (found, looked)
    }

    fn walk(&mut self, dir: &str, parts: &[&str], depth: usize, found: &mut BTreeSet<String>) -> io::Result<()> {
        let Some((first, rest)) = parts.split_first() else { return Ok(()) };
        if depth > DEPTH_MAX {
            return Ok(());
        }
        if !first.contains(['*', '?']) {
            return self.enter(&joined(dir, first), rest, depth, found);
        }
        if *first == "**" && !rest.is_empty() {
            self.walk(dir, rest, depth, found)?;
        }
        for (name, is_dir) in self.entries(dir)? {
            let path = joined(dir, &name);
            match (*first == "**", is_dir) {
                (true, true) => self.walk(&path, parts, depth + 1, found)?,
                (true, false) if rest.is_empty() => self.add(path, found)?,
                (true, false) => {}
                (false, _) if !fits(first, &name) => {}
                (false, true) if rest.is_empty() => {}
                (false, true) => self.walk(&path, rest, depth + 1, found)?,
                (false, false) if rest.is_empty() => self.add(path, found)?,
                (false, false) => {}
            }
        }
        Ok(())
    }

    /// Follows a part of the pattern that is a plain name. The name may be a link within the checkout.
    fn enter(&mut self, path: &str, rest: &[&str], depth: usize, found: &mut BTreeSet<String>) -> io::Result<()> {
        let Ok(metadata) = std::fs::metadata(self.root.join(path)) else { return Ok(()) };
        match (metadata.is_dir(), rest.is_empty()) {
            (true, false) => self.walk(path, rest, depth + 1, found),
            (false, true) => self.add(path.to_owned(), found),
            (true, true) | (false, false) => Ok(()),
        }
    }

    fn add(&mut self, path: String, found: &mut BTreeSet<String>) -> io::Result<()> {
        if self.files == FILES_MAX {
            let text = format!("the reports of the step match more than {FILES_MAX} files, and the rest is not read");
            return Err(io::Error::other(text));
        }
        self.files += usize::from(found.insert(path));
        Ok(())
    }

    /// Returns the names in a directory, each with whether it is a directory. A link is left out unless it leads to a file. A directory
    /// that cannot be read, or is outside of the checkout, has no names.
    fn entries(&mut self, dir: &str) -> io::Result<Vec<(String, bool)>> {
        let mut entries = Vec::new();
        let Ok(opened) = open_directory(&self.root.join(dir)) else { return Ok(entries) };
        if !lies_below(self.tree, &opened)? {
            self.leads_out = true;
            return Ok(entries);
        }
        for entry in std::fs::read_dir(path_of(&opened)).into_iter().flatten().flatten() {
            self.looked += 1;
            if self.looked > LOOKED_MAX {
                return Err(io::Error::other(format!("the search ended after {LOOKED_MAX} directory entries")));
            }
            self.patience.check()?;
            let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else { continue };
            if name != ".git" {
                let is_other = kind.is_symlink() && !entry.path().is_file();
                entries.extend((!is_other).then_some((name, kind.is_dir())));
            }
        }
        entries.sort();
        Ok(entries)
    }
}

fn joined(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

/// Whether a name fits a part of a pattern. In the pattern, `*` stands for any characters and `?` for one character.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut in_name) = (0, 0);
    // The place to continue from, if the text after the newest `*` does not fit.
    let mut star = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some('*') => {
                at += 1;
                star = Some((at, in_name));
            }
            Some(char) if *char == '?' || *char == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            Some(_) | None => {
                let Some((behind, taken)) = star else { return false };
                star = Some((behind, taken + 1));
                (at, in_name) = (behind, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|char| *char == '*')
}

/// Opens a directory, wherever it is. The descriptor stays with that directory, even if another one takes its place.
fn open_directory(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Returns the path through which this process reaches an open file.
fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Whether an open file or directory is in the checkout, whatever links led to it.
fn lies_below(tree: &Path, file: &File) -> io::Result<bool> {
    Ok(std::fs::read_link(path_of(file))?.starts_with(tree))
}

fn outside() -> io::Error {
    io::Error::other("it leads out of the checkout")
}

/// Opens a file of the checkout. An error says why it is not read.
pub(super) fn open(tree: &Path, path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    // If another kind of file takes the place meanwhile, opening it must not block.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if lies_below(tree, &file)? { Ok(file) } else { Err(outside()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        root
    }

    fn found(root: &Path, pattern: &str) -> String {
        let patience = Patience::new(Duration::from_secs(60));
        let tree = root.canonicalize().unwrap();
        let (found, looked) = Search::new(&tree, root, &patience).find(pattern);
        let why = looked.err().map(|error| format!("! {error}"));
        found.into_iter().chain(why).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn patterns_match_as_in_the_pipeline() {
        let root = tree(
            &["a.xml", "b/a.xml", "b/c/a.xml", "b/c/TEST-é.xml", "b/x/", ".git/a.xml", ".hidden/d.xml"]
                .map(|name| name.trim_end_matches('/')),
        );
        let root = root.path();
        for (pattern, wanted) in [
            ("a.xml", "a.xml"),
            ("*.xml", "a.xml"),
            ("**/a.xml", "a.xml b/a.xml b/c/a.xml"),
            ("**/**/a.xml", "a.xml b/a.xml b/c/a.xml"),
            ("b/**", "b/a.xml b/c/TEST-é.xml b/c/a.xml b/x"),
            ("b/", "b/a.xml b/c/TEST-é.xml b/c/a.xml b/x"),
            ("?/c/TEST-?.xml", "b/c/TEST-é.xml"),
            ("b/**/c/*", "b/c/TEST-é.xml b/c/a.xml"),
            ("**/d.xml", ".hidden/d.xml"),
            ("b", ""),
            ("none/*", ""),
            ("../*", "! it leads out of the step's directory"),
            ("/etc/passwd", "! it leads out of the step's directory"),
        ] {
            assert_eq!(found(root, pattern), wanted, "{pattern}");
        }
    }

    #[test]
    fn nothing_is_followed_out_of_the_checkout_or_in_a_circle() {
        let (root, other) = (tree(&["in/a.xml"]), tree(&["secret.xml"]));
        let dir = root.path().canonicalize().unwrap();
        symlink(&dir, dir.join("in/circle")).unwrap();
        symlink(other.path(), dir.join("out")).unwrap();
        symlink(other.path().join("secret.xml"), dir.join("linked.xml")).unwrap();
        symlink("in/a.xml", dir.join("near.xml")).unwrap();
        symlink("in", dir.join("inner")).unwrap();
        std::fs::create_dir(other.path().join("deep")).unwrap();
        std::fs::write(other.path().join("deep/secret.xml"), "").unwrap();
        assert_eq!(found(&dir, "**/*.xml"), "in/a.xml linked.xml near.xml");
        for pattern in ["out/**", "out/*", "out/*.xml", "out/", "out/deep/*", "out/**/s*.xml"] {
            assert_eq!(found(&dir, pattern), "! it leads out of the checkout", "{pattern}");
        }
        // The other files that match are found nevertheless.
        symlink(other.path(), dir.join("in/out")).unwrap();
        std::fs::create_dir_all(dir.join("more/out")).unwrap();
        std::fs::write(dir.join("more/out/b.xml"), "").unwrap();
        assert_eq!(found(&dir, "*/out/*.xml"), "more/out/b.xml ! it leads out of the checkout");
        assert_eq!(found(&dir, "inner/*"), "inner/a.xml");
        assert_eq!(found(&dir, "in/circle/in/a.xml"), "in/circle/in/a.xml");
        let why = |name: &str| open(&dir, &dir.join(name)).map(drop).map_err(|error| error.to_string());
        assert_eq!(why("near.xml"), Ok(()));
        assert_eq!(why("linked.xml"), Err("it leads out of the checkout".to_owned()));
        assert_eq!(why("out/secret.xml"), Err("it leads out of the checkout".to_owned()));
        assert_eq!(why("in"), Err("it is not a regular file".to_owned()));
    }

    #[test]
    fn what_would_hold_the_worker_up_is_not_opened() {
        let root = tree(&[]);
        let dir = root.path().canonicalize().unwrap();
        let made = std::process::Command::new("mkfifo").arg(dir.join("a.xml")).status().unwrap();
        assert!(made.success());
        assert_eq!(found(&dir, "*.xml"), "a.xml");
        assert_eq!(open(&dir, &dir.join("a.xml")).unwrap_err().to_string(), "it is not a regular file");
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, wanted) in [
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?", "é", true),
            ("?", "", false),
            ("*.xml", ".xml", true),
            ("a", "ab", false),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
        let hard = "*a".repeat(30);
        assert!(!fits(&hard, &"a".repeat(20)), "and soon");
    }
}
