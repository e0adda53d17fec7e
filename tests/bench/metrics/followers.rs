//! The master's memory and CPU while many clients follow one long log that is being written, each on a connection of its own.

use super::{Bench, itself};
use crate::crowd::Crowd;
use crate::lab::{Lab, one_job};
use crate::proc::{memory_kib, peak_kib};
use serde_json::json;
use std::time::Instant;

const LINE_BYTES: usize = 100;

pub async fn measure(bench: &Bench<'_>) {
    let lines = bench.size(100_000, (1 << 30) / LINE_BYTES);
    for followers in [1, 10, 100] {
        let lab = Lab::open(bench.bin, &one_job(&itself(&format!("_print {lines}"))), &[1]).await;
        let crowd = Crowd::followers(&lab, followers, "all");
        let (memory, before) = (memory_kib(lab.master(), "Rss"), lab.cpu().0);
        let mut finished = lab.finished().await;
        let began = Instant::now();
        let number = lab.run().await;
        finished.all_of([number].into()).await;
        let written = began.elapsed().as_secs_f64();
        let read: u64 = crowd.leave().parse().expect("a number");
        assert_eq!(read, (followers * lines * LINE_BYTES) as u64, "each read all of it");
        let seconds = began.elapsed().as_secs_f64();
        let detail = json!({
            "log_mb": (lines * LINE_BYTES) as f64 / 1e6, "peak_mib": peak_kib(lab.master()) / 1024.0,
            "written_s": written, "read_s": seconds, "read_mb_per_s": read as f64 / 1e6 / seconds,
            "master_cpu_s_per_gb_read": lab.cpu().0.since(before).all() / (read as f64 / 1e9),
        });
        let grown = (peak_kib(lab.master()) - memory) / 1024.0;
        bench.figures.tell("followers_memory", grown, "MiB", followers, detail);
    }
}
