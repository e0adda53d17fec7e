//! The readers of the two files that people write: `guild.toml`, which may come from a stranger, and `master.toml`.

use master::config::{Config, differences};
use pipeline::{Changed, Context, Pipeline, doubts, load};
use schema::limits::borders::{PIPELINE_JOB, PIPELINE_JOBS};
use schema::values::{BuildCause, Plan, Trust};
use schema::wire::job_bytes;
use std::path::Path;
use std::sync::Arc;

/// The longest input that is read, in bytes. Tests of the limits of a file try larger files.
const TEXT_MAX: usize = 16 << 10;

pub fn guild_toml(data: &[u8]) {
    let text = &data[..data.len().min(TEXT_MAX)];
    match load("guild.toml", text) {
        Ok(pipeline) => check_pipeline(&pipeline),
        Err(wrong) => assert!(!wrong.to_string().is_empty()),
    }
}

fn check_pipeline(pipeline: &Pipeline) {
    for ref_name in ["refs/heads/main", "refs/tags/v1", ""] {
        let is_triggered = pipeline.triggers(ref_name, Some(&["src/lib.rs".to_owned()]));
        assert_eq!(is_triggered, pipeline.not_triggered(ref_name, Some(&["src/lib.rs".to_owned()])).is_none());
        for cause in [BuildCause::Change, BuildCause::Cron { name: "nightly".to_owned() }] {
            if let Ok(plan) = pipeline.expand(&context(pipeline, ref_name, cause)) {
                check_plan(&plan);
            }
        }
    }
}

fn context(pipeline: &Pipeline, ref_name: &str, cause: BuildCause) -> Context {
    let mut changed = Changed::default();
    let paths = Arc::new(vec!["docs/a.md".to_owned(), "src/lib.rs".to_owned()]);
    pipeline.jobs_by_paths().for_each(|job| changed.insert(job.to_owned(), paths.clone()));
    Context { ref_name: ref_name.to_owned(), cause, changed, trust: Trust::Trusted }
}

fn check_plan(plan: &Plan) {
    drop(doubts(plan));
    assert!(plan.jobs.len() <= PIPELINE_JOBS.count());
    for (at, job) in plan.jobs.iter().enumerate() {
        assert!(job_bytes(job) <= PIPELINE_JOB.count(), "{}", job.name);
        assert!(job.needs.iter().all(|need| (*need as usize) < at), "a job stands behind those that it needs");
        assert!(!job.steps.is_empty() && !job.name.is_empty());
    }
    let stored = serde_json::to_string(plan).expect("a plan is stored as JSON");
    assert_eq!(&Plan::parse(&stored).expect("what is stored can be read"), plan);
}

pub fn master_toml(data: &[u8]) {
    let text = &data[..data.len().min(TEXT_MAX)];
    if opens_files(text) {
        return;
    }
    match Config::parse("master.toml", text, Path::new("/nonexistent")) {
        Ok(config) => check_config(&config),
        Err(wrong) => assert!(!wrong.to_string().is_empty()),
    }
}

/// Whether the file may include other files. An operator may include any file, but this test must not open them.
fn opens_files(text: &[u8]) -> bool {
    let has = |part: &[u8]| text.windows(part.len()).any(|window| window == part);
    has(b"include") || has(b"\\u") || has(b"\\U") || has(b"\\x")
}

fn check_config(config: &Config) {
    assert_eq!(differences(config, config), []);
    config.named_files().iter().for_each(|(key, file)| assert!(!key.is_empty() && file.is_absolute(), "{key}"));
    let usual = Config::standalone(Path::new("/nonexistent"), "127.0.0.1:0");
    drop(differences(&usual, config));
}
