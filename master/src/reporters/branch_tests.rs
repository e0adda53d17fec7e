//! From rows of builds and jobs to what a lane says of each commit.

use super::*;
use crate::coordinator::record::{BuildId, Cause, GrantId, JobKey};
use schema::values::{Source, SourceStamp, Trust};

/// The newest first: `number commit state [job]`, where the job is `outcome`, `running`, `carried` or nothing.
fn branch(lines: &[(u32, &str, State, Option<&str>)]) -> Branch {
    let builds = lines.iter().map(|(number, commit, state, job)| {
        let row = build(*number, commit, *state, job.is_some());
        (row, job.iter().map(|word| test_job(*number, word)).collect())
    });
    Branch::of(Window { builds: builds.collect(), is_whole: true })
}

fn build(number: u32, commit: &str, state: State, has_jobs: bool) -> BuildRow {
    let source = Source { revision: commit.to_owned(), ..Source::default() };
    BuildRow {
        id: BuildId(u64::from(number)),
        project: "p".to_owned(),
        number,
        stamp: SourceStamp { sources: vec![source] },
        cause: Cause::Change,
        trust: Trust::Trusted,
        state,
        outcome: None,
        created: Time(0),
        started: None,
        finished: None,
        subject: String::new(),
        author: String::new(),
        diagnosis: String::new(),
        job_count: u32::from(has_jobs),
        by: GrantId(0),
        update: 0,
    }
}

fn test_job(build: u32, word: &str) -> JobRow {
    let outcome = match word {
        "succeeded" | "carried" => Some(Outcome::Succeeded),
        "warned" => Some(Outcome::Warned),
        "failed" => Some(Outcome::Failed),
        "errored" => Some(Outcome::Errored),
        "other" | "running" => None,
        _ => panic!("{word}"),
    };
    JobRow {
        key: JobKey { build: BuildId(u64::from(build)), index: 0 },
        name: if word == "other" { "other" } else { "test" }.to_owned(),
        state: if outcome.is_some() { State::Finished } else { State::Running },
        outcome,
        reason: String::new(),
        attempt: 1,
        lost: 0,
        queued: None,
        started: None,
        finished: outcome.map(|_| Time(u64::from(build) * 10)),
        worker: String::new(),
        platform: String::new(),
        carried_from: if word == "carried" { 1 } else { 0 },
    }
}

#[test]
fn the_newest_build_that_came_to_something_counts() {
    use State::{Finished, Planning, Running};
    let it = branch(&[
        (9, "e", Planning, None),
        (8, "d", Finished, Some("other")),
        (7, "a", Finished, Some("carried")),
        (6, "a", Running, Some("running")),
        (5, "c", Finished, Some("errored")),
        (4, "b", Finished, None),
        (3, "a", Finished, Some("errored")),
        (2, "a", Finished, Some("warned")),
        (1, "a", Finished, Some("failed")),
    ]);
    assert_eq!(it.commits, ["e", "d", "a", "c", "b"]);
    assert_eq!(it.lanes().into_iter().collect::<Vec<_>>(), ["other", "test"]);
    let verdicts: Vec<Verdict> = it.runs("test").iter().map(|run| run.verdict).collect();
    assert_eq!(verdicts, [Verdict::Open, Verdict::Absent, Verdict::Good, Verdict::Silent, Verdict::Silent]);
    assert_eq!(it.runs("test")[2].ended, Time(20));
    assert_eq!(it.result("test", 2).unwrap().build.number, 2);
    assert!(it.result("test", 3).is_none());
    let retried = branch(&[(3, "a", Running, Some("running")), (2, "a", Finished, Some("errored"))]);
    assert_eq!(retried.runs("test")[0].verdict, Verdict::Open);
}

#[test]
fn what_was_told_is_found_by_commit() {
    let it = branch(&[(2, "b", State::Finished, Some("failed")), (1, "a", State::Finished, Some("succeeded"))]);
    let row = |job: &str, turn, revision: &str| ToldRow {
        reporter: String::new(),
        project: "p".to_owned(),
        ref_name: String::new(),
        job: job.to_owned(),
        turn,
        revision: revision.to_owned(),
        build: 1,
        notice: String::new(),
        time: Time(0),
    };
    let mut rows = vec![row("test", Turn::NewlyFailing, "b"), row("other", Turn::Fixed, "a")];
    let said = it.said("test", &rows);
    assert_eq!((said.failing, said.fixed, said.is_failing_before), (BTreeSet::from([0]), BTreeSet::new(), false));
    rows.extend([row("test", Turn::Fixed, "x"), row("test", Turn::NewlyFailing, "y")]);
    assert!(it.said("test", &rows).is_failing_before);
    rows.push(row("test", Turn::Fixed, "z"));
    assert!(!it.said("test", &rows).is_failing_before);
}
