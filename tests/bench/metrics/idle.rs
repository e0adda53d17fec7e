//! The memory and CPU that workers without work cost the master, and how soon all are attached again after its restart. They are
//! real workers, many in one process; each has a key, a credential and a TLS connection of its own.

use super::Bench;
use crate::crowd::Crowd;
use crate::lab::{Lab, one_job};
use crate::proc::{memory_kib, peak_kib};
use futures::{StreamExt as _, stream};
use schema::identity::Identity;
use schema::values::{GrantKind, What};
use schema::vat::Limits;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::guild::enroll;

const PER_PROCESS: usize = 2_500;
/// The number of workers that are enrolled at once.
const ENROL: usize = 16;

pub async fn measure(bench: &Bench<'_>) {
    let counts = if bench.quick { &[0, 100, 1_000][..] } else { &[0, 100, 1_000, 10_000] };
    let seconds = bench.size(3, 10) as f64;
    let mut empty = f64::NAN;
    for count in counts.iter().copied() {
        let mut lab = Lab::open(bench.bin, &one_job("true"), &[]).await;
        let crowds = gather(&lab, count).await;
        lab.until_attached(count).await;
        lab.stop_all();
        let began = Instant::now();
        lab.start_master().await;
        lab.until_attached(count).await;
        let back = began.elapsed().as_secs_f64();
        settle(Duration::from_secs_f64(seconds)).await;
        let (before, began) = (lab.cpu().0, Instant::now());
        // all workers send their pings at about the same time: with many workers, the window has to be whole rounds of pings
        let rounds = if count < 1_000 { 0 } else { bench.size(1, 2) as u32 };
        let window = (rounds * Limits::known().heartbeat).max(Duration::from_secs_f64(seconds));
        settle(window).await;
        let busy = lab.cpu().0.since(before).all() / began.elapsed().as_secs_f64();
        let memory = memory_kib(lab.master(), "Rss");
        if count == 0 {
            empty = memory;
        }
        let detail = json!({
            "per_worker_kib": (count > 0).then(|| (memory - empty) / count as f64), "peak_mib": peak_kib(lab.master()) / 1024.0,
            "pss_mib": memory_kib(lab.master(), "Pss") / 1024.0, "processes_of_workers": crowds.len(),
        });
        bench.figures.tell(&format!("idle_rss_{count}"), memory / 1024.0, "MiB", count, detail);
        bench.figures.tell(
            &format!("idle_cpu_{count}"),
            busy * 1e3,
            "ms/s",
            count,
            json!({"seconds": window.as_secs_f64()}),
        );
        let note = "from the master's start until all are attached; they come back within their own pauses";
        bench.figures.tell(&format!("idle_back_{count}"), back, "s", count, json!({"note": note}));
    }
}

async fn settle(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Starts `count` workers, in processes of at most [`PER_PROCESS`] each.
pub(super) async fn gather(lab: &Lab, count: usize) -> Vec<Crowd> {
    let mut crowds = Vec::new();
    for first in (0..count).step_by(PER_PROCESS) {
        let size = PER_PROCESS.min(count - first);
        let dir = lab.path(&format!("crowd-{first}"));
        let enrolled = (0..size).map(|number| state_of_one(lab, dir.join(number.to_string()), first + number));
        stream::iter(enrolled).buffer_unordered(ENROL).collect::<Vec<()>>().await;
        crowds.push(Crowd::gather(&["_workers".as_ref(), dir.as_os_str(), size.to_string().as_ref()]));
    }
    crowds
}

/// Writes the state of one worker as `guild grant issue` and `guild-worker join` would, but without a process for each.
async fn state_of_one(lab: &Lab, state: PathBuf, number: usize) {
    std::fs::create_dir_all(&state).expect("a directory");
    let name = format!("idle-{number}");
    let identity = Identity::load_or_create(&state.join("identity.key")).expect("a key");
    let (master, what) = (&lab.credential.0, What::default());
    let (credential, _) = enroll(&lab.guild, master, &identity, GrantKind::Worker, &name, what).await;
    credential.save(&state.join(worker::CREDENTIAL_FILE)).expect("the credential is written");
    std::fs::write(state.join("worker.toml"), "slots = 1\nreserve = 0\nisolation = \"plain\"\n").expect("worker.toml");
}
