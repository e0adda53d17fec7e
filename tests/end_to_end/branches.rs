//! Tests of the jobs that a push runs, and of the state of the branch afterwards. The repositories and pushes are real, and a played
//! worker ends each job as the test says.

use client::BuildQuery;
use schema::values::{Outcome, Resources, State};
use std::collections::BTreeMap;
use std::time::Duration;
use support::guild::{House, Played, run, work};

/// A pipeline whose job `deploy` must never run for code that was not built successfully.
const PIPELINE: &str = "version = 1\n\
    [job.code]\nsource = \"none\"\nretry = { infra = 0 }\nwhen = { paths = [\"src/\"] }\nrun = \"true\"\n\
    [job.docs]\nsource = \"none\"\nrun = \"true\"\n\
    [job.deploy]\nsource = \"none\"\nneeds = [\"code\"]\nside_effects = true\nrun = \"true\"\n";
/// A number of files that is larger than the list of paths of one change. `src/` is last in their order, so the list lacks it.
const MANY: usize = 1_100;

struct Farm {
    house: House,
    worker: Played,
    /// The number of builds so far.
    builds: u32,
}

impl Farm {
    async fn open(pipeline: &str) -> Farm {
        let house = House::open(pipeline).await;
        let worker = house.worker("anvil").await;
        Farm { house, worker, builds: 0 }
    }

    /// Ends the jobs of the next build with these outcomes, and all others successfully. Returns the outcome of each job.
    async fn build(&mut self, ends: &[(&str, Outcome)]) -> BTreeMap<String, Outcome> {
        self.builds += 1;
        let ends: BTreeMap<&str, Outcome> = ends.iter().copied().collect();
        loop {
            match self.house.guild.build("demo", self.builds).await {
                Ok(view) if view.state == State::Finished => {
                    return view.jobs.into_iter().map(|job| (job.name, job.outcome.unwrap())).collect();
                }
                Ok(view) if view.state != State::Planning => self.work(&ends).await,
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn work(&self, ends: &BTreeMap<&str, Outcome>) {
        let room = Resources { slots: 1, cpus_milli: 4_000, memory: 1 << 32 };
        let taken = tokio::time::timeout(Duration::from_millis(100), self.worker.take_up_to(1, room)).await;
        let Ok(offers) = taken else { return };
        for (assignment, lease) in offers {
            lease.accept_request().send().promise.await.unwrap();
            match ends.get(assignment.job.name.as_str()) {
                Some(Outcome::Cancelled) => {
                    self.house.guild.cancel("demo", assignment.build, "", "not wanted").await.unwrap();
                    work(&lease, b"", Outcome::Cancelled).await;
                }
                Some(outcome) => work(&lease, b"", *outcome).await,
                None => work(&lease, b"", Outcome::Succeeded).await,
            }
        }
    }

    /// Ends the job `code` of the next build with this outcome. Returns the outcomes of `code` and `deploy`.
    async fn pair(&mut self, code: Outcome) -> (Outcome, Outcome) {
        let jobs = self.build(&[("code", code)]).await;
        (jobs["code"], jobs["deploy"])
    }

    async fn state(&self, branch: &str) -> Option<Outcome> {
        self.house.guild.branch("demo", branch).await.unwrap().outcome
    }

    /// Makes a branch with one commit, which changes its README. The master sees both at once.
    fn branch(&self, name: &str, from: &str) {
        self.house.repo.git(&["checkout", "-q", "--detach", from]);
        self.push("README", &format!("on {name}"));
        self.house.repo.git(&["branch", name]);
    }

    fn push(&self, file: &str, subject: &str) {
        let path = self.house.repo.path.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        self.house.repo.commit(file, subject, subject);
    }
}

/// An allowed failure is shown at its job. It is a warning for the build, for the branch and for jobs that need that job.
#[test]
fn a_job_that_may_fail_makes_no_branch_red() {
    use Outcome::{Failed, Succeeded, Warned};
    const MAY_FAIL: &str = "version = 1\n\
        [job.next]\nsource = \"none\"\nmay_fail = true\nrun = \"true\"\n\
        [job.package]\nsource = \"none\"\nneeds = [\"next\"]\nrun = \"true\"\n";
    run(async {
        let mut farm = Farm::open(MAY_FAIL).await;
        let jobs = farm.build(&[("next", Failed)]).await;
        assert_eq!((jobs["next"], jobs["package"]), (Failed, Succeeded));
        let build = farm.house.guild.build("demo", 1).await.unwrap();
        assert_eq!((build.outcome, farm.state("main").await), (Some(Warned), Some(Warned)));
        // the same job, when it may no longer fail
        let strict = MAY_FAIL.replace("may_fail = true\n", "");
        farm.house.repo.commit("guild.toml", &strict, "be strict");
        farm.build(&[("next", Failed)]).await;
        assert_eq!(farm.state("main").await, Some(Failed));
    });
}

#[test]
fn a_job_is_left_out_only_where_its_lane_is_good_and_nothing_it_names_changed() {
    use Outcome::{Cancelled, Errored, Failed, Skipped, Succeeded};
    run(async {
        let mut farm = Farm::open(PIPELINE).await;
        assert_eq!(farm.pair(Succeeded).await, (Succeeded, Succeeded));
        farm.push("README", "left out, and good for this content");
        assert_eq!(farm.pair(Succeeded).await, (Skipped, Succeeded));

        for (file, end) in [("src/a", Failed), ("src/b", Errored), ("src/c", Cancelled)] {
            farm.push(file, "does not end well");
            assert_eq!(farm.pair(end).await, (end, if end == Cancelled { Cancelled } else { Skipped }), "{file}");
            farm.push("README", &format!("behind {file}"));
            assert_eq!(farm.pair(Failed).await, (Failed, Skipped), "it runs again, behind {file}");
            assert_eq!(farm.state("main").await, Some(Failed));
            farm.push("README", &format!("far behind {file}"));
            assert_eq!(farm.pair(Succeeded).await, (Succeeded, Succeeded), "until it was good once");
        }

        for index in 0..MANY {
            std::fs::write(farm.house.repo.path.join(format!("a{index}")), "x").unwrap();
        }
        farm.push("src/z", "behind more paths than are listed");
        assert_eq!(farm.pair(Succeeded).await, (Succeeded, Succeeded));
        farm.house.repo.git(&["update-index", "--chmod=+x", "README"]);
        farm.house.repo.git(&["commit", "-qm", "a mode"]);
        farm.house.repo.git(&["checkout", "-q", "--", "."]);
        assert_eq!(farm.pair(Succeeded).await, (Succeeded, Succeeded), "the mode of a file");
        farm.push("README", "again");
        assert_eq!(farm.pair(Succeeded).await, (Skipped, Succeeded));
    });
}

#[test]
fn a_new_branch_is_compared_with_the_main_branch_where_they_parted() {
    use Outcome::{Failed, Skipped, Succeeded};
    run(async {
        let mut farm = Farm::open(PIPELINE).await;
        assert_eq!(farm.pair(Succeeded).await, (Succeeded, Succeeded));
        farm.push("src/a", "breaks");
        assert_eq!(farm.pair(Failed).await, (Failed, Skipped));
        farm.branch("from-bad", "main");
        assert_eq!(farm.pair(Succeeded).await, (Succeeded, Succeeded), "it runs where main was red");
        farm.branch("from-good", "main~1");
        assert_eq!(farm.pair(Succeeded).await, (Skipped, Succeeded));
        // HEAD stays detached, so that the main branch is still `main`
        farm.push("README", "a second time");
        farm.house.repo.git(&["branch", "-f", "from-good"]);
        assert_eq!(farm.pair(Succeeded).await, (Skipped, Succeeded), "still without a run of its own");
        farm.push("src/b", "a change of its own");
        farm.house.repo.git(&["branch", "-f", "from-good"]);
        assert_eq!(farm.pair(Succeeded).await, (Succeeded, Succeeded));
    });
}

#[test]
fn a_push_is_left_out_only_where_the_last_build_of_the_branch_was_good() {
    run(async {
        let trigger = "version = 1\n[trigger]\npaths = [\"src/\"]\n[job.a]\nsource = \"none\"\nrun = \"true\"\n";
        let mut farm = Farm::open(trigger).await;
        assert_eq!(farm.build(&[]).await.len(), 1, "the first is compared with nothing");
        farm.push("README", "left out");
        assert_eq!(farm.build(&[]).await.len(), 0);
        assert_eq!(farm.state("main").await, Some(Outcome::Succeeded), "nothing was built, so nothing changed");
        farm.push("src/a", "breaks");
        farm.build(&[("a", Outcome::Failed)]).await;
        farm.push("README", "is not left out");
        assert_eq!(farm.build(&[("a", Outcome::Cancelled)]).await["a"], Outcome::Cancelled);
        assert_eq!(farm.state("main").await, Some(Outcome::Failed), "what was cancelled changes nothing");
        farm.push("README", "nor is this");
        assert_eq!(farm.build(&[]).await["a"], Outcome::Succeeded);
        assert_eq!(farm.state("main").await, Some(Outcome::Succeeded));
        for index in 0..MANY {
            std::fs::write(farm.house.repo.path.join(format!("a{index}")), "x").unwrap();
        }
        farm.push("src/z", "behind more paths than are listed");
        assert_eq!(farm.build(&[]).await["a"], Outcome::Succeeded);
        farm.push("guild.toml", "this is not a pipeline");
        farm.build(&[]).await;
        assert_eq!(farm.state("main").await, Some(Outcome::Failed));
        farm.push("guild.toml", trigger);
        assert_eq!(farm.build(&[]).await.len(), 1, "what mends the pipeline is built");
        assert_eq!(farm.state("main").await, Some(Outcome::Succeeded));
    });
}

#[test]
fn a_branch_is_as_its_tip_and_the_main_one_is_what_head_names() {
    use Outcome::{Failed, Succeeded};
    run(async {
        let mut farm = Farm::open("version = 1\n[job.a]\nsource = \"none\"\nrun = \"true\"\n").await;
        farm.build(&[("a", Failed)]).await;
        farm.push("README", "mends it");
        farm.build(&[("a", Succeeded)]).await;
        farm.house.guild.retry("demo", 1, &client::Again::All).await.unwrap();
        farm.build(&[("a", Failed)]).await;
        assert_eq!(farm.state("main").await, Some(Succeeded), "the retry belongs to the older commit");
        let branch = farm.house.guild.branch("demo", "refs/heads/main").await.unwrap();
        assert_eq!((branch.tip, branch.lanes[0].build, branch.lanes[0].since), (2, 2, 0));

        farm.house.repo.git(&["branch", "-m", "develop"]);
        farm.build(&[("a", Succeeded)]).await;
        farm.house.repo.git(&["checkout", "-q", "-b", "wip"]);
        farm.push("README", "on another branch");
        farm.house.repo.git(&["checkout", "-q", "develop"]);
        let query = BuildQuery { project: "demo".to_owned(), limit: 9, ..BuildQuery::default() };
        let builds = async || farm.house.guild.builds(&query).await.unwrap().len();
        for _ in 0..200 {
            if builds().await >= 5 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        while farm.builds < 5 {
            farm.build(&[("a", Failed)]).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(farm.state("wip").await, Some(Failed));
        assert_eq!(farm.state("").await, Some(Succeeded), "the main branch is develop");
    });
}

/// A retry of a build decides `when` again for the jobs that it repeats (C11 in `tests/cases.tsv`).
#[test]
fn a_retry_runs_what_asks_for_a_retry() {
    use Outcome::{Failed, Skipped, Succeeded};
    run(async {
        let mut farm = Farm::open(
            "version = 1\n[defaults]\nsource = \"none\"\n[job.test]\nrun = \"true\"\n\
             [job.again]\nwhen = { cause = \"retry\" }\nrun = \"true\"\n\
             [job.first]\nwhen = { cause = [\"change\", \"run\"] }\nrun = \"true\"\n\
             [job.later]\nneeds = [\"first\"]\nrun = \"true\"\n",
        )
        .await;
        let outcomes = |jobs: &BTreeMap<String, Outcome>| ["test", "again", "first", "later"].map(|name| jobs[name]);
        assert_eq!(outcomes(&farm.build(&[("test", Failed)]).await), [Failed, Skipped, Succeeded, Succeeded]);
        let again = [
            (1, client::Again::All, [Succeeded, Succeeded, Skipped, Succeeded]),
            (1, client::Again::Failed, [Succeeded, Succeeded, Succeeded, Succeeded]),
            (1, client::Again::Jobs(vec!["again".to_owned()]), [Failed, Succeeded, Succeeded, Succeeded]),
            // this is a retry of a retry
            (2, client::Again::All, [Succeeded, Succeeded, Skipped, Succeeded]),
        ];
        for (number, again, expected) in again {
            farm.house.guild.retry("demo", number, &again).await.unwrap();
            assert_eq!(outcomes(&farm.build(&[]).await), expected, "{number} {again:?}");
        }
    });
}

#[test]
fn a_branch_without_a_pipeline_is_left_out_and_one_with_a_broken_one_is_red() {
    run(async {
        let mut farm = Farm::open("version = 1\n[job.a]\nsource = \"none\"\nrun = \"true\"\n").await;
        farm.build(&[]).await;
        farm.house.repo.git(&["checkout", "-q", "--orphan", "gh-pages"]);
        farm.house.repo.git(&["rm", "-qf", "guild.toml"]);
        farm.push("index.html", "pages");
        assert_eq!(farm.build(&[]).await.len(), 0);
        let view = farm.house.guild.build("demo", 2).await.unwrap();
        assert_eq!(view.outcome, Some(Outcome::Skipped));
        assert!(view.diagnosis.starts_with("there is no guild.toml at"), "{}", view.diagnosis);
        assert_eq!(farm.state("gh-pages").await, None, "nothing counts of it");
        farm.house.guild.run("demo", "refs/heads/gh-pages", "").await.unwrap();
        farm.build(&[]).await;
        assert_eq!(farm.house.guild.build("demo", 3).await.unwrap().outcome, Some(Outcome::Failed));
        assert_eq!(farm.state("gh-pages").await, None, "nor does what somebody asks for there");

        farm.house.repo.git(&["checkout", "-q", "main"]);
        farm.push("guild.toml", "this is not a pipeline");
        farm.build(&[]).await;
        assert_eq!(farm.state("main").await, Some(Outcome::Failed), "it cannot be read");
        farm.house.repo.git(&["checkout", "-q", "HEAD~1", "--", "guild.toml"]);
        farm.push("README", "mends it");
        farm.build(&[]).await;
        assert_eq!(farm.state("main").await, Some(Outcome::Succeeded));
    });
}
