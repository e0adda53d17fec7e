//! The bytes that a one-line commit in a large repository costs on the wire, and git's CPU if 40 workers want one commit at once.

use super::{Bench, idle};
use crate::lab::{Lab, PROJECT};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use support::programs::git;

const WORKERS: usize = 40;
/// The size of the repository in MiB, if 40 workers want it: smaller than the other, because each worker gets a copy.
const SHARED_MIB: usize = 16;
const ONE: &str = "version = 1\n[trigger]\npush = []\n[job.run]\nrun = \"true\"\n";

pub async fn measure(bench: &Bench<'_>) {
    one_line(bench, bench.size(64, 1_024)).await;
    many_workers(bench).await;
}

async fn one_line(bench: &Bench<'_>, mib: usize) {
    let lab = Lab::open(bench.bin, ONE, &[1]).await;
    let repo = lab.path("repo");
    let full = fill(&repo, mib);
    let first = build(&lab, &full).await;
    std::fs::write(repo.join("f0"), "one line\n").expect("a file");
    git(&repo, &["commit", "-qam", "one line"]);
    let changed = git(&repo, &["rev-parse", "HEAD"]);
    let second = build(&lab, &changed).await;
    let fetched = fetched(&lab);
    let (all, thin) = (fetched.first().copied().unwrap_or(f64::NAN), fetched.last().copied().unwrap_or(f64::NAN));
    let plain = thin_pack(&repo, &full, &changed);
    let detail = json!({
        "repository_mib": mib, "git_pack_objects_thin_bytes": plain, "ratio": thin / plain, "build_s": second,
        "first_bytes": all, "first_build_s": first,
    });
    bench.figures.tell("pack_one_line", thin, "bytes", 1, detail);
}

async fn many_workers(bench: &Bench<'_>) {
    let cells: Vec<String> = (0..WORKERS).map(|cell| format!("\"c{cell}\"")).collect();
    let pipeline = format!(
        "version = 1\n[trigger]\npush = []\n[axis.cell]\n{}\n[job.run]\nmatrix = {{ cell = \"*\" }}\nrun = \"true\"\n",
        cells.iter().map(|cell| format!("{cell} = {{}}\n")).collect::<String>()
    );
    let mut alone = f64::NAN;
    for workers in [1, WORKERS] {
        let pipeline = if workers == 1 { ONE } else { &pipeline };
        let lab = Lab::open(bench.bin, pipeline, &[]).await;
        let _crowds = idle::gather(&lab, workers).await;
        lab.until_attached(workers).await;
        let full = fill(&lab.path("repo"), SHARED_MIB);
        let before = lab.cpu().0;
        let seconds = build(&lab, &full).await;
        let git = lab.cpu().0.since(before).children;
        if workers == 1 {
            alone = git;
        }
        let detail = json!({"repository_mib": SHARED_MIB, "build_s": seconds, "ratio_to_one_worker": git / alone});
        bench.figures.tell(&format!("pack_{workers}_workers_git_cpu"), git, "s", workers, detail);
    }
}

/// Builds a revision, and returns the seconds from asking for it to its end.
async fn build(lab: &Lab, revision: &str) -> f64 {
    let mut finished = lab.finished().await;
    let began = Instant::now();
    let number = lab.guild.run(PROJECT, "", revision).await.expect("a build is asked for");
    finished.all_of([number].into()).await;
    began.elapsed().as_secs_f64()
}

/// Returns the bytes that each checkout so far has fetched, from the log of the worker.
fn fetched(lab: &Lab) -> Vec<f64> {
    let text = std::fs::read_to_string(lab.path("w0/worker.log")).expect("the workers' log");
    let numbers = text.split("fetched=").skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    numbers.filter_map(|digits| digits?.parse().ok()).collect()
}

/// Commits `mib` files of 1 MiB that git cannot compress, and returns the id of the commit.
fn fill(repo: &Path, mib: usize) -> String {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for number in 0..mib {
        let mut bytes = Vec::with_capacity(1 << 20);
        while bytes.len() < 1 << 20 {
            // xorshift makes noise that is the same in each run
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        std::fs::write(repo.join(format!("f{number}")), bytes).expect("a file");
    }
    git(repo, &["add", "-A"]);
    git(repo, &["commit", "-qm", "large"]);
    git(repo, &["rev-parse", "HEAD"])
}

fn thin_pack(repo: &Path, old: &str, new: &str) -> f64 {
    let script = format!(
        "printf '{new}\\n^{old}\\n' | git -C '{}' pack-objects --thin --revs --stdout -q | wc -c",
        repo.display()
    );
    let counted = Command::new("sh").args(["-c", &script]).output().expect("git runs");
    String::from_utf8_lossy(&counted.stdout).trim().parse().expect("a number")
}
