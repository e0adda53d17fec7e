//! Gathers the content of a notice from the store, the mirror and the logs. Decides nothing.

use super::ReporterAccess;
use super::access::ReportedBuild;
use super::episodes::{News, NewsLane, PIPELINE, Spot};
use super::excerpt;
use super::failed_tests::{FailedTests, NoticeTests};
use super::notice::{self, Author, CommitResult, Notice, NoticeCommit, NoticeJob, NoticeStep};
use super::reproduce;
use super::told::Branch;
use crate::decide::coordinator::record::{BuildRow, StepKey, StepRow, Transition};
use crate::explain::{Suspect, suspects};
use crate::keep::mirror::{Authored, CommitRange, Person};
use schema::values::{Outcome, Plan, ShortRef};
use std::collections::BTreeSet;
use std::time::Duration;

/// The most commits that a notice names.
const COMMITS_MAX: u32 = 100;
/// The most good results from which ranges of commits begin. Each is a run of git, and lanes share most of them.
const GOOD_MAX: usize = 16;
/// The most lanes whose log a notice quotes, because a longer mail can hardly be read.
const QUOTED_MAX: usize = 10;
/// The pause before a notice checks again whether the master has read the lists of tests of a build that has just finished.
const LOOK: Duration = Duration::from_millis(200);
/// The most checks whether the lists of tests were read, for one notice. They last 20 s together, because reading many tests takes some
/// seconds.
const LOOKS_MAX: u32 = 100;

/// Composes a notice. `None` means that the build no longer exists.
pub(super) async fn compose(
    access: &ReporterAccess,
    branch: Branch<'_>,
    news: &News,
    id: String,
) -> Result<Option<Notice>, String> {
    let Some(shown) = access.reads.build(branch.project, news.at.build).await? else { return Ok(None) };
    let range = range(access, branch, news, &shown.row).await?;
    let commits: Vec<NoticeCommit> = suspects(range.commits).into_iter().map(told).collect();
    let jobs = jobs(access, branch, news, &shown).await?;
    let Some(first) = jobs.first().cloned() else { return Ok(None) };
    Ok(Some(Notice {
        id,
        kind: news.turn,
        project: branch.project.to_owned(),
        branch: ShortRef::of(branch.ref_name).name().to_owned(),
        job: first.job,
        build: news.at.build,
        url: first.url,
        selector: first.selector,
        commit: news.at.revision.clone(),
        last_good: first.last_good,
        last_bad: news.last_bad.as_ref().map(result_of),
        fixes: news.failure.clone().filter(|_| news.turn == Transition::Fixed),
        reminds: news.failure.clone().filter(|_| news.turn == Transition::NewlyFailing),
        claims: Vec::new(),
        authors: notice::authors(&commits),
        commits,
        commits_left_out: range.left_out,
        step: first.step,
        log: first.log,
        commit_subject: shown.row.subject.clone(),
        reproduce: reproduce::commands(branch.project, news, &jobs),
        jobs,
    }))
}

async fn jobs(
    access: &ReporterAccess,
    branch: Branch<'_>,
    news: &News,
    shown: &ReportedBuild,
) -> Result<Vec<NoticeJob>, String> {
    let (mut jobs, mut looks) = (Vec::new(), LOOKS_MAX);
    for (index, lane) in news.lanes.iter().enumerate() {
        let other = build_of_lane(access, branch, news, lane).await?;
        let shown = other.as_ref().unwrap_or(shown);
        let mut job = job(access, branch, lane, shown);
        if news.turn == Transition::NewlyFailing {
            job.last_good =
                lane.last_good.as_ref().map(|good| CommitResult { commit: good.revision.clone(), build: good.build });
            (job.step, job.log) = failure(access, lane, shown, index < QUOTED_MAX).await?;
            job.tests = failed_tests(access, shown, &job, &mut looks).await?;
        }
        jobs.push(job);
    }
    Ok(jobs)
}

/// Returns the build in which a lane failed, if that is not the build of the news, because an update may have several builds. `None`
/// means that it is the same build, or is gone.
async fn build_of_lane(
    access: &ReporterAccess,
    branch: Branch<'_>,
    news: &News,
    lane: &NewsLane,
) -> Result<Option<ReportedBuild>, String> {
    let is_elsewhere = news.turn == Transition::NewlyFailing && lane.since.build != news.at.build;
    if is_elsewhere { access.reads.build(branch.project, lane.since.build).await } else { Ok(None) }
}

fn job(access: &ReporterAccess, branch: Branch<'_>, lane: &NewsLane, shown: &ReportedBuild) -> NoticeJob {
    let number = shown.row.number;
    let selector = match shown.jobs.iter().any(|job| job.name == lane.job) {
        true => format!("{}/{number}/{}", branch.project, lane.job),
        // the build has no such job, as for the lane of the pipeline
        false => format!("{}/{number}", branch.project),
    };
    NoticeJob {
        job: lane.job.clone(),
        url: (!access.url.is_empty()).then(|| format!("{}/p/{selector}", access.url)),
        selector,
        since: result_of(&lane.since),
        last_good: None,
        step: None,
        log: String::new(),
        tests: None,
    }
}

/// Returns what the history knows about the failed tests of a job. `None` means that its reports name none, or that nothing is known.
async fn failed_tests(
    access: &ReporterAccess,
    shown: &ReportedBuild,
    job: &NoticeJob,
    looks: &mut u32,
) -> Result<Option<NoticeTests>, String> {
    let has_some = job.step.as_ref().is_some_and(|step| step.failing_test_count > 0);
    let Some(row) = shown.jobs.iter().find(|row| has_some && row.name == job.job) else { return Ok(None) };
    while let Some(rest) = looks.checked_sub(1) {
        match access.reads.failed_tests(&shown.row, row).await? {
            FailedTests::Known(tests) => return Ok(Some(tests)),
            FailedTests::Unknown => return Ok(None),
            FailedTests::Unread => *looks = rest,
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(None)
}

fn result_of(spot: &Spot) -> CommitResult {
    CommitResult { commit: spot.revision.clone(), build: spot.build }
}

/// Returns the commits that the news brings to the branch: since one of its lanes was good or, for a fix, since it was bad.
async fn range(
    access: &ReporterAccess,
    branch: Branch<'_>,
    news: &News,
    build: &BuildRow,
) -> Result<CommitRange, String> {
    let at = news.at.revision.as_str();
    let since: BTreeSet<&str> = match (news.turn, &news.last_bad) {
        (Transition::Fixed, Some(bad)) => BTreeSet::from([bad.revision.as_str()]),
        (Transition::Fixed, None) => BTreeSet::new(),
        (Transition::NewlyFailing, _) => {
            news.lanes.iter().filter_map(|lane| Some(lane.last_good.as_ref()?.revision.as_str())).collect()
        }
    };
    let mut found = CommitRange::default();
    let Some(history) = access.reads.history(branch.project) else { return Ok(from_build(build, at)) };
    for without in without(&since, build) {
        let more = history.range(at, &without, COMMITS_MAX).await;
        let more = more.map_err(|error| format!("failed to read the commits of {}: {error}", branch.project))?;
        found = union(found, more);
    }
    let is_itself = since.contains(at);
    // the repository may have lost the commit since, but the build knows its author
    Ok(if found.commits.is_empty() && !is_itself { from_build(build, at) } else { found })
}

/// Returns the revisions that each range must exclude. If no good result is known, that is the base of the build's own change.
fn without(since: &BTreeSet<&str>, build: &BuildRow) -> Vec<Vec<String>> {
    if since.is_empty() {
        let base = build.stamp.sources.first().map(|source| source.base.clone()).filter(|base| !base.is_empty());
        return vec![base.into_iter().collect()];
    }
    since.iter().take(GOOD_MAX).map(|revision| vec![(*revision).to_owned()]).collect()
}

/// Joins two ranges. The longer one comes first, because it most often contains the other.
fn union(one: CommitRange, other: CommitRange) -> CommitRange {
    let (mut long, short) = if one.commits.len() >= other.commits.len() { (one, other) } else { (other, one) };
    let known: BTreeSet<String> = long.commits.iter().map(|commit| commit.revision.clone()).collect();
    long.commits.extend(short.commits.into_iter().filter(|commit| !known.contains(&commit.revision)));
    let more = long.commits.len().saturating_sub(COMMITS_MAX as usize);
    long.commits.truncate(COMMITS_MAX as usize);
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    CommitRange { commits: long.commits, left_out: long.left_out.max(short.left_out).saturating_add(more) }
}

fn from_build(build: &BuildRow, commit: &str) -> CommitRange {
    let (name, email) = build.author.rsplit_once('<').unwrap_or((&build.author, ""));
    let author = Person { name: name.trim().to_owned(), email: email.trim_end_matches('>').to_owned() };
    let commit = Authored {
        revision: commit.to_owned(),
        committer: author.clone(),
        author,
        time: build.created,
        subject: build.subject.clone(),
        ..Authored::default()
    };
    CommitRange { commits: vec![commit], left_out: 0 }
}

fn told(Suspect { commit, undone_with, is_uncertain }: Suspect) -> NoticeCommit {
    let person = |it: Person| Author { name: it.name, email: it.email };
    NoticeCommit {
        commit: commit.revision,
        author: person(commit.author),
        subject: commit.subject,
        time: commit.time,
        committer: person(commit.committer),
        co_authors: commit.co_authors.into_iter().map(person).collect(),
        undone_with,
        may_undo_more: is_uncertain,
    }
}

/// Returns the first failed step of a lane, and the end of its log. For a broken pipeline, returns what is wrong with it.
async fn failure(
    access: &ReporterAccess,
    lane: &NewsLane,
    shown: &ReportedBuild,
    is_quoted: bool,
) -> Result<(Option<NoticeStep>, String), String> {
    if lane.job == PIPELINE {
        return Ok((None, excerpt::excerpt(shown.row.diagnosis.as_bytes(), false)));
    }
    let Some(job) = shown.jobs.iter().find(|job| job.name == lane.job) else {
        return Ok((None, String::new()));
    };
    let steps = access.reads.steps(job).await?;
    let Some(failed) = steps.into_iter().find(|step| step.outcome == Some(Outcome::Failed)) else {
        return Ok((None, String::new()));
    };
    let log = if is_quoted { end_of_log(access, failed.key).await } else { String::new() };
    Ok((Some(told_step(failed, shown.plan.as_ref(), &lane.job)), log))
}

fn told_step(step: StepRow, plan: Option<&Plan>, job: &str) -> NoticeStep {
    let planned = plan.and_then(|plan| plan.jobs.iter().find(|it| it.name == job));
    let command = planned.and_then(|job| job.steps.get(usize::from(step.key.step))).map(reproduce::command);
    let tests = step.tests.unwrap_or_default();
    NoticeStep {
        exit: step.exit.reason(step.outcome, &tests.trouble),
        failing_test_count: tests.counts.bad(),
        failing_tests: tests.failing,
        number: u32::from(step.key.step) + 1,
        name: step.name,
        command: command.unwrap_or_default(),
    }
}

/// Returns the end of a log. It is empty if the log cannot be read, for example because retention removed it.
async fn end_of_log(access: &ReporterAccess, key: StepKey) -> String {
    match access.reads.log_end(key, excerpt::BYTES).await {
        Ok((bytes, is_cut)) => excerpt::excerpt(&bytes, is_cut),
        Err(error) => {
            tracing::debug!("a notice is sent without a log: {error}");
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::coordinator::record::{BuildId, JobKey};
    use schema::values::{Exit, State, TestsReported};

    fn range(names: &str, left_out: u32) -> CommitRange {
        let commit = |name: char| Authored { revision: name.to_string(), ..Authored::default() };
        CommitRange { commits: names.chars().map(commit).collect(), left_out }
    }

    #[test]
    fn a_step_that_lacks_its_report_says_which() {
        let lacks = "py.xml was not written";
        let tests = TestsReported { trouble: lacks.to_owned(), ..TestsReported::default() };
        let step = StepRow {
            key: StepKey { job: JobKey { build: BuildId(1), index: 0 }, attempt: 1, step: 0 },
            name: "t".to_owned(),
            state: State::Finished,
            outcome: Some(Outcome::Failed),
            exit: Exit::Code(0),
            started: None,
            finished: None,
            log_size: 0,
            log_hash: Vec::new(),
            tests: Some(tests),
        };
        assert_eq!(told_step(step, None, "test").exit, lacks);
    }

    #[test]
    fn ranges_of_several_lanes_are_one() {
        let names =
            |range: &CommitRange| range.commits.iter().map(|commit| commit.revision.as_str()).collect::<String>();
        for (one, other, both) in [("dcb", "d", "dcb"), ("d", "dcb", "dcb"), ("", "d", "d"), ("dx", "dc", "dxc")] {
            let found = union(range(one, 0), range(other, 0));
            assert_eq!((names(&found).as_str(), found.left_out), (both, 0), "{one} {other}");
        }
        let many: String = (0..COMMITS_MAX).filter_map(|it| char::from_u32(0x4e00 + it)).collect();
        let found = union(range(&many, 7), range("ab", 0));
        assert_eq!((found.commits.len(), found.left_out), (100, 9));
    }
}
