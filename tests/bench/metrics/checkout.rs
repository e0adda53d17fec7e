//! The time from a job's start to its step's start with a source of 2,000 files: the first checkout, the same commit again, and
//! a commit with 335 files changed. Each is compared with plain git.

use super::Bench;
use crate::lab::{Lab, PROJECT};
use client::{Events, Told};
use schema::values::Fact;
use serde_json::json;
use std::path::Path;
use std::time::Instant;
use support::programs::git;

const FILES: usize = 2_000;
const CHANGED: usize = 335;
const PIPELINE: &str = "version = 1\n[trigger]\npush = []\n[job.run]\nworkspace = \"clean\"\nrun = \"true\"\n";

pub async fn measure(bench: &Bench<'_>) {
    let lab = Lab::open(bench.bin, PIPELINE, &[1]).await;
    let repo = lab.path("repo");
    let mut revisions = vec![lab.revision.clone()];
    for (round, count) in [(0, FILES), (1, CHANGED)] {
        write(&repo, count, round);
        revisions.push(git(&repo, &["rev-parse", "HEAD"]));
    }
    let (full, changed) = (&revisions[1], &revisions[2]);
    let plain = Plain::new(&lab, &repo, full);
    let mut events = lab.events(&["jobStarted", "stepStarted", "buildFinished"]).await;
    build(&lab, &mut events, &revisions[0]).await;
    let first = build(&lab, &mut events, full).await;
    let detail = json!({"git_clone_s": plain.clone_s, "ratio": first / plain.clone_s, "files": FILES});
    bench.figures.tell("checkout_first", first * 1e3, "ms", 1, detail);
    let (mut same, mut other, mut same_git, mut other_git) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.size(3, 10) {
        same.push(build(&lab, &mut events, full).await);
        same_git.push(plain.reset(full));
        other.push(build(&lab, &mut events, changed).await);
        other_git.push(plain.reset(changed));
        other.push(build(&lab, &mut events, full).await);
        other_git.push(plain.reset(full));
    }
    tell(bench, "checkout_same", same, same_git);
    tell(bench, "checkout_335_changed", other, other_git);
}

fn tell(bench: &Bench<'_>, metric: &str, own: Vec<f64>, plain: Vec<f64>) {
    let middle = |values: Vec<f64>| crate::figures::median(&crate::figures::sorted(values));
    let count = own.len();
    let (own, plain) = (middle(own), middle(plain));
    let detail = json!({"git_reset_and_clean_ms": plain * 1e3, "ratio": own / plain});
    bench.figures.tell(metric, own * 1e3, "ms", count, detail);
}

/// Builds a revision, and returns the seconds from the job's start to its step's start.
async fn build(lab: &Lab, events: &mut Events, revision: &str) -> f64 {
    lab.guild.run(PROJECT, "", revision).await.expect("a build is asked for");
    let (mut began, mut took) = (Instant::now(), f64::NAN);
    loop {
        let Told::Events { events, .. } = events.next().await.expect("events go on") else { panic!("a gap") };
        for event in events {
            match event.fact {
                Fact::JobStarted { .. } => began = Instant::now(),
                Fact::StepStarted { .. } => took = began.elapsed().as_secs_f64(),
                Fact::BuildFinished { .. } => return took,
                ref other => panic!("{other:?} was not asked for"),
            }
        }
    }
}

fn write(repo: &Path, count: usize, round: usize) {
    for number in 0..count {
        let dir = repo.join(format!("d{}", number % 40));
        std::fs::create_dir_all(&dir).expect("a directory");
        let text = format!("{round} {number}\n").repeat(200);
        std::fs::write(dir.join(format!("f{number}")), text).expect("a file");
    }
    git(repo, &["add", "-A"]);
    git(repo, &["commit", "-qm", "files"]);
}

/// `Plain` is a checkout of the same repository by plain git.
struct Plain {
    tree: std::path::PathBuf,
    clone_s: f64,
}

impl Plain {
    fn new(lab: &Lab, repo: &Path, revision: &str) -> Plain {
        let tree = lab.path("plain");
        let began = Instant::now();
        let url = format!("file://{}", repo.display());
        git(lab.dir.path(), &["clone", "-q", &url, &tree.display().to_string()]);
        git(&tree, &["checkout", "-q", "--detach", revision]);
        Plain { tree, clone_s: began.elapsed().as_secs_f64() }
    }

    fn reset(&self, revision: &str) -> f64 {
        let began = Instant::now();
        git(&self.tree, &["reset", "-q", "--hard", revision]);
        git(&self.tree, &["clean", "-qffdx"]);
        began.elapsed().as_secs_f64()
    }
}
