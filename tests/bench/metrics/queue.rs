//! The cost of queued jobs: the time of a decision as the numbers of jobs and workers grow, and what many jobs cost a real master.

use super::Bench;
use crate::lab::{Lab, one_job};
use crate::proc::{memory_kib, peak_kib};
use master::explain::Explainer;
use serde_json::json;
use std::time::Instant;
use support::hall::Hall;

/// The sizes to measure: pairs of the number of queued jobs and the number of workers.
const SIZES: [(usize, usize); 5] = [(1_000, 1_000), (10_000, 1_000), (100_000, 1_000), (100_000, 100), (100_000, 10)];
const DECISIONS: usize = 2_000;
const QUERIES: usize = 20;

pub async fn measure(bench: &Bench<'_>) {
    for (waiting, workers) in SIZES {
        decisions(bench, waiting, workers);
    }
    let sizes = if bench.quick { &[500, 1_000, 2_000][..] } else { &[1_000, 10_000, 100_000] };
    for size in sizes.iter().copied() {
        waiting_in_a_master(bench, size).await;
    }
}

/// Measures decisions of the master's own coordinator in this process, without a store or a network.
fn decisions(bench: &Bench<'_>, waiting: usize, workers: usize) {
    let mut hall = Hall::new(workers, waiting);
    let (mut deciding, mut living) = (0.0, Instant::now());
    for number in 0..DECISIONS {
        let began = Instant::now();
        let offer = hall.decide(number % workers).expect("there is something for everybody");
        deciding += began.elapsed().as_secs_f64();
        hall.work(&offer);
        hall.submit();
    }
    let life = living.elapsed().as_secs_f64() / DECISIONS as f64 * 1e6;
    living = Instant::now();
    let shown = Explainer::new(&hall.it, hall.now()).queue().len();
    let detail = json!({
        "waiting": waiting, "workers": workers, "whole_life_us": life,
        "queue_list_ms": living.elapsed().as_secs_f64() * 1e3, "queue_listed": shown,
    });
    bench.figures.tell(
        &format!("queue_decision_{waiting}x{workers}"),
        deciding / DECISIONS as f64 * 1e6,
        "us",
        DECISIONS,
        detail,
    );
}

/// Measures a real master with `size` queued builds, which no worker may take yet.
async fn waiting_in_a_master(bench: &Bench<'_>, size: usize) {
    let mut lab = Lab::open(bench.bin, &one_job("true"), &[4]).await;
    let empty = memory_kib(lab.master(), "Rss");
    let asking = Instant::now();
    lab.queue_up(size).await;
    let asked = asking.elapsed().as_secs_f64();
    let (full, peak) = (memory_kib(lab.master(), "Rss"), peak_kib(lab.master()));
    let mut seconds = Vec::new();
    for _ in 0..QUERIES {
        let began = Instant::now();
        assert!(!lab.guild.queue().await.expect("the queue").is_empty());
        seconds.push(began.elapsed().as_secs_f64());
    }
    let detail = json!({"kib_per_build": (full - empty) / size as f64, "peak_mib": peak / 1024.0, "asked_per_s": size as f64 / asked});
    bench.figures.tell("queue_rss", full / 1024.0, "MiB", size, detail);
    bench.figures.tell_ms("queue_shown", &seconds, &json!({"builds": size}));
    lab.stop_all();
    let start = lab.start_master().await;
    let detail = json!({"rss_mib": memory_kib(lab.master(), "Rss") / 1024.0});
    bench.figures.tell("queue_restart", start, "s", size, detail);
}
