//! Throughput with many subscribers to every event, each on a connection of its own.

use super::Bench;
use crate::lab::{Lab, one_job};
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

const SLOTS: &[u16] = &[4, 4, 4, 4];

pub async fn measure(bench: &Bench<'_>) {
    let count = bench.size(1_000, 4_000);
    let lab = Lab::open(bench.bin, &one_job("true"), SLOTS).await;
    lab.burst(count / 10).await;
    let mut alone = f64::NAN;
    for subscribers in [0, 100, 1_000] {
        let mut crowd = (subscribers > 0).then(|| Crowd::gather(&lab, subscribers));
        let burst = lab.burst(count).await;
        let rate = count as f64 / burst.drain.seconds;
        if subscribers == 0 {
            alone = rate;
        }
        let told = crowd.as_mut().map_or(0, Crowd::leave);
        let detail = json!({
            "subscribers": subscribers, "ratio": rate / alone, "events_told": told,
            "master_cpu_ms_per_build": burst.drain.master.all() * 1e3 / count as f64,
        });
        bench.figures.tell(&format!("fanout_{subscribers}"), rate, "builds/s", count, detail);
    }
}

struct Crowd(Child, BufReader<std::process::ChildStdout>);

impl Crowd {
    fn gather(lab: &Lab, count: usize) -> Crowd {
        let own = std::env::current_exe().expect("this program has a path");
        let mut command = Command::new(own);
        command.arg("_subscribers").arg(lab.path("home/config/guild")).arg(count.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut crowd = Crowd(child, out);
        assert_eq!(crowd.line(), "ready", "all subscribe");
        crowd
    }

    /// Answers how many events all were told.
    fn leave(&mut self) -> u64 {
        drop(self.0.stdin.take());
        let told = self.line().parse().expect("a number");
        let _ = self.0.wait();
        told
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).expect("it speaks");
        line.trim().to_owned()
    }
}
