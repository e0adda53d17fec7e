//! The speed of the machine at this moment, with which the other figures are compared: how long it takes to start a process and to
//! sync a file.

use crate::figures::Figures;
use serde_json::json;
use std::fs::File;
use std::io::Write as _;
use std::process::Command;
use std::time::Instant;

const SPAWNS: usize = 100;
const SYNCS: usize = 100;

pub fn baseline(figures: &Figures) {
    let spawn = || assert!(Command::new("true").status().is_ok_and(|status| status.success()), "true is true");
    figures.tell_ms("baseline_spawn", &times(SPAWNS, spawn), &json!({"what": "true, started and waited for"}));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut file = File::create(dir.path().join("synced")).expect("a file");
    let sync = || {
        file.write_all(&[0; 4096]).expect("room");
        file.sync_data().expect("a disk");
    };
    figures.tell_ms("baseline_fdatasync", &times(SYNCS, sync), &json!({"what": "4 KiB appended and synced"}));
}

fn times(count: usize, mut what: impl FnMut()) -> Vec<f64> {
    let time = |_| {
        let began = Instant::now();
        what();
        began.elapsed().as_secs_f64()
    };
    (0..count).map(time).collect()
}
