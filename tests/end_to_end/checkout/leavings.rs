//! A step that removed permissions from files and directories: the next build of the lane still gets the right tree, and nothing is
//! fetched again.

use super::*;
use support::ordinary::{as_ordinary_user, close};

/// Runs an asynchronous test on a thread for which permissions hold.
fn ordinary(test: impl AsyncFnOnce(Scene) + Send) {
    as_ordinary_user(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { test(Scene::new(&[])).await });
    });
}

const MODES: [Mode; 3] = [Mode::Fresh, Mode::Clean, Mode::Kept];

/// Sets the mode of everything below a directory, and then of the directory, so that it can be read until the end.
fn close_all(dir: &Path, mode: u32) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            close_all(&entry.path(), mode);
        } else if !entry.file_type().unwrap().is_symlink() {
            std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    close(dir, mode);
}

#[test]
fn the_next_build_of_a_lane_whose_step_closed_its_directory() {
    ordinary(async |scene| {
        type Closing = (&'static str, fn(&Path));
        let closings: [Closing; 8] = [
            ("chmod -R a-w .", |tree| close_all(tree, 0o555)),
            ("chmod -R 000 .", |tree| close_all(tree, 0)),
            ("chmod 000 .", |tree| close(tree, 0)),
            ("chmod -R a-w src", |tree| close_all(&tree.join("src"), 0o555)),
            ("chmod 000 src", |tree| close(&tree.join("src"), 0)),
            ("chmod 000 .git", |tree| close(&tree.join(".git"), 0)),
            ("chmod a-w ..", |tree| close(tree.parent().unwrap(), 0o555)),
            ("chmod 000 .. and its parent", |tree| {
                close(tree.parent().unwrap(), 0);
                close(tree.parent().unwrap().parent().unwrap(), 0o555);
            }),
        ];
        let mut revision = scene.commit("src/f", "0").await;
        scene.commit("src/gone", "x").await;
        let mut number = 0;
        for mode in MODES {
            for (name, closing) in closings {
                let place = scene.open(mode);
                scene.check_out(&place, &revision, mode).await.unwrap();
                let tree = place.tree();
                // in a kept tree this file may still have no permissions
                let _ = std::fs::remove_file(tree.join("src/left"));
                write(&tree.join("src/left"), "x");
                drop(place);
                closing(&tree);
                number += 1;
                revision = scene.commit("src/f", &number.to_string()).await;
                let place = scene.open(mode);
                assert_eq!(place.tree(), tree, "{mode:?}: {name}");
                let done = scene.check_out(&place, &revision, mode).await;
                let done = done.unwrap_or_else(|error| panic!("{mode:?}: {name}: {error}"));
                assert!(done.fetched < 1_000, "{mode:?}: {name}: {} bytes came", done.fetched);
                let found = std::fs::read_to_string(tree.join("src/f"));
                assert_eq!(found.ok(), Some(number.to_string()), "{mode:?}: {name}");
                assert_eq!(tree.join("src/left").exists(), mode == Mode::Kept, "{mode:?}: {name}");
                assert_eq!(git(&tree, &["status", "--porcelain", "-uno"]), "", "{mode:?}: {name}");
            }
        }
    });
}

#[test]
fn a_closed_tree_is_not_taken_for_a_damaged_store() {
    ordinary(async |scene| {
        let noise: String = (0..60_000u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        scene.commit("large", &noise).await;
        let mut revision = scene.commit("src/f", "0").await;
        scene.check_out(&scene.open(Mode::Clean), &revision, Mode::Clean).await.unwrap();
        for mode in MODES {
            let place = scene.open(mode);
            scene.check_out(&place, &revision, mode).await.unwrap();
            close_all(&place.tree().join("src"), 0o555);
            drop(place);
            revision = scene.commit("src/f", &format!("{mode:?}")).await;
            let place = scene.open(mode);
            let done = scene.check_out(&place, &revision, mode).await.unwrap();
            assert!(done.fetched < 1_000, "{mode:?}: {} bytes came", done.fetched);
            assert_eq!(read(&place.tree().join("src/f")), format!("{mode:?}"));
        }
    });
}

#[test]
fn a_closed_workspace_expires_like_any_other() {
    ordinary(async |scene| {
        let root = scene.dir.path().join("work");
        let place = scene.open(Mode::Clean);
        let dir = place.dir().to_path_buf();
        write(&place.tree().join("src/f"), "x");
        drop(place);
        close_all(&dir.join("tree"), 0);
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(1_000);
        std::fs::File::options().write(true).open(dir.join("lock")).unwrap().set_modified(long_ago).unwrap();
        close(&dir, 0);
        // as in `Scene::open`, a child process of another test may hold the lock for a moment
        let expire = || workspace::expire(&root, std::time::Duration::from_secs(500)).unwrap();
        assert_eq!((0..1_000).map(|_| expire()).find(|count| *count > 0), Some(1));
        assert!(!dir.exists());
    });
}

/// Git attributes tell how files are written. If they change, a kept tree gets the same files as a fresh one, and keeps ignored
/// files.
#[tokio::test]
async fn every_mode_follows_changed_attributes() {
    let scene = Scene::new(&[]);
    scene.commit(".gitignore", "kept\n").await;
    scene.commit("below/a.txt", "one\ntwo\n").await;
    let plain = scene.commit("gone.txt", "x\n").await;
    std::fs::remove_file(scene.origin().join("gone.txt")).unwrap();
    let top = scene.commit(".gitattributes", "*.txt text eol=crlf\n").await;
    let below = scene.commit("below/.gitattributes", "a.txt eol=lf\n").await;
    std::fs::remove_file(scene.origin().join("below/.gitattributes")).unwrap();
    let without = scene.commit("b", "b\n").await;
    for mode in [Mode::Clean, Mode::Kept, Mode::Fresh] {
        let at = scene.open(mode);
        let file = at.tree().join("below/a.txt");
        for (revision, text) in [
            (&plain, "one\ntwo\n"),
            (&top, "one\r\ntwo\r\n"),
            (&below, "one\ntwo\n"),
            (&without, "one\r\ntwo\r\n"),
            (&plain, "one\ntwo\n"),
        ] {
            scene.check_out(&at, revision, mode).await.unwrap();
            assert_eq!(read(&file), text, "{mode:?} at {revision}");
            assert_eq!(git(&at.tree(), &["status", "--porcelain"]), "", "{mode:?} at {revision}");
            assert_eq!(at.tree().join("gone.txt").exists(), *revision == plain);
            let kept = at.tree().join("kept");
            assert!(mode == Mode::Fresh || *revision == plain || kept.exists(), "{mode:?}");
            write(&kept, "");
        }
    }
}
