//! Commits that are brought to a mirror although no ref of the remote has them.

use super::super::tests::Scene;
use super::{BROUGHT, BROUGHT_MAX};

#[tokio::test]
async fn a_commit_that_no_ref_holds_is_brought_and_stays() {
    for init in [&[][..], &["--object-format=sha256"]] {
        let scene = Scene::with(init);
        scene.commit("a", "1");
        scene.git(&["checkout", "-q", "--detach"]);
        let alone = scene.commit("b", "2");
        let origin = scene.dir.path().join("origin");
        scene.mirror.bring(&origin, &alone).await.unwrap();
        assert_eq!(scene.mirror.read(&alone, "b", 9).await.unwrap().as_deref(), Some(&b"2"[..]));
        assert_eq!(scene.mirror.refs().await.unwrap().refs.len(), 1, "it is neither a branch nor a tag");
        // a commit that is here is not fetched again, and a fetch that prunes keeps it
        scene.mirror.bring(&scene.dir.path().join("nowhere"), &alone).await.unwrap();
        scene.commit("c", "3");
        scene.git(&["branch", "more"]);
        scene.mirror.fetch().await.unwrap();
        scene.mirror.tidy().await.unwrap();
        assert_eq!(scene.mirror.resolve(&alone).await.unwrap(), Some(alone.clone()));
        let pack = scene.mirror.pack(&alone, &[]).await.unwrap();
        assert!(pack.size > 0);
    }
}

#[tokio::test]
async fn what_is_not_there_is_an_error() {
    let scene = Scene::new();
    scene.commit("a", "1");
    let origin = scene.dir.path().join("origin");
    for wrong in ["main", "--upload-pack=x", &"0".repeat(40)] {
        assert!(scene.mirror.bring(&origin, wrong).await.is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn of_many_that_were_brought_the_newest_stay() {
    let scene = Scene::new();
    let first = scene.commit("a", "0");
    scene.mirror.fetch().await.unwrap();
    // an older master named the ref without a number
    let old = format!("{BROUGHT}/{first}");
    scene.mirror.git.run("update-ref").args([&old, &first]).bytes().await.unwrap();
    scene.git(&["checkout", "-q", "--detach"]);
    // all these commits have the same date
    let commits: Vec<String> = (1..=25).map(|number| scene.commit("a", &number.to_string())).collect();
    let origin = scene.dir.path().join("origin");
    for commit in &commits {
        scene.mirror.bring(&origin, commit).await.unwrap();
    }
    let kept = scene.mirror.brought().await.unwrap();
    let kept: Vec<&str> = kept.iter().filter_map(|name| name.rsplit('-').next()).collect();
    assert_eq!(kept, commits[commits.len() - BROUGHT_MAX..]);
    assert_eq!(BROUGHT_MAX, 20);
}
