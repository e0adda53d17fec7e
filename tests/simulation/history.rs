//! The repository of the simulated project. A commit is a number, and its pipeline follows from the seed.

use futures::future::LocalBoxFuture;
use master::intake::sources::History;
use master::keep::mirror::{CommitRange, Difference, GitError, SharedPack};
use schema::values::Commit;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use support::seed::Random;

type Answer<'a, T> = LocalBoxFuture<'a, Result<T, GitError>>;

pub struct Commits {
    pub seed: u64,
}

/// Returns the id of a commit.
pub fn revision(number: u64) -> String {
    format!("{number:040x}")
}

impl Commits {
    fn pipeline(&self, revision: &str) -> String {
        let number = u64::from_str_radix(revision, 16).unwrap_or_default();
        pipeline(&mut Random::new(self.seed.wrapping_mul(31).wrapping_add(number)))
    }
}

/// Returns a random pipeline of one to four jobs, some of which need others, have side effects or have a matrix. Most are short.
fn pipeline(random: &mut Random) -> String {
    let mut text = "version = 1\n[defaults]\nsource = \"none\"\nidle = \"10m\"\n".to_owned();
    for job in 0..1 + random.below(4) {
        let _ = writeln!(text, "[job.j{job}]");
        if job > 0 && random.chance(50) {
            let _ = writeln!(text, "needs = [\"j{}\"]", random.below(job));
        }
        if random.chance(15) {
            text.push_str("side_effects = true\n");
        } else if random.chance(20) {
            let _ = writeln!(text, "retry = {{ infra = {} }}", random.below(4));
        }
        if random.chance(15) {
            text.push_str("matrix = { n = [\"1\", \"2\", \"3\"] }\n");
        }
        if random.chance(30) {
            text.push_str("workspace = \"kept\"\n");
        }
        for step in 0..1 + random.below(3) {
            let lasts = match random.below(10) {
                0 => random.below(60_000),
                1..4 => random.below(20_000),
                _ => random.below(3_000),
            };
            let bytes = if random.chance(10) { random.below(300_000) } else { random.below(3_000) };
            let exit = if random.chance(6) { 1 } else { 0 };
            let _ = writeln!(text, "[[job.j{job}.step]]\nname = \"s{step}\"\nrun = \"sim {lasts} {bytes} {exit}\"");
            if random.chance(10) {
                text.push_str("always = true\n");
            }
        }
    }
    text
}

async fn look<T>(found: T) -> Result<T, GitError> {
    tokio::time::sleep(Duration::from_millis(5)).await;
    Ok(found)
}

impl History for Commits {
    fn fetch(&self) -> Answer<'_, ()> {
        Box::pin(look(()))
    }

    fn fetch_ref<'a>(&'a self, _: &'a str) -> Answer<'a, Option<String>> {
        Box::pin(look(Some(revision(1))))
    }

    fn bring<'a>(&'a self, _: &'a Path, _: &'a str) -> Answer<'a, ()> {
        Box::pin(look(()))
    }

    fn head(&self) -> Answer<'_, Option<String>> {
        Box::pin(look(Some("refs/heads/main".to_owned())))
    }

    fn resolve<'a>(&'a self, revision: &'a str) -> Answer<'a, Option<String>> {
        Box::pin(look(Some(revision.to_owned())))
    }

    fn commit<'a>(&'a self, _: &'a str) -> Answer<'a, Option<Commit>> {
        Box::pin(look(Some(Commit::default())))
    }

    fn read<'a>(&'a self, revision: &'a str, _: &'a str, _: usize) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(look(Some(self.pipeline(revision).into_bytes())))
    }

    fn tree<'a>(&'a self, revision: &'a str) -> Answer<'a, Option<String>> {
        Box::pin(look(Some(revision.to_owned())))
    }

    fn difference<'a>(&'a self, _: &'a str, _: &'a str) -> Answer<'a, Difference> {
        Box::pin(look(Difference { paths: Vec::new(), is_whole: true }))
    }

    fn is_ancestor<'a>(&'a self, _: &'a str, _: &'a str) -> Answer<'a, bool> {
        Box::pin(look(true))
    }

    fn main_branch(&self) -> Option<String> {
        Some("refs/heads/main".to_owned())
    }

    fn range<'a>(&'a self, _: &'a str, _: &'a [String], _: u32) -> Answer<'a, CommitRange> {
        Box::pin(look(CommitRange::default()))
    }

    fn pack<'a>(&'a self, _: &'a str, _: &'a [String]) -> Answer<'a, SharedPack> {
        Box::pin(async { Err(GitError::Invalid("no job of the simulation wants sources".to_owned())) })
    }
}

#[test]
fn every_pipeline_is_one() {
    for seed in 0..200 {
        let text = pipeline(&mut Random::new(seed));
        pipeline::load("guild.toml", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    }
}
