//! Marks of the refs of local repositories, which the real git makes and changes.

use super::super::tests::Scene;
use super::*;

fn address(scene: &Scene) -> String {
    scene.dir.path().join("origin").to_str().unwrap().to_owned()
}

/// Makes a file so old that the mark trusts its time.
fn age(scene: &Scene, file: &str) {
    let file = fs::File::options().write(true).open(scene.dir.path().join("origin").join(file)).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.set_modified(written - SETTLED_AFTER * 2).unwrap();
}

fn mark(scene: &Scene) -> Option<RefsMark> {
    RefsMark::of(&address(scene))
}

#[test]
fn whatever_moves_a_ref_moves_the_mark() {
    let scene = Scene::new();
    let first = scene.commit("a", "1");
    let mut marks = vec![mark(&scene)];
    assert_eq!(marks[0], mark(&scene), "nothing changed");
    assert_eq!(marks[0], RefsMark::of(&format!("file://{}", address(&scene))), "the same by another word");
    let mut step = |what: &str, args: &[&str]| {
        scene.git(args);
        let now = mark(&scene);
        assert!(now.is_some() && !marks.contains(&now), "{what}");
        marks.push(now);
    };
    step("a commit", &["commit", "-q", "--allow-empty", "-m", "second"]);
    step("a branch", &["branch", "side"]);
    step("a branch in a folder", &["branch", "team/side", &first]);
    step("a tag", &["tag", "-a", "v1", "-m", "one"]);
    step("HEAD", &["checkout", "-q", "side"]);
    step("a forced push", &["update-ref", "refs/heads/main", &first]);
    step("a hidden ref", &["config", "transfer.hideRefs", "refs/heads/side"]);
    step("a deleted branch", &["branch", "-D", "team/side"]);
    scene.git(&["update-ref", "refs/notes/x", &first]);
    assert_eq!(mark(&scene), marks[marks.len() - 1], "no branch and no tag");
}

#[test]
fn packed_refs_are_believed_once_they_are_settled() {
    let scene = Scene::new();
    scene.commit("a", "1");
    let loose = mark(&scene);
    scene.git(&["pack-refs", "--all"]);
    assert_eq!(mark(&scene), None, "written a moment ago: it may be written again");
    age(&scene, ".git/packed-refs");
    let packed = mark(&scene);
    assert!(packed.is_some() && packed != loose);
    scene.git(&["tag", "v1"]);
    scene.git(&["pack-refs", "--all"]);
    age(&scene, ".git/packed-refs");
    let again = mark(&scene);
    assert!(again.is_some() && again != packed);
}

#[test]
fn what_only_git_can_tell_has_no_mark() {
    let scene = Scene::new();
    scene.commit("a", "1");
    let place = scene.dir.path();
    let at = |name: &str| RefsMark::of(place.join(name).to_str().unwrap());
    scene.git(&["worktree", "add", "-q", "../tree"]);
    assert_eq!(at("tree"), None, "a linked worktree");
    scene.git(&["init", "-q", "--bare", "../bare"]);
    assert!(at("bare").is_some());
    fs::write(place.join("bare/config"), "[extensions]\n\trefStorage = reftable\n").unwrap();
    assert_eq!(at("bare"), None, "refs in another form");
    scene.git(&["init", "-q", "--bare", "../linked"]);
    fs::rename(place.join("linked/refs/heads"), place.join("heads")).unwrap();
    std::os::unix::fs::symlink(place.join("heads"), place.join("linked/refs/heads")).unwrap();
    assert_eq!(at("linked"), None, "refs that lie elsewhere");
    assert_eq!(at("none"), None);
    assert_eq!(RefsMark::of("https://forge.example/x"), None);
    fs::remove_dir_all(place.join("origin/.git/objects")).unwrap();
    assert_eq!(at("origin"), None, "no repository any more");
}

#[test]
fn a_reftable_has_no_mark() {
    // a git that does not know reftables fails here, and then there is nothing to test
    let dir = tempfile::tempdir().unwrap();
    let mut made = std::process::Command::new("git");
    made.current_dir(dir.path()).args(["init", "-q", "--ref-format=reftable", "r"]);
    if made.output().unwrap().status.success() {
        assert_eq!(RefsMark::of(dir.path().join("r").to_str().unwrap()), None);
    }
}

#[tokio::test]
async fn a_poll_of_an_unchanged_repository_starts_no_git() {
    let scene = Scene::new();
    let first = scene.commit("a", "1");
    scene.mirror.fetch().await.unwrap();
    let runs = scene.mirror.git.passage.runs_so_far();
    for _ in 0..20 {
        assert_eq!(scene.mirror.fetch().await.unwrap().refs["refs/heads/main"], first);
    }
    assert_eq!(scene.mirror.git.passage.runs_so_far(), runs);
    let second = scene.commit("a", "2");
    assert_eq!(scene.mirror.fetch().await.unwrap().refs["refs/heads/main"], second);
    assert!(scene.mirror.git.passage.runs_so_far() > runs);
}

#[tokio::test]
async fn what_git_alone_can_tell_is_still_noticed() {
    let scene = Scene::new();
    scene.commit("a", "1");
    scene.git(&["worktree", "add", "-q", "-b", "side", "../tree"]);
    let (place, gate) = (scene.dir.path(), super::super::GitGate::default());
    let remote = super::super::Remote::new(place.join("tree").to_str().unwrap());
    let mirror = super::super::Mirror::open(&place.join("mirror-of-tree"), remote, &gate).unwrap();
    mirror.fetch().await.unwrap();
    let second = scene.commit("a", "2");
    assert_eq!(mirror.fetch().await.unwrap().refs["refs/heads/main"], second);
}
