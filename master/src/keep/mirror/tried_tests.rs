//! Packs of commits that nobody pushed: whole ones are taken, all others leave the mirror as it was.

use super::super::tests::Scene;
use super::super::{IncomingPack, PackError};
use super::{TRIED, TryError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A clone with a commit that nobody pushed.
struct Clone {
    scene: Scene,
    base: String,
    commit: String,
}

impl Clone {
    async fn new(init: &[&str]) -> Clone {
        let scene = Scene::with(init);
        scene.commit("a", &"line\n".repeat(1_000));
        let base = scene.commit("b", "2");
        scene.mirror.fetch().await.unwrap();
        scene.git(&["checkout", "-q", "--detach"]);
        scene.commit("a", &("line\n".repeat(1_000) + "more\n"));
        let commit = scene.commit("new", "3");
        Clone { scene, base, commit }
    }

    /// Returns the bytes of a pack with these revisions.
    fn pack(&self, options: &[&str], revisions: &str) -> Vec<u8> {
        let origin = self.scene.dir.path().join("origin");
        let mut git = Command::new("git");
        git.current_dir(&origin).args(["pack-objects", "--stdout", "--delta-base-offset", "-q"]).args(options);
        let mut git = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut git.stdin.take().unwrap(), revisions.as_bytes()).unwrap();
        git.wait_with_output().unwrap().stdout
    }

    fn thin(&self) -> Vec<u8> {
        self.pack(&["--revs", "--thin"], &format!("{}\n^{}\n", self.commit, self.base))
    }

    /// Receives a pack as a peer sends it.
    async fn received(&self, bytes: &[u8]) -> IncomingPack {
        let pack = self.scene.mirror.incoming("1").await.unwrap();
        for (at, part) in bytes.chunks(1_000).enumerate() {
            pack.write(at as u64 * 1_000, part).await.unwrap();
        }
        pack.seal(bytes.len() as u64, *blake3::hash(bytes).as_bytes()).await.unwrap();
        pack
    }

    async fn refused(&self, bytes: &[u8], commit: &str) -> String {
        let pack = self.received(bytes).await;
        match self.scene.mirror.take_try(&pack, commit).await {
            Err(TryError::Refused(why)) => why,
            other => panic!("it is refused, and not {other:?}"),
        }
    }

    fn mirror(&self) -> PathBuf {
        self.scene.dir.path().join("mirror")
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut all = files_below(&self.mirror());
        // the folder of packs on their way remains, and is empty
        all.retain(|path| path.extension().is_none_or(|end| end != "lock"));
        all.sort();
        all
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    entries.flat_map(below).collect()
}

#[tokio::test]
async fn a_thin_pack_is_taken_and_its_commit_stays() {
    for init in [&[][..], &["--object-format=sha256"]] {
        let clone = Clone::new(init).await;
        let mirror = &clone.scene.mirror;
        let pack = clone.received(&clone.thin()).await;
        mirror.take_try(&pack, &clone.commit).await.unwrap();
        drop(pack);
        assert!(mirror.is_only_tried(&clone.commit).await.unwrap());
        assert!(!mirror.is_only_tried(&clone.base).await.unwrap());
        assert_eq!(mirror.read(&clone.commit, "new", 9).await.unwrap().as_deref(), Some(&b"3"[..]));
        assert_eq!(mirror.refs().await.unwrap().refs.len(), 1, "it is neither a branch nor a tag");
        // a fetch that prunes and a collection keep it
        clone.scene.git(&["branch", "more", "main"]);
        mirror.fetch().await.unwrap();
        mirror.tidy().await.unwrap();
        assert!(mirror.pack(&clone.commit, &[]).await.unwrap().size > 0);
        // the same may come once more
        let pack = clone.received(&clone.thin()).await;
        mirror.take_try(&pack, &clone.commit).await.unwrap();
    }
}

#[tokio::test]
async fn a_commit_that_was_pushed_later_is_as_any_other() {
    let clone = Clone::new(&[]).await;
    let mirror = &clone.scene.mirror;
    let pack = clone.received(&clone.thin()).await;
    mirror.take_try(&pack, &clone.commit).await.unwrap();
    // git does not fetch what is here already
    clone.scene.git(&["branch", "pushed"]);
    mirror.fetch().await.unwrap();
    assert!(!mirror.is_only_tried(&clone.commit).await.unwrap());
    mirror.tidy().await.unwrap();
    mirror.git.run("fsck").args(["--connectivity-only"]).bytes().await.unwrap();
}

#[tokio::test]
async fn a_commit_that_the_mirror_has_needs_an_empty_pack_only() {
    let clone = Clone::new(&[]).await;
    let empty = clone.pack(&["--revs"], &format!("{0}\n^{0}\n", clone.base));
    let pack = clone.received(&empty).await;
    clone.scene.mirror.take_try(&pack, &clone.base).await.unwrap();
    let held = format!("{TRIED}/{}", clone.base);
    clone.scene.mirror.git.run("rev-parse").args(["--verify", &held]).bytes().await.unwrap();
    assert!(!clone.scene.mirror.is_only_tried(&clone.base).await.unwrap());
}

#[tokio::test]
async fn what_is_damaged_or_lacks_objects_is_refused_and_leaves_nothing() {
    let clone = Clone::new(&[]).await;
    let before = clone.files();
    let thin = clone.thin();
    let mut damaged = thin.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    assert!(clone.refused(&damaged, &clone.commit).await.starts_with("the pack is damaged or lacks objects: "));
    assert!(clone.refused(&thin[..middle], &clone.commit).await.contains("damaged"));
    assert!(clone.refused(b"not a pack at all", &clone.commit).await.contains("does not begin like a pack"));
    let mut many = thin.clone();
    many[8..12].copy_from_slice(&2_000_000_u32.to_be_bytes());
    assert!(clone.refused(&many, &clone.commit).await.contains("2000000 objects, and at most 1000000"));
    // the commit alone lacks its tree and its parent
    let alone = clone.pack(&[], &format!("{}\n", clone.commit));
    assert!(clone.refused(&alone, &clone.commit).await.contains("lacks objects"));
    assert!(clone.refused(&thin, &"1".repeat(40)).await.contains("does not have the commit"));
    assert!(clone.refused(&thin, "main").await.contains("not the full id"));
    let tree = clone.scene.git(&["rev-parse", "HEAD^{tree}"]);
    assert!(clone.refused(&thin, &tree).await.ends_with("is not a commit"));
    assert_eq!(clone.files(), before);
    assert_eq!(clone.scene.mirror.resolve(&clone.commit).await.unwrap(), None);
}

#[tokio::test]
async fn bytes_are_taken_in_order_once_and_with_their_hash() {
    let clone = Clone::new(&[]).await;
    let pack = clone.scene.mirror.incoming("1").await.unwrap();
    assert!(matches!(pack.write(1, b"x").await, Err(PackError::Gap { received: 0 })));
    assert_eq!(pack.write(0, b"abc").await.unwrap(), 3);
    assert_eq!(pack.write(1, b"bcd").await.unwrap(), 4, "what came before is dropped");
    assert!(matches!(pack.seal(5, [0; 32]).await, Err(PackError::Short { received: 4 })));
    assert!(matches!(pack.seal(4, [0; 32]).await, Err(PackError::Damaged)));
    assert!(matches!(clone.scene.mirror.take_try(&pack, &clone.commit).await, Err(TryError::NotSealed)));
    let hash = *blake3::hash(b"abcd").as_bytes();
    pack.seal(4, hash).await.unwrap();
    pack.seal(4, hash).await.unwrap();
    assert!(matches!(pack.write(4, b"e").await, Err(PackError::Sealed)));
    assert_eq!(pack.size().await, (4, true));
}

#[tokio::test]
async fn a_pack_beyond_the_limit_is_refused_and_leaves_nothing() {
    let clone = Clone::new(&[]).await;
    let before = clone.files();
    let pack = clone.scene.mirror.incoming("1").await.unwrap();
    let part = vec![0; 8 << 20];
    let most = schema::limits::borders::TRY_PACK.most;
    for offset in (0..most).step_by(part.len()) {
        pack.write(offset, &part).await.unwrap();
    }
    assert!(matches!(pack.write(most, b"x").await, Err(PackError::TooLarge)));
    assert_eq!(pack.size().await, (most, false));
    drop(pack);
    assert_eq!(clone.files(), before);
}
