//! The time of a big log from a command to the master's disk and back, and of a single line from a command to a follower.

use super::{Bench, itself};
use crate::lab::{Lab, PROJECT, one_job};
use crate::proc::{machine_busy, memory_kib, peak_kib, wall};
use client::views::BuildView;
use client::{LogAddress, Tail, Until};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use tokio::sync::watch;

const LINE_BYTES: usize = 100;
const LINES: usize = 1_000_000;

pub async fn measure(bench: &Bench<'_>) {
    let lines = LINES;
    for run in 0..bench.size(3, 5) {
        let lab = Lab::open(bench.bin, &one_job(&itself(&format!("_print {lines}"))), &[1]).await;
        let direct = direct(&lab, lines);
        let memory = memory_kib(lab.master(), "Rss");
        let mut finished = lab.finished().await;
        let (began, before, busy) = (Instant::now(), lab.cpu(), machine_busy());
        let number = lab.run().await;
        finished.all_of([number].into()).await;
        let seconds = began.elapsed().as_secs_f64();
        let (master, worker) = lab.cpu();
        let (master, worker) = (master.since(before.0), worker.since(before.1));
        let megabytes = (lines * LINE_BYTES) as f64 / 1e6;
        let detail = json!({
            "run": run, "megabytes": megabytes, "direct_to_file_s": direct, "ratio_to_direct": seconds / direct,
        });
        bench.figures.tell("log_wall", seconds, "s", lines, detail);
        bench.figures.tell("log_rate", megabytes / seconds, "MB/s", lines, json!({"run": run}));
        let detail = json!({
            "run": run, "worker_s": worker.own, "machine_s": machine_busy() - busy,
        });
        bench.figures.tell("log_master_cpu", master.all(), "s", lines, detail);
        let grown = (peak_kib(lab.master()) - memory) / 1024.0;
        bench.figures.tell(
            "log_master_memory",
            grown,
            "MiB",
            lines,
            json!({"run": run, "note": "the peak, above idle"}),
        );
        bench.figures.tell("log_db_size", size(&lab.path("m")) / 1048576.0, "MiB", lines, json!({"run": run}));
        read_back(bench, &lab, number, run).await;
    }
}

/// Runs the same command with its output into a file, and returns the seconds that it takes.
fn direct(lab: &Lab, lines: usize) -> f64 {
    let file = std::fs::File::create(lab.path("plain")).expect("a file");
    let began = Instant::now();
    let printed = Command::new("sh").args(["-c", &itself(&format!("_print {lines}"))]).stdout(file).status();
    assert!(printed.is_ok_and(|status| status.success()), "lines are printed");
    let seconds = began.elapsed().as_secs_f64();
    let _ = std::fs::remove_file(lab.path("plain"));
    seconds
}

async fn read_back(bench: &Bench<'_>, lab: &Lab, number: u32, run: usize) {
    let before = lab.cpu().0;
    let began = Instant::now();
    let mut tail = Tail::new(&lab.guild, address(number), 0, Until::Offset(u64::MAX));
    let (mut bytes, mut lines) = (0, 0);
    while let Some(part) = tail.next().await.expect("the log is read") {
        bytes += part.len();
        lines += part.iter().filter(|byte| **byte == b'\n').count();
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = lab.cpu().0.since(before).all();
    let detail = json!({"run": run, "bytes": bytes, "lines": lines, "master_cpu_s": cpu});
    bench.figures.tell("log_read_back", seconds, "s", LINES, detail);
}

fn address(number: u32) -> LogAddress {
    LogAddress { project: PROJECT.to_owned(), build: number, job: "run".to_owned(), attempt: 0, step: 1 }
}

/// Whether the step of the build's only job has started. A build that is being planned has no jobs yet.
fn has_begun(build: &BuildView) -> bool {
    build.jobs.first().is_some_and(|job| !job.steps.is_empty())
}

/// Returns the size of all files below a directory, in bytes.
fn size(dir: &Path) -> f64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.len() as f64,
        Err(_) => 0.0,
    });
    sizes.sum()
}

/// Measures the time from the printing of a line until a follower has it, with a line every 20 ms.
pub async fn lag(bench: &Bench<'_>) {
    let count = bench.size(200, 1_000);
    let lab = Lab::open(bench.bin, &one_job(&itself(&format!("_count {count} 20"))), &[1]).await;
    let number = lab.run().await;
    let (_ends, ended) = watch::channel(false);
    let mut events = lab.events(&[]).await;
    // the log exists once the step has started
    while !has_begun(&lab.guild.build(PROJECT, number).await.expect("it is there")) {
        let _ = events.next().await;
    }
    let mut tail = Tail::new(&lab.guild, address(number), 0, Until::Ended(ended));
    let (mut text, mut lags) = (Vec::new(), Vec::new());
    while lags.len() < count
        && let Some(part) = tail.next().await.expect("the log is followed")
    {
        let now = wall().as_nanos();
        text.extend_from_slice(&part);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let printed: u128 = String::from_utf8_lossy(&line[5..end]).parse().expect("a time");
            lags.push((now - printed) as f64 / 1e9);
        }
    }
    // the first lines were printed before the follower was there, so their times mean nothing
    let lags = &lags[count / 10..];
    bench.figures.tell_ms("log_lag", lags, &json!({"every_ms": 20}));
}
