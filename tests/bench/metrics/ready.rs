//! The time from the start of master and worker until the worker is attached, and the sizes of the programs.

use super::Bench;
use crate::lab::{Lab, one_job};
use crate::proc::memory_kib;
use serde_json::json;
use std::time::Instant;

pub async fn measure(bench: &Bench<'_>) {
    for program in ["guild", "guild-master", "guild-worker"] {
        let bytes = std::fs::metadata(bench.bin.join(program)).map_or(f64::NAN, |file| file.len() as f64);
        bench.figures.tell(&format!("size_{program}"), bytes / 1e6, "MB", 1, json!({}));
    }
    let began = Instant::now();
    let mut lab = Lab::open(bench.bin, &one_job("true"), &[1]).await;
    let what = "init, repository, login and enrolment included";
    bench.figures.tell("ready_first", began.elapsed().as_secs_f64(), "s", 1, json!({"note": what}));
    for _ in 0..bench.size(3, 10) {
        lab.stop_all();
        let began = Instant::now();
        lab.start_workers();
        let serves = lab.start_master().await;
        lab.until_attached(1).await;
        let (master, worker) = lab.cpu();
        let detail = json!({
            "serves_s": serves, "master_cpu_s": master.all(), "worker_cpu_s": worker.all(),
            "note": "master and worker launched together; value = worker attached",
        });
        bench.figures.tell("ready_restart", began.elapsed().as_secs_f64(), "s", 1, detail);
    }
    bench.figures.tell("ready_rss", memory_kib(lab.master(), "Rss") / 1024.0, "MiB", 1, json!({}));
}
