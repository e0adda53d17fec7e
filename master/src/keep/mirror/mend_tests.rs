//! A mirror whose files are damaged is made anew, while the master runs and after a restart (F10 and F18 in `tests/cases.tsv`).

use super::super::tests::Scene;
use crate::keep::mirror::{GitError, Mirror};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::time::{Duration, timeout};

type Harm = fn(&Path);

/// Returns the pack files of a mirror.
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

/// Damages each file in the packs by changing its checksum.
fn change_files(mirror: &Path) {
    for pack in packs(mirror) {
        let listed = Command::new("git").args(["verify-pack", "-v"]).arg(&pack).output().unwrap();
        let mut bytes = fs::read(&pack).unwrap();
        for line in String::from_utf8(listed.stdout).unwrap().lines() {
            if let [_, "blob", _, size, offset, ..] = line.split_whitespace().collect::<Vec<_>>()[..] {
                bytes[offset.parse::<usize>().unwrap() + size.parse::<usize>().unwrap() - 2] ^= 1;
            }
        }
        fs::remove_file(&pack).unwrap();
        fs::write(&pack, bytes).unwrap();
    }
}

/// The kinds of damage that mirrors have had, and similar ones.
const HARMS: [(&str, Harm); 9] = [
    ("the files of the packs are changed", change_files),
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

/// Makes a mirror whose objects are in a pack.
async fn packed() -> Scene {
    let scene = Scene::new();
    // more objects than git would store as single files
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
    // builds read files in this way
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

/// A file that does not exist in a commit, and a remote that is gone, are not taken for damage of the mirror.
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

/// If one byte of an object has changed, git may report it as missing although the object exists. That is found, and mended.
#[tokio::test]
async fn a_byte_of_a_file_that_changed_is_found_and_the_file_is_right_again() {
    let scene = packed().await;
    let revision = scene.git(&["rev-parse", "HEAD"]);
    change_files(scene.mirror.dir());
    let after_start = Scene::open(scene.dir.path());
    assert_eq!(read(&after_start, &revision, "7").await.unwrap().as_deref(), Some(&b"7"[..]));
}

/// If the remote is gone, a mirror cannot be made anew. The old mirror stays, and can still be read, also after a restart.
#[tokio::test]
async fn a_mirror_that_cannot_be_fetched_anew_stays_as_it_is() {
    let scene = packed().await;
    let revision = scene.git(&["rev-parse", "HEAD"]);
    let before = packs(scene.mirror.dir());
    fs::rename(scene.dir.path().join("origin"), scene.dir.path().join("elsewhere")).unwrap();
    assert!(scene.mirror.make_anew().await.is_err());
    assert_eq!(packs(scene.mirror.dir()), before);
    assert!(read(&scene.mirror, &revision, "guild.toml").await.unwrap().is_some());
    assert!(read(&Scene::open(scene.dir.path()), &revision, "guild.toml").await.unwrap().is_some());
}

/// If the remote was away when damage was found, the mirror is mended as soon as the remote is back.
#[tokio::test]
async fn damage_that_was_found_is_mended_once_the_remote_is_back() {
    let scene = packed().await;
    let revision = scene.git(&["rev-parse", "HEAD"]);
    change_files(scene.mirror.dir());
    let [origin, elsewhere] = ["origin", "elsewhere"].map(|name| scene.dir.path().join(name));
    fs::rename(&origin, &elsewhere).unwrap();
    assert!(read(&scene.mirror, &revision, "7").await.is_err());
    fs::rename(&elsewhere, &origin).unwrap();
    assert_eq!(read(&scene.mirror, &revision, "7").await.unwrap().as_deref(), Some(&b"7"[..]));
}

/// If making a mirror anew is dropped at any moment, the mirror is the old one or the new one, and works.
#[tokio::test]
async fn a_making_that_is_dropped_leaves_a_whole_mirror() {
    let scene = packed().await;
    let revision = scene.git(&["rev-parse", "HEAD"]);
    for milliseconds in [0, 1, 3, 9, 27, 81, 10_000] {
        let made = timeout(Duration::from_millis(milliseconds), scene.mirror.make_anew()).await;
        assert!(made.is_ok() || milliseconds < 10_000);
        drop(scene.mirror.fetching.lock().await);
        let after_start = Scene::open(scene.dir.path());
        assert!(read(&after_start, &revision, "guild.toml").await.unwrap().is_some(), "{milliseconds}");
    }
}

/// If the master ends before or between the renames that swap two mirrors, its next start finishes the swap.
#[tokio::test]
async fn a_swap_that_was_cut_off_is_finished_at_the_next_start() {
    for ends in ["before the swap", "between the renames", "before the old one was removed"] {
        let scene = packed().await;
        let revision = scene.git(&["rev-parse", "HEAD"]);
        let dir = scene.mirror.dir().to_owned();
        let [fresh, old] = ["mirror~new", "mirror~old"].map(|name| scene.dir.path().join(name));
        let copied = Command::new("cp").arg("-a").arg(&dir).arg(&fresh).status().unwrap();
        assert!(copied.success());
        match ends {
            "before the swap" => {}
            "between the renames" => fs::rename(&dir, &old).unwrap(),
            _ => {
                fs::rename(&dir, &old).unwrap();
                fs::rename(&fresh, &dir).unwrap();
            }
        }
        fs::rename(scene.dir.path().join("origin"), scene.dir.path().join("elsewhere")).unwrap();
        let after_start = Scene::open(scene.dir.path());
        assert!(read(&after_start, &revision, "guild.toml").await.unwrap().is_some(), "{ends}");
        assert!(!fresh.exists() && !old.exists(), "{ends}");
    }
}
