//! Tests the git source on small real repositories, with a sink that records what it gets. A poke returns when its round is over, so no
//! test waits for a clock.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use schema::values::{Change, Refusal, RefusalCode, Time};
use tokio_util::sync::CancellationToken;

use super::git::{FollowerReport, GitSource, Known, follow};
use super::{ChangeSink, Poke, PollHealth, pokes};
use crate::decide::coordinator::record::{FollowedRow, Head, RefScope};
use crate::decide::coordinator::{Before, Coordinator, Effect, FiringBranches, ROOT, Terms};
use crate::keep::mirror::tests::Scene;

/// A test sink that records what one run of a source reports. Its coordinator keeps the known refs, as in the product.
struct Seen {
    it: RefCell<Coordinator>,
    scope: RefCell<RefScope>,
    address: RefCell<String>,
    /// Whether builds wait for their plans.
    is_slow: Cell<bool>,
    changes: RefCell<Vec<Change>>,
    /// The number of refs that each call reported as seen.
    sights: RefCell<Vec<usize>>,
    notices: RefCell<Vec<FollowerReport>>,
    /// The refusals for the next submissions, in order.
    refusals: RefCell<Vec<Refusal>>,
    health: PollHealth,
}

impl Default for Seen {
    fn default() -> Seen {
        Seen {
            it: RefCell::new(Coordinator::load(Time(0), Terms::default(), Default::default(), [0; 32])),
            scope: RefCell::new(scope(&["main", "dev/*"], &["v*"])),
            address: RefCell::new("/origin".to_owned()),
            is_slow: Cell::new(false),
            changes: RefCell::default(),
            sights: RefCell::default(),
            notices: RefCell::default(),
            refusals: RefCell::default(),
            health: PollHealth::default(),
        }
    }
}

impl Seen {
    fn take(&self) -> Vec<String> {
        self.changes.take().iter().map(line).collect()
    }

    fn known(&self) -> Known {
        self.it.borrow().heads_of("p").into_iter().collect()
    }

    fn accept(&self, change: Change) -> Result<Option<Head>, Refusal> {
        if !self.refusals.borrow().is_empty() {
            return Err(self.refusals.borrow_mut().remove(0));
        }
        let ref_name = change.ref_name.clone();
        let mut it = self.it.borrow_mut();
        // only a build that has not begun is still open, and none is open here
        let is_news = it.submit_change(Time(1), ROOT, change.clone()).is_some() || change.revision.is_empty();
        self.end_builds(&mut it);
        if is_news {
            self.changes.borrow_mut().push(change);
        }
        Ok(it.head("p", &ref_name))
    }

    fn end_builds(&self, it: &mut Coordinator) {
        while let Some(effect) = it.poll_effect() {
            if let Effect::Plan { build } = effect
                && !self.is_slow.get()
            {
                it.plan_ready(Time(1), build, crate::decide::coordinator::Planned::Skip("built".to_owned()));
            }
        }
    }
}

impl ChangeSink for &Seen {
    fn begin(&self) -> LocalBoxFuture<'_, Result<Before, Refusal>> {
        let before = self.it.borrow_mut().begin_following("p", &self.scope.borrow());
        async { Ok(before) }.boxed_local()
    }

    fn submit(&self, change: Change) -> LocalBoxFuture<'_, Result<Option<Head>, Refusal>> {
        async { self.accept(change) }.boxed_local()
    }

    fn see(&self, refs: Vec<(String, String)>) -> LocalBoxFuture<'_, Result<(), Refusal>> {
        self.sights.borrow_mut().push(refs.len());
        self.it.borrow_mut().see_refs("p", refs);
        async { Ok(()) }.boxed_local()
    }

    fn fire<'a>(&'a self, _: Time, _: FiringBranches<'a>) -> LocalBoxFuture<'a, Result<Option<Time>, Refusal>> {
        async { Ok(None) }.boxed_local()
    }

    fn looked(&self) -> LocalBoxFuture<'_, Result<(), Refusal>> {
        self.it.borrow_mut().looked_at_all(Time(1), "p", &self.address.borrow(), &self.scope.borrow());
        async { Ok(()) }.boxed_local()
    }
}

fn scope(branches: &[&str], tags: &[&str]) -> RefScope {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    RefScope { branches: texts(branches), tags: texts(tags) }
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

fn source_of(scene: &Scene, seen: &Seen, poll: Duration) -> GitSource {
    GitSource {
        project: "p".to_string(),
        mirror: Rc::new(Scene::open(scene.dir.path())),
        poll,
        scope: seen.scope.borrow().clone(),
    }
}

/// Runs a source from the start of a master to its end, with what it knew at the end of its previous run.
async fn live<F: Future<Output = ()>>(scene: &Scene, seen: &Seen, poll: Duration, script: impl FnOnce(Poke) -> F) {
    let (poke, receiver) = pokes();
    let shutdown = CancellationToken::new();
    let source = source_of(scene, seen, poll);
    seen.address.replace(source.mirror.remote().address.clone());
    let tell = |notice| match notice {
        FollowerReport::Looked(_) | FollowerReport::Next(_) | FollowerReport::LeftOut(_) => {
            seen.health.note(Time(0), notice)
        }
        FollowerReport::Trouble(_)
        | FollowerReport::Recovered
        | FollowerReport::RefusedRef(_)
        | FollowerReport::RefusedChange { .. } => {
            seen.notices.borrow_mut().push(notice);
        }
    };
    let following = follow(source, seen, seen.known(), receiver, tell, shutdown.clone());
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
        assert_eq!(seen.take(), ["heads/main new 1"], "v0 and dev/x are history, other is not wanted");
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

/// A change is read from the ref's revision before it. Here that is a commit whose tree is lost.
#[tokio::test]
async fn a_ref_that_cannot_be_read_stops_no_other() {
    let scene = Scene::new();
    let seen = Seen::default();
    let first = scene.commit("a", "1");
    scene.git(&["branch", "dev/bad"]);
    let mirror = Scene::open(scene.dir.path());
    mirror.refs().await.unwrap();
    let lost = format!("tree {}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nlost\n", "1".repeat(40));
    std::fs::write(scene.dir.path().join("lost"), lost).unwrap();
    let mut put = std::process::Command::new("git");
    put.arg("--git-dir").arg(mirror.dir()).args(["hash-object", "-w", "-t", "commit", "--literally"]);
    let put = put.arg(scene.dir.path().join("lost")).output().unwrap();
    let lost = String::from_utf8(put.stdout).unwrap().trim().to_owned();
    {
        let mut it = seen.it.borrow_mut();
        it.begin_following("p", &seen.scope.borrow());
        it.see_refs("p", vec![("refs/heads/dev/bad".to_owned(), lost), ("refs/heads/main".to_owned(), first)]);
        it.looked_at_all(Time(1), "p", &mirror.remote().address, &seen.scope.borrow());
    }
    live(&scene, &seen, SELDOM, async |poke| {
        scene.commit("a", "2");
        poke.look_at_all().await.unwrap();
        assert_eq!(seen.take(), ["heads/main moved 1"]);
        let why = poke.look("refs/heads/dev/bad").await.unwrap_err();
        assert!(why.text.starts_with("refs/heads/dev/bad: its update cannot be read: git diff-tree failed"), "{why}");
        let looks = seen.health.looks();
        assert_eq!((looks.trouble, looks.refused.len()), (None, 1), "it is left out, and the repository is well");
        assert_eq!(seen.notices.borrow().len(), 1, "told once");
    })
    .await;
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
        assert_eq!(seen.notices.take(), [FollowerReport::RefusedChange { ref_name, revision: first, refusal }]);
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
        let looks = seen.health.looks();
        assert!(looks.trouble.is_some_and(|trouble| trouble.text.contains("repository")) && looks.good.is_some());
        std::fs::rename(&away, &here).unwrap();
        scene.git(&["update-ref", "refs/heads/-x", "HEAD"]);
        for _ in 0..2 {
            poke.look_at_all().await.unwrap();
        }
        let looks = seen.health.looks();
        assert_eq!((looks.trouble, looks.refused[0].name.as_str()), (None, "refs/heads/-x"));
        assert!(seen.take().is_empty());
    })
    .await;
    let notices = seen.notices.take();
    assert!(matches!(&notices[0], FollowerReport::Trouble(text) if text.contains("repository")), "{notices:?}");
    assert!(
        matches!(&notices[1], FollowerReport::RefusedRef(refused) if refused.name == "refs/heads/-x"),
        "{notices:?}"
    );
    assert_eq!(notices[2..], [FollowerReport::Recovered]);
}

/// Looks at all refs once in a run of its own, and returns the changes.
async fn look(scene: &Scene, seen: &Seen) -> Vec<String> {
    live(scene, seen, SELDOM, async |poke| {
        poke.look_at_all().await.unwrap();
    })
    .await;
    seen.take()
}

/// Changes the scope as a reload of the master file does, and looks.
async fn look_for(scene: &Scene, seen: &Seen, branches: &[&str], tags: &[&str]) -> Vec<String> {
    seen.scope.replace(scope(branches, tags));
    look(scene, seen).await
}

const NOTHING: [String; 0] = [];

#[tokio::test]
async fn a_project_begins_with_its_default_branch() {
    let scene = Scene::new();
    scene.commit("a", "1");
    for name in ["abc", "dev", "zzz"] {
        scene.git(&["branch", name]);
    }
    scene.git(&["checkout", "-q", "dev"]);
    scene.commit("a", "2");
    scene.git(&["tag", "v1"]);
    let seen = Seen::default();
    assert_eq!(look_for(&scene, &seen, &["*"], &["*"]).await, ["heads/dev new 1"], "HEAD names it");
    scene.commit("a", "3");
    scene.git(&["checkout", "-q", "zzz"]);
    scene.commit("a", "4");
    assert_eq!(
        look(&scene, &seen).await,
        ["heads/dev moved 1", "heads/zzz moved 1"],
        "the others from their next push"
    );
}

#[tokio::test]
async fn without_the_default_branch_only_a_single_one_is_built() {
    let scene = Scene::new();
    scene.commit("a", "1");
    scene.git(&["branch", "dev/1"]);
    scene.git(&["branch", "dev/2"]);
    assert_eq!(look_for(&scene, &Seen::default(), &["dev/*"], &[]).await, NOTHING);
    assert_eq!(look_for(&scene, &Seen::default(), &["dev/2"], &[]).await, ["heads/dev/2 new 1"]);
    scene.git(&["checkout", "-q", "--detach"]);
    assert_eq!(look_for(&scene, &Seen::default(), &["*"], &[]).await, NOTHING);
    scene.git(&["checkout", "-q", "--orphan", "unborn"]);
    assert_eq!(look_for(&scene, &Seen::default(), &["*"], &[]).await, NOTHING);
}

#[tokio::test]
async fn whoever_follows_the_branch_that_is_checked_out_has_it_built() {
    // as `guild-master up` does, on one branch after the other
    let scene = Scene::new();
    let seen = Seen::default();
    scene.commit("a", "1");
    scene.git(&["branch", "topic"]);
    assert_eq!(look_for(&scene, &seen, &["main"], &[]).await, ["heads/main new 1"]);
    scene.git(&["checkout", "-q", "topic"]);
    assert_eq!(look_for(&scene, &seen, &["topic"], &[]).await, ["heads/topic new 1"], "a branch that was seen before");
    scene.commit("a", "2");
    assert_eq!(look(&scene, &seen).await, ["heads/topic moved 1"]);
    scene.git(&["checkout", "-q", "main"]);
    assert_eq!(look_for(&scene, &seen, &["main"], &[]).await, NOTHING, "it was built there");
    scene.git(&["checkout", "-q", "topic"]);
    scene.commit("a", "3");
    assert_eq!(look_for(&scene, &seen, &["topic"], &[]).await, ["heads/topic moved 1"]);
}

#[tokio::test]
async fn a_ref_whose_build_had_not_begun_is_built_when_it_comes_back() {
    let scene = Scene::new();
    let seen = Seen { is_slow: Cell::new(true), ..Seen::default() };
    let tip = scene.commit("a", "1");
    look_for(&scene, &seen, &["*"], &["v*"]).await;
    scene.git(&["tag", "v1"]);
    assert_eq!(look(&scene, &seen).await, ["tags/v1 new 1"]);
    scene.git(&["tag", "-d", "v1"]);
    assert_eq!(look(&scene, &seen).await, ["tags/v1 gone 0"], "which cancels its build");
    scene.git(&["tag", "v1", &tip]);
    assert_eq!(look(&scene, &seen).await, ["tags/v1 new 1"]);
}

#[tokio::test]
async fn what_is_older_than_the_wish_to_follow_it_is_history() {
    let scene = Scene::new();
    let seen = Seen::default();
    scene.commit("a", "1");
    assert_eq!(look_for(&scene, &seen, &["main"], &[]).await, ["heads/main new 1"]);
    for number in 1..=5 {
        scene.git(&["branch", &format!("b{number}")]);
        scene.git(&["tag", &format!("v{number}")]);
        // the first three were seen while nobody wanted them, and the last two were not
        if number == 3 {
            assert_eq!(look(&scene, &seen).await, NOTHING);
        }
    }
    assert_eq!(look_for(&scene, &seen, &["main"], &["v*"]).await, NOTHING);
    assert_eq!(look_for(&scene, &seen, &["*"], &["v*"]).await, NOTHING);
    scene.git(&["tag", "v6"]);
    assert_eq!(look(&scene, &seen).await, ["tags/v6 new 1"]);
    // the tags are taken out of the master file and put back
    assert_eq!(look_for(&scene, &seen, &["*"], &[]).await, NOTHING);
    scene.git(&["tag", "v7"]);
    scene.git(&["tag", "-f", "v6", "b1"]);
    assert_eq!(look_for(&scene, &seen, &["*"], &["v*"]).await, NOTHING);
    scene.git(&["tag", "v8"]);
    assert_eq!(look(&scene, &seen).await, ["tags/v8 new 1"]);
}

#[tokio::test]
async fn the_wish_changed_while_the_repository_could_not_be_read() {
    let scene = Scene::new();
    let seen = Seen::default();
    scene.commit("a", "1");
    assert_eq!(look_for(&scene, &seen, &["main"], &["v*"]).await, ["heads/main new 1"]);
    let (here, away) = (scene.dir.path().join("origin"), scene.dir.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    seen.scope.replace(scope(&["main"], &[]));
    live(&scene, &seen, SELDOM, async |poke| drop(poke.look_at_all().await.unwrap_err())).await;
    std::fs::rename(&away, &here).unwrap();
    scene.git(&["tag", "v1"]);
    scene.commit("a", "2");
    assert_eq!(
        look_for(&scene, &seen, &["main"], &["v*"]).await,
        ["heads/main moved 1"],
        "v1 came while it was not wanted"
    );
}

#[tokio::test]
async fn nothing_is_built_twice_when_it_comes_back_to_where_it_was() {
    let scene = Scene::new();
    let seen = Seen::default();
    scene.commit("a", "1");
    scene.git(&["tag", "v1"]);
    look_for(&scene, &seen, &["*"], &["v*"]).await;
    scene.git(&["tag", "v2"]);
    scene.git(&["branch", "dev"]);
    assert_eq!(look(&scene, &seen).await, ["heads/dev new 1", "tags/v2 new 1"]);
    // the repository is emptied for one look and then filled again, within one run and across two
    for is_same_life in [true, false] {
        let (here, away) = (scene.dir.path().join("origin"), scene.dir.path().join("away"));
        let empty = || {
            std::fs::rename(&here, &away).unwrap();
            std::fs::create_dir(&here).unwrap();
            scene.git(&["init", "-q", "--bare"]);
        };
        let fill = || {
            std::fs::remove_dir_all(&here).unwrap();
            std::fs::rename(&away, &here).unwrap();
        };
        let gone = ["heads/dev gone 0", "heads/main gone 0", "tags/v1 gone 0", "tags/v2 gone 0"];
        if is_same_life {
            live(&scene, &seen, SELDOM, async |poke| {
                empty();
                poke.look_at_all().await.unwrap();
                assert_eq!(seen.take(), gone);
                fill();
                poke.look_at_all().await.unwrap();
                poke.look("refs/tags/v2").await.unwrap();
            })
            .await;
            assert_eq!(seen.take(), NOTHING);
        } else {
            empty();
            assert_eq!(look(&scene, &seen).await, gone);
            fill();
            assert_eq!(look(&scene, &seen).await, NOTHING);
        }
    }
    // a tag is deleted and made again: at the same commit, then at another
    let first = scene.git(&["rev-parse", "v2"]);
    scene.git(&["tag", "-d", "v2"]);
    assert_eq!(look(&scene, &seen).await, ["tags/v2 gone 0"]);
    scene.git(&["tag", "v2", &first]);
    live(&scene, &seen, SELDOM, async |poke| drop(poke.look("refs/tags/v2").await.unwrap())).await;
    assert_eq!(seen.take(), NOTHING);
    scene.git(&["tag", "-d", "v2"]);
    look(&scene, &seen).await;
    scene.commit("a", "2");
    scene.git(&["tag", "v2"]);
    assert_eq!(look(&scene, &seen).await, ["heads/main moved 1", "tags/v2 new 1"]);
}

#[tokio::test]
async fn a_mirror_that_is_made_anew_publishes_nothing() {
    let scene = Scene::new();
    let seen = Seen::default();
    scene.commit("a", "1");
    scene.git(&["tag", "v1"]);
    look_for(&scene, &seen, &["*"], &["v*"]).await;
    std::fs::remove_dir_all(scene.dir.path().join("mirror")).unwrap();
    scene.git(&["tag", "v2"]);
    assert_eq!(look(&scene, &seen).await, ["tags/v2 new 1"], "that one came meanwhile");
}

#[tokio::test]
async fn a_new_address_of_the_repository_publishes_nothing_twice() {
    let scene = Scene::new();
    let seen = Seen::default();
    scene.commit("a", "1");
    look_for(&scene, &seen, &["*"], &["v*"]).await;
    scene.git(&["tag", "v1"]);
    look(&scene, &seen).await;
    scene.git(&["tag", "v2"]);
    scene.git(&["branch", "dev"]);
    scene.commit("a", "2");
    // as if the last look had been at another address
    let (wish, elsewhere) = (scope(&["*"], &["v*"]), "/elsewhere");
    seen.it.borrow_mut().looked_at_all(Time(1), "p", elsewhere, &wish);
    assert_eq!(look(&scene, &seen).await, ["heads/main moved 1"], "what is not known there is history");
}

#[tokio::test]
async fn a_project_that_was_removed_and_put_back() {
    let scene = Scene::new();
    let seen = Seen::default();
    scene.commit("a", "1");
    look_for(&scene, &seen, &["*"], &["v*"]).await;
    seen.it.borrow_mut().stop_following_others();
    scene.git(&["tag", "v1"]);
    scene.git(&["branch", "dev"]);
    assert_eq!(look(&scene, &seen).await, NOTHING);
    seen.it.borrow_mut().stop_following_others();
    scene.commit("a", "2");
    scene.git(&["branch", "-f", "dev"]);
    assert_eq!(look(&scene, &seen).await, ["heads/main moved 1"], "once, the default branch");
}

#[tokio::test]
async fn a_store_of_an_older_version_goes_on() {
    let scene = Scene::new();
    let seen = Seen::default();
    let first = scene.commit("a", "1");
    scene.git(&["tag", "v1"]);
    scene.git(&["branch", "unwanted"]);
    // an older version fetched, and reported only main; v1 was history, and nobody wanted `unwanted`
    Scene::open(scene.dir.path()).fetch().await.unwrap();
    let told = Head { revision: first, is_told: true, ..Head::default() };
    let head = crate::decide::coordinator::record::HeadRow {
        project: "p".to_owned(),
        ref_name: "refs/heads/main".to_owned(),
        head: told,
    };
    let followed = FollowedRow { project: "p".to_owned(), address: String::new(), scopes: Vec::new(), looked_in: 0 };
    let loaded = crate::decide::coordinator::record::Loaded {
        heads: vec![head],
        followed: vec![followed],
        ..Default::default()
    };
    seen.it.replace(Coordinator::load(Time(0), Terms::default(), loaded, [0; 32]));
    scene.git(&["tag", "v2"]);
    scene.git(&["branch", "new"]);
    scene.commit("a", "2");
    let news = ["heads/main moved 1", "heads/new new 1", "tags/v2 new 1"];
    assert_eq!(look_for(&scene, &seen, &["*"], &["*"]).await, news, "what came over the upgrade");
    assert_eq!(look(&scene, &seen).await, NOTHING);
}

/// The first fetch overwrites the refs that an older version left. They are kept, so news stays news when the look is repeated.
#[tokio::test]
async fn a_first_look_that_fails_in_the_middle_forgets_no_news() {
    let scene = Scene::new();
    let seen = Seen::default();
    seen.scope.replace(scope(&["*"], &["*"]));
    let first = scene.commit("a", "1");
    Scene::open(scene.dir.path()).fetch().await.unwrap();
    let told = Head { revision: first, is_told: true, ..Head::default() };
    let (project, ref_name) = ("p".to_owned(), "refs/heads/main".to_owned());
    let head = crate::decide::coordinator::record::HeadRow { project: project.clone(), ref_name, head: told };
    let followed = FollowedRow { project, address: String::new(), scopes: Vec::new(), looked_in: 0 };
    let loaded = crate::decide::coordinator::record::Loaded {
        heads: vec![head],
        followed: vec![followed],
        ..Default::default()
    };
    seen.it.replace(Coordinator::load(Time(0), Terms::default(), loaded, [0; 32]));
    scene.git(&["tag", "v2"]);
    scene.git(&["branch", "new"]);
    seen.refusals.borrow_mut().push(Refusal::new(RefusalCode::Unavailable, "the disk is full"));
    live(&scene, &seen, SELDOM, async |poke| {
        // the source also looks by itself: the first of both looks is refused
        drop(poke.look_at_all().await);
        poke.look_at_all().await.unwrap();
    })
    .await;
    assert!(seen.refusals.borrow().is_empty(), "it was refused once");
    assert_eq!(seen.take(), ["heads/new new 1", "tags/v2 new 1"]);
}

#[tokio::test]
async fn many_refs_are_told_in_few_commits() {
    let scene = Scene::new();
    let seen = Seen::default();
    let tip = scene.commit("a", "1");
    let refs: String = (0..2_500).map(|number| format!("{tip} refs/tags/v{number}\n")).collect();
    std::fs::write(scene.dir.path().join("origin/.git/packed-refs"), refs).unwrap();
    assert_eq!(look(&scene, &seen).await, ["heads/main new 1"]);
    assert_eq!(seen.sights.take(), [1_000, 1_000, 500]);
    assert_eq!(look(&scene, &seen).await, NOTHING);
    assert_eq!(seen.sights.take(), [0_usize; 0]);
}

/// F18, a relative: a mirror with a stale lock or with damage is mended, and still sees the next push.
#[tokio::test]
async fn a_follower_mends_its_mirror() {
    for harm in ["refs/heads/main.lock", "HEAD"] {
        let scene = Scene::new();
        let seen = Seen::default();
        scene.commit("a", "1");
        live(&scene, &seen, SELDOM, async |poke| {
            poke.look_at_all().await.unwrap();
            seen.take();
            let file = scene.mirror.dir().join(harm);
            match harm {
                "HEAD" => std::fs::remove_file(file).unwrap(),
                _ => {
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    std::fs::write(file, "").unwrap();
                }
            }
            scene.commit("a", "2");
            poke.look_at_all().await.unwrap_or_else(|error| panic!("{harm}: {error}"));
            assert_eq!(seen.take(), ["heads/main moved 1"], "{harm}");
        })
        .await;
    }
}
