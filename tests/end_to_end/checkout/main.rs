//! The way of a commit from a repository through the master's mirror, over the source capability, into a worker's workspace.

#![expect(clippy::unwrap_used, reason = "the helpers of a test, too, end it if something is wrong")]

mod leavings;
mod stores;

use std::cell::{Cell, RefCell};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use master::keep::mirror::{GitGate, Mirror, Remote, SharedPack};
use schema::common_capnp::byte_source;
use schema::values::{SourceRevision, Workspace as Mode};
use schema::worker_capnp::source_pack;
use worker::checkout::{Checkout, CheckoutError, Stores, checkout};
use worker::workspace::{self, Workspace};

struct Scene {
    dir: tempfile::TempDir,
    mirror: Rc<Mirror>,
    stores: Stores,
    /// The number of reads that are still answered before the link is lost.
    reads_left: Rc<Cell<u32>>,
    asked: Rc<RefCell<Vec<Vec<String>>>>,
}

impl Scene {
    fn new(init: &[&str]) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let origin = dir.path().join("origin");
        std::fs::create_dir(&origin).unwrap();
        git(&origin, &[&["init", "-q", "-b", "main"], init].concat());
        let mirror =
            Mirror::open(&dir.path().join("mirror"), Remote::new(origin.to_str().unwrap()), &GitGate::default())
                .unwrap();
        let stores = Stores::new(&dir.path().join("stores")).unwrap();
        Scene { dir, mirror: Rc::new(mirror), stores, reads_left: Rc::new(Cell::new(u32::MAX)), asked: Rc::default() }
    }

    fn origin(&self) -> PathBuf {
        self.dir.path().join("origin")
    }

    fn git(&self, args: &[&str]) -> String {
        git(&self.origin(), args)
    }

    /// Returns the directory of the worker's only store.
    fn store(&self) -> PathBuf {
        let mut found = std::fs::read_dir(self.dir.path().join("stores")).unwrap();
        let store = found.next().unwrap().unwrap().path();
        assert!(found.next().is_none(), "one repository, and nothing beside its store");
        store
    }

    async fn commit(&self, path: &str, text: &str) -> String {
        write(&self.origin().join(path), text);
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", path]);
        self.mirror.fetch().await.unwrap();
        self.git(&["rev-parse", "HEAD"])
    }

    /// Opens the lane's first workspace. A child process of another test holds its lock for a moment, between fork and exec. The lane
    /// then seems busy and would get a second workspace, so this tries again.
    fn open(&self, mode: Mode) -> Workspace {
        loop {
            let found = self.open_any(mode);
            let is_first = !found.tree().parent().unwrap().to_string_lossy().ends_with("-2");
            if is_first {
                return found;
            }
            std::thread::yield_now();
        }
    }

    fn open_any(&self, mode: Mode) -> Workspace {
        workspace::open(&self.dir.path().join("work"), "lane", mode).unwrap()
    }

    async fn check_out(&self, at: &Workspace, revision: &str, mode: Mode) -> Result<Checkout, CheckoutError> {
        self.check_out_ref(at, "refs/heads/main", revision, mode).await
    }

    async fn check_out_ref(
        &self,
        at: &Workspace,
        ref_name: &str,
        revision: &str,
        mode: Mode,
    ) -> Result<Checkout, CheckoutError> {
        let source = SourceRevision {
            repository: "origin".to_string(),
            ref_name: ref_name.to_string(),
            revision: revision.to_string(),
            base: String::new(),
        };
        let server = Server {
            mirror: self.mirror.clone(),
            revision: revision.to_string(),
            reads_left: self.reads_left.clone(),
            asked: self.asked.clone(),
        };
        checkout(at, &self.stores, &source, mode, capnp_rpc::new_client(server)).await
    }
}

struct Server {
    mirror: Rc<Mirror>,
    revision: String,
    reads_left: Rc<Cell<u32>>,
    asked: Rc<RefCell<Vec<Vec<String>>>>,
}

impl source_pack::Server for Server {
    async fn pack(
        self: Rc<Self>,
        params: source_pack::PackParams,
        mut results: source_pack::PackResults,
    ) -> Result<(), capnp::Error> {
        let have = params.get()?.get_have()?;
        let have: Vec<String> = have.iter().map(|id| id.unwrap().to_string().unwrap()).collect();
        self.asked.borrow_mut().push(have.clone());
        let pack = match self.mirror.pack(&self.revision, &have).await {
            Ok(pack) => pack,
            Err(error) => {
                results.get().init_refusal().set_text(error.to_string());
                return Ok(());
            }
        };
        let mut refs = results.get().init_refs(u32::try_from(pack.refs.len()).unwrap());
        for (index, (name, id)) in (0..).zip(&pack.refs) {
            refs.reborrow().get(index).set_name(name);
            refs.reborrow().get(index).set_value(id);
        }
        let bytes = Bytes { pack, reads_left: self.reads_left.clone() };
        results.get().set_pack(capnp_rpc::new_client(bytes));
        Ok(())
    }
}

struct Bytes {
    pack: SharedPack,
    reads_left: Rc<Cell<u32>>,
}

impl byte_source::Server for Bytes {
    async fn size(
        self: Rc<Self>,
        _: byte_source::SizeParams,
        mut results: byte_source::SizeResults,
    ) -> Result<(), capnp::Error> {
        results.get().set_size(self.pack.size);
        Ok(())
    }

    async fn read(
        self: Rc<Self>,
        params: byte_source::ReadParams,
        mut results: byte_source::ReadResults,
    ) -> Result<(), capnp::Error> {
        let left = self.reads_left.get();
        if left == 0 {
            return Err(capnp::Error::disconnected("the link was cut".to_string()));
        }
        self.reads_left.set(left - 1);
        let (offset, count) = (params.get()?.get_offset(), params.get()?.get_count());
        assert!(count <= 256 << 10);
        results.get().set_bytes(&self.pack.read(offset, count as usize)?);
        Ok(())
    }
}

/// Runs git in a directory as a step of the worker's user would, and returns its output.
fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(dir).args(args).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Ada").env(format!("GIT_{who}_EMAIL"), "ada@example.org");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn a_step_finds_a_repository_as_after_a_clone() {
    let scene = Scene::new(&[]);
    scene.commit("a", "1").await;
    scene.git(&["tag", "-a", "v1", "-m", "one"]);
    scene.git(&["tag", "light"]);
    let tip = scene.commit("dir/b", "2").await;
    let place = scene.open(Mode::Fresh);
    let done = scene.check_out(&place, &tip, Mode::Fresh).await.unwrap();
    assert!(done.fetched > 0);
    let tree = place.tree();
    assert_eq!((read(&tree.join("a")), read(&tree.join("dir/b"))), ("1".to_string(), "2".to_string()));
    assert_eq!(git(&tree, &["status", "--porcelain", "--branch"]), "## main");
    assert_eq!(git(&tree, &["describe"]), scene.git(&["describe"]));
    assert_eq!(git(&tree, &["describe", "--tags", "HEAD^"]), "v1");
    assert_eq!(git(&tree, &["log", "--format=%H"]), scene.git(&["log", "--format=%H"]));
    assert_eq!(git(&tree, &["tag"]), "light\nv1");
    git(&tree, &["commit", "-q", "--allow-empty", "-m", "a step may commit"]);
    git(&tree, &["fsck", "--strict"]);
}

/// The notes of a checkout name submodules, which stay empty directories, and files of Git LFS, which stay pointers. They name
/// nothing else (C38 and C39 in `tests/cases.tsv`).
#[tokio::test]
async fn what_the_tree_lacks_is_told() {
    let scene = Scene::new(&[]);
    let tip = scene.commit("a", "1").await;
    let place = scene.open(Mode::Fresh);
    assert_eq!(scene.check_out(&place, &tip, Mode::Fresh).await.unwrap().notes, Vec::<String>::new());
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    scene.commit(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n").await;
    scene.commit("real.bin", "no pointer, and longer than what a pointer begins with").await;
    scene.commit("dir/data.bin", pointer).await;
    scene.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{tip},lib/a")]);
    let tip = scene.commit(".gitmodules", "[submodule \"a\"]\n\tpath = lib/a\n\turl = ../a.git\n").await;
    for mode in [Mode::Fresh, Mode::Clean] {
        let notes = scene.check_out(&place, &tip, mode).await.unwrap().notes;
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].starts_with("1 submodule is not fetched: lib/a;"), "{notes:?}");
        assert!(
            notes[1].starts_with("1 file of Git LFS is not fetched,") && notes[1].ends_with(": dir/data.bin"),
            "{notes:?}"
        );
    }
}

/// All objects that a checkout borrows are in the directory that `GUILD_GIT_OBJECTS` names, so a container needs only that one
/// (C31 in `tests/cases.tsv`).
#[tokio::test]
async fn the_objects_that_a_checkout_borrows_have_one_directory() {
    let scene = Scene::new(&[]);
    let tip = scene.commit("a", "1").await;
    let place = scene.open(Mode::Fresh);
    scene.check_out(&place, &tip, Mode::Fresh).await.unwrap();
    let borrowed = read(&place.tree().join(".git/objects/info/alternates"));
    assert_eq!(Path::new(borrowed.trim()), scene.stores.objects_of("origin", &tip));
}

#[tokio::test]
async fn what_a_step_left_is_undone_as_the_mode_says() {
    let scene = Scene::new(&[]);
    scene.commit(".gitignore", "ignored\n").await;
    scene.commit("a", "1").await;
    let tip = scene.commit("dir/b", "2").await;
    for (mode, ignored_stays, other_stays) in
        [(Mode::Kept, true, true), (Mode::Clean, true, false), (Mode::Fresh, false, false)]
    {
        let place = scene.open(mode);
        scene.check_out(&place, &tip, mode).await.unwrap();
        let tree = place.tree();
        write(&tree.join("ignored"), "x");
        write(&tree.join("other"), "x");
        write(&tree.join("nested/.git/HEAD"), "x");
        git(&tree, &["init", "-q", "repository"]);
        write(&tree.join("a"), "9");
        std::fs::remove_file(tree.join("dir/b")).unwrap();
        write(&tree.join("dir/b/in the way"), "x");
        drop(place);
        let place = scene.open(mode);
        scene.check_out(&place, &tip, mode).await.unwrap();
        assert_eq!(place.tree(), tree);
        assert_eq!(read(&tree.join("a")), "1", "{mode:?}");
        assert_eq!(read(&tree.join("dir/b")), "2", "{mode:?}");
        assert_eq!(tree.join("ignored").exists(), ignored_stays, "{mode:?}");
        assert_eq!(tree.join("other").exists(), other_stays, "{mode:?}");
        assert_eq!(tree.join("repository").exists(), other_stays, "{mode:?}");
        assert_eq!(git(&tree, &["status", "--porcelain", "-uno"]), "", "{mode:?}");
    }
}

#[tokio::test]
async fn later_checkouts_bring_only_what_is_new() {
    let scene = Scene::new(&[]);
    // this text hardly compresses, so its pack takes several reads
    let noise: String = (0..60_000u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let first = scene.commit("large", &noise).await;
    scene.git(&["tag", "-a", "v1", "-m", "one"]);
    scene.mirror.fetch().await.unwrap();
    let place = scene.open(Mode::Clean);
    let done = scene.check_out(&place, &first, Mode::Clean).await.unwrap();
    assert!(done.fetched > 300 << 10, "{}", done.fetched);
    assert_eq!(scene.check_out(&place, &first, Mode::Clean).await.unwrap().fetched, 0);
    let second = scene.commit("large", &format!("{noise}more")).await;
    let done = scene.check_out(&place, &second, Mode::Clean).await.unwrap();
    assert!(done.fetched > 0 && done.fetched < 2000, "{}", done.fetched);
    assert!(read(&place.tree().join("large")).ends_with("more"));
    // a new tag of an old commit is fetched too, and the old tag is not fetched again
    scene.git(&["tag", "-a", "v0", "-m", "late", &first]);
    scene.mirror.fetch().await.unwrap();
    let done = scene.check_out(&place, &second, Mode::Clean).await.unwrap();
    assert!(done.fetched > 0 && done.fetched < 300, "{}", done.fetched);
    assert_eq!(git(&place.tree(), &["tag"]), "v0\nv1");
    let tag = scene.git(&["rev-parse", "v1"]);
    assert_eq!(*scene.asked.borrow().last().unwrap(), [second, first, tag]);
}

#[tokio::test]
async fn many_at_once_in_one_store() {
    let scene = Scene::new(&[]);
    let first = scene.commit("a", "1").await;
    let second = scene.commit("a", "2").await;
    let places: Vec<_> = (0..6).map(|_| scene.open_any(Mode::Clean)).collect();
    let revisions = [&first, &second];
    let all = places.iter().zip(revisions.into_iter().cycle());
    let all = all.map(|(place, revision)| scene.check_out(place, revision, Mode::Clean));
    let done = futures::future::join_all(all).await;
    let fetched: Vec<u64> = done.into_iter().map(|done| done.unwrap().fetched).collect();
    assert_eq!(fetched.iter().filter(|bytes| **bytes > 0).count(), 2, "{fetched:?}");
    for (place, text) in places.iter().zip(["1", "2"].into_iter().cycle()) {
        assert_eq!(read(&place.tree().join("a")), text);
    }
}

#[tokio::test]
async fn hostile_leavings_reach_nothing_outside() {
    let scene = Scene::new(&[]);
    let first = scene.commit("dir/a", "1").await;
    let outside = scene.dir.path().join("outside");
    write(&outside.join("a"), "precious");
    let flag = scene.dir.path().join("flag");
    for mode in [Mode::Kept, Mode::Clean, Mode::Fresh] {
        let place = scene.open(mode);
        scene.check_out(&place, &first, mode).await.unwrap();
        let tree = place.tree();
        let script = format!("#!/bin/sh\ntouch {}\n", flag.display());
        let hook = tree.join(".git/hooks/post-checkout");
        write(&hook, &script);
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
        git(&tree, &["config", "core.fsmonitor", hook.to_str().unwrap()]);
        git(&tree, &["config", "filter.x.smudge", hook.to_str().unwrap()]);
        write(&tree.join(".gitattributes"), "* filter=x\n");
        std::fs::remove_dir_all(tree.join("dir")).unwrap();
        symlink(&outside, tree.join("dir")).unwrap();
        drop(place);
        let place = scene.open(mode);
        scene.check_out(&place, &first, mode).await.unwrap();
        assert_eq!(read(&tree.join("dir/a")), "1");
        assert!(!tree.join("dir").is_symlink());
        assert!(!read(&tree.join(".git/config")).contains("fsmonitor"));
        std::fs::remove_dir_all(tree.join(".git")).unwrap();
        symlink(&outside, tree.join(".git")).unwrap();
        drop(place);
        let place = scene.open(mode);
        scene.check_out(&place, &first, mode).await.unwrap();
        assert!(!tree.join(".git").is_symlink());
        drop(place);
        std::fs::remove_dir_all(&tree).unwrap();
        symlink(&outside, &tree).unwrap();
        let place = scene.open(mode);
        scene.check_out(&place, &first, mode).await.unwrap();
        assert_eq!(read(&tree.join("dir/a")), "1");
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(read(&outside.join("a")), "precious");
    assert!(!flag.exists());
}

#[tokio::test]
async fn a_cut_transfer_and_a_damaged_store_heal() {
    let scene = Scene::new(&[]);
    let noise: String = (0..90_000u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let first = scene.commit("large", &noise).await;
    let place = scene.open(Mode::Clean);
    scene.reads_left.set(1);
    let cut = scene.check_out(&place, &first, Mode::Clean).await.unwrap_err();
    assert!(matches!(cut, CheckoutError::Lost(_)), "{cut}");
    scene.reads_left.set(u32::MAX);
    let store = scene.store();
    write(&store.join("packed-refs.lock"), "");
    write(&store.join(format!("refs/guild/{first}.lock")), "");
    write(&store.join("objects/pack/tmp_pack_x"), "");
    scene.check_out(&place, &first, Mode::Clean).await.unwrap();
    write(&place.tree().join("kept"), "x");
    assert!(!store.join("objects/pack/tmp_pack_x").exists());
    for entry in std::fs::read_dir(store.join("objects/pack")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let again = scene.check_out(&place, &first, Mode::Kept).await.unwrap();
    assert!(again.fetched > 0);
    assert!(place.tree().join("kept").exists());
    std::fs::write(place.dir().join("guild.git/index"), "garbage").unwrap();
    std::fs::write(place.dir().join("guild.git/index.lock"), "").unwrap();
    scene.check_out(&place, &first, Mode::Clean).await.unwrap();
    assert_eq!(git(&place.tree(), &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn submodules_stay_empty_and_pointers_stay_pointers() {
    let scene = Scene::new(&[]);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let id = scene.commit("big.bin", pointer).await;
    write(&scene.origin().join(".gitattributes"), "*.bin filter=lfs\n");
    write(&scene.origin().join(".gitmodules"), "[submodule \"s\"]\n\tpath = s\n\turl = ../s\n");
    scene.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{id},s")]);
    scene.git(&["add", ".gitattributes", ".gitmodules"]);
    scene.git(&["commit", "-q", "-m", "modules"]);
    scene.mirror.fetch().await.unwrap();
    let tip = scene.git(&["rev-parse", "HEAD"]);
    let place = scene.open(Mode::Fresh);
    scene.check_out(&place, &tip, Mode::Fresh).await.unwrap();
    assert_eq!(read(&place.tree().join("big.bin")), pointer);
    assert_eq!(std::fs::read_dir(place.tree().join("s")).unwrap().count(), 0);
    assert_eq!(git(&place.tree(), &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn tags_detach_refusals_are_told_and_sha256_serves() {
    let scene = Scene::new(&["--object-format=sha256"]);
    let tip = scene.commit("a", "1").await;
    scene.git(&["tag", "-a", "v1", "-m", "one"]);
    scene.mirror.fetch().await.unwrap();
    let place = scene.open(Mode::Fresh);
    scene.check_out_ref(&place, "refs/tags/v1", &tip, Mode::Fresh).await.unwrap();
    assert_eq!(git(&place.tree(), &["status", "--porcelain", "--branch"]), "## HEAD (no branch)");
    assert_eq!(git(&place.tree(), &["describe"]), "v1");
    let unknown = scene.check_out(&place, &"1".repeat(64), Mode::Clean).await.unwrap_err();
    assert!(unknown.to_string().contains("no such commit"), "{unknown}");
    let hostile = scene.check_out(&place, "--upload-pack=x", Mode::Clean).await.unwrap_err();
    assert!(matches!(hostile, CheckoutError::Invalid(_)), "{hostile}");
}

#[tokio::test]
async fn a_tree_that_git_writes_nowhere_is_the_fault_of_its_commit() {
    let scene = Scene::new(&[]);
    scene.commit("a", "1").await;
    let blob = scene.git(&["hash-object", "-w", "a"]);
    for name in [".git", "..", "GIT~1"] {
        let inner = tree_of(&scene, &format!("100644 blob {blob}\tconfig\n"));
        let tree = tree_of(&scene, &format!("040000 tree {inner}\t{name}\n"));
        let revision = scene.git(&["commit-tree", "-m", "hostile", &tree]);
        scene.git(&["update-ref", "refs/heads/hostile", &revision]);
        scene.mirror.fetch().await.unwrap();
        let place = scene.open(Mode::Clean);
        let refused = scene.check_out(&place, &revision, Mode::Clean).await.unwrap_err();
        let expected = format!("no worker can check this commit out: invalid path '{name}/config'");
        assert_eq!(refused.to_string(), expected);
        assert!(matches!(refused, CheckoutError::Unusable(_)));
    }
}

/// Makes a tree with these entries, which git would not make from files.
fn tree_of(scene: &Scene, entries: &str) -> String {
    use std::io::Write as _;
    let mut command = Command::new("git");
    command.arg("-C").arg(scene.origin()).arg("mktree").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(entries.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn many_small_packs_are_joined() {
    let scene = Scene::new(&[]);
    let place = scene.open(Mode::Clean);
    for number in 0..45 {
        let tip = scene.commit("a", &number.to_string()).await;
        scene.check_out(&place, &tip, Mode::Clean).await.unwrap();
    }
    let store = scene.store();
    let packs = std::fs::read_dir(store.join("objects/pack")).unwrap().flatten();
    let packs = packs.filter(|entry| entry.path().extension().is_some_and(|end| end == "pack")).count();
    assert!(packs < 20, "{packs}");
    git(&place.tree(), &["fsck", "--full"]);
    assert_eq!(git(&place.tree(), &["rev-list", "--count", "HEAD"]), "45");
}
