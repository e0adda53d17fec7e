//! The time that a step of 5 seconds loses if the master or the worker is killed with -9 halfway, and started again. The loss is
//! the time that the build takes beyond the 5 seconds. The step also records which processes ran it, so a second run is seen.

use super::Bench;
use crate::lab::{Lab, PROJECT, one_job};
use schema::values::{Outcome, State};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const TICKS: usize = 50;
const LOOK: Duration = Duration::from_millis(20);

pub async fn measure(bench: &Bench<'_>) {
    for run in 0..bench.size(1, 3) {
        for whom in ["nobody", "master", "worker"] {
            let dir = tempfile::tempdir().expect("a directory");
            let counted = dir.path().join("counted");
            let count = format!("for i in $(seq {TICKS}); do echo $$ $i >> {}; sleep 0.1; done", counted.display());
            let mut lab = Lab::open(bench.bin, &one_job(&count), &[1]).await;
            let began = Instant::now();
            let number = lab.run().await;
            while lines(&counted).len() < TICKS / 2 {
                sleep(LOOK).await;
            }
            match whom {
                "master" => lab.restart_master().await,
                "worker" => lab.restart_workers(),
                _ => {}
            }
            let outcome = outcome(&lab, number).await;
            let wall = began.elapsed().as_secs_f64();
            let lines = lines(&counted);
            let processes: BTreeSet<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
            let detail = json!({
                "run": run, "wall_s": wall, "processes": processes.len(), "ticks": lines.len(),
                "outcome": format!("{outcome:?}"),
            });
            bench.figures.tell(&format!("kill_{whom}"), wall - TICKS as f64 / 10.0, "s lost", 1, detail);
        }
    }
}

/// Waits until the build has finished, and returns its outcome. Asks again if a call fails, because the master may be restarting.
async fn outcome(lab: &Lab, number: u32) -> Option<Outcome> {
    loop {
        if let Ok(build) = lab.guild.build(PROJECT, number).await
            && build.state == State::Finished
        {
            return build.outcome;
        }
        sleep(LOOK).await;
    }
}

fn lines(counted: &Path) -> Vec<String> {
    std::fs::read_to_string(counted).unwrap_or_default().lines().map(str::to_owned).collect()
}
