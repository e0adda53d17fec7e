//! The throughput of trivial jobs with many subscribers to every event, each on a connection of its own.

use super::Bench;
use crate::crowd::Crowd;
use crate::lab::{Lab, one_job};
use serde_json::json;

const SLOTS: &[u16] = &[4, 4, 4, 4];

pub async fn measure(bench: &Bench<'_>) {
    let count = bench.size(1_000, 4_000);
    let lab = Lab::open(bench.bin, &one_job("true"), SLOTS).await;
    lab.burst(count / 10).await;
    let mut alone = f64::NAN;
    for subscribers in [0, 100, 1_000] {
        let crowd = (subscribers > 0).then(|| gather(&lab, subscribers));
        let burst = lab.burst(count).await;
        let rate = count as f64 / burst.drain.seconds;
        if subscribers == 0 {
            alone = rate;
        }
        let told = crowd.map_or(0, |crowd| crowd.leave().parse::<u64>().expect("a number"));
        let detail = json!({
            "subscribers": subscribers, "ratio": rate / alone, "events_told": told,
            "master_cpu_ms_per_build": burst.drain.master.all() * 1e3 / count as f64,
        });
        bench.figures.tell(&format!("fanout_{subscribers}"), rate, "builds/s", count, detail);
    }
}

fn gather(lab: &Lab, count: usize) -> Crowd {
    let contexts = lab.path("home/config/guild");
    Crowd::gather(&["_subscribers".as_ref(), contexts.as_os_str(), count.to_string().as_ref()])
}
