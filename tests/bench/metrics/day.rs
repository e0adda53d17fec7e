//! A day of a large installation, played 20 times as fast: 200,000 jobs, 150 sessions, 300 followers of logs, 50 GB of logs.
//! A run can play fewer minutes of it; the rates stay those of the day.

use super::{Bench, itself};
use crate::crowd::Crowd;
use crate::figures::{at, sorted};
use crate::lab::{Lab, PROJECT, one_job};
use crate::metrics::idle;
use crate::proc::memory_kib;
use client::{BuildQuery, Guild, Told};
use schema::values::Fact;
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// The length of the played day in minutes: 24 hours, 20 times as fast.
const MINUTES: f64 = 24.0 * 60.0 / 20.0;
const JOBS: f64 = 200_000.0;
const LOG_BYTES: f64 = 50e9;
const SESSIONS: usize = 150;
const FOLLOWERS: usize = 300;
/// The time that each job sleeps, in seconds. With this value about a third of the sessions are busy.
const JOB_SECONDS: u32 = 1;
const PROBE_EVERY: Duration = Duration::from_millis(100);
const SAMPLES: u32 = 20;

pub async fn measure(bench: &Bench<'_>) {
    let minutes = bench.minutes.unwrap_or(if bench.quick { 1.0 } else { MINUTES });
    let lines = (LOG_BYTES / JOBS / 100.0) as u64;
    let script = format!("({}); sleep {JOB_SECONDS}", itself(&format!("_print {lines}")));
    let lab = Rc::new(Lab::open(bench.bin, &one_job(&script), &[]).await);
    let sessions = idle::gather(&lab, SESSIONS).await;
    lab.until_attached(SESSIONS).await;
    let followers = Crowd::followers(&lab, FOLLOWERS, "one");
    let count = (JOBS * minutes / MINUTES) as usize;
    let began = Instant::now();
    let before = lab.cpu().0;
    let starts = tokio::task::spawn_local(starts(lab.clone(), count));
    let (over, memory) = (Rc::new(Cell::new(false)), Rc::new(RefCell::new(Vec::new())));
    let probing = tokio::task::spawn_local(probe(lab.guild.clone(), over.clone()));
    let sampling = tokio::task::spawn_local(sample(lab.clone(), minutes, memory.clone()));
    let mut pace = interval(Duration::from_secs_f64(MINUTES * 60.0 / JOBS));
    // if this loop is delayed, it asks for the missed builds at once, so that the rate of the day is kept
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut asked = HashMap::new();
    let (told, mut answers) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..count {
        pace.tick().await;
        let (lab, told, began) = (lab.clone(), told.clone(), Instant::now());
        tokio::task::spawn_local(async move { told.send((lab.run().await, began)) });
    }
    for _ in 0..count {
        let (number, at) = answers.recv().await.expect("each is answered");
        asked.insert(number, at);
    }
    let started = starts.await.expect("all are told");
    over.set(true);
    let seconds = began.elapsed().as_secs_f64();
    let waits: Vec<f64> =
        sorted(started.iter().map(|(number, at)| at.saturating_duration_since(asked[number]).as_secs_f64()).collect());
    let status = sorted(probing.await.expect("it probes"));
    sampling.abort();
    let read: u64 = followers.leave().parse().expect("a number");
    drop(sessions);
    let detail = json!({
        "minutes": minutes, "jobs_per_s": count as f64 / seconds, "sessions": SESSIONS, "followers": FOLLOWERS,
        "log_mb": count as f64 * lines as f64 / 1e4, "followed_mb": read as f64 / 1e6, "p50_ms": at(&waits, 0.5) * 1e3,
        "master_busy": lab.cpu().0.since(before).all() / seconds,
    });
    bench.figures.tell("day_start_p99", at(&waits, 0.99) * 1e3, "ms", waits.len(), detail);
    let detail = json!({"p50_ms": at(&status, 0.5) * 1e3, "what": "a list of 50, one build, the queue"});
    bench.figures.tell("day_status_p99", at(&status, 0.99) * 1e3, "ms", status.len(), detail);
    let memory = memory.borrow();
    let last = memory.last().copied().unwrap_or(f64::NAN);
    bench.figures.tell("day_rss", last, "MiB", memory.len(), json!({"over_time_mib": *memory}));
}

/// Returns when the steps of `count` builds started, as a subscriber sees it. Waits until all these builds have finished.
async fn starts(lab: Rc<Lab>, count: usize) -> HashMap<u32, Instant> {
    let mut events = lab.events(&["stepStarted", "buildFinished"]).await;
    let (mut started, mut ended) = (HashMap::new(), 0);
    while ended < count {
        let Told::Events { events, .. } = events.next().await.expect("events go on") else { panic!("a gap") };
        for event in events {
            match event.fact {
                Fact::StepStarted { .. } => drop(started.insert(event.build, Instant::now())),
                _ => ended += 1,
            }
        }
    }
    started
}

/// Asks for a list, a build and the queue again and again, as people do all day. Returns the seconds of each answer.
async fn probe(guild: Guild, over: Rc<Cell<bool>>) -> Vec<f64> {
    let list = BuildQuery { project: PROJECT.to_owned(), limit: 50, ..BuildQuery::default() };
    let mut seconds = Vec::new();
    while !over.get() {
        sleep(PROBE_EVERY).await;
        let began = Instant::now();
        let builds = guild.builds(&list).await.expect("a list");
        seconds.push(began.elapsed().as_secs_f64());
        if let Some(newest) = builds.first() {
            let began = Instant::now();
            guild.build(PROJECT, newest.number).await.expect("a build");
            seconds.push(began.elapsed().as_secs_f64());
        }
        let began = Instant::now();
        guild.queue().await.expect("the queue");
        seconds.push(began.elapsed().as_secs_f64());
    }
    seconds
}

async fn sample(lab: Rc<Lab>, minutes: f64, into: Rc<RefCell<Vec<f64>>>) {
    loop {
        sleep(Duration::from_secs_f64(minutes * 60.0) / SAMPLES).await;
        into.borrow_mut().push((memory_kib(lab.master(), "Rss") / 102.4).round() / 10.0);
    }
}
