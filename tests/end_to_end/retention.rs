//! Retention as people see it, over TLS: what was removed is not found, and the error says why. A build to which a retry refers
//! stays. A request that is repeated gets its old answer.

use client::{Again, BuildQuery, Error, LogAddress, Tail, Until};
use master::config::Retain;
use master::keep::store::DATABASE_FILE;
use master::program::retention::{Passed, Retention};
use schema::perspective_capnp::submitter;
use schema::values::{GrantKind, Outcome, State, What};
use schema::wire;
use std::time::Duration;
use support::guild::{House, Played, perspective, run, work};

const PIPELINE: &str = "version = 1\n[job.good]\nrun = \"true\"\n[job.bad]\nrun = \"false\"\n";
const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn what_retention_took_is_told() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        for _ in 0..2 {
            play(&worker).await;
        }
        house.guild.outcome("demo", 1).await.unwrap();
        // the retry refers to the job that succeeded in the first build
        assert_eq!(house.guild.retry("demo", 1, &Again::Failed).await.unwrap(), 2);
        play(&worker).await;
        assert_eq!(house.guild.outcome("demo", 2).await.unwrap(), Outcome::Failed);
        age(&house);

        keep(&house, Retain { builds: 1, ..Retain::default() }).await;
        assert_eq!(house.guild.build("demo", 1).await.unwrap().state, State::Finished, "a kept retry refers to it");
        assert_eq!(read(&house, 2, "good").await.unwrap(), b"good\n");

        keep(&house, Retain { logs: DAY, ..Retain::default() }).await;
        for (number, job) in [(1, "good"), (1, "bad"), (2, "good"), (2, "bad")] {
            let error = read(&house, number, job).await.unwrap_err();
            let of = if job == "good" { 1 } else { number };
            let wanted =
                format!("the logs of demo/{of} were removed by retention: `limits.retain.logs` keeps them for 1d");
            assert_eq!((error.exit_code(), error.to_string()), (7, wanted));
        }

        // a retry of all jobs refers to no other build, so the other builds may be removed
        assert_eq!(house.guild.retry("demo", 2, &Again::All).await.unwrap(), 3);
        for _ in 0..2 {
            play(&worker).await;
        }
        house.guild.outcome("demo", 3).await.unwrap();
        age(&house);
        keep(&house, Retain { builds: 1, ..Retain::default() }).await;
        for number in [1, 2] {
            assert_eq!(house.guild.build("demo", number).await.unwrap_err().exit_code(), 7);
            assert_eq!(house.guild.retry("demo", number, &Again::All).await.unwrap_err().exit_code(), 7);
        }
        assert_eq!(read(&house, 3, "good").await.unwrap(), b"good\n");
        assert_eq!(house.guild.run("demo", "main", "").await.unwrap(), 4, "numbers are not used again");
    });
}

#[test]
fn a_request_that_was_answered_is_answered_again_whatever_went() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        let (reference, identity) = house.enroll(GrantKind::User, "somebody", What::everything()).await;
        let (_vat, perspective) = perspective(&reference, &identity).await;
        let submitter = perspective.submitter_request().send().pipeline.get_submitter();
        finish(&house, &worker, 1).await;
        assert_eq!(retry(&submitter, 1, 1).await, Ok(2));
        finish(&house, &worker, 2).await;
        keep(&house, Retain { builds: 1, ..Retain::default() }).await;
        // the build that the request repeated was removed
        assert_eq!(retry(&submitter, 1, 1).await, Ok(2));
        assert_eq!(retry(&submitter, 2, 1).await, Err("there is no build demo/1".to_owned()));
        assert_eq!(retry(&submitter, 3, 2).await, Ok(3));
        finish(&house, &worker, 3).await;
        keep(&house, Retain { builds: 1, ..Retain::default() }).await;
        // now the build that the request made was removed too
        let gone = "the build that this request made is no longer kept";
        assert_eq!(retry(&submitter, 1, 1).await, Err(gone.to_owned()));
        assert_eq!(house.guild.builds(&BuildQuery { limit: 9, ..BuildQuery::default() }).await.unwrap().len(), 1);
    });
}

/// A log that the disk changed, cut or lost is reported as damaged, with exit status 4, and not as removed by retention (F16 in
/// `tests/cases.tsv`).
#[test]
fn a_log_that_the_disk_changed_is_told_as_damaged() {
    run(async {
        let house = House::open("version = 1\n[job.good]\nrun = \"true\"\n").await;
        let worker = house.worker("anvil").await;
        let log = b"a line of a log\n".repeat(8_000);
        let (_, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        work(&lease, &log, Outcome::Succeeded).await;
        house.guild.outcome("demo", 1).await.unwrap();
        assert_eq!(read(&house, 1, "good").await.unwrap(), log);
        let mut files = std::fs::read_dir(house.state().join("logs/0/1")).unwrap().map(|entry| entry.unwrap().path());
        let file = files.find(|path| path.extension().is_some_and(|end| end == "log")).unwrap();
        let mut changed = std::fs::read(&file).unwrap();
        changed[50_000] ^= 1;
        let told = async |house: &House| {
            let error = read(house, 1, "good").await.unwrap_err();
            (error.exit_code(), error.to_string())
        };
        std::fs::write(&file, &changed).unwrap();
        assert_eq!(
            told(&house).await,
            (4, "the log of demo/1/good/1 is damaged: it is not what the step wrote".to_owned())
        );
        std::fs::write(&file, &changed[..9]).unwrap();
        assert_eq!(told(&house).await, (4, format!("the log is damaged: it has 9 of {} bytes", log.len())));
        std::fs::remove_file(&file).unwrap();
        let gone = "the log is damaged: its file is missing, but retention did not remove it";
        assert_eq!(told(&house).await, (4, gone.to_owned()));
    });
}

/// Plays both jobs of a build, and then makes all builds two days older.
async fn finish(house: &House, worker: &Played, build: u32) {
    play(worker).await;
    play(worker).await;
    house.guild.outcome("demo", build).await.unwrap();
    age(house);
}

async fn retry(submitter: &submitter::Client, id: u8, build: u32) -> Result<u32, String> {
    let mut request = submitter.retry_request();
    request.get().set_request(&[id; 16]);
    request.get().set_project("demo");
    request.get().set_number(build);
    let answer = request.send().promise.await.unwrap();
    let answer = answer.get().unwrap();
    match wire::refusal(answer.has_refusal(), answer.get_refusal()).unwrap() {
        Some(refusal) => Err(refusal.text),
        None => Ok(answer.get_number()),
    }
}

/// Takes a job and ends it with the outcome that its name tells.
async fn play(worker: &Played) {
    let (assignment, lease) = worker.take().await;
    lease.accept_request().send().promise.await.unwrap();
    let outcome = if assignment.job.name == "good" { Outcome::Succeeded } else { Outcome::Failed };
    work(&lease, format!("{}\n", assignment.job.name).as_bytes(), outcome).await;
}

/// Makes all builds two days older.
fn age(house: &House) {
    let database = rusqlite::Connection::open(house.state().join(DATABASE_FILE)).unwrap();
    database.busy_timeout(Duration::from_secs(5)).unwrap();
    database.execute("update builds set created = created - ?1, finished = finished - ?1", [172_800_000]).unwrap();
}

async fn keep(house: &House, retain: Retain) {
    let parts = &house.parts;
    let mut retention = Retention::new(
        retain,
        parts.driver.clone(),
        parts.readers.of(master::keep::turns::PROGRAM),
        parts.logs.clone(),
        parts.blobs.clone(),
    );
    for _ in 0..20 {
        if retention.pass().await.unwrap() == Passed::Done {
            return;
        }
    }
    panic!("retention never ends");
}

async fn read(house: &House, build: u32, job: &str) -> Result<Vec<u8>, Error> {
    let address = LogAddress { project: "demo".to_owned(), build, job: job.to_owned(), attempt: 0, step: 1 };
    let mut tail = Tail::new(&house.guild, address, 0, Until::Offset(u64::MAX));
    let mut bytes = Vec::new();
    while let Some(more) = tail.next().await? {
        bytes.extend(more);
    }
    Ok(bytes)
}
