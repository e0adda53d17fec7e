//! The time from asking for a build of the trivial job to its step's start and to its end, as a subscriber sees them. The builds
//! run one after another.

use super::Bench;
use crate::lab::{Lab, one_job};
use client::{Events, Told};
use schema::values::{Event, Fact, Outcome};
use serde_json::json;
use std::time::Instant;

/// The number of builds that run first and are not measured, so that caches are warm.
const WARM: usize = 20;

pub async fn measure(bench: &Bench<'_>) {
    let lab = Lab::open(bench.bin, &one_job("true"), &[1]).await;
    sequence(bench, &lab, "latency", bench.size(200, 5_000)).await;
    drop(lab);
    let pipeline = "version = 1\n[trigger]\npush = []\n[job.run]\nrun = \"true\"\n";
    let lab = Lab::open(bench.bin, pipeline, &[1]).await;
    sequence(bench, &lab, "latency_with_source", bench.size(50, 200)).await;
}

async fn sequence(bench: &Bench<'_>, lab: &Lab, metric: &str, count: usize) {
    let mut events = lab.events(&["stepStarted", "buildFinished"]).await;
    for _ in 0..WARM {
        one(lab, &mut events).await;
    }
    let before = lab.cpu();
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(one(lab, &mut events).await);
    }
    let (master, worker) = lab.cpu();
    let (master, worker) = (master.since(before.0), worker.since(before.1));
    let each = |of: fn(&Times) -> f64| all.iter().map(of).collect::<Vec<f64>>();
    let detail = json!({"end": "buildFinished at a subscriber of the same connection"});
    bench.figures.tell_ms(metric, &each(|times| times.finished), &detail);
    bench.figures.tell_ms(&format!("{metric}_post"), &each(|times| times.asked), &json!({}));
    bench.figures.tell_ms(&format!("{metric}_step_start"), &each(|times| times.started), &json!({}));
    let per_job = |seconds: f64| seconds * 1e3 / count as f64;
    let detail = json!({"worker_ms": per_job(worker.own), "worker_children_ms": per_job(worker.children)});
    bench.figures.tell(&format!("{metric}_master_cpu"), per_job(master.all()), "ms/build", count, detail);
}

/// `Times` has the seconds from asking for a build to the answer, to its step's start and to its end.
struct Times {
    asked: f64,
    started: f64,
    finished: f64,
}

async fn one(lab: &Lab, events: &mut Events) -> Times {
    let began = Instant::now();
    let mut times = Times { asked: f64::NAN, started: f64::NAN, finished: f64::NAN };
    let run = async {
        let number = lab.run().await;
        (number, began.elapsed().as_secs_f64())
    };
    let end = async {
        loop {
            let Told::Events { events, .. } = events.next().await.expect("events go on") else { panic!("a gap") };
            for event in events {
                let now = began.elapsed().as_secs_f64();
                match is_end(&event) {
                    true => return (event.build, now),
                    false => times.started = now,
                }
            }
        }
    };
    // the event of the build's end may arrive before the answer to the call that asked for it
    let ((number, asked), (build, finished)) = tokio::join!(run, end);
    assert_eq!(number, build, "one build at a time");
    (times.asked, times.finished) = (asked, finished);
    times
}

fn is_end(event: &Event) -> bool {
    if let Fact::BuildFinished { outcome } = event.fact {
        assert_eq!(outcome, Outcome::Succeeded, "build {}", event.build);
        return true;
    }
    false
}
