//! Notices as people get them, by a command, by mail and by a webhook. The builds of many commits finish out of order, the master
//! crashes, receivers are down for a while, and some mailboxes do not exist.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use master::config::channel::WebhookConfig;
use master::config::{Config, MailConfig, Means, NoticeConfig, ProjectConfig, Recipient};
use master::decide::coordinator::record::Transition;
use schema::values::Outcome;
use schema::worker_capnp::lease;
use serde_json::{Value, json};
use sha2::Sha256;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::guild::{House, Played, Ruins, eventually, run, work};
use support::sink::Sink;

const PIPELINE: &str =
    "version = 1\n[job.lint]\nrun = \"true\"\n[job.test]\n[[job.test.step]]\nname = \"tests\"\nrun = \"false\"\n";
const MANUAL: &str = include_str!("../../docs/notices.md");
const AUTHORS: [&str; 5] = ["ann", "bob", "cat", "dan", "eve"];
/// The address of an author whose mailbox no longer exists.
const GONE: &str = "dan@example.org";

#[test]
fn one_notice_for_a_failure_and_one_for_its_fix() {
    let ruins = RefCell::new(None);
    let commits = RefCell::new(Vec::new());
    run(async {
        let (house, sink) = open(None).await;
        sink.is_open.set(false);
        let workers = workers(&house, 4).await;
        finish(take(&workers, 1).await, &[(1, "lint"), (1, "test")], &[]).await;
        // each commit is a build of its own, except that the sixth and the seventh are pushed together
        let mut leases = BTreeMap::new();
        for number in 1..=8 {
            push(&house, &commits, number);
            if number != 6 {
                leases.extend(take(&workers, build_of(number)).await);
            }
        }
        // the newest build finishes first
        let order: Vec<(u32, &str)> = (2..=8).rev().flat_map(|build| [(build, "test"), (build, "lint")]).collect();
        finish(leases, &order, &[(7, "test"), (8, "test")]).await;
        eventually("both tried to tell", || tries(&house) > 1 && sink.put_off.get() > 1).await;
        assert_eq!((told(&house).len(), sink.letters.borrow().len()), (0, 0), "nobody took it");
        assert_eq!(doctor_says(&house).await, ["warned", "warned", "good"], "nothing is fixed yet");
        ruins.replace(Some(house.ruins()));
    });
    run(async {
        // the events of this time are no longer kept, so the reporters must use the state of the lanes
        forget_events(ruins.borrow().as_ref().unwrap());
        let (house, sink) = open(ruins.take()).await;
        std::fs::write(house.state().join("open"), "").unwrap();
        eventually("both told the failure", || told(&house).len() == 1 && sink.letters.borrow().len() == 1).await;

        let workers = workers(&house, 2).await;
        let mut leases = BTreeMap::new();
        for number in 9..=10 {
            push(&house, &commits, number);
            leases.extend(take(&workers, build_of(number)).await);
        }
        finish(leases, &[(10, "test"), (10, "lint"), (9, "lint"), (9, "test")], &[]).await;
        eventually("both told the fix", || told(&house).len() == 2 && sink.letters.borrow().len() == 2).await;

        // now another lane fails; any further notice about the first one would come before this one
        push(&house, &commits, 11);
        finish(take(&workers, 11).await, &[(11, "test"), (11, "lint")], &[(11, "lint")]).await;
        eventually("both told the other", || told(&house).len() == 3 && sink.letters.borrow().len() == 3).await;
        assert_eq!(doctor_says(&house).await, ["good"; 3]);
        check_notices(&house, &commits.borrow());
        check_letters(&sink);
    });
}

/// A failure that was there when a branch began is not blamed on those who push to the branch (C34 in `tests/cases.tsv`).
#[test]
fn who_pushes_a_branch_from_a_red_commit_is_not_blamed() {
    run(async {
        let house = House::open_with(PIPELINE, |config| keep_told(config, "")).await;
        let workers = workers(&house, 1).await;
        finish(take(&workers, 1).await, &[(1, "lint"), (1, "test")], &[(1, "test")]).await;
        eventually("main was told", || told(&house).len() == 1).await;
        // the branch begins at the red commit, and bob adds another one; the same job fails for both
        let red = house.repo.git(&["rev-parse", "HEAD"]);
        house.repo.git(&["update-ref", "refs/heads/topic", &red]);
        finish(take(&workers, 2).await, &[(2, "lint"), (2, "test")], &[(2, "test")]).await;
        let topic = push_to(&house, "topic", "bob", &red);
        finish(take(&workers, 3).await, &[(3, "test"), (3, "lint")], &[(3, "test")]).await;
        // now bob breaks another job, and that is his
        push_to(&house, "topic", "bob", &topic);
        finish(take(&workers, 4).await, &[(4, "test"), (4, "lint")], &[(4, "test"), (4, "lint")]).await;
        eventually("topic was told", || told(&house).len() == 2).await;
        let told = told(&house);
        let of = |at: usize| (told[at]["branch"].clone(), names(&told[at], "jobs", "job"));
        assert_eq!((of(0), of(1)), ((json!("main"), strings(&["test"])), (json!("topic"), strings(&["lint"]))));
        assert_eq!(names(&told[1], "authors", "email"), strings(&["bob@example.org"]));
    });
}

/// There is one notice for all jobs that failed in a build, and one when the branch is good again, with all that failed meanwhile.
#[test]
fn one_notice_for_a_build_however_many_jobs_failed() {
    run(async {
        let house = House::open_with(PIPELINE, |config| keep_told(config, "")).await;
        let workers = workers(&house, 1).await;
        finish(take(&workers, 1).await, &[(1, "lint"), (1, "test")], &[(1, "test"), (1, "lint")]).await;
        let commits = RefCell::new(Vec::new());
        push(&house, &commits, 1);
        finish(take(&workers, 2).await, &[(2, "lint"), (2, "test")], &[(2, "test")]).await;
        push(&house, &commits, 2);
        finish(take(&workers, 3).await, &[(3, "lint"), (3, "test")], &[]).await;
        eventually("both were told", || told(&house).len() == 2).await;
        let told = told(&house);
        assert_eq!(names(&told[0], "jobs", "job"), strings(&["lint", "test"]));
        assert_eq!(names(&told[1], "jobs", "job"), strings(&["lint", "test"]));
        assert_eq!(
            (&told[1]["kind"], &told[1]["fixes"], &told[1]["build"]),
            (&json!("fixed"), &told[0]["id"], &json!(3))
        );
        let red = told[0]["commit"].as_str().unwrap();
        let commands = ["guild logs demo/1/lint", "guild logs demo/1/test", "guild retry demo/1"].map(str::to_owned);
        let commands =
            [commands.as_slice(), &[format!("git fetch && git checkout {red}")], &["true", "false"].map(str::to_owned)];
        let reproduce = told[0]["reproduce"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned());
        assert_eq!(reproduce.collect::<Vec<_>>(), commands.concat());
    });
}

/// If a commit has two builds, the notice names for each job the build in which it failed.
#[test]
fn a_job_is_told_with_the_build_in_which_it_failed() {
    run(async {
        let house = House::open_with(PIPELINE, |config| keep_told(config, "")).await;
        let workers = workers(&house, 1).await;
        let leases = take(&workers, 1).await;
        house.guild.run("demo", "refs/heads/main", "").await.unwrap();
        let others = take(&workers, 2).await;
        house.guild.cancel("demo", 2, "lint", "").await.unwrap();
        for ((_, job), lease) in &others {
            work(lease, b"", if job == "lint" { Outcome::Cancelled } else { Outcome::Failed }).await;
        }
        finish(leases, &[(1, "lint"), (1, "test")], &[(1, "lint")]).await;
        eventually("it was told", || told(&house).len() == 1).await;
        assert_eq!(names(&told(&house)[0], "jobs", "selector"), strings(&["demo/1/lint", "demo/2/test"]));
    });
}

/// A project whose notices cannot be sent holds back no other project (C74 in `tests/cases.tsv`).
#[test]
fn a_project_that_cannot_be_told_of_holds_back_no_other() {
    run(async {
        let change = |config: &mut Config| {
            let repo = config.projects["demo"].repo.clone();
            let other = ProjectConfig { poll: config.projects["demo"].poll, ..ProjectConfig::of(repo) };
            config.projects.insert("other".to_owned(), other);
            keep_told(config, "grep -q '\"project\":\"demo\"' notice.$$ && { echo tried >> tried; exit 1; }");
        };
        let house = House::open_with(PIPELINE, change).await;
        let workers = workers(&house, 1).await;
        for _ in 0..4 {
            let (_, lease) = workers[0].take().await;
            lease.accept_request().send().promise.await.unwrap();
            work(&lease, b"", Outcome::Failed).await;
        }
        let tried = || std::fs::read_to_string(house.state().join("tried")).unwrap_or_default().lines().count();
        eventually("one was told and the other is tried", || told(&house).len() == 1 && tried() > 1).await;
        assert_eq!(told(&house)[0]["project"], "other");
        assert_eq!(doctor_says(&house).await, ["warned"], "what goes well does not hide what fails");
    });
}

/// A full mailbox holds back nobody else, and the master tries it again (C15 in `tests/cases.tsv`).
#[test]
fn a_mailbox_that_is_full_holds_back_nobody() {
    run(async {
        let sink = Sink::open(GONE).await;
        sink.full.replace("full@example.org".to_owned());
        let port = sink.port;
        let house = House::open_with(PIPELINE, |config| {
            let to = ["full@example.org", "team@example.org"].map(|to| Recipient::Address(to.to_owned()));
            let from = "Guild <guild@example.org>".to_owned();
            config.mail = Some(MailConfig { host: "127.0.0.1".to_owned(), port, from, login: None });
            config.notices = vec![of_all(Means::Mail(to.to_vec()))];
        })
        .await;
        let workers = workers(&house, 1).await;
        finish(take(&workers, 1).await, &[(1, "lint"), (1, "test")], &[(1, "test")]).await;
        let commits = RefCell::new(Vec::new());
        push(&house, &commits, 1);
        finish(take(&workers, 2).await, &[(2, "lint"), (2, "test")], &[]).await;
        eventually("both mails came", || sink.letters.borrow().len() == 2).await;
        let to: Vec<Vec<String>> = sink.letters.borrow().iter().map(|letter| letter.to.clone()).collect();
        assert_eq!(to, [strings(&["team@example.org"]), strings(&["team@example.org"])]);
        assert_eq!(doctor_says(&house).await, ["warned"]);
    });
}

/// A webhook is signed and tried until the receiver takes it. Until then the doctor warns of it.
#[test]
fn a_webhook_is_signed_and_tried_until_it_is_taken() {
    run(async {
        let receiver = Receiver::open();
        let house = House::open_with(PIPELINE, |config| {
            let url = receiver.url.clone();
            let secret_file = config.state.parent().unwrap().join("webhook.secret");
            std::fs::write(&secret_file, format!("whsec_{}\n", BASE64.encode(SECRET))).unwrap();
            config.notices = vec![of_all(Means::Webhook(WebhookConfig { url, secret_file, private: false }))];
        })
        .await;
        let workers = workers(&house, 1).await;
        finish(take(&workers, 1).await, &[(1, "lint"), (1, "test")], &[(1, "test")]).await;
        eventually("it was tried", || receiver.heard.lock().unwrap().len() > 1).await;
        assert_eq!(doctor_says(&house).await, ["warned"]);
        receiver.is_open.store(true, Ordering::Relaxed);
        eventually("it was taken", || receiver.heard.lock().unwrap().iter().any(|heard| heard.is_taken)).await;
        let heard = receiver.heard.lock().unwrap();
        assert!(heard.iter().all(|heard| heard.is_genuine && heard.body["id"] == heard.id), "{heard:#?}");
        assert!(heard.iter().all(|other| other.body == heard[0].body), "each try says the same");
        assert_eq!((&heard[0].body["kind"], &heard[0].body["job"]), (&json!("newly-failing"), &json!("test")));
    });
}

const SECRET: &[u8] = b"a secret of thirty-two bytes ...";

/// `Heard` is one request as the receiver understood it.
#[derive(Debug)]
struct Heard {
    id: String,
    body: Value,
    is_genuine: bool,
    is_taken: bool,
}

/// `Receiver` is a web server that checks signatures as `docs/notices.md` says. It refuses requests until it is opened.
struct Receiver {
    url: String,
    is_open: Arc<AtomicBool>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Receiver {
    /// Starts the server. Its thread ends with the process.
    fn open() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hooks/guild?room=1", listener.local_addr().unwrap());
        let receiver = Receiver { url, is_open: Arc::default(), heard: Arc::default() };
        let (is_open, heard) = (receiver.is_open.clone(), receiver.heard.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                heard.lock().unwrap().push(receive(stream.unwrap(), is_open.load(Ordering::Relaxed)));
            }
        });
        receiver
    }
}

fn receive(stream: TcpStream, is_taken: bool) -> Heard {
    let mut stream = BufReader::new(stream);
    let (mut headers, mut line) = (BTreeMap::new(), String::new());
    while stream.read_line(&mut line).unwrap() > 2 {
        let (name, value) = line.trim_end().split_once(' ').unwrap();
        headers.insert(name.trim_end_matches(':').to_lowercase(), value.to_owned());
        line.clear();
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    let status = if is_taken { "204 No Content" } else { "503 Busy" };
    stream.get_mut().write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(format!("{}.{}.", headers["webhook-id"], headers["webhook-timestamp"]).as_bytes());
    mac.update(&body);
    let signature = format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()));
    let is_genuine = headers["webhook-signature"] == signature;
    Heard { id: headers["webhook-id"].clone(), body: serde_json::from_slice(&body).unwrap(), is_genuine, is_taken }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Returns one field of each element of a list in a notice.
fn names(notice: &Value, list: &str, field: &str) -> Vec<String> {
    notice[list].as_array().unwrap().iter().map(|it| it[field].as_str().unwrap().to_owned()).collect()
}

fn push_to(house: &House, branch: &str, name: &str, before: &str) -> String {
    let author = [format!("user.name={name}"), format!("user.email={name}@example.org")];
    let made = ["commit-tree", "HEAD^{tree}", "-p", before, "-m", "more"];
    let made = house.repo.git(&[&["-c", &author[0], "-c", &author[1]], made.as_slice()].concat());
    house.repo.git(&["update-ref", &format!("refs/heads/{branch}"), &made]);
    made
}

/// Returns the verdict of the doctor on each reporter.
async fn doctor_says(house: &House) -> Vec<&'static str> {
    let findings = house.guild.examine().await.unwrap();
    let of_reporters = findings.iter().filter(|finding| finding.subject.starts_with("notices by "));
    of_reporters.map(|finding| finding.verdict.word()).collect()
}

/// Checks the notices that the command got.
fn check_notices(house: &House, commits: &[String]) {
    let told = told(house);
    let [failing, fixed, other] = told.as_slice() else { panic!("{told:#?}") };
    let at = |number: usize| Value::from(commits[number - 1].clone());
    let names = |notice: &Value, key: &str| -> Vec<String> {
        let list = notice[key].as_array().unwrap().iter();
        list.map(|it| it["email"].as_str().or(it["subject"].as_str()).unwrap().to_owned()).collect()
    };
    assert_eq!(
        [&failing["kind"], &failing["job"], &failing["selector"], &failing["branch"], &failing["build"]],
        [&json!("newly-failing"), &json!("test"), &json!("demo/7/test"), &json!("main"), &json!(7)]
    );
    assert_eq!((&failing["commit"], &failing["last_good"]["commit"]), (&at(7), &at(5)));
    assert_eq!((&failing["last_good"]["build"], &failing["commits_left_out"]), (&json!(6), &json!(0)));
    assert_eq!(names(failing, "commits"), ["commit 7", "commit 6"]);
    assert_eq!(names(failing, "authors"), ["bob@example.org", "ann@example.org"]);
    let step = json!({"number": 1, "name": "tests", "exit": "did not run", "command": "false", "failing_tests": [], "failing_test_count": 0});
    assert_eq!(failing["step"], step);
    assert_eq!(failing["log"], "of build 7: no way", "without what steers a terminal");
    assert_eq!(failing["url"], "https://ci.example.org/p/demo/7/test");

    assert_eq!((&fixed["kind"], &fixed["commit"], &fixed["fixes"]), (&json!("fixed"), &at(9), &failing["id"]));
    assert_eq!((&fixed["last_bad"]["commit"], &fixed["last_good"]), (&at(8), &Value::Null));
    assert_eq!(names(fixed, "authors"), [GONE]);
    assert_eq!((&other["job"], &other["commit"]), (&json!("lint"), &at(11)));

    // a notice is sent at least once, with the same id each time
    let tries = lines(&house.state().join("tries"));
    assert!(tries.len() > 3, "{tries:?}");
    assert!(tries.iter().all(|line| told.contains(line)), "each try says the same");
    // the program that the manual shows keeps each notice once
    let kept = house.state().join("notices");
    for notice in &told {
        let file = kept.join(format!("{}.json", notice["id"].as_str().unwrap()));
        assert_eq!(lines(&file), std::slice::from_ref(notice));
    }
    assert_eq!(std::fs::read_dir(kept).unwrap().count(), 3);
}

/// Checks the letters that arrived by mail.
fn check_letters(sink: &Sink) {
    let letters = sink.letters.borrow();
    let told: Vec<(Vec<&str>, &str)> = letters
        .iter()
        .map(|letter| {
            let subject = letter.text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap();
            (
                letter.to.iter().map(String::as_str).collect(),
                subject.split(" since ").next().unwrap().split(" by ").next().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (vec!["bob@example.org", "ann@example.org", "team@example.org"], "[demo] test failing"),
            // the mailbox of the other recipient is refused permanently
            (vec!["team@example.org"], "[demo] test fixed"),
            (vec!["ann@example.org", "team@example.org"], "[demo] lint failing"),
        ]
    );
    assert!(letters[0].text.contains("\n\nCommits since it was good:\n\n"), "{}", letters[0].text);
    assert!(letters[0].text.contains("    of build 7: no way\n"), "{}", letters[0].text);
    let id = |text: &str, name: &str| text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
    assert_eq!(id(&letters[1].text, "In-Reply-To: "), id(&letters[0].text, "Message-ID: "));
}

fn forget_events(ruins: &Ruins) {
    let database = rusqlite::Connection::open(ruins.state.join(master::keep::store::DATABASE_FILE)).unwrap();
    database.busy_timeout(Duration::from_secs(5)).unwrap();
    database.execute("delete from events", []).unwrap();
}

/// Opens a new house, or one on what is left of an earlier one.
async fn open(ruins: Option<Ruins>) -> (House, Sink) {
    let sink = Sink::open(GONE).await;
    let port = sink.port;
    let house = match ruins {
        None => House::open_with(PIPELINE, |config| tell(config, port)).await,
        Some(ruins) => House::open_again(ruins, |config| tell(config, port)).await,
    };
    (house, sink)
}

fn tell(config: &mut Config, port: u16) {
    let script = MANUAL.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let keep = program(&config.state, "keep", script);
    let tell = "#!/bin/sh\ncat > notice\ncat notice >> tries\necho >> tries\n\
                [ -e open ] || { echo 'not yet' >&2; exit 1; }\ncat notice >> told\necho >> told\n";
    let tell = program(&config.state, "tell", tell);
    let to = vec![Recipient::Blame, Recipient::Address("team@example.org".to_owned())];
    let entry = |by| NoticeConfig { branches: vec!["main".to_owned()], ..of_all(by) };
    config.url = "https://ci.example.org".to_owned();
    config.notices = vec![entry(Means::Command(vec![tell])), entry(Means::Mail(to)), entry(Means::Command(vec![keep]))];
    let from = "Guild <guild@example.org>".to_owned();
    config.mail = Some(MailConfig { host: "127.0.0.1".to_owned(), port, from, login: None });
}

fn of_all(by: Means) -> NoticeConfig {
    let all = || vec!["*".to_owned()];
    NoticeConfig {
        events: vec![Transition::NewlyFailing, Transition::Fixed],
        by,
        projects: all(),
        branches: all(),
        remind: None,
    }
}

/// Configures a command as the reporter. It keeps each notice, except for those that the shell command `refused` refuses.
fn keep_told(config: &mut Config, refused: &str) {
    let text = format!("#!/bin/sh\ncat > notice.$$\n{refused}\n{{ cat notice.$$; echo; }} >> told\n");
    let tell = program(&config.state, "tell", &text);
    config.notices = vec![of_all(Means::Command(vec![tell]))];
}

fn program(state: &Path, name: &str, text: &str) -> String {
    // the path must be the same after a restart, because a reporter is known by its command
    let path = state.parent().unwrap().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_string_lossy().into_owned()
}

/// Returns the build of a commit. The first commit of the repository is build 1 and has no number here; the sixth commit after it
/// has no build of its own.
fn build_of(commit: u32) -> u32 {
    if commit < 6 { commit + 1 } else { commit }
}

fn push(house: &House, commits: &RefCell<Vec<String>>, number: u32) {
    let made = commit(house, number, commits.borrow().last());
    commits.borrow_mut().push(made);
}

/// Makes a commit and pushes it, except for the sixth, which is pushed together with the seventh.
fn commit(house: &House, number: u32, before: Option<&String>) -> String {
    let name = AUTHORS[(number as usize - 1) % AUTHORS.len()];
    let author = [format!("user.name={name}"), format!("user.email={name}@example.org")];
    let before = before.cloned().unwrap_or_else(|| house.repo.git(&["rev-parse", "HEAD"]));
    let made = ["commit-tree", "HEAD^{tree}", "-p", &before, "-m", &format!("commit {number}")];
    let made = house.repo.git(&[&["-c", &author[0], "-c", &author[1]], made.as_slice()].concat());
    if number != 6 {
        house.repo.git(&["update-ref", "refs/heads/main", &made]);
    }
    made
}

async fn workers(house: &House, count: usize) -> Vec<Played> {
    let mut workers = Vec::new();
    for _ in 0..count {
        workers.push(
            house.worker(&format!("anvil-{}", house.address().replace(':', "-") + &workers.len().to_string())).await,
        );
    }
    workers
}

type Leases = BTreeMap<(u32, String), lease::Client>;

/// Takes both jobs of a build and begins them.
async fn take(workers: &[Played], build: u32) -> Leases {
    let mut leases = BTreeMap::new();
    for _ in 0..2 {
        let (assignment, lease) = workers[build as usize % workers.len()].take().await;
        assert_eq!(assignment.build, build);
        lease.accept_request().send().promise.await.unwrap();
        leases.insert((build, assignment.job.name), lease);
    }
    leases
}

async fn finish(mut leases: Leases, order: &[(u32, &str)], failing: &[(u32, &str)]) {
    for (build, job) in order {
        let lease = leases.remove(&(*build, (*job).to_owned())).unwrap();
        let outcome = if failing.contains(&(*build, *job)) { Outcome::Failed } else { Outcome::Succeeded };
        work(&lease, format!("of build {build}: \u{1b}[31mno way\u{1b}[0m\n").as_bytes(), outcome).await;
    }
    assert!(leases.is_empty());
}

fn told(house: &House) -> Vec<Value> {
    lines(&house.state().join("told"))
}

fn tries(house: &House) -> usize {
    lines(&house.state().join("tries")).len()
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // the last line may be incomplete, because it is being written or its writer was killed
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).flat_map(serde_json::from_str).collect()
}
