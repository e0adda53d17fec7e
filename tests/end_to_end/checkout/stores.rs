//! Tests of a worker's store of commits: it fetches no commit twice, and a damaged store is repaired or made anew.

use super::*;

/// Returns a text that hardly compresses.
fn noise(seed: u64) -> String {
    (0..20_000u64).map(|n| format!("{:x}", (n + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect()
}

impl Scene {
    /// Checks a commit out in the lane's workspace. Returns the number of fetched bytes.
    async fn fetched(&self, revision: &str) -> u64 {
        self.fetched_in(revision, Mode::Clean).await
    }

    async fn fetched_in(&self, revision: &str, mode: Mode) -> u64 {
        let place = self.open(mode);
        let fetched = self.check_out(&place, revision, mode).await.unwrap().fetched;
        assert_eq!(git(&place.tree(), &["rev-parse", "HEAD"]), revision);
        assert_eq!(git(&place.tree(), &["status", "--porcelain"]), "");
        assert_eq!(git(&place.tree(), &["log", "--format=%H"]), self.git(&["log", "--format=%H", revision]));
        fetched
    }
}

#[tokio::test]
async fn a_commit_older_than_what_was_built_is_built_and_nothing_is_fetched_again() {
    let scene = Scene::new(&[]);
    let first = scene.commit("a", "1").await;
    let second = scene.commit("a", "2").await;
    let third = scene.commit("a", "3").await;
    assert!(scene.fetched(&third).await > 0);
    // older commits are built by runs of a revision, bisections, or retries on a worker that has built only later ones
    for (revision, text) in [(&first, "1"), (&second, "2"), (&third, "3"), (&first, "1")] {
        assert_eq!(scene.fetched(revision).await, 0);
        assert_eq!(read(&scene.open(Mode::Clean).tree().join("a")), text);
    }
    // a new branch at an old commit, and a lightweight tag at another
    scene.git(&["branch", "old", &first]);
    scene.git(&["tag", "light", &second]);
    scene.mirror.fetch().await.unwrap();
    let place = scene.open(Mode::Fresh);
    for (ref_name, revision, shown) in
        [("refs/heads/old", &first, "## old"), ("refs/tags/light", &second, "## HEAD (no branch)")]
    {
        assert_eq!(scene.check_out_ref(&place, ref_name, revision, Mode::Fresh).await.unwrap().fetched, 0);
        assert_eq!(git(&place.tree(), &["status", "--porcelain", "--branch"]), shown);
    }
    assert_eq!(git(&place.tree(), &["tag"]), "light");
    drop(place);
    // a forced push to an old commit, and then a new commit on top of it
    scene.git(&["reset", "-q", "--hard", &first]);
    let other = scene.commit("b", "4").await;
    assert_eq!(scene.fetched(&first).await, 0);
    assert!(scene.fetched(&other).await > 0);
    assert_eq!(scene.fetched(&second).await, 0);
}

#[tokio::test]
async fn branches_behind_another_need_nothing_more_at_the_first_sight() {
    let scene = Scene::new(&[]);
    let mut behind = Vec::new();
    for number in 0..5 {
        behind.push(scene.commit("a", &number.to_string()).await);
    }
    let tip = scene.commit("a", "tip").await;
    assert!(scene.fetched(&tip).await > 0);
    for revision in &behind {
        assert_eq!(scene.fetched(revision).await, 0);
    }
}

#[tokio::test]
async fn what_came_in_a_transfer_that_nobody_noted_is_not_fetched_again() {
    let scene = Scene::new(&[]);
    let first = scene.commit("large", &noise(0)).await;
    let second = scene.commit("large", &noise(7)).await;
    scene.fetched(&first).await;
    let before = std::fs::read(scene.store().join("guild.held")).unwrap();
    // this comes as a thin pack, which is useless without its base
    assert!(scene.fetched(&second).await > 0);
    // the worker may end after it has stored the pack and before it has noted that
    std::fs::write(scene.store().join("guild.held"), before).unwrap();
    std::fs::remove_file(scene.store().join(format!("refs/guild/{second}"))).unwrap();
    assert_eq!(scene.fetched(&second).await, 0);
    // and all its notes may be lost
    std::fs::remove_file(scene.store().join("guild.held")).unwrap();
    std::fs::remove_dir_all(scene.store().join("refs")).unwrap();
    assert_eq!(scene.fetched(&first).await, 0);
    assert_eq!(scene.fetched(&second).await, 0);
}

#[tokio::test]
async fn a_commit_whose_history_has_a_hole_is_not_taken_for_whole() {
    let scene = Scene::new(&[]);
    let first = scene.commit("only here", "1").await;
    scene.git(&["rm", "-q", "only here"]);
    let second = scene.commit("a", "2").await;
    scene.fetched(&second).await;
    let store = scene.store();
    // the store has the commits, but a file of the first one was removed
    let blob = git(&store, &["rev-parse", &format!("{first}:only here")]);
    let packs = store.join("objects/pack");
    let aside = store.join("aside");
    std::fs::rename(&packs, &aside).unwrap();
    std::fs::create_dir(&packs).unwrap();
    for entry in std::fs::read_dir(&aside).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "pack") {
            let mut unpack = Command::new("git");
            unpack.current_dir(&store).args(["unpack-objects", "-q"]);
            assert!(unpack.stdin(std::fs::File::open(&path).unwrap()).status().unwrap().success());
        }
    }
    std::fs::remove_file(store.join(format!("objects/{}/{}", &blob[..2], &blob[2..]))).unwrap();
    std::fs::remove_file(store.join("guild.held")).unwrap();
    std::fs::remove_dir_all(store.join("refs")).unwrap();
    assert!(scene.fetched(&first).await > 0);
    assert_eq!(read(&scene.open(Mode::Clean).tree().join("only here")), "1");
    git(&scene.store(), &["fsck", "--full"]);
}

#[tokio::test]
async fn an_older_and_a_newer_commit_at_once_need_one_transfer_at_most_each() {
    let scene = Scene::new(&[]);
    let first = scene.commit("a", "1").await;
    let second = scene.commit("a", "2").await;
    for _ in 0..5 {
        let places: Vec<_> = (0..4).map(|_| scene.open_any(Mode::Clean)).collect();
        let all = places.iter().zip([&second, &first].into_iter().cycle());
        let all = all.map(|(place, revision)| scene.check_out(place, revision, Mode::Clean));
        futures::future::join_all(all).await.into_iter().for_each(|done| assert!(done.is_ok(), "{done:?}"));
        for (place, text) in places.iter().zip(["2", "1"].into_iter().cycle()) {
            assert_eq!(read(&place.tree().join("a")), text);
        }
    }
    // either of them may be fetched first; if it is the older one, the newer one is fetched on top of it
    let asked = scene.asked.borrow();
    let lacked = asked.iter().take_while(|have| !have.contains(&second)).count();
    assert!(lacked <= 2, "each is fetched once: {asked:?}");
    assert!(
        asked[lacked..].iter().all(|have| have.contains(&second)),
        "after the newest nothing was lacking: {asked:?}"
    );
}

#[tokio::test]
async fn the_small_files_of_a_store_are_mended_in_place() {
    let scene = Scene::new(&[]);
    let first = scene.commit("large", &noise(0)).await;
    let second = scene.commit("a", "2").await;
    scene.fetched(&second).await;
    type Damage = (&'static str, fn(&Path));
    let damages: [Damage; 8] = [
        ("HEAD of garbage", |store| std::fs::write(store.join("HEAD"), "\0\0\0").unwrap()),
        ("HEAD of nothing", |store| std::fs::write(store.join("HEAD"), "").unwrap()),
        ("no HEAD", |store| std::fs::remove_file(store.join("HEAD")).unwrap()),
        ("config", |store| std::fs::write(store.join("config"), "[core\n").unwrap()),
        ("packed-refs", |store| std::fs::write(store.join("packed-refs"), "garbage\n").unwrap()),
        ("the list", |store| std::fs::write(store.join("guild.held"), "\0garbage\nc x\n").unwrap()),
        ("no refs", |store| std::fs::remove_dir_all(store.join("refs")).unwrap()),
        ("a ref of garbage", |store| {
            let refs = store.join("refs/guild");
            std::fs::create_dir_all(&refs).unwrap();
            std::fs::write(refs.join("0".repeat(40)), "garbage\n").unwrap();
        }),
    ];
    for (name, damage) in damages {
        damage(&scene.store());
        let fetched = scene.fetched(&first).await + scene.fetched(&second).await;
        // if git cannot tell what the store has, everything is fetched once more
        assert!(fetched == 0 || name == "packed-refs", "{name}: {fetched}");
        let next = scene.commit("a", name).await;
        assert!(scene.fetched(&next).await < 4_000, "{name}");
    }
}

#[tokio::test]
async fn a_damaged_store_is_made_anew_once() {
    let scene = Scene::new(&[]);
    let first = scene.commit("large", &noise(0)).await;
    let second = scene.commit("other", &noise(7)).await;
    let whole = scene.fetched(&second).await;
    type Damage = (&'static str, fn(&Path));
    let damages: [Damage; 5] = [
        ("a pack cut short", |store| {
            let pack = pack_of(store);
            let bytes = std::fs::read(&pack).unwrap();
            std::fs::remove_file(&pack).unwrap();
            std::fs::write(&pack, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("a byte of a pack", |store| {
            let pack = pack_of(store);
            let mut bytes = std::fs::read(&pack).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x40;
            std::fs::remove_file(&pack).unwrap();
            std::fs::write(&pack, &bytes).unwrap();
        }),
        ("no objects", |store| std::fs::remove_dir_all(store.join("objects")).unwrap()),
        ("a file in the place of objects", |store| {
            std::fs::remove_dir_all(store.join("objects")).unwrap();
            std::fs::write(store.join("objects"), "").unwrap();
        }),
        ("no packs, and a list that says otherwise", |store| {
            std::fs::remove_dir_all(store.join("objects/pack")).unwrap();
        }),
    ];
    for (name, damage) in damages {
        damage(&scene.store());
        let fetched = scene.fetched_in(&second, Mode::Fresh).await;
        assert!(fetched > 0 && fetched < whole * 3 / 2, "{name}: {fetched} of {whole}");
        assert_eq!(scene.fetched_in(&second, Mode::Fresh).await, 0, "{name}: once");
        assert_eq!(scene.fetched_in(&first, Mode::Fresh).await, 0, "{name}: with its history");
        settle(&scene).await;
        git(&scene.store(), &["fsck", "--full"]);
    }
}

#[tokio::test]
async fn a_store_that_lacks_what_it_lists_is_made_anew_for_a_newer_commit_too() {
    let scene = Scene::new(&[]);
    let first = scene.commit("large", &noise(0)).await;
    let whole = scene.fetched(&first).await;
    for entry in std::fs::read_dir(scene.store().join("objects/pack")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    // this comes as a thin pack, whose base is lost
    let second = scene.commit("large", &format!("{}more", noise(0))).await;
    let fetched = scene.fetched(&second).await;
    assert!(fetched >= whole && fetched < whole * 3 / 2, "{fetched} of {whole}");
    assert_eq!(scene.fetched(&first).await, 0);
}

#[tokio::test]
async fn attempts_side_by_side_make_a_damaged_store_anew_once() {
    let scene = Scene::new(&[]);
    let first = scene.commit("large", &noise(0)).await;
    // it shares nothing with the first, so the same bytes are fetched whichever attempt makes the store anew
    let second = scene.commit("other", &noise(1 << 40)).await;
    let whole = scene.fetched(&second).await;
    for entry in std::fs::read_dir(scene.store().join("objects/pack")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    scene.asked.borrow_mut().clear();
    let places: Vec<_> = (0..4).map(|_| scene.open_any(Mode::Fresh)).collect();
    let all = places.iter().zip([&second, &first].into_iter().cycle());
    let all = all.map(|(place, revision)| scene.check_out(place, revision, Mode::Fresh));
    let done = futures::future::join_all(all).await;
    let fetched: u64 = done.into_iter().map(|done| done.unwrap().fetched).sum();
    assert!(fetched > 0 && fetched < whole * 3 / 2, "{fetched} of {whole}");
    let anew = scene.asked.borrow().iter().filter(|have| have.is_empty()).count();
    assert_eq!(anew, 1, "only one asked for all of it");
    places.iter().for_each(|place| assert_eq!(read(&place.tree().join("large")), noise(0)));
}

/// Makes two histories that share nothing, and fetches each into a pack of its own. Returns their commits and the pack of the first.
async fn apart(scene: &Scene) -> (String, String, PathBuf) {
    let first = scene.commit("large", &noise(0)).await;
    scene.fetched(&first).await;
    let pack = pack_of(&scene.store());
    scene.git(&["checkout", "-q", "--orphan", "other"]);
    scene.git(&["rm", "-q", "-r", "-f", "."]);
    let second = scene.commit("alone", &noise(9)).await;
    scene.fetched(&second).await;
    (first, second, pack)
}

#[tokio::test]
async fn a_store_that_is_made_anew_beneath_another_attempt_gets_what_that_needs() {
    let scene = Scene::new(&[]);
    let (first, second, pack) = apart(&scene).await;
    std::fs::remove_file(&pack).unwrap();
    std::fs::write(&pack, "cut short").unwrap();
    scene.asked.borrow_mut().clear();
    let places: Vec<_> = (0..2).map(|_| scene.open_any(Mode::Fresh)).collect();
    let damaged = scene.check_out(&places[0], &first, Mode::Fresh);
    let beside = async {
        // this attempt asks while its commit is only in the old store
        while !scene.asked.borrow().iter().any(Vec::is_empty) {
            tokio::task::yield_now().await;
        }
        scene.check_out(&places[1], &second, Mode::Fresh).await
    };
    let (damaged, beside) = tokio::join!(damaged, beside);
    assert!(damaged.unwrap().fetched > 0 && beside.unwrap().fetched > 0, "each its own history");
    assert_eq!(read(&places[1].tree().join("alone")), noise(9));
    for revision in [&first, &second] {
        assert_eq!(scene.fetched_in(revision, Mode::Fresh).await, 0);
    }
    settle(&scene).await;
    git(&scene.store(), &["fsck", "--full"]);
}

#[tokio::test]
async fn refs_are_written_again_without_what_is_gone() {
    let scene = Scene::new(&[]);
    let (first, _, pack) = apart(&scene).await;
    std::fs::remove_file(&pack).unwrap();
    std::fs::remove_file(pack.with_extension("idx")).unwrap();
    std::fs::write(scene.store().join("packed-refs"), "no refs\n").unwrap();
    let next = scene.commit("alone", "more").await;
    scene.fetched_in(&next, Mode::Fresh).await;
    assert_eq!(scene.fetched_in(&next, Mode::Fresh).await, 0);
    assert!(scene.fetched_in(&first, Mode::Fresh).await > 0, "it is known for gone");
    settle(&scene).await;
    git(&scene.store(), &["fsck", "--full"]);
}

#[tokio::test]
async fn what_git_cannot_do_for_another_reason_is_no_damage() {
    let scene = Scene::new(&[]);
    let revision = scene.commit("large", &noise(0)).await;
    scene.fetched(&revision).await;
    let place = scene.open(Mode::Clean);
    // a tree with a name that git allows and this file system cannot hold
    let long = scene.git(&["hash-object", "-w", "large"]);
    let entry = format!("100644 blob {long}\t{}\n", "x".repeat(300));
    let tree = scene.git_with(&["mktree"], &entry);
    let bad = scene.git(&["commit-tree", "-p", &revision, "-m", "long", &tree]);
    scene.git(&["update-ref", "refs/heads/long", &bad]);
    scene.mirror.fetch().await.unwrap();
    let size = size_of(&scene.store());
    for _ in 0..3 {
        // a leftover of packs that were being joined; the first fetch removes it
        std::fs::write(scene.store().join("objects/pack/.tmp-7-pack-7.idx"), "half").unwrap();
        let error = scene.check_out(&place, &bad, Mode::Clean).await.unwrap_err().to_string();
        assert!(error.contains("read-tree"), "{error}");
    }
    assert!(size_of(&scene.store()) < size + 4_000, "the repository came again");
    drop(place);
    assert_eq!(scene.fetched(&revision).await, 0);
}

impl Scene {
    fn git_with(&self, args: &[&str], input: &str) -> String {
        use std::io::Write as _;
        let mut command = Command::new("git");
        command.current_dir(self.origin()).args(args);
        let mut child =
            command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_string()
    }
}

/// Returns the largest pack of a store.
fn pack_of(store: &Path) -> PathBuf {
    let packs = std::fs::read_dir(store.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
    let packs = packs.filter(|path| path.extension().is_some_and(|end| end == "pack"));
    packs.max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap()
}

fn size_of(store: &Path) -> u64 {
    let packs = std::fs::read_dir(store.join("objects/pack")).unwrap();
    packs.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// Waits until the damaged store has been removed.
async fn settle(scene: &Scene) {
    let stores = scene.dir.path().join("stores");
    while std::fs::read_dir(&stores).unwrap().count() > 1 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
