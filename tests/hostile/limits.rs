//! Texts, lists and plans that are larger than others can read. Whatever one peer writes, everybody else can still read
//! everything: before and after a restart, and after an upgrade of a store that was written without limits.

use client::{BuildQuery, Events, Guild, Mirror, News, Told, Watch};
use rusqlite::Connection;
use schema::limits::{BATCH_BYTES, DIAGNOSIS, EXIT, REASON, STEP_NAME};
use schema::values::{Cursor, Description, Event, Exit, Fact, Filter, GrantKind, Outcome, Right, What};
use schema::wire;
use schema::worker_capnp::{lease, worker, worker_desk};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use support::guild::{House, Played, Ruins, dial, finish, report, restore, run, work};

const PIPELINE: &str = "version = 1\n[job.test]\nrun = \"true\"\n";
const MEGABYTES: usize = 3_900_000;

/// Returns another client, which may only look, and only at the project `demo`.
async fn viewer(house: &House, name: &str) -> Guild {
    let what = What { may: BTreeSet::from([Right::View]), projects: ["demo"].into(), ..What::default() };
    let (reference, identity) = house.enroll(GrantKind::User, name, what).await;
    Guild::connect(reference, Rc::new(identity)).await.unwrap()
}

/// Reads builds, workers, projects, the queue, a branch, an explanation, a watch and all events. Returns the events and the newest
/// build.
async fn reads_everything(guild: &Guild) -> (Vec<Event>, client::views::BuildView) {
    // the first build comes soon after the house is opened, when it first looks at its repository
    let mut build = guild.build("demo", 0).await;
    while build.is_err() {
        tokio::time::sleep(Duration::from_millis(25)).await;
        build = guild.build("demo", 0).await;
    }
    let build = build.unwrap();
    let builds = guild.builds(&BuildQuery { limit: 1_000, ..BuildQuery::default() }).await.unwrap();
    assert!(builds.iter().any(|one| one.number == build.number));
    guild.workers().await.unwrap();
    guild.projects().await.unwrap();
    guild.queue().await.unwrap();
    guild.branch("demo", "main").await.unwrap();
    if let Some(job) = build.jobs.first() {
        guild.explain("demo", build.number, &job.name).await.unwrap();
    }
    let News::Snapshot(builds) = Watch::new(guild, Filter::default()).next().await.unwrap() else {
        panic!("a watch begins with a snapshot");
    };
    let mut mirror = Mirror::default();
    mirror.reset(builds);
    assert!(mirror.builds().any(|one| one.number >= build.number), "the newest, or one that came meanwhile");
    (events(guild).await, build)
}

/// Returns all events from the first one on.
async fn events(guild: &Guild) -> Vec<Event> {
    let latest = guild.latest_event().await.unwrap();
    let mut subscription = Events::new(guild, Filter::default(), Cursor { after: 0, ..latest });
    let (mut all, mut cursor) = (Vec::new(), 0);
    while cursor < latest.after {
        let told = tokio::time::timeout(Duration::from_secs(10), subscription.next()).await;
        let told = told.expect("the events go on").unwrap();
        cursor = told.cursor().after;
        match told {
            Told::Events { events, .. } => all.extend(events),
            Told::Gap { first, last, .. } => panic!("events {first} to {last} are missing"),
        }
    }
    all
}

/// Takes a job and accepts it. Returns its lease.
async fn taken(worker: &Played) -> lease::Client {
    let (_, lease) = worker.take().await;
    let answer = lease.accept_request().send().promise.await.unwrap();
    assert!(!answer.get().unwrap().has_refusal());
    lease
}

/// Ends an attempt with the whole reason; a real worker would cut it.
async fn complete(lease: &lease::Client, outcome: Outcome, reason: &str) {
    let mut request = lease.complete_request();
    request.get().set_outcome(wire::outcome_to_wire(Some(outcome)));
    request.get().set_reason(reason);
    let answer = request.send().promise.await.unwrap();
    assert!(!answer.get().unwrap().has_refusal(), "the outcome of an honest worker is not lost for its words");
}

fn is_cut(text: &str, most: usize) -> bool {
    text.len() <= most && text.ends_with("bytes in all]")
}

/// Opens the house again in a new runtime, as a new process would, and runs a test in it.
fn again(ruins: Ruins, test: impl AsyncFnOnce(House)) {
    run(async { test(House::open_again(ruins, |_| ()).await).await });
}

/// A worker ends an attempt with reasons of megabytes. The master cuts them, keeps the outcome, and others can read the build.
#[test]
fn the_words_of_a_worker_are_cut_and_its_outcome_is_kept() {
    let mut ruins = None;
    run(async {
        let house = House::open(PIPELINE).await;
        let (worker, other) = (house.worker("anvil").await, viewer(&house, "eve").await);
        let words = "x".repeat(MEGABYTES);
        // the first attempt is lost with a reason of megabytes, and a step of the next one is too
        complete(&taken(&worker).await, Outcome::Errored, &words).await;
        let lease = taken(&worker).await;
        report(&lease).started_request().send().promise.await.unwrap();
        let mut request = report(&lease).finished_request();
        request.get().set_outcome(wire::outcome_to_wire(Some(Outcome::Failed)));
        request.get().init_exit().set_lost(&words);
        request.get().set_log_hash(blake3::hash(b"").as_bytes());
        let answer = request.send().promise.await.unwrap();
        assert!(!answer.get().unwrap().has_refusal());
        complete(&lease, Outcome::Failed, &words).await;
        assert_eq!(house.guild.outcome("demo", 1).await.unwrap(), Outcome::Failed);
        let (events, build) = reads_everything(&other).await;
        assert!(is_cut(&build.jobs[0].reason, REASON.most), "{}", build.jobs[0].reason.len());
        let Exit::Lost(why) = &build.jobs[0].steps[0].exit else { panic!("the exit is kept") };
        assert!(is_cut(why, EXIT.most));
        let lost = events.iter().filter_map(|event| match &event.fact {
            Fact::AttemptLost { reason, .. } => Some(reason),
            _ => None,
        });
        assert!(lost.count() == 1);
        reads_everything(&house.guild).await;
        house.guild.retry("demo", 1, &client::Again::All).await.unwrap();
        ruins = Some(house.ruins());
    });
    again(ruins.unwrap(), async |house| {
        reads_everything(&house.guild).await;
        let other = viewer(&house, "eva").await;
        let (_, build) = reads_everything(&other).await;
        assert_eq!(build.number, 2);
        assert!(is_cut(&house.guild.build("demo", 1).await.unwrap().jobs[0].reason, REASON.most));
    });
}

/// Attaches a worker with this description. Returns `attached`, or the text of the exception.
async fn attach(
    house: &House,
    name: &str,
    describe: impl FnOnce(schema::worker_capnp::description::Builder<'_>),
) -> String {
    let (reference, identity) = house.enroll(GrantKind::Worker, name, What::default()).await;
    let (vat, gateway) = dial(&reference, &identity).await;
    let desk = restore(&gateway, &reference.token).await.unwrap();
    let desk: worker_desk::Client = capnp::capability::FromClientHook::new(desk.hook);
    let mut request = desk.attach_request();
    request.get().set_worker(capnp_rpc::new_client::<worker::Client, _>(Mute));
    request.get().set_instance(&[9; 16]);
    describe(request.get().init_description());
    let answer = request.send().promise.await;
    drop(vat);
    answer.map_or_else(|error| error.extra, |_| "attached".to_owned())
}

/// `Mute` is a worker that implements no method.
struct Mute;

impl worker::Server for Mute {}

/// A worker with too many or too long labels is refused when it attaches, so that lists of workers stay readable.
#[test]
fn a_list_of_labels_is_counted_before_it_is_read() {
    let mut ruins = None;
    run(async {
        let house = House::open(PIPELINE).await;
        let other = viewer(&house, "eve").await;
        let said = attach(&house, "many", |to| {
            to.init_labels(200_000);
        })
        .await;
        assert!(said.contains("invalid: the list of labels has 200,000 elements; at most 100 are taken"), "{said}");
        let said = attach(&house, "long", |to| to.init_labels(1).get(0).set_name("x".repeat(300))).await;
        assert!(said.contains("invalid: the label has 300 bytes; at most 256 are taken"), "{said}");
        assert!(other.workers().await.unwrap().is_empty(), "nothing is kept of a worker that was refused");
        let said = attach(&house, "host", |mut to| to.set_host("x".repeat(3_000_000))).await;
        assert_eq!(said, "attached", "a worker cannot do without attaching");
        reads_everything(&other).await;
        ruins = Some(house.ruins());
    });
    again(ruins.unwrap(), async |house| {
        let workers = house.guild.workers().await.unwrap();
        assert!(workers.len() == 1 && is_cut(&workers[0].description.host, 256));
    });
}

/// Each worker has as many and as long labels as it may, so that the list of workers has several pages.
#[test]
fn a_list_of_workers_has_pages() {
    run(async {
        let house = House::open(PIPELINE).await;
        let label = |index: usize| (format!("{index:03}{}", "n".repeat(253)), "v".repeat(256));
        let description = Description { labels: (0..100).map(label).collect(), ..Description::default() };
        for index in 0..80 {
            let credential = house.enroll(GrantKind::Worker, &format!("w{index:03}"), What::default()).await;
            Played::attach_as(credential, Vec::new(), &description).await;
        }
        let names: Vec<String> = house.guild.workers().await.unwrap().into_iter().map(|worker| worker.name).collect();
        assert_eq!(names, (0..80).map(|index| format!("w{index:03}")).collect::<Vec<_>>());
        assert_eq!(house.guild.all_workers().await.unwrap().len(), 80);
        reads_everything(&viewer(&house, "eve").await).await;
    });
}

/// Builds a pipeline that is refused, and returns the diagnosis.
async fn diagnosis(house: &House, pipeline: &str) -> String {
    house.repo.commit("guild.toml", pipeline, "hostile");
    let number = house.guild.run("demo", "main", "").await.unwrap();
    assert_eq!(house.guild.outcome("demo", number).await.unwrap(), Outcome::Failed);
    let other = viewer(house, &format!("eve{number}")).await;
    reads_everything(&other).await;
    let build = other.build("demo", number).await.unwrap();
    assert!(build.jobs.is_empty() && build.diagnosis.len() <= DIAGNOSIS.most);
    build.diagnosis
}

/// A pipeline whose plan would be too large for a worker's or a viewer's message is refused when the master reads it.
#[test]
fn what_cannot_travel_is_refused_when_the_pipeline_is_read() {
    run(async {
        let house = House::open(PIPELINE).await;
        let values: Vec<String> = (0..60).map(|index| format!("\"{index:0>100}\"")).collect();
        let long_names = format!(
            "version = 1\n[job.j]\nmatrix = {{ a = [{}] }}\n[[job.j.step]]\nname = \"{}\"\nrun = [\"true\"]\n",
            values.join(","),
            "{a}".repeat(900)
        );
        let why = diagnosis(&house, &long_names).await;
        assert!(why.contains("a step name of job `j` has 90,000 bytes; at most 200 are allowed"), "{why}");
        let words = vec![format!("\"{}\"", "{a}".repeat(300)); 450].join(",");
        let large_job = format!(
            "version = 1\n[job.a]\nmatrix = {{ a = [\"{}\"] }}\n[[job.a.step]]\nname = \"n\"\nrun = [\"true\", {words}]\n",
            "v".repeat(100)
        );
        let why = diagnosis(&house, &large_job).await;
        assert!(why.contains("job `a@vvv") && why.contains("at most 1 MiB go to a worker"), "{why}");
        assert!(why.contains("help: put long commands into a script"), "{why}");
        let steps = "[[job.j.step]]\nrun = \"true\"\n".repeat(100);
        let values: Vec<String> = (0..900).map(|index| format!("\"{index}\"")).collect();
        let many_steps = format!("version = 1\n[job.j]\nmatrix = {{ a = [{}] }}\n{steps}", values.join(","));
        let why = diagnosis(&house, &many_steps).await;
        assert!(why.contains("more than 2 MiB of jobs and steps as they are shown"), "{why}");
        // a worker can still attach, and builds what is good
        house.repo.commit("guild.toml", PIPELINE, "honest");
        let worker = house.worker("anvil").await;
        let number = house.guild.run("demo", "main", "").await.unwrap();
        // the push may also have made a build, which comes first
        while !house.guild.build("demo", number).await.unwrap().is_finished() {
            work(&taken(&worker).await, b"", Outcome::Succeeded).await;
        }
        assert_eq!(house.guild.outcome("demo", number).await.unwrap(), Outcome::Succeeded);
    });
}

/// A build has 1,000 jobs, which is the limit, and each ends with the longest reason that is kept. Both fit into a message.
#[test]
fn a_build_of_many_long_reasons_is_shown_whole_but_for_their_ends() {
    run(async {
        let values: Vec<String> = (0..1_000).map(|index| format!("\"{index}\"")).collect();
        let pipeline = format!("version = 1\n[job.j]\nmatrix = {{ a = [{}] }}\nrun = \"true\"\n", values.join(","));
        let house = House::open(&pipeline).await;
        let other = viewer(&house, "eve").await;
        while house.guild.queue().await.unwrap().len() < 1_000 {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        house.guild.cancel("demo", 1, "", &"x".repeat(REASON.most)).await.unwrap();
        let (events, build) = reads_everything(&other).await;
        assert_eq!(build.jobs.len(), 1_000);
        assert!(build.jobs.iter().all(|job| is_cut(&job.reason, REASON.most) && job.reason.len() > 1_000));
        let ends = events.iter().filter(|event| matches!(event.fact, Fact::JobFinished { .. }));
        assert_eq!(ends.count(), 1_000, "batches of events are bounded by bytes, and none is lost");
    });
}

/// Puts texts of megabytes into every row and event, as a master without limits may have stored them.
fn bloat(database: &Connection) {
    let words = "x".repeat(5_000_000);
    let set = |sql: &str| assert!(database.execute(sql, [&words]).unwrap() > 0, "{sql}");
    set("update jobs set reason = ?1");
    set("update attempts set reason = ?1");
    set("update steps set name = ?1, exit = json_object('lost', ?1)");
    set("update builds set diagnosis = ?1");
    set(
        "update workers set held = ?1, description = json_set(description, '$.host', ?1, '$.labels', json('[[\"a\",\"' || ?1 || '\"]]'))",
    );
    set("update events set fact = json_set(fact, '$.reason', ?1) where fact ->> '$.kind' = 'jobFinished'");
    set("update events set fact = json_set(fact, '$.name', ?1) where fact ->> '$.kind' = 'stepStarted'");
    set("update events set fact = json_object('kind', 'alarm', 'text', ?1) where fact ->> '$.kind' = 'workerAttached'");
}

/// Returns the statements of the step of the store's schema that cuts texts at their limits.
fn cutting_step() -> &'static str {
    let steps = include_str!("../../master/src/keep/store/sqlite/schema.sql").split("-- step ");
    let mut cutting = steps.filter(|step| step.lines().next().is_some_and(|title| title.contains("beyond a limit")));
    cutting.next().expect("the step that cuts").split_once('\n').expect("its statements").1
}

#[test]
fn a_store_that_was_written_without_limits_can_be_read() {
    let mut ruins = None;
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        work(&taken(&worker).await, b"", Outcome::Failed).await;
        house.guild.outcome("demo", 1).await.unwrap();
        drop(worker);
        tokio::time::sleep(Duration::from_millis(200)).await;
        ruins = Some(house.ruins());
    });
    let ruins = ruins.unwrap();
    let database = Connection::open(ruins.state.join(master::keep::store::DATABASE_FILE)).unwrap();
    bloat(&database);
    database.execute_batch(cutting_step()).unwrap();
    drop(database);
    again(ruins, async |house| {
        let (events, build) = reads_everything(&house.guild).await;
        let job = &build.jobs[0];
        assert!(is_cut(&job.reason, REASON.most) && is_cut(&job.steps[0].name, STEP_NAME.most));
        assert!(matches!(&job.steps[0].exit, Exit::Lost(why) if is_cut(why, EXIT.most)));
        assert!(is_cut(&build.diagnosis, DIAGNOSIS.most));
        assert!(events.iter().any(|event| matches!(&event.fact, Fact::Alarm { text } if is_cut(text, REASON.most))));
        let workers = house.guild.workers().await.unwrap();
        assert!(workers[0].description.labels.is_empty() && workers[0].description.host.len() <= 256);
        assert!(is_cut(&workers[0].held, REASON.most));
        reads_everything(&viewer(&house, "eve").await).await;
        house.guild.retry("demo", 1, &client::Again::All).await.unwrap();
    });
}

/// Returns the size of the longest value of each text column, in bytes. The name of a column is, for example, `jobs.reason`.
fn longest_texts(database: &Connection) -> Vec<(String, usize)> {
    let columns = "select m.name, c.name from sqlite_master m, pragma_table_info(m.name) c where m.type = 'table' and c.type = 'TEXT'";
    let mut statement = database.prepare(columns).unwrap();
    let named: Vec<(String, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    let longest = |(table, column): (String, String)| {
        let sql = format!("select coalesce(max(octet_length({column})), 0) from {table}");
        (format!("{table}.{column}"), database.query_row(&sql, [], |row| row.get::<_, u32>(0)).unwrap() as usize)
    };
    named.into_iter().map(longest).collect()
}

/// The store is one that 0.1.0 wrote, with texts of megabytes wherever 0.1.0 would take them.
#[test]
fn what_0_1_0_stored_beyond_a_bound_is_cut_at_its_upgrade() {
    run(async {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/0.1.0.db");
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(master::keep::store::DATABASE_FILE);
        std::fs::copy(golden, &path).unwrap();
        bloat(&Connection::open(&path).unwrap());
        let store = master::keep::store::Store::open(state.path()).unwrap();
        let readers = store.readers().of(master::keep::turns::PROGRAM);
        let events = readers.events_after(0, 1_000).await.unwrap();
        assert!(events.iter().all(|event| schema::limits::event_bytes(event) < BATCH_BYTES));
        assert!(events.iter().any(|event| matches!(&event.fact, Fact::Alarm { text } if is_cut(text, REASON.most))));
        let first = readers.build("demo", 1).await.unwrap().unwrap();
        assert!(is_cut(&first.diagnosis, DIAGNOSIS.most));
        let longest = longest_texts(&Connection::open(&path).unwrap());
        let over: Vec<_> = longest.iter().filter(|(_, bytes)| *bytes > DIAGNOSIS.most).collect();
        assert!(over.is_empty() && longest.len() > 40, "these are longer than anything that is told: {over:?}");
    });
}

/// If a log is incomplete, the reason of the job says so, even if the worker's own reason is so long that it is cut.
#[test]
fn what_is_wrong_with_a_log_is_said_beside_many_words() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        let lease = taken(&worker).await;
        report(&lease).started_request().send().promise.await.unwrap();
        let mut request = report(&lease).finished_request();
        request.get().set_outcome(wire::outcome_to_wire(Some(Outcome::Failed)));
        request.get().set_log_size(5);
        request.get().set_log_hash(&[1; 32]);
        request.send().promise.await.unwrap();
        complete(&lease, Outcome::Failed, &"x".repeat(100_000)).await;
        let build = house.guild.build("demo", 1).await.unwrap();
        let reason = &build.jobs[0].reason;
        assert!(
            reason.len() <= REASON.most && reason.contains("[cut: 100,000 bytes in all]; log-incomplete"),
            "{reason}"
        );
    });
}

/// An attempt whose texts are within their limits is shown unchanged.
#[test]
fn an_honest_attempt_is_as_it_was() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        let lease = taken(&worker).await;
        report(&lease).started_request().send().promise.await.unwrap();
        finish(&lease, Outcome::Succeeded, 0, blake3::hash(b"").as_bytes()).await;
        let (events, build) = reads_everything(&viewer(&house, "eve").await).await;
        assert_eq!((build.outcome, build.jobs[0].reason.as_str()), (Some(Outcome::Succeeded), ""));
        assert!(events.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    });
}
