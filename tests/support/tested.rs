//! Helpers for a played worker that reports the tests of its steps.

use crate::guild::Played;
use reports::{TestList, TestOutcome};
use schema::values::{Exit, Outcome, Progress, StepEnd, TestsReported, Time};
use schema::wire;
use schema::worker_capnp::lease;

/// Takes the next job, and ends it with a step that had these tests.
pub async fn work(worker: &Played, list: &TestList) {
    let (_, lease) = worker.take().await;
    lease.accept_request().send().promise.await.unwrap();
    let bytes = reports::encode(list).unwrap();
    store(&lease, &bytes).await;
    end(&lease, reported(list)).await;
}

/// Returns the summary that a worker reports of a stored list.
pub fn reported(list: &TestList) -> TestsReported {
    let failing = list.results.iter().filter(|result| result.outcome == TestOutcome::Failed);
    TestsReported {
        list: blake3::hash(&reports::encode(list).unwrap()).as_bytes().to_vec(),
        counts: list.counts(),
        duration_us: 4_000,
        failing: failing.map(|result| result.id.to_string()).take(TestsReported::FAILING_MAX).collect(),
        trouble: list.trouble.clone(),
    }
}

/// Stores the encoded list as a blob of the attempt.
pub async fn store(lease: &lease::Client, bytes: &[u8]) {
    store_as(lease, "tests", bytes).await;
}

/// Stores the encoded list as a blob of this name, for an attempt with more than one list.
pub async fn store_as(lease: &lease::Client, name: &str, bytes: &[u8]) {
    let mut request = lease.artifact_request();
    request.get().set_path(name);
    let sink = request.send().pipeline.get_sink();
    for (part, chunk) in (0..).zip(bytes.chunks(100_000)) {
        let mut request = sink.write_request();
        request.get().set_offset(part * 100_000);
        request.get().set_bytes(chunk);
        assert!(!request.send().promise.await.unwrap().get().unwrap().has_refusal());
    }
    let mut request = sink.seal_request();
    request.get().set_length(bytes.len() as u64);
    request.get().set_blake3(blake3::hash(bytes).as_bytes());
    assert!(!request.send().promise.await.unwrap().get().unwrap().has_refusal());
}

/// Ends the only step with these tests, and then the attempt.
pub async fn end(lease: &lease::Client, tests: TestsReported) {
    end_steps(lease, vec![tests]).await;
}

/// Ends the first step with these tests, this outcome and this exit, and then the attempt with the same outcome.
pub async fn end_as(lease: &lease::Client, outcome: Outcome, exit: Exit, tests: TestsReported) {
    let log_hash = blake3::hash(b"").as_bytes().to_vec();
    let end = StepEnd { outcome, exit, time: Time(2), log_size: 0, log_hash, tests: Some(tests) };
    let (started, finished) = (Progress::Started { step: 0, time: Time(1) }, Progress::Finished { step: 0, end });
    say(lease, &[started, finished, Progress::Ended { outcome, reason: String::new() }]).await;
}

/// Ends one step for each of these summaries, and then the attempt. Nothing is reported of later steps of the plan, as if they
/// were skipped.
pub async fn end_steps(lease: &lease::Client, steps: Vec<TestsReported>) {
    let (mut said, mut worst) = (Vec::new(), Outcome::Succeeded);
    for (step, tests) in (0..).zip(steps) {
        let outcome = if tests.counts.bad() > 0 { Outcome::Failed } else { Outcome::Succeeded };
        let exit = Exit::Code(i32::from(outcome == Outcome::Failed));
        let log_hash = blake3::hash(b"").as_bytes().to_vec();
        let end = StepEnd { outcome, exit, time: Time(2), log_size: 0, log_hash, tests: Some(tests) };
        said.extend([Progress::Started { step, time: Time(1) }, Progress::Finished { step, end }]);
        worst = worst.max(outcome);
    }
    said.push(Progress::Ended { outcome: worst, reason: String::new() });
    say(lease, &said).await;
}

async fn say(lease: &lease::Client, said: &[Progress]) {
    let mut request = lease.report_request();
    wire::write_progress(request.get().init_progress(wire::length(said.len())), said);
    let answer = request.send().promise.await.unwrap();
    assert!(!answer.get().unwrap().has_refusal());
}
