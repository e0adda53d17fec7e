//! The time from the end of a command until a subscriber has the event that the build finished.

use super::Bench;
use crate::lab::{Lab, one_job};
use crate::proc::wall;
use client::Told;
use serde_json::json;

pub async fn measure(bench: &Bench<'_>) {
    let count = bench.size(50, 200);
    let ended = tempfile::NamedTempFile::new().expect("a temporary file");
    let command = format!("date +%s%N >> {}", ended.path().display());
    let lab = Lab::open(bench.bin, &one_job(&command), &[1]).await;
    let mut events = lab.events(&["buildFinished"]).await;
    let mut seen = Vec::new();
    for _ in 0..count {
        lab.run().await;
        let before = seen.len();
        while seen.len() == before {
            let Told::Events { events, .. } = events.next().await.expect("events go on") else { panic!("a gap") };
            seen.extend(events.iter().map(|_| wall().as_nanos()));
        }
    }
    let text = std::fs::read_to_string(ended.path()).expect("the builds wrote it");
    let ends = text.lines().map(|line| line.parse::<u128>().expect("a time"));
    let lags: Vec<f64> = ends.zip(&seen).map(|(end, seen)| (seen - end) as f64 / 1e9).collect();
    assert_eq!(lags.len(), count, "each build wrote once");
    bench.figures.tell_ms("event_from_command_end", &lags, &json!({"note": "`date` itself is in it"}));
}
