//! F10 and F18: whatever happens to a mirror's files, it is made anew, at once and after a restart.

use super::super::tests::Scene;
use crate::keep::mirror::{GitError, Mirror};
use std::fs;
use std::path::{Path, PathBuf};

type Harm = fn(&Path);

/// Packs of a mirror.
fn packs(mirror: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(mirror.join("objects/pack")).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "pack"))
        .collect()
}

fn cut_packs(mirror: &Path) {
    let packs = packs(mirror);
    assert!(!packs.is_empty());
    for pack in packs {
        let bytes = fs::read(&pack).unwrap();
        fs::remove_file(&pack).unwrap();
        fs::write(&pack, &bytes[..40]).unwrap();
    }
}

/// The ways in which mirrors were seen damaged, and relatives of them.
const HARMS: [(&str, Harm); 8] = [
    ("a pack is cut", cut_packs),
    ("a ref is garbage", |mirror| fs::write(mirror.join("refs/heads/main"), "garbage\n").unwrap()),
    ("HEAD is gone", |mirror| fs::remove_file(mirror.join("HEAD")).unwrap()),
    ("the directory is gone", |mirror| fs::remove_dir_all(mirror).unwrap()),
    ("the directory is empty", |mirror| {
        fs::remove_dir_all(mirror).unwrap();
        fs::create_dir(mirror).unwrap();
    }),
    ("a lock is left", |mirror| {
        fs::create_dir_all(mirror.join("refs/heads")).unwrap();
        fs::write(mirror.join("refs/heads/main.lock"), "").unwrap();
    }),
    ("all objects are gone", |mirror| fs::remove_dir_all(mirror.join("objects")).unwrap()),
    ("HEAD is garbage", |mirror| fs::write(mirror.join("HEAD"), "\0\0\0\0").unwrap()),
];

async fn read(mirror: &Mirror, revision: &str, path: &str) -> Result<Option<Vec<u8>>, GitError> {
    mirror.mended(|| Box::pin(mirror.read(revision, path, 1_000))).await
}

/// A mirror whose objects lie in a pack.
async fn packed() -> Scene {
    let scene = Scene::new();
    // more than git unpacks
    for number in 0..120 {
        fs::write(scene.dir.path().join(format!("origin/{number}")), number.to_string()).unwrap();
    }
    scene.commit("guild.toml", "version = 1");
    scene.mirror.fetch().await.unwrap();
    scene
}

async fn assert_whole(mirror: &Mirror, revision: &str, what: &str) {
    let fetched = mirror.mended(|| Box::pin(mirror.fetch())).await;
    let refs = fetched.unwrap_or_else(|error| panic!("{what}: {error}")).refs;
    assert_eq!(refs.get("refs/heads/main").map(String::as_str), Some(revision), "{what}");
    // as builds see it
    let file = read(mirror, revision, "guild.toml").await;
    assert_eq!(file.unwrap_or_else(|error| panic!("{what}: {error}")).as_deref(), Some(&b"version = 2"[..]), "{what}");
    assert!(mirror.mended(|| Box::pin(mirror.commit(revision))).await.unwrap().is_some(), "{what}");
}

#[tokio::test]
async fn a_damaged_mirror_is_made_anew_while_the_master_runs() {
    for (what, harm) in HARMS {
        let scene = packed().await;
        harm(scene.mirror.dir());
        let revision = scene.commit("guild.toml", "version = 2");
        assert_whole(&scene.mirror, &revision, what).await;
    }
}

#[tokio::test]
async fn a_damaged_mirror_is_made_anew_after_a_restart() {
    for (what, harm) in HARMS {
        let scene = packed().await;
        let revision = scene.commit("guild.toml", "version = 2");
        scene.mirror.fetch().await.unwrap();
        harm(scene.mirror.dir());
        assert_whole(&Scene::open(scene.dir.path()), &revision, what).await;
    }
}

/// A relative: a file that no build has is still none, and a remote that is gone is no damage of ours.
#[tokio::test]
async fn what_is_not_damaged_is_left_alone() {
    let scene = packed().await;
    let revision = scene.git(&["rev-parse", "HEAD"]);
    let before = packs(scene.mirror.dir());
    assert_eq!(read(&scene.mirror, &revision, "none.toml").await.unwrap(), None);
    assert_eq!(read(&scene.mirror, &"a".repeat(40), "guild.toml").await.unwrap(), None);
    fs::rename(scene.dir.path().join("origin"), scene.dir.path().join("elsewhere")).unwrap();
    assert!(scene.mirror.mended(|| Box::pin(scene.mirror.fetch())).await.is_err());
    assert_eq!(packs(scene.mirror.dir()), before);
    assert!(read(&scene.mirror, &revision, "guild.toml").await.unwrap().is_some());
}
