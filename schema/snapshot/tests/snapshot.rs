//! Snapshots of real checkouts: they have the right files, and nothing in the checkout changes.

use snapshot::{REF, Snapshot, SnapshotError, take};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const MIB: u64 = 1 << 20;

struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new(init: &[&str]) -> Scene {
        let scene = Scene { dir: tempfile::tempdir().expect("the scene is made") };
        fs::create_dir(scene.top()).expect("the scene is made");
        scene.git(&[&["init", "-q", "-b", "main"], init].concat());
        scene.git(&["config", "user.name", "Ada"]);
        scene.git(&["config", "user.email", "ada@example.org"]);
        scene
    }

    fn top(&self) -> PathBuf {
        self.dir.path().join("check out")
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.top().join(path);
        fs::create_dir_all(path.parent().expect("the scene is made")).expect("the scene is made");
        fs::write(path, bytes).expect("the scene is made");
    }

    fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", "first"]);
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(&self.top(), arguments)
    }

    fn take(&self) -> Result<Snapshot, SnapshotError> {
        take(&self.top(), &self.dir.path().join("beside"), MIB)
    }

    fn refused(&self) -> String {
        self.take().expect_err("it is refused").to_string()
    }
}

fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(dir).args(arguments).output().expect("the scene is made");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Returns each file below a directory with its bytes, mode and time.
fn everything(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).expect("the scene is made") {
            let path = entry.expect("the scene is made").path();
            let meta = path.symlink_metadata().expect("the scene is made");
            if meta.is_dir() {
                open.push(path);
            } else {
                found.insert(
                    path.clone(),
                    (
                        fs::read(&path).expect("the scene is made"),
                        meta.permissions().mode(),
                        meta.modified().expect("the scene is made"),
                    ),
                );
            }
        }
    }
    found
}

/// Makes a checkout with a change of each kind.
fn changed(init: &[&str]) -> Scene {
    let scene = Scene::new(init);
    for name in ["plain", "staged", "both", "gone", "old name", "mode", "becomes-link", "dir/inner"] {
        scene.write(name, format!("{name}\n"));
    }
    scene.write(".gitignore", "ignored\n*.o\n");
    scene.commit();
    scene.write("staged", "staged now\n");
    scene.git(&["add", "staged"]);
    scene.write("both", "one\n");
    scene.git(&["add", "both"]);
    scene.write("both", "two\n");
    fs::remove_file(scene.top().join("gone")).expect("the scene is made");
    fs::rename(scene.top().join("old name"), scene.top().join("new \"name\"\u{e9}")).expect("the scene is made");
    fs::set_permissions(scene.top().join("mode"), fs::Permissions::from_mode(0o755)).expect("the scene is made");
    fs::remove_file(scene.top().join("becomes-link")).expect("the scene is made");
    symlink("plain", scene.top().join("becomes-link")).expect("the scene is made");
    scene.write("binary", [0, 159, 146, 150, 0]);
    scene.write("-dash", "");
    scene.write("sub/new\nline", "x");
    scene.write("ignored", "secret");
    scene.write("a.o", "object");
    scene
}

#[test]
fn a_snapshot_has_every_change_and_the_checkout_has_none() {
    for init in [&[][..], &["--object-format=sha256"]] {
        let scene = changed(init);
        let (status, before) = (scene.git(&["status", "--porcelain"]), everything(&scene.top().join(".git")));
        let taken = scene.take().unwrap();
        let after = everything(&scene.top().join(".git"));
        assert!(before.keys().eq(after.keys()), "no file of .git came or went");
        for (path, (bytes, mode, time)) in &before {
            // git renews the time of an object that exists already when it would write it
            let is_object = path.starts_with(scene.top().join(".git/objects"));
            let now = &after[path];
            assert!((bytes, mode) == (&now.0, &now.1) && (is_object || *time == now.2), "{} changed", path.display());
        }
        assert_eq!(scene.git(&["status", "--porcelain"]), status);
        let clone = scene.dir.path().join("clone");
        git(scene.dir.path(), &["clone", "-q", taken.repository.to_str().unwrap(), clone.to_str().unwrap()]);
        assert_eq!(git(&clone, &["rev-parse", "HEAD", "HEAD~1"]), format!("{}\n{}", taken.commit, taken.base));
        let mut wanted: Vec<PathBuf> = everything(&scene.top()).into_keys().collect();
        wanted.retain(|path| {
            !path.starts_with(scene.top().join(".git")) && !path.ends_with("ignored") && !path.ends_with("a.o")
        });
        for path in &wanted {
            let copy = clone.join(path.strip_prefix(scene.top()).unwrap());
            assert_eq!(fs::read(&copy).unwrap(), fs::read(path).unwrap(), "{}", path.display());
            let kind = |path: &Path| {
                path.symlink_metadata().map(|meta| (meta.is_symlink(), meta.permissions().mode() & 0o100))
            };
            assert_eq!(kind(&copy).unwrap(), kind(path).unwrap(), "{}", path.display());
        }
        assert_eq!(
            everything(&clone).keys().filter(|path| !path.starts_with(clone.join(".git"))).count(),
            wanted.len()
        );
        assert_eq!(
            git(&clone, &["log", "-1", "--format=%an %ae %s"]).split(" on ").next(),
            Some("Ada ada@example.org uncommitted changes")
        );
        assert_eq!(taken.changed, 10);
    }
}

#[test]
fn the_same_files_are_the_same_commit() {
    let scene = changed(&[]);
    let first = scene.take().unwrap();
    assert_eq!(scene.take().unwrap(), first);
    assert_eq!(git(&first.repository, &["rev-parse", REF]), first.commit);
    scene.write("binary", "other");
    assert_ne!(scene.take().unwrap().tree, first.tree);
}

#[test]
fn a_clean_checkout_has_the_tree_of_its_commit() {
    let scene = Scene::new(&[]);
    scene.write("a", "a");
    scene.commit();
    let taken = scene.take().unwrap();
    assert_eq!((taken.tree, taken.changed), (scene.git(&["rev-parse", "HEAD^{tree}"]), 0));
}

#[test]
fn linked_worktrees_split_indexes_and_folders_below_are_understood() {
    let scene = changed(&[]);
    let linked = scene.dir.path().join("linked");
    scene.git(&["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]);
    fs::write(linked.join("only here"), "x").unwrap();
    let taken = take(&linked, &scene.dir.path().join("other"), MIB).unwrap();
    assert_eq!(git(&taken.repository, &["diff", "--name-only", &taken.base, &taken.commit]), "only here");
    scene.git(&["update-index", "--split-index"]);
    let split = scene.take().unwrap();
    assert!(git(&split.repository, &["ls-tree", "--name-only", &split.commit]).contains("binary"));
}

#[test]
fn what_cannot_be_taken_whole_is_refused_by_name() {
    let empty = Scene::new(&[]);
    assert!(empty.refused().contains("no commit yet"));
    let scene = Scene::new(&[]);
    scene.write("a", "a");
    scene.commit();
    scene.write("large", vec![0; 3 << 20]);
    scene.write("small", "x");
    let text = scene.refused();
    assert!(text.contains("3145729 bytes") && text.contains("the largest is large"), "{text}");
    fs::remove_file(scene.top().join("large")).unwrap();

    let inner = scene.top().join("inner");
    fs::create_dir(&inner).unwrap();
    git(&inner, &["init", "-q"]);
    fs::write(inner.join("file"), "x").unwrap();
    git(&inner, &["add", "-A"]);
    git(&inner, &["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"]);
    assert!(scene.refused().starts_with("inner is a repository of its own"), "{}", scene.refused());
    fs::remove_dir_all(inner).unwrap();

    scene.git(&["checkout", "-qb", "other"]);
    scene.write("a", "b");
    scene.commit();
    scene.git(&["checkout", "-q", "main"]);
    scene.write("a", "c");
    scene.commit();
    Command::new("git").arg("-C").arg(scene.top()).args(["merge", "-q", "other"]).output().unwrap();
    assert!(scene.refused().starts_with("a has conflicts"), "{}", scene.refused());
}

#[test]
fn changes_within_a_submodule_are_told() {
    let scene = Scene::new(&[]);
    let lib = scene.dir.path().join("lib");
    fs::create_dir(&lib).unwrap();
    git(&lib, &["init", "-q", "-b", "main"]);
    fs::write(lib.join("file"), "x").unwrap();
    git(&lib, &["add", "-A"]);
    git(&lib, &["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"]);
    scene.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", lib.to_str().unwrap(), "the lib"]);
    scene.commit();
    assert_eq!(scene.take().unwrap().left_out, Vec::<String>::new());
    fs::write(scene.top().join("the lib/file"), "y").unwrap();
    assert_eq!(scene.take().unwrap().left_out, ["the lib"]);
}
