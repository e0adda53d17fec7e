//! Who may have broken a branch, a build and a test, as people and programs see it. The repositories and pushes are real, and a played
//! worker ends each job as the test says.

use client::views::RedRange;
use client::{Events, SuspectQuery, TestQuery, Told};
use master::config::{Config, Means, NoticeConfig};
use master::decide::coordinator::record::Transition;
use reports::{TestId, TestList, TestOutcome, TestResult};
use schema::values::{Cursor, Fact, Filter, GrantKind, Outcome, Right, Time, What};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use support::guild::{House, Played, eventually, run, work};
use support::http::get;
use support::tested;

const PIPELINE: &str =
    "version = 1\n[job.lint]\nsource = \"none\"\nrun = \"true\"\n[job.test]\nsource = \"none\"\nrun = \"true\"\n";

async fn open(pipeline: &str) -> (House, Played) {
    let house = House::open_with(pipeline, |config| {
        config.listen.web = Some("127.0.0.1:0".to_owned());
        config.projects.get_mut("demo").unwrap().public = true;
    })
    .await;
    let worker = house.worker("anvil").await;
    (house, worker)
}

/// Makes a commit of this author on top of another one. No ref has it yet, so that several can be pushed at once.
fn made(house: &House, parent: &str, author: &str, message: &str) -> String {
    let email = format!("user.email={}@example.org", author.to_lowercase());
    let name = format!("user.name={author}");
    house.repo.git(&["-c", &name, "-c", &email, "commit-tree", "HEAD^{tree}", "-p", parent, "-m", message])
}

fn push(house: &House, branch: &str, commit: &str) {
    house.repo.git(&["update-ref", &format!("refs/heads/{branch}"), commit]);
}

/// Pushes one commit to the main branch.
fn commit(house: &House, author: &str, subject: &str) {
    push(house, "main", &made(house, "HEAD", author, subject));
}

type Leases = BTreeMap<(u32, String), schema::worker_capnp::lease::Client>;

/// Takes the jobs of the next build, without ending them.
async fn take(worker: &Played, jobs: usize) -> Leases {
    let mut leases = Leases::new();
    for _ in 0..jobs {
        let (assignment, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        leases.insert((assignment.build, assignment.job.name.clone()), lease);
    }
    leases
}

async fn suspects(house: &House, query: SuspectQuery) -> Vec<RedRange> {
    let query = SuspectQuery { project: "demo".to_owned(), ..query };
    house.guild.suspects(&query).await.unwrap().0
}

async fn end(house: &House, leases: Leases, bad: &[(u32, &str)]) {
    let builds: Vec<u32> = leases.keys().map(|(build, _)| *build).collect();
    for ((build, job), lease) in leases.into_iter().rev() {
        let is_bad = bad.contains(&(build, job.as_str()));
        work(&lease, b"", if is_bad { Outcome::Failed } else { Outcome::Succeeded }).await;
    }
    for build in builds {
        house.guild.outcome("demo", build).await.unwrap();
    }
}

fn subjects(range: &RedRange) -> Vec<(&str, &str)> {
    range.suspects.iter().map(|suspect| (suspect.subject.as_str(), suspect.kind.as_str())).collect()
}

/// Builds finish in the reverse order, two commits are pushed together, and a commit and its revert cancel each other.
#[test]
fn suspects_are_the_commits_between_good_and_bad() {
    run(async {
        let (house, worker) = open(PIPELINE).await;
        end(&house, take(&worker, 2).await, &[]).await;
        assert!(suspects(&house, SuspectQuery::default()).await.is_empty(), "nothing fails");
        let wrong = made(&house, "HEAD", "Ann", "a wrong turn");
        let message = format!("Revert \"a wrong turn\"\n\nThis reverts commit {wrong}.");
        let revert = made(&house, &wrong, "Ann", &message);
        let breaks = made(&house, &revert, "Bob", "breaks it");
        push(&house, "main", &made(&house, &breaks, "Cat", "is pushed with it"));
        let mut leases = take(&worker, 2).await;
        commit(&house, "Dan", "comes too late");
        leases.extend(take(&worker, 2).await);
        end(&house, leases, &[(2, "test"), (2, "lint"), (3, "test")]).await;

        let now = suspects(&house, SuspectQuery::default()).await;
        assert_eq!(now.len(), 1, "the lint is good again: {now:?}");
        let range = &now[0];
        assert_eq!((range.jobs.as_slice(), range.first_bad, range.last_good), (["test".to_owned()].as_slice(), 2, 1));
        assert_eq!((range.kind.as_str(), range.ref_name.as_str()), ("exact", "refs/heads/main"));
        let wanted = [
            ("is pushed with it", "between"),
            ("breaks it", "between"),
            ("Revert \"a wrong turn\"", "undone"),
            ("a wrong turn", "undone"),
        ];
        assert_eq!(subjects(range), wanted);
        assert_eq!(range.suspects[1].author, "Bob <bob@example.org>");
        let then = suspects(&house, SuspectQuery { build: 2, ..SuspectQuery::default() }).await;
        assert_eq!((then.len(), then[0].jobs.join(" ")), (1, "lint test".to_owned()), "both broke in the same build");
        let of_job = suspects(&house, SuspectQuery { job: "lint".to_owned(), ..SuspectQuery::default() }).await;
        assert!(of_job.is_empty(), "it is good now");

        let page = get(&format!("http://{}", house.web), "/p/demo/2", &[]).await.text();
        for text in ["Who may have broken it", "breaks it", "Bob", "last good", "undoes them"] {
            assert!(page.contains(text), "{text} is not in {page}");
        }
        let good = get(&format!("http://{}", house.web), "/p/demo/1", &[]).await.text();
        assert!(!good.contains("Who may have broken it"), "{good}");
    });
}

/// A branch from a red main branch broke nothing. A branch from a good one has its own commits as suspects, whatever main does later.
#[test]
fn what_was_red_before_a_branch_is_not_its_fault() {
    run(async {
        let (house, worker) = open(PIPELINE).await;
        end(&house, take(&worker, 2).await, &[]).await;
        let good = house.repo.git(&["rev-parse", "HEAD"]);
        commit(&house, "Ann", "breaks main");
        end(&house, take(&worker, 2).await, &[(2, "test")]).await;
        push(&house, "late", &made(&house, "HEAD", "Eve", "on a red main"));
        end(&house, take(&worker, 2).await, &[(3, "test")]).await;
        push(&house, "early", &made(&house, &good, "Eve", "on a good main"));
        end(&house, take(&worker, 2).await, &[(4, "test")]).await;

        let of = async |name: &str| {
            suspects(&house, SuspectQuery { ref_name: name.to_owned(), ..SuspectQuery::default() }).await
        };
        let late = of("late").await;
        assert_eq!((late[0].kind.as_str(), late[0].red_before, late[0].suspects.len()), ("inherited", 2, 0));
        let early = of("early").await;
        assert_eq!((early[0].kind.as_str(), early[0].last_good), ("exact", 1));
        assert_eq!(subjects(&early[0]), [("on a good main", "only")]);
        let query = SuspectQuery { project: "demo".to_owned(), build: 99, ..SuspectQuery::default() };
        assert!(house.guild.suspects(&query).await.unwrap_err().is_not_found());
    });
}

fn list(passed: bool) -> TestList {
    let outcome = if passed { TestOutcome::Passed } else { TestOutcome::Failed };
    let id = TestId { suite: "a.B".to_owned(), name: "wavers".to_owned(), parameters: String::new() };
    TestList { results: vec![TestResult { id, outcome, ..TestResult::default() }], trouble: String::new() }
}

/// A test that fails later than its job has suspects of its own.
#[test]
fn a_test_has_suspects_of_its_own() {
    run(async {
        let (house, worker) = open("version = 1\n[job.t]\nrun = \"true\"\njunit = \"t.xml\"\n").await;
        tested::work(&worker, &list(true)).await;
        for (subject, passed) in [("is good", true), ("breaks the test", false), ("comes too late", false)] {
            commit(&house, "Ann", subject);
            tested::work(&worker, &list(passed)).await;
        }
        house.guild.outcome("demo", 4).await.unwrap();
        let tests = TestQuery { project: "demo".to_owned(), ..TestQuery::default() };
        let mut found = house.guild.tests(&tests).await.unwrap().tests;
        while found.first().and_then(|test| test.results.first()).is_none_or(|point| point.build < 4) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            found = house.guild.tests(&tests).await.unwrap().tests;
        }
        let query = SuspectQuery { job: "t".to_owned(), test: found[0].number, ..SuspectQuery::default() };
        let ranges = suspects(&house, query.clone()).await;
        assert_eq!((ranges[0].first_bad, ranges[0].last_good), (3, 2));
        assert_eq!(subjects(&ranges[0]), [("breaks the test", "only")]);
        let without = SuspectQuery { project: "demo".to_owned(), job: String::new(), ..query };
        let refused = house.guild.suspects(&without).await.unwrap_err().to_string();
        assert!(refused.contains("without a job"), "{refused}");
    });
}

/// Returns the claim of the job `test` of the main branch: who made it, and what that person says.
async fn claim(house: &House) -> Option<(String, String)> {
    let branch = house.guild.branch("demo", "").await.unwrap();
    let lane = branch.lanes.into_iter().find(|lane| lane.job == "test")?;
    lane.claim.map(|claim| (claim.name, claim.reason))
}

/// The events about claims, in their order.
struct Claims {
    events: Events,
    heard: VecDeque<Fact>,
}

impl Claims {
    fn of(house: &House) -> Claims {
        let kinds = vec!["claimed".to_owned(), "claimReleased".to_owned()];
        let filter = Filter { kinds, ..Filter::default() };
        Claims { events: Events::new(&house.guild, filter, Cursor::default()), heard: VecDeque::new() }
    }

    /// Waits for the next event, and returns whether it is the end of a claim, and its reason.
    async fn next(&mut self) -> (bool, String) {
        loop {
            match self.heard.pop_front() {
                Some(Fact::Claimed { reason, .. }) => return (false, reason),
                Some(Fact::ClaimReleased { reason, .. }) => return (true, reason),
                Some(_) => {}
                None => match self.events.next().await.unwrap() {
                    Told::Events { events, .. } => self.heard.extend(events.into_iter().map(|event| event.fact)),
                    Told::Gap { .. } => {}
                },
            }
        }
    }
}

/// A claim is shown wherever the branch is, survives a crash of the master, and ends when the job is good again. It needs a right.
#[test]
fn a_person_looks_after_a_red_job_until_it_is_good() {
    let ruins = RefCell::new(None);
    run(async {
        let (house, worker) = open(PIPELINE).await;
        end(&house, take(&worker, 2).await, &[]).await;
        let early = house.guild.claim("demo", "", "test", None, "too early").await.unwrap_err().to_string();
        assert!(early.contains("is not red"), "{early}");
        commit(&house, "Ann", "breaks it");
        end(&house, take(&worker, 2).await, &[(2, "test")]).await;
        let late = Some(Time(1));
        assert!(house.guild.claim("demo", "", "test", late, "").await.unwrap_err().to_string().contains("the future"));
        assert!(house.guild.claim("demo", "", "none", None, "").await.unwrap_err().is_not_found());
        assert!(house.guild.release_claim("demo", "main", "test").await.unwrap_err().is_not_found());
        assert_eq!(claim(&house).await, None);

        let what =
            What { may: [Right::View].into(), projects: ["demo".to_owned()].into_iter().collect(), ..What::default() };
        let (reference, identity) = house.enroll(GrantKind::User, "eve", what).await;
        let eve = client::Guild::connect(reference, std::rc::Rc::new(identity)).await.unwrap();
        let refused = eve.claim("demo", "main", "test", None, "I look").await.unwrap_err().to_string();
        assert!(refused.contains("not"), "{refused}");

        house.guild.claim("demo", "main", "test", None, "it is the parser").await.unwrap();
        let (name, reason) = claim(&house).await.unwrap();
        assert_eq!(reason, "it is the parser");
        let page = get(&format!("http://{}", house.web), "/p/demo", &[]).await.text();
        assert!(page.contains(&format!("{name} looks after it: it is the parser")), "{page}");
        ruins.replace(Some(house.ruins()));
    });
    run(async {
        let house = House::open_again(ruins.take().unwrap(), |_| {}).await;
        assert!(claim(&house).await.is_some(), "it was kept");
        let mut claims = Claims::of(&house);
        assert_eq!(claims.next().await, (false, "it is the parser".to_owned()));
        let worker = house.worker("bellows").await;
        commit(&house, "Ann", "is still bad");
        end(&house, take(&worker, 2).await, &[(3, "test")]).await;
        assert!(claim(&house).await.is_some());
        commit(&house, "Ann", "mends it");
        end(&house, take(&worker, 2).await, &[]).await;
        assert_eq!(claims.next().await, (true, "build 4 is good".to_owned()));
        assert_eq!(claim(&house).await, None);
        commit(&house, "Ann", "breaks it again");
        end(&house, take(&worker, 2).await, &[(5, "test")]).await;
        house.guild.claim("demo", "main", "test", None, "again").await.unwrap();
        house.guild.release_claim("demo", "main", "test").await.unwrap();
        assert_eq!(claims.next().await, (false, "again".to_owned()));
        assert!(claims.next().await.1.ends_with("released it"));
        let soon = Time(now().0 + 1_500);
        house.guild.claim("demo", "main", "test", Some(soon), "until soon").await.unwrap();
        assert_eq!(claims.next().await, (false, "until soon".to_owned()));
        assert!(claims.next().await.1.contains("time is over"));
        assert_eq!(claim(&house).await, None);
    });
}

fn now() -> Time {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time(u64::try_from(now.as_millis()).unwrap())
}

/// The time between two reminders of the test.
const EVERY: Duration = Duration::from_millis(1_500);

fn remind(config: &mut Config) {
    // The program has the same path after a restart, because its path is a part of the name of the reporter.
    let program = config.state.parent().unwrap().join("tell");
    std::fs::write(&program, "#!/bin/sh\ncat >> told\necho >> told\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let all = || vec!["*".to_owned()];
    config.notices = vec![NoticeConfig {
        events: vec![Transition::NewlyFailing, Transition::Fixed],
        by: Means::Command(vec![program.to_str().unwrap().to_owned()]),
        projects: all(),
        branches: all(),
        remind: Some(EVERY),
    }];
}

/// Returns the notices that were sent so far.
fn sent(house: &House) -> Vec<Value> {
    let text = std::fs::read_to_string(house.state().join("told")).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// People are reminded of a red branch once in each span, also over a restart, and not while somebody looks after it.
#[test]
fn people_are_reminded_until_it_is_claimed_or_good() {
    let ruins = RefCell::new(None);
    run(async {
        let house = House::open_with(PIPELINE, remind).await;
        let worker = house.worker("anvil").await;
        end(&house, take(&worker, 2).await, &[]).await;
        commit(&house, "Bob", "breaks it");
        end(&house, take(&worker, 2).await, &[(2, "test")]).await;
        eventually("a reminder was sent", || sent(&house).len() == 2).await;
        let told = sent(&house);
        assert_eq!((&told[0]["reminds"], &told[1]["reminds"]), (&Value::Null, &told[0]["id"]));
        assert_eq!((&told[1]["kind"], &told[1]["authors"]), (&Value::from("newly-failing"), &told[0]["authors"]));
        assert_ne!(told[0]["id"], told[1]["id"]);
        ruins.replace(Some(house.ruins()));
    });
    run(async {
        let house = House::open_again(ruins.take().unwrap(), remind).await;
        eventually("another reminder was sent", || sent(&house).len() == 3).await;
        house.guild.claim("demo", "main", "test", None, "I look").await.unwrap();
        tokio::time::sleep(3 * EVERY).await;
        let ids: BTreeSet<String> = sent(&house).iter().map(|notice| notice["id"].to_string()).collect();
        assert_eq!((sent(&house).len(), ids.len()), (3, 3), "nobody is reminded twice, or of what is claimed");
        house.guild.release_claim("demo", "main", "test").await.unwrap();
        eventually("the reminders go on", || sent(&house).len() == 4).await;
        let worker = house.worker("bellows").await;
        commit(&house, "Bob", "mends it");
        end(&house, take(&worker, 2).await, &[]).await;
        eventually("the fix is told", || sent(&house).last().unwrap()["kind"] == "fixed").await;
        let count = sent(&house).len();
        tokio::time::sleep(2 * EVERY).await;
        assert_eq!(sent(&house).len(), count, "it is good");
        assert_eq!(sent(&house)[count - 1]["fixes"], sent(&house)[0]["id"]);
    });
}

/// A reminder of a branch that was never good goes to the people of the first notice, whom the main branch helps to find.
#[test]
fn a_reminder_goes_to_the_people_of_the_first_notice() {
    run(async {
        let house = House::open_with(PIPELINE, remind).await;
        let worker = house.worker("anvil").await;
        end(&house, take(&worker, 2).await, &[]).await;
        let first = made(&house, "HEAD", "Cid", "breaks it");
        push(&house, "dev", &made(&house, &first, "Dan", "goes on"));
        end(&house, take(&worker, 2).await, &[(2, "test")]).await;
        eventually("a reminder was sent", || sent(&house).len() == 2).await;
        let told = sent(&house);
        assert_eq!(told[0]["authors"].as_array().map(Vec::len), Some(2), "{}", told[0]);
        assert_eq!(told[1]["reminds"], told[0]["id"]);
        assert_eq!(told[1]["authors"], told[0]["authors"]);
    });
}
