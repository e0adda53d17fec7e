//! The number of trivial jobs per second, if all are queued and the workers then begin to take them.

use super::Bench;
use crate::lab::{Burst, Lab, one_job};
use crate::proc::peak_kib;
use serde_json::json;
use std::process::{Command, Stdio};
use std::time::Duration;

pub async fn measure(bench: &Bench<'_>) {
    let count = bench.size(2_000, 10_000);
    for (name, slots) in [("1x8", &[8][..]), ("4x4", &[4, 4, 4, 4])] {
        let lab = Lab::open(bench.bin, &one_job("true"), slots).await;
        lab.burst(count / 10).await;
        let burst = lab.burst(count).await;
        tell(bench, &lab, name, count, &burst);
        if name == "1x8" {
            syncs(bench, &lab, count / 10).await;
        }
    }
}

fn tell(bench: &Bench<'_>, lab: &Lab, name: &str, count: usize, burst: &Burst) {
    let (n, Burst { submit, drain }) = (count as f64, burst);
    let detail = json!({
        "workers": lab.workers().count(), "drain_s": drain.seconds, "with_submission": n / (drain.seconds + submit.seconds),
        "worker_cpu_ms_per_build": drain.workers.own * 1e3 / n,
        "machine_cpu_ms_per_build": drain.machine * 1e3 / n,
        "master_peak_mib": peak_kib(lab.master()) / 1024.0,
    });
    bench.figures.tell(&format!("throughput_{name}"), n / drain.seconds, "builds/s", count, detail);
    let detail = json!({"share_of_one_core": drain.master.all() / drain.seconds});
    bench.figures.tell(
        &format!("throughput_{name}_master_cpu"),
        drain.master.all() * 1e3 / n,
        "ms/build",
        count,
        detail,
    );
    let detail = json!({"master_cpu_ms": submit.master.all() * 1e3 / n});
    bench.figures.tell(&format!("submit_{name}"), n / submit.seconds, "requests/s", count, detail);
}

/// Counts the master's syncs per job with strace, if it is installed. Nothing else is measured meanwhile, because strace slows the
/// master.
async fn syncs(bench: &Bench<'_>, lab: &Lab, count: usize) {
    let told = lab.path("syncs");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-e", "trace=fsync,fdatasync,sync_file_range", "-o"]).arg(&told);
    strace.args(["-p", &lab.master().to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
    let Ok(mut strace) = strace.spawn() else {
        eprintln!("syncs_per_job is skipped: strace is not installed");
        return;
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    lab.burst(count).await;
    let pid = rustix::process::Pid::from_child(&strace);
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    let _ = strace.wait();
    let text = std::fs::read_to_string(told).unwrap_or_default();
    // the columns of strace are: share, seconds, microseconds per call, calls, perhaps errors, name
    let calls = text
        .lines()
        .filter(|line| line.contains("sync"))
        .filter_map(|line| line.split_ascii_whitespace().nth(3)?.parse::<f64>().ok());
    let detail = json!({"note": "submission included"});
    bench.figures.tell("syncs_per_job", calls.sum::<f64>() / count as f64, "1/build", count, detail);
}
