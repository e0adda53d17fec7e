//! The parts that a checkout leaves out: submodules, and the contents of files that Git LFS keeps elsewhere. The log of the job says
//! so. Otherwise a user would notice an empty directory or a pointer file only by a later, misleading error.

use crate::workspace::git::{Git, GitError};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The limit for the names in one line, so that the line stays readable.
const NAMES_SHOWN: usize = 3;
/// The limit for how much of `.gitmodules` or `.gitattributes` is read, in bytes. A file that people write is far smaller.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The beginning of a pointer file of Git LFS, by its specification.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
/// The limit for the files that are read in search of pointers, so that a tree of many files costs no more.
const LOOKED_AT_MAX: usize = 10_000;

/// Returns one line for each kind of content that the tree lacks.
pub(super) async fn lines(git: &Git, tree: &Path) -> Result<Vec<String>, GitError> {
    let mut lines = Vec::new();
    let submodules = submodules(&start_of(&tree.join(".gitmodules")));
    if !submodules.is_empty() {
        let (count, names) = (counted(submodules.len(), "submodule is", "submodules are"), named(&submodules));
        lines.push(format!("{count} not fetched: {names}; a step can fetch the public ones by an absolute address"));
    }
    if start_of(&tree.join(".gitattributes")).contains("filter=lfs") {
        let pointers = pointers(git, tree).await?;
        if !pointers.is_empty() {
            let (count, names) =
                (counted(pointers.len(), "file of Git LFS is", "files of Git LFS are"), named(&pointers));
            lines.push(format!("{count} not fetched, so only the pointer of each is there: {names}"));
        }
    }
    Ok(lines)
}

/// Returns the paths that a `.gitmodules` names.
fn submodules(text: &str) -> Vec<String> {
    let path = |line: &str| Some(line.trim().strip_prefix("path")?.trim_start().strip_prefix('=')?.trim().to_owned());
    let paths: BTreeSet<String> = text.lines().filter_map(path).filter(|path| !path.is_empty()).collect();
    paths.into_iter().collect()
}

async fn pointers(git: &Git, tree: &Path) -> Result<Vec<String>, GitError> {
    let listed = git.run("ls-files", ["-z", "--", ":(top,attr:filter=lfs)"], Vec::new()).await?;
    let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty()).take(LOOKED_AT_MAX);
    let names = names.map(|name| String::from_utf8_lossy(name).into_owned());
    Ok(names.filter(|name| is_pointer(&tree.join(name))).collect())
}

fn is_pointer(path: &Path) -> bool {
    // Only a regular file is read, and never a link, whatever the commit names.
    if !std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) {
        return false;
    }
    let mut start = [0; POINTER.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == POINTER
}

/// Returns the beginning of a file in the tree, or nothing if there is no such file.
fn start_of(path: &Path) -> String {
    let mut bytes = Vec::new();
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
        && let Ok(file) = File::open(path)
    {
        let _ = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Returns the names as `a, b, c and 2 more`, on one line whatever characters they have.
fn named(names: &[String]) -> String {
    let plain = |name: &String| name.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
    let shown: Vec<String> = names.iter().take(NAMES_SHOWN).map(plain).collect();
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submodules_are_read_as_git_writes_them() {
        let text = "[submodule \"a\"]\n\tpath = lib/a\n\turl = ../a.git\n[submodule \"b\"]\n\turl=x\n\tpath=b\n\tpathology = c\n";
        assert_eq!(submodules(text), ["b", "lib/a"]);
        assert_eq!(submodules(""), Vec::<String>::new());
    }

    #[test]
    fn many_names_are_few_words() {
        let names: Vec<String> = ["a", "b\n", "c", "d", "e"].map(str::to_owned).to_vec();
        assert_eq!((named(&names), named(&names[..1])), ("a, b?, c and 2 more".to_owned(), "a".to_owned()));
        assert_eq!(counted(1, "is", "are"), "1 is");
    }
}
