//! Workers that lie: they write before they accept, report steps that the plan does not have, or never accept or end a job.

use capnp::capability::Promise;
use client::logs::LogAddress;
use schema::log_capnp::log_sink;
use schema::values::{Assignment, Outcome, Resources};
use schema::wire;
use schema::worker_capnp::lease;
use std::time::Duration;
use support::guild::{House, Played, finish, report, run, until, work};

const ONE: &str = "version = 1\n[job.a]\n[[job.a.step]]\nname = 's'\nrun = ['true']\n";
const TWO: &str = "version = 1\n[job.a]\n[[job.a.step]]\nname = 's'\nrun = ['true']\n\
                   [[job.a.step]]\nname = 't'\nrun = ['true']\n";
const ROOM: Resources = Resources { slots: 1, cpus_milli: 4_000, memory: 1 << 32 };

fn log(lease: &lease::Client, step: u16) -> log_sink::Client {
    let mut request = lease.log_request();
    request.get().set_step(step);
    request.send().pipeline.get_sink()
}

/// Writes to a log, and returns how many bytes were received in all, or the text of the refusal.
async fn write(sink: &log_sink::Client, offset: u64, bytes: &[u8]) -> Result<u64, String> {
    let mut request = sink.write_request();
    request.get().set_offset(offset);
    request.get().set_bytes(bytes);
    let answer = request.send().promise.await.map_err(|error| error.to_string())?;
    let answer = answer.get().unwrap();
    match wire::refusal(answer.has_refusal(), answer.get_refusal()).unwrap() {
        Some(refusal) => Err(refusal.text),
        None => Ok(answer.get_received()),
    }
}

async fn accept(lease: &lease::Client) {
    let answer = lease.accept_request().send().promise.await.unwrap();
    assert!(!answer.get().unwrap().has_refusal());
}

/// Makes a call that must fail. Its value is the text of the exception or of the refusal.
macro_rules! refused {
    ($request:expr) => {
        match $request.send().promise.await {
            Err(error) => error.to_string(),
            Ok(answer) => {
                let answer = answer.get().unwrap();
                wire::refusal(answer.has_refusal(), answer.get_refusal()).unwrap().expect("it is refused").text
            }
        }
    };
}

async fn log_text(house: &House, build: u32) -> Vec<u8> {
    let address = LogAddress { project: "demo".to_owned(), build, job: "a".to_owned(), attempt: 1, step: 1 };
    client::logs::part(&house.guild, &address, 0, 1 << 16).await.unwrap()
}

/// Before a worker accepts its lease, it cannot write a log, report, renew or read the source. So it cannot forge the attempt of the
/// worker that gets the job next.
#[test]
fn nothing_is_written_read_or_revealed_before_accept() {
    run(async {
        let house = House::open(ONE).await;
        let liar = house.worker("liar").await;
        let (assignment, lease) = liar.take().await;
        assert_eq!(assignment.attempt, 1);
        let not_accepted = |text: String| assert!(text.contains("the lease was not accepted yet"), "{text}");
        not_accepted(write(&log(&lease, 0), 0, b"BUILD OK\n").await.unwrap_err());
        not_accepted(match log(&lease, 0).size_request().send().promise.await {
            Err(error) => error.to_string(),
            Ok(_) => panic!("it answers"),
        });
        not_accepted(refused!(lease.source_request()));
        not_accepted(refused!(report(&lease).started_request()));
        not_accepted(refused!(report(&lease).finished_request()));
        not_accepted(match report(&lease).log_request().send().promise.await {
            Err(error) => error.to_string(),
            Ok(_) => panic!("it answers"),
        });
        not_accepted(refused!(lease.complete_request()));
        not_accepted(refused!(lease.report_request()));
        let mut request = liar.session.renew_request();
        request.get().init_tokens(1).set(0, &assignment.token);
        let answer = request.send().promise.await.unwrap();
        assert_eq!(answer.get().unwrap().get_terms().unwrap().get(0), 0, "nothing is renewed that has not begun");
        liar.vat.close();
        let honest = house.worker("honest").await;
        let (assignment, lease) = honest.take().await;
        assert_eq!(assignment.attempt, 1, "an offer costs no attempt");
        accept(&lease).await;
        work(&lease, b"what really was\n", Outcome::Succeeded).await;
        house.guild.outcome("demo", assignment.build).await.unwrap();
        assert_eq!(log_text(&house, assignment.build).await, b"what really was\n");
    });
}

/// Tries every method of a lease that is in the schema, so a method that is added later is tried too.
#[test]
fn no_method_of_a_lease_passes_before_accept() {
    run(async {
        let house = House::open(ONE).await;
        let liar = house.worker("liar").await;
        let (_, lease) = liar.take().await;
        let text = include_str!("../../schema/guild/worker.capnp");
        let body = text.split("interface Lease {").nth(1).unwrap().split("\n}").next().unwrap();
        let methods: Vec<u16> =
            body.lines().filter_map(|line| line.split('@').nth(1)?.split(' ').next()?.parse().ok()).collect();
        assert!(methods.len() >= 6, "{methods:?}");
        for method in methods.into_iter().filter(|method| *method != 0) {
            let typed = <lease::Client as capnp::traits::HasTypeId>::TYPE_ID;
            let request: capnp::capability::Request<capnp::any_pointer::Owned, capnp::any_pointer::Owned> =
                lease.client.new_call(typed, method, None);
            let error = request.send().promise.await.err().unwrap_or_else(|| panic!("method {method} passes"));
            assert!(error.to_string().contains("the lease was not accepted yet"), "method {method}: {error}");
        }
    });
}

/// A worker need not wait for the answer to `accept`: workers of 0.1.0 and of today send the next calls at once.
#[test]
fn what_is_sent_behind_accept_passes() {
    run(async {
        let house = House::open(ONE).await;
        let worker = house.worker("w").await;
        let (assignment, lease) = worker.take().await;
        let accepted = lease.accept_request().send().promise;
        let source = lease.source_request().send().promise;
        let started = report(&lease).started_request().send().promise;
        let sink = log(&lease, 0);
        let written = write(&sink, 0, b"all at once\n");
        let (accepted, source, started, written) = futures::join!(accepted, source, started, written);
        assert!(!accepted.unwrap().get().unwrap().has_refusal());
        assert!(!source.unwrap().get().unwrap().has_refusal());
        assert!(!started.unwrap().get().unwrap().has_refusal());
        assert_eq!(written, Ok(12));
        finish(&lease, Outcome::Succeeded, 12, blake3::hash(b"all at once\n").as_bytes()).await;
        house.guild.outcome("demo", assignment.build).await.unwrap();
        assert_eq!(log_text(&house, assignment.build).await, b"all at once\n");
    });
}

/// A worker cannot write logs of steps that the plan does not have, which would stay in the master's memory for ever.
#[test]
fn logs_are_of_steps_of_the_plan() {
    run(async {
        let house = House::open(TWO).await;
        let worker = house.worker("w").await;
        let (assignment, lease) = worker.take().await;
        accept(&lease).await;
        for step in [2, 3, 4_095, u16::MAX] {
            let why = write(&log(&lease, step), 0, b"x").await.unwrap_err();
            assert!(why.contains(&format!("job a has 2 steps, none with index {step}")), "{why}");
            let mut request = lease.step_request();
            request.get().set_index(step);
            let why = request.send().promise.await.err().expect("there is no such step").to_string();
            assert!(why.contains("job a has 2 steps"), "{why}");
        }
        // two sinks of one step write to the same log
        let (one, two) = (log(&lease, 0), log(&lease, 0));
        assert_eq!(write(&one, 0, b"first\n").await, Ok(6));
        assert_eq!(write(&two, 0, b"first\nsecond\n").await, Ok(13));
        // the log of a step that the worker never reports; the log is large, so the master stores it as a file
        let stray = log(&lease, 1);
        assert_eq!(write(&stray, 0, &vec![b'y'; 200_000]).await, Ok(200_000));
        let files = || {
            let listed =
                std::process::Command::new("find").arg(house.state().join("logs")).args(["-type", "f"]).output();
            String::from_utf8(listed.unwrap().stdout).unwrap()
        };
        assert!(files().contains(".1.1.log"), "a large log is a file: {}", files());
        report(&lease).started_request().send().promise.await.unwrap();
        finish(&lease, Outcome::Succeeded, 13, blake3::hash(b"first\nsecond\n").as_bytes()).await;
        house.guild.outcome("demo", assignment.build).await.unwrap();
        assert!(!files().contains(".1.1."), "what belongs to no step is gone: {}", files());
        for (sink, name) in [(&one, "a sealed log"), (&stray, "a log of no step")] {
            let why = write(sink, 13, b"more\n").await.unwrap_err();
            assert!(why.contains("the lease is over"), "{name}: {why}");
            let why = sink.size_request().send().promise.await.err().expect("it is over").to_string();
            assert!(why.contains("the lease is over"), "{name}: {why}");
        }
        assert!(!files().contains(".1.1."), "{}", files());
        assert_eq!(log_text(&house, assignment.build).await, b"first\nsecond\n");
    });
}

#[test]
fn a_log_ends_where_its_step_said() {
    run(async {
        let house = House::open(TWO).await;
        let worker = house.worker("w").await;
        let (_, lease) = worker.take().await;
        accept(&lease).await;
        report(&lease).started_request().send().promise.await.unwrap();
        let mut request = report(&lease).finished_request();
        request.get().set_outcome(wire::outcome_to_wire(Some(Outcome::Succeeded)));
        request.get().set_log_size(4);
        assert!(!request.send().promise.await.unwrap().get().unwrap().has_refusal());
        // a worker sends these bytes again after a restart of the master, which had not stored them yet
        assert_eq!(write(&log(&lease, 0), 0, b"abcd").await, Ok(4));
        let why = write(&log(&lease, 0), 4, b"e").await.unwrap_err();
        assert!(why.contains("step 1 has ended with a log of 4 bytes"), "{why}");
    });
}

/// A worker cannot report an end that no process has: an unknown signal, an exit code above 255, or an end before the start.
#[test]
fn exits_are_those_of_processes() {
    run(async {
        let house = House::open(ONE).await;
        let worker = house.worker("w").await;
        let (_, lease) = worker.take().await;
        accept(&lease).await;
        let finished = |set: fn(schema::worker_capnp::exit::Builder<'_>)| {
            let mut request = report(&lease).finished_request();
            request.get().set_outcome(wire::outcome_to_wire(Some(Outcome::Failed)));
            set(request.get().init_exit());
            async move { refused!(request) }
        };
        let why = finished(|mut exit| exit.set_code(1)).await;
        assert_eq!(why, "step 1 (s): it ended (exit code 1), but you never reported that it started");
        report(&lease).started_request().send().promise.await.unwrap();
        assert_eq!(finished(|mut exit| exit.set_signal(i32::MAX)).await, "step 1 (s): there is no signal 2147483647");
        assert_eq!(finished(|mut exit| exit.set_code(256)).await, "step 1 (s): no process exits with the code 256");
        let why = refused!(report(&lease).finished_request());
        assert_eq!(why, "`finished` needs an outcome");
        let mut request = report(&lease).finished_request();
        request.get().set_outcome(wire::outcome_to_wire(Some(Outcome::Failed)));
        request.get().set_log_hash(&[0; 31]);
        assert_eq!(refused!(request), "step 1 (s): the hash of a log has 32 bytes, not 31");
        let skip = || {
            let mut request = lease.complete_request();
            request.get().set_outcome(wire::outcome_to_wire(Some(Outcome::Skipped)));
            async move { refused!(request) }
        };
        assert_eq!(skip().await, "step 1 (s) has not finished yet");
        let mut request = report(&lease).finished_request();
        request.get().set_outcome(wire::outcome_to_wire(Some(Outcome::Failed)));
        request.get().init_exit().set_code(1);
        assert!(!request.send().promise.await.unwrap().get().unwrap().has_refusal());
        assert_eq!(skip().await, "an attempt that has begun cannot end as skipped");
        finish(&lease, Outcome::Failed, 0, &[]).await;
    });
}

/// Plays a worker that ends each job at once, until it has ended `count`. Returns their assignments.
async fn serve(worker: &Played, count: usize) -> Vec<Assignment> {
    let mut done = Vec::new();
    while done.len() < count {
        let (assignment, lease) = worker.take_with(ROOM).await;
        accept(&lease).await;
        work(&lease, b"", Outcome::Succeeded).await;
        done.push(assignment);
    }
    done
}

const SIX: &str = "version = 1\n[job.a]\nmatrix = { n = ['1', '2', '3', '4', '5', '6'] }\n\
                   [[job.a.step]]\nname = 's'\nrun = ['true']\n";

/// A worker that takes offers and never accepts them comes after honest workers, so that it delays a job once and not each time.
#[test]
fn a_worker_that_never_accepts_comes_last() {
    run(async {
        let house = House::open_with(SIX, |config| config.limits.offer = Duration::from_secs(2)).await;
        let (silent, honest) = (house.worker("silent").await, house.worker("honest").await);
        let (_held, _lease) = silent.take().await;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        // it goes on asking for jobs, as a healthy worker does
        let session = silent.session.clone();
        let asks = tokio::task::spawn_local(async move {
            let mut request = session.take_request();
            wire::write_resources(request.get().init_free(), &ROOM);
            request.send().promise.await.map(|answer| answer.get().is_ok())
        });
        let began = std::time::Instant::now();
        let done = serve(&honest, 6).await;
        println!("six jobs beside a silent worker: {:?}", began.elapsed());
        assert_eq!(done.len(), 6);
        assert!(!asks.is_finished(), "it was offered another job within its rest");
        asks.abort();
    });
}

#[test]
fn explain_says_who_comes_last_and_for_how_long() {
    run(async {
        let house = House::open_with(ONE, |config| config.limits.offer = Duration::from_millis(300)).await;
        let silent = house.worker("w0").await;
        // it is the only worker, and its rests double: one of them is soon long enough for this test to see it
        let (mut taken, mut seen) = (0, None);
        while seen.is_none() && taken < 6 {
            let (assignment, lease) = silent.take().await;
            taken += 1;
            tokio::time::sleep(Duration::from_millis(500)).await;
            let told = house.guild.explain("demo", assignment.build, "a").await.unwrap();
            seen = (told.kind == "resting").then_some(told.text);
            drop(lease);
        }
        let text = seen.expect("it rests");
        assert!(text.starts_with("worker w0 did not accept the last offer; it is asked again in "), "{text}");
    });
}

#[test]
fn a_worker_says_why_it_takes_nothing() {
    run(async {
        let house = House::open(ONE).await;
        let worker = house.worker("w0").await;
        let mut request = worker.session.lacks_request();
        request.get().set_what("/srv has 5 bytes free, less than the reserve of 10");
        request.send().promise.await.unwrap();
        let mut text = String::new();
        for _ in 0..200 {
            if let Ok(told) = house.guild.explain("demo", 1, "a").await
                && told.kind == "unready"
            {
                text = told.text;
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert_eq!(text, "worker w0 takes no job for now: /srv has 5 bytes free, less than the reserve of 10");
        let mut request = worker.session.lacks_request();
        request.get().set_what("ü".repeat(5_000).as_str());
        request.send().promise.await.unwrap();
        let told = house.guild.explain("demo", 1, "a").await.unwrap();
        assert!(told.text.len() < 1_100, "{} bytes", told.text.len());
        let (_, lease) = worker.take().await;
        accept(&lease).await;
    });
}

/// If an offer breaks a worker's connection, the same worker is not offered that job again at once. Otherwise one job could stop
/// every worker that may take it.
#[test]
fn a_worker_whose_connection_breaks_on_an_offer_is_not_given_the_same_again() {
    run(async {
        let house = House::open(ONE).await;
        let breaks = house.worker("breaks").await;
        let (first, lease) = breaks.take().await;
        let honest = house.worker("honest").await;
        let Played { credential, vat, session, .. } = breaks;
        drop((lease, session));
        vat.close();
        let again = Played::attach(credential, Vec::new()).await;
        let session = again.session.clone();
        let asks = tokio::task::spawn_local(async move {
            let mut request = session.take_request();
            wire::write_resources(request.get().init_free(), &ROOM);
            request.send().promise.await.is_ok()
        });
        // the worker that broke asks first, and the honest one later
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (second, lease) = honest.take().await;
        assert_eq!((second.build, second.attempt), (first.build, 1));
        accept(&lease).await;
        work(&lease, b"", Outcome::Succeeded).await;
        assert!(!asks.is_finished(), "it was offered the job that broke it");
        asks.abort();
    });
}

/// The master ends a job at its timeout by its own clock, even if the worker renews the lease for ever. This test sets that clock
/// forward.
#[test]
fn a_job_ends_with_its_time_whatever_its_worker_does() {
    run(async {
        let pipeline = ONE.replace("[job.a]", "[job.a]\ntimeout = '5s'");
        let house = House::open(&pipeline).await;
        let worker = house.worker("w").await;
        let (assignment, lease) = worker.take().await;
        accept(&lease).await;
        assert_eq!(assignment.job.timeout_ms, 5_000);
        let pass =
            |seconds| house.parts.driver.note(|it, now| it.handle_timeout(now.after(Duration::from_secs(seconds))));
        pass(100);
        let mut request = worker.session.renew_request();
        request.get().init_tokens(1).set(0, &assignment.token);
        let answer = request.send().promise.await.unwrap();
        assert_eq!(answer.get().unwrap().get_stale().unwrap().len(), 0, "it has a margin");
        // one second at a time, because a timer that fires late shows a delay of the master itself, and then no job is ended
        (101..=130).for_each(pass);
        house.guild.outcome("demo", assignment.build).await.unwrap();
        let build = house.guild.build("demo", assignment.build).await.unwrap();
        let job = &build.jobs[0];
        assert_eq!(job.outcome, Some(Outcome::Failed));
        assert_eq!(job.reason, "the job's time was over: 5 s had passed, and worker w did not end it");
        let said = worker.said.clone();
        until("the worker is told", move || {
            let is_told = said.borrow().iter().any(|said| said == "stale");
            Promise::ok(is_told)
        })
        .await;
        assert!(write(&log(&lease, 0), 0, b"x").await.is_err());
    });
}
