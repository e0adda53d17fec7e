//! The git source on small real repositories, with a sink that writes down what it got. A poke returns when its round is
//! over, so nothing here waits for a clock.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use schema::values::{Change, Refusal, RefusalCode, Time};
use tokio_util::sync::CancellationToken;

use super::Standing;
use super::git::{GitSource, Notice, Patterns, Poke, follow, pokes};
use crate::mirror::tests::Scene;

/// What one life of a source saw.
#[derive(Default)]
struct Seen {
    changes: RefCell<Vec<Change>>,
    notices: RefCell<Vec<Notice>>,
    /// Given to the next submissions, first to last.
    refusals: RefCell<Vec<Refusal>>,
    known: RefCell<BTreeMap<String, String>>,
    standing: Standing,
}

impl Seen {
    fn take(&self) -> Vec<String> {
        self.changes.take().iter().map(line).collect()
    }

    fn accept(&self, change: Change) -> Result<(), Refusal> {
        if !self.refusals.borrow().is_empty() {
            return Err(self.refusals.borrow_mut().remove(0));
        }
        let mut known = self.known.borrow_mut();
        match change.revision.as_str() {
            "" => known.remove(&change.ref_name),
            revision => known.insert(change.ref_name.clone(), revision.to_string()),
        };
        self.changes.borrow_mut().push(change);
        Ok(())
    }
}

fn line(change: &Change) -> String {
    let kind = match (change.before.is_empty(), change.revision.is_empty(), change.forced) {
        (true, _, _) => "new",
        (_, true, _) => "gone",
        (_, _, true) => "forced",
        _ => "moved",
    };
    format!("{} {kind} {}", change.ref_name.trim_start_matches("refs/"), change.commits.len())
}

fn source_of(scene: &Scene, poll: Duration) -> GitSource {
    GitSource {
        project: "p".to_string(),
        mirror: Rc::new(Scene::open(scene.dir.path())),
        poll,
        branches: Patterns::new(["main", "dev/*"]),
        tags: Patterns::new(["v*"]),
    }
}

/// Lives from the start of a master to its end, with what it knew at its last end.
async fn live<F: Future<Output = ()>>(scene: &Scene, seen: &Seen, poll: Duration, script: impl FnOnce(Poke) -> F) {
    let (poke, receiver) = pokes();
    let known = seen.known.borrow().clone();
    let shutdown = CancellationToken::new();
    let sink = async |change| seen.accept(change);
    let tell = |notice| match notice {
        Notice::Looked(_) | Notice::LeftOut(_) => seen.standing.note(Time(0), notice),
        Notice::Trouble(_) | Notice::Recovered | Notice::RefusedRef(_) | Notice::RefusedChange { .. } => {
            seen.notices.borrow_mut().push(notice);
        }
    };
    let following = follow(source_of(scene, poll), sink, known, receiver, tell, shutdown.clone());
    let script = async {
        script(poke).await;
        shutdown.cancel();
    };
    tokio::join!(following, script);
}

const SELDOM: Duration = Duration::from_secs(3600);
const OFTEN: Duration = Duration::from_millis(5);

#[tokio::test]
async fn one_change_per_update_over_restarts() {
    let scene = Scene::new();
    let seen = Seen::default();
    scene.commit("a", "1");
    for name in ["dev/x", "other"] {
        scene.git(&["branch", name]);
    }
    scene.git(&["tag", "v0"]);
    live(&scene, &seen, SELDOM, async |poke| {
        let found = poke.look_at_all().await.unwrap();
        assert_eq!(found.len(), 4);
        assert_eq!(seen.take(), ["heads/dev/x new 1", "heads/main new 1"], "v0 is history, other not wanted");
        scene.commit("a", "2");
        scene.commit("a", "3");
        scene.git(&["tag", "-a", "v1", "-m", "one"]);
        poke.look_at_all().await.unwrap();
        assert_eq!(seen.take(), ["heads/main moved 2", "tags/v1 new 1"]);
        poke.look_at_all().await.unwrap();
        assert!(seen.take().is_empty());
    })
    .await;
    scene.commit("a", "4");
    scene.git(&["commit", "-q", "--amend", "-m", "amended"]);
    scene.git(&["reset", "-q", "--hard", "HEAD~2"]);
    scene.commit("b", "1");
    scene.git(&["branch", "-D", "dev/x"]);
    scene.git(&["tag", "v2"]);
    live(&scene, &seen, SELDOM, async |poke| {
        poke.look_at_all().await.unwrap();
        assert_eq!(seen.take(), ["heads/dev/x gone 0", "heads/main forced 1", "tags/v2 new 1"]);
    })
    .await;
    assert!(seen.notices.take().is_empty());
}

#[tokio::test]
async fn a_poke_looks_at_one_ref() {
    let scene = Scene::new();
    let seen = Seen::default();
    scene.commit("a", "1");
    live(&scene, &seen, SELDOM, async |poke| {
        poke.look_at_all().await.unwrap();
        seen.take();
        let tip = scene.commit("a", "2");
        scene.git(&["branch", "dev/y"]);
        assert_eq!(poke.look("refs/heads/main").await.unwrap(), Some(tip));
        assert_eq!(seen.take(), ["heads/main moved 1"]);
        assert_eq!(poke.look("refs/heads/none").await.unwrap(), None);
        assert_eq!(poke.look("refs/heads/-x").await.unwrap_err().code, RefusalCode::Invalid);
        let many = futures::future::join_all((0..20).map(|_| poke.look("refs/heads/dev/y"))).await;
        assert!(many.iter().all(|found| matches!(found, Ok(Some(_)))));
        assert_eq!(seen.take(), ["heads/dev/y new 1"]);
        scene.git(&["branch", "-D", "dev/y"]);
        assert_eq!(poke.look("refs/heads/dev/y").await.unwrap(), None);
        assert_eq!(seen.take(), ["heads/dev/y gone 0"]);
    })
    .await;
}

#[tokio::test]
async fn polls_by_itself_and_retries_what_was_not_taken() {
    let scene = Scene::new();
    let seen = Seen::default();
    scene.commit("a", "1");
    let unavailable = Refusal::new(RefusalCode::Unavailable, "the disk is full");
    seen.refusals.replace(vec![unavailable; 3]);
    live(&scene, &seen, OFTEN, async |_poke| {
        // bounded, so that a source which never succeeds fails the test rather than hanging it
        for _ in 0..2000 {
            if !seen.changes.borrow().is_empty() {
                break;
            }
            tokio::time::sleep(OFTEN).await;
        }
    })
    .await;
    assert_eq!(seen.take(), ["heads/main new 1"]);
    assert!(seen.notices.take().is_empty());
}

#[tokio::test]
async fn a_refusal_for_good_is_told_once_and_the_next_revision_tried() {
    let scene = Scene::new();
    let seen = Seen::default();
    let first = scene.commit("a", "1");
    let refusal = Refusal::new(RefusalCode::Invalid, "no");
    seen.refusals.replace(vec![refusal.clone()]);
    live(&scene, &seen, SELDOM, async |poke| {
        for _ in 0..3 {
            poke.look_at_all().await.unwrap();
        }
        let ref_name = "refs/heads/main".to_string();
        assert_eq!(seen.notices.take(), [Notice::RefusedChange { ref_name, revision: first, refusal }]);
        assert!(seen.take().is_empty());
        scene.commit("a", "2");
        poke.look_at_all().await.unwrap();
        assert_eq!(seen.take(), ["heads/main new 1"]);
    })
    .await;
}

#[tokio::test]
async fn a_lost_repository_is_told_once_and_recovers_and_cancels_nothing() {
    let scene = Scene::new();
    let seen = Seen::default();
    scene.commit("a", "1");
    let (here, away) = (scene.dir.path().join("origin"), scene.dir.path().join("away"));
    live(&scene, &seen, SELDOM, async |poke| {
        poke.look_at_all().await.unwrap();
        seen.take();
        std::fs::rename(&here, &away).unwrap();
        for _ in 0..2 {
            assert_eq!(poke.look_at_all().await.unwrap_err().code, RefusalCode::Unavailable);
            assert_eq!(poke.look("refs/heads/main").await.unwrap_err().code, RefusalCode::Unavailable);
        }
        let looks = seen.standing.looks();
        assert!(looks.trouble.is_some_and(|trouble| trouble.text.contains("repository")) && looks.good.is_some());
        std::fs::rename(&away, &here).unwrap();
        scene.git(&["update-ref", "refs/heads/-x", "HEAD"]);
        for _ in 0..2 {
            poke.look_at_all().await.unwrap();
        }
        let looks = seen.standing.looks();
        assert_eq!((looks.trouble, looks.refused[0].name.as_str()), (None, "refs/heads/-x"));
        assert!(seen.take().is_empty());
    })
    .await;
    let notices = seen.notices.take();
    assert!(matches!(&notices[0], Notice::Trouble(text) if text.contains("repository")), "{notices:?}");
    assert!(matches!(&notices[1], Notice::RefusedRef(refused) if refused.name == "refs/heads/-x"), "{notices:?}");
    assert_eq!(notices[2..], [Notice::Recovered]);
}
