//! Finds the red ranges of a branch, and writes them to the wire. `blame` says who is a suspect.

use super::viewer_access::ViewedRepository;
use super::{branch, broken, no_build};
use crate::decide::coordinator::lane::{Earlier, Lane, LaneResult, Mark, RefState};
use crate::decide::coordinator::record::JobRow;
use crate::decide::test_history::Verdict;
use crate::explain::{LaneBreak, Suspect};
use crate::keep::mirror::{CommitRange, Person};
use crate::keep::store::{LaneOfTest, Reading, TestHistory};
use crate::serve::blame::{self, Ancestry, Broken, Found, RangeKind};
use crate::serve::reporters::episodes::PIPELINE;
use schema::limits::{self, CO_AUTHORS, COMMIT_LINE, PERSON, RED_RANGES};
use schema::perspective_capnp::{red_range, suspect};
use schema::values::{Outcome, Refusal, RefusalCode, Selector, ShortCommit, Time};
use schema::wire;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// The most results of a test that are looked at. Each costs the row of its build.
const POINTS_MAX: usize = 20;
/// The runs of git after which no further lane is looked at. Lanes that broke together ask the same questions, so they cost no more.
const RUNS_MAX: usize = 200;
/// The bytes of a range and of a suspect on the wire, without their texts, and with the short ones.
const FIXED_BYTES: usize = 768;

/// The question for the suspects, as [`Viewer.suspects`](schema::perspective_capnp::viewer) asks it.
pub(super) struct SuspectQuery {
    pub(super) ref_name: String,
    pub(super) build: u32,
    pub(super) job: String,
    pub(super) test: u32,
}

/// `BrokenJobs` are jobs of a branch that broke together.
pub(super) struct BrokenJobs {
    ref_name: String,
    jobs: Vec<String>,
    broken: Broken,
}

/// The answer to a question: the ranges, and whether there are more of them.
type Ranges = (Vec<BrokenJobs>, bool);

/// Returns the red ranges that the caller asks for.
pub(super) async fn find(
    reading: Reading,
    repository: &ViewedRepository,
    query: &SuspectQuery,
) -> capnp::Result<Result<Ranges, Refusal>> {
    let lanes = match query.test {
        0 => of_jobs(&reading, repository, query).await?,
        _ => of_test(&reading, repository, query).await?,
    };
    let lanes = match lanes {
        Ok(lanes) => lanes,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let commits = KnownCommits::new(repository, reading);
    let ranges = in_ranges(&commits, lanes, || commits.runs.get() >= RUNS_MAX).await;
    let project = repository.project();
    ranges.map(Ok).map_err(|error| capnp::Error::failed(format!("failed to read the commits of {project}: {error}")))
}

/// The lanes of one ref that are asked for. Each is broken, and comes with the same lane of the main branch, if that is another branch.
struct BrokenLanes {
    ref_name: String,
    lanes: Vec<(String, LaneBreak, Option<Lane>)>,
}

/// Finds the suspects of each lane, and joins the lanes that broke together. It stops once `is_spent` says that the answer costs enough.
async fn in_ranges(commits: &impl Ancestry, asked: BrokenLanes, is_spent: impl Fn() -> bool) -> Result<Ranges, String> {
    let mut ranges: Vec<BrokenJobs> = Vec::new();
    for (job, lane, main) in asked.lanes {
        if is_spent() {
            return Ok((ranges, true));
        }
        let Some(broken) = blame::find(commits, lane, main.as_ref()).await? else { continue };
        match ranges.iter().position(|range| range.broken.is_with(&broken)) {
            Some(at) => ranges[at].jobs.push(job),
            None if ranges.len() == RED_RANGES.most => return Ok((ranges, true)),
            None => ranges.push(BrokenJobs { ref_name: asked.ref_name.clone(), jobs: vec![job], broken }),
        }
    }
    Ok((ranges, false))
}

/// Returns the lanes of jobs that fail now, or that failed in the build of the query.
async fn of_jobs(
    reading: &Reading,
    repository: &ViewedRepository,
    query: &SuspectQuery,
) -> capnp::Result<Result<BrokenLanes, Refusal>> {
    let project = repository.project();
    let (ref_name, state, failed) = match query.build {
        0 => match branch::look(reading, repository, &query.ref_name).await.map_err(broken)? {
            Ok((ref_name, state)) => (ref_name, state, None),
            Err(refusal) => return Ok(Err(refusal)),
        },
        number => {
            let found = reading.planned_build(project, number).await.map_err(broken)?;
            let Some(found) = found else { return Ok(Err(no_build(project, number))) };
            let ref_name = found.build.stamp.sources.first().map(|it| it.ref_name.clone()).unwrap_or_default();
            let state = reading.ref_state(project, &ref_name).await.map_err(broken)?;
            (ref_name, state, Some(found.jobs))
        }
    };
    let mut lanes = failing(reading, repository, (&ref_name, &state), failed.as_deref(), query).await?;
    lanes.retain(|(job, _)| query.job.is_empty() || query.job == *job);
    let main = match repository.main_branch().filter(|main| *main != ref_name && !lanes.is_empty()) {
        Some(main) => Some(reading.ref_state(project, &main).await.map_err(broken)?),
        None => None,
    };
    let lanes = lanes.into_iter().map(|(job, lane)| {
        let beside = main.as_ref().map(|main| lane_of(main, &job).cloned().unwrap_or_default());
        (job, lane, beside)
    });
    Ok(Ok(BrokenLanes { ref_name, lanes: lanes.collect() }))
}

fn lane_of<'a>(state: &'a RefState, job: &str) -> Option<&'a Lane> {
    state.lanes.iter().find(|(name, _)| name == job).map(|(_, lane)| lane)
}

/// Returns where the lanes of a ref broke. `failed` are the jobs of one build, if the lanes are those of that build.
async fn failing(
    reading: &Reading,
    repository: &ViewedRepository,
    (ref_name, state): (&str, &RefState),
    failed: Option<&[JobRow]>,
    query: &SuspectQuery,
) -> capnp::Result<Vec<(String, LaneBreak)>> {
    let mut found = Vec::new();
    match failed {
        None => found.extend(state.lanes.iter().filter_map(|(job, lane)| Some((job.clone(), LaneBreak::of(lane, 0)?)))),
        Some(jobs) => {
            for job in jobs.iter().filter(|job| job.outcome == Some(Outcome::Failed)) {
                let known = lane_of(state, &job.name).cloned();
                let lane = match known {
                    Some(lane) => lane,
                    None => reading.lane(repository.project(), ref_name, &job.name).await.map_err(broken)?,
                };
                found.extend(LaneBreak::of(&lane, query.build).map(|broke| (job.name.clone(), broke)));
            }
        }
    }
    if state.broken.is_some() || failed.is_some_and(<[JobRow]>::is_empty) {
        let lane = reading.pipeline_lane(repository.project(), ref_name).await.map_err(broken)?;
        found.extend(LaneBreak::of(&lane, query.build).map(|broke| (PIPELINE.to_owned(), broke)));
    }
    Ok(found)
}

/// Returns the lane of one test in one job, as if the test were a job of its own.
async fn of_test(
    reading: &Reading,
    repository: &ViewedRepository,
    query: &SuspectQuery,
) -> capnp::Result<Result<BrokenLanes, Refusal>> {
    if query.job.is_empty() {
        let refusal = Refusal::new(RefusalCode::Invalid, "a test is asked for without a job".to_owned());
        return Ok(Err(
            refusal.help("name the job with its cell, because a test may fail in one job and pass in another")
        ));
    }
    let (ref_name, _) = match branch::look(reading, repository, &query.ref_name).await.map_err(broken)? {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (project, main) = (repository.project(), repository.main_branch().unwrap_or_default());
    let found = reading.test_history(project, query.test.saturating_sub(1), &main).await.map_err(broken)?;
    let Some(history) = found else {
        return Ok(Err(Refusal::new(RefusalCode::NotFound, format!("{project} has no test number {}", query.test))));
    };
    let lane = test_lane(reading, project, &history, (&ref_name, &query.job)).await?;
    let beside = if main == ref_name { None } else { Some((main.as_str(), query.job.as_str())) };
    let main = match beside {
        Some(place) => Some(test_lane(reading, project, &history, place).await?),
        None => None,
    };
    let lanes = LaneBreak::of(&lane, query.build).map(|broke| (query.job.clone(), broke, main));
    Ok(Ok(BrokenLanes { ref_name, lanes: lanes.into_iter().collect() }))
}

/// Returns the newest results of a test in the lane of a ref and a job. The lane is empty if it does not have the test.
async fn test_lane(
    reading: &Reading,
    project: &str,
    history: &TestHistory,
    (ref_name, job): (&str, &str),
) -> capnp::Result<Lane> {
    let found = history.lanes.iter().find(|it| it.lane.ref_name == ref_name && it.lane.job == job);
    let Some(found) = found else { return Ok(Lane::default()) };
    let telling = found.points.iter().filter_map(|point| Some((point.build, outcome_of(point.verdict)?)));
    let mut newest: Vec<(u32, Outcome)> = telling.take(POINTS_MAX).collect();
    newest.reverse();
    let mut lane = Lane { results: Vec::new(), earlier: earlier(reading, project, found, &newest).await? };
    for (update, (build, outcome)) in (1..).zip(newest) {
        let Some(Mark { revision, finished, .. }) = mark_of(reading, project, build).await? else { continue };
        lane.results.push(LaneResult { update, build, outcome, finished, revision });
    }
    Ok(lane)
}

/// Returns the outcome of a run in which there is only this test. `None` means that the run does not say whether the test fails.
fn outcome_of(verdict: Verdict) -> Option<Outcome> {
    match verdict {
        Verdict::Passed => Some(Outcome::Succeeded),
        Verdict::Failed | Verdict::Errored => Some(Outcome::Failed),
        Verdict::Absent | Verdict::Skipped | Verdict::Mixed => None,
    }
}

/// Returns what the history knows from before the newest results: where the test began to fail, and where it passed last.
async fn earlier(
    reading: &Reading,
    project: &str,
    found: &LaneOfTest,
    newest: &[(u32, Outcome)],
) -> capnp::Result<Earlier> {
    // A shorter list has all results of the lane.
    if newest.len() < POINTS_MAX || newest.iter().any(|(_, outcome)| *outcome != Outcome::Failed) {
        return Ok(Earlier::default());
    }
    let is_listed = |number: u32| newest.iter().any(|(build, _)| *build == number);
    let first_bad = match found.standing.first_bad {
        build if is_listed(build) => None,
        build => mark_of(reading, project, build).await?,
    };
    let last_good = mark_of(reading, project, found.standing.last_good).await?;
    Ok(Earlier { until: (0, 0), outcome: None, last_good, first_bad })
}

async fn mark_of(reading: &Reading, project: &str, build: u32) -> capnp::Result<Option<Mark>> {
    let found = reading.build(project, build).await.map_err(broken)?;
    Ok(found.and_then(|row| {
        let revision = row.stamp.sources.first()?.revision.clone();
        Some(Mark { build, revision, finished: row.finished.unwrap_or(Time(0)) })
    }))
}

/// `KnownCommits` answers questions about the commits of a repository. It asks git once for each question, because lanes that broke
/// together have the same ones.
struct KnownCommits<'a> {
    repository: &'a ViewedRepository,
    reading: Reading,
    answers: RefCell<BTreeMap<(String, String), bool>>,
    ranges: RefCell<BTreeMap<(String, Vec<String>), CommitRange>>,
    /// The runs of git until now.
    runs: Cell<usize>,
}

impl KnownCommits<'_> {
    fn new(repository: &ViewedRepository, reading: Reading) -> KnownCommits<'_> {
        let (answers, ranges) = (RefCell::default(), RefCell::default());
        KnownCommits { repository, reading, answers, ranges, runs: Cell::default() }
    }
}

impl Ancestry for KnownCommits<'_> {
    fn is_ancestor<'a>(&'a self, ancestor: &'a str, revision: &'a str) -> Found<'a, bool> {
        Box::pin(async move {
            let key = (ancestor.to_owned(), revision.to_owned());
            if let Some(known) = self.answers.borrow().get(&key) {
                return Ok(*known);
            }
            self.runs.set(self.runs.get() + 1);
            let found = self.repository.is_ancestor(ancestor, revision).await?;
            self.answers.borrow_mut().insert(key, found);
            Ok(found)
        })
    }

    fn range<'a>(&'a self, tip: &'a str, without: &'a [String], limit: u32) -> Found<'a, CommitRange> {
        Box::pin(async move {
            let key = (tip.to_owned(), without.to_vec());
            if let Some(known) = self.ranges.borrow().get(&key) {
                return Ok(known.clone());
            }
            self.runs.set(self.runs.get() + 1);
            let found = self.repository.range(tip, without, limit).await?;
            self.ranges.borrow_mut().insert(key, found.clone());
            Ok(found)
        })
    }

    fn base(&self, build: u32) -> Found<'_, Option<String>> {
        Box::pin(async move {
            let found = self.reading.build(self.repository.project(), build).await;
            let found = found.map_err(|error| error.to_string())?;
            let base = found.and_then(|row| row.stamp.sources.first().map(|source| source.base.clone()));
            Ok(base.filter(|base| !base.is_empty()))
        })
    }
}

/// Returns how many of these ranges fit into an answer.
pub(super) fn fitting(ranges: &[BrokenJobs]) -> usize {
    let suspect = |it: &Suspect| {
        let people = [&it.commit.author, &it.commit.committer].into_iter().chain(&it.commit.co_authors);
        let people: usize = people.map(|person| limits::text_bytes(&named(person))).sum();
        FIXED_BYTES + people + limits::text_bytes(&it.commit.subject)
    };
    let range = |it: &BrokenJobs| {
        FIXED_BYTES + limits::listed(&it.jobs) + it.broken.suspects.iter().map(suspect).sum::<usize>()
    };
    limits::page(ranges.iter().map(range))
}

pub(super) fn write_range(mut to: red_range::Builder<'_>, project: &str, range: &BrokenJobs) {
    let broken = &range.broken;
    to.set_ref(&range.ref_name);
    wire::write_texts(to.reborrow().init_jobs(wire::length(range.jobs.len())), &range.jobs);
    to.set_first_bad(broken.first_bad.build);
    to.set_first_bad_revision(&broken.first_bad.revision);
    if let Some(good) = &broken.last_good {
        to.set_last_good(good.build);
        to.set_last_good_revision(&good.revision);
    }
    to.set_left_out(broken.left_out);
    to.set_kind(word(&broken.range));
    to.set_text(sentence(project, broken));
    if let RangeKind::Inherited(before) = &broken.range {
        to.set_red_before(before.build);
    }
    let in_effect = broken.suspects.iter().filter(|suspect| suspect.undone_with.is_none()).count();
    let mut list = to.init_suspects(wire::length(broken.suspects.len()));
    for (index, suspect) in (0..).zip(&broken.suspects) {
        write_suspect(list.reborrow().get(index), suspect, in_effect);
    }
}

fn word(range: &RangeKind) -> &'static str {
    match range {
        RangeKind::Exact => "exact",
        RangeKind::Cut => "cut",
        RangeKind::Open => "open",
        RangeKind::Same => "same",
        RangeKind::Inherited(_) => "inherited",
    }
}

/// Says what the range means for the people who made the commits.
fn sentence(project: &str, broken: &Broken) -> String {
    let bad = Selector::build(project, broken.first_bad.build);
    let good = broken.last_good.as_ref().map(|good| Selector::build(project, good.build).to_string());
    let good = good.map(|good| if broken.is_of_main { format!("{good} of the main branch") } else { good });
    let (good, listed) = (good.unwrap_or_default(), broken.suspects.len());
    match &broken.range {
        RangeKind::Exact if listed == 1 => format!("one commit came between {good}, which was good, and {bad}"),
        RangeKind::Exact => format!("{listed} commits came between {good}, which was good, and {bad}"),
        RangeKind::Cut => {
            let all = listed as u64 + u64::from(broken.left_out);
            format!("{listed} of the {all} commits between {good}, which was good, and {bad} are listed")
        }
        RangeKind::Open => format!("no good build is known before {bad}, so older commits may also be the cause"),
        RangeKind::Same => format!(
            "{good} was good with all commits of {bad}, so no commit is the cause: it is flaky, or something outside changed"
        ),
        RangeKind::Inherited(before) => {
            let before = Selector::build(project, before.build);
            format!("the main branch was red in {before}, where this branch began, so nobody here broke it")
        }
    }
}

fn write_suspect(mut to: suspect::Builder<'_>, suspect: &Suspect, in_effect: usize) {
    let commit = &suspect.commit;
    to.set_revision(&commit.revision);
    to.set_author(PERSON.cut(&named(&commit.author)));
    if commit.committer != commit.author {
        to.set_committer(PERSON.cut(&named(&commit.committer)));
    }
    let others: Vec<String> = commit.co_authors.iter().take(CO_AUTHORS.most).map(named).collect();
    wire::write_texts(to.reborrow().init_co_authors(wire::length(others.len())), &others);
    to.set_time(wire::time(commit.time));
    to.set_subject(COMMIT_LINE.cut(&commit.subject));
    let (kind, text) = reason(suspect, in_effect);
    to.set_kind(kind);
    to.set_text(&text);
    to.set_undone_with(suspect.undone_with.as_deref().unwrap_or_default());
}

/// Says why a commit is a suspect, or why it is none any more, in a word and in a sentence.
fn reason(suspect: &Suspect, in_effect: usize) -> (&'static str, String) {
    if let Some(with) = &suspect.undone_with {
        return ("undone", format!("its changes are not in effect, because {} undoes them", ShortCommit::of(with)));
    }
    if suspect.is_uncertain {
        return ("partial", "it reverts a commit, and perhaps more than is known".to_owned());
    }
    match in_effect {
        0 | 1 => ("only", "no other commit here is in effect".to_owned()),
        count => ("between", format!("it is one of {count} commits in effect")),
    }
}

fn named(person: &Person) -> String {
    match person.email.as_str() {
        "" => person.name.clone(),
        email => format!("{} <{email}>", person.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history in which each good build has everything, so that all lanes share one range.
    #[derive(Default)]
    struct Counted(Cell<usize>);

    impl Ancestry for Counted {
        fn is_ancestor<'a>(&'a self, _: &'a str, _: &'a str) -> Found<'a, bool> {
            self.0.set(self.0.get() + 1);
            Box::pin(async { Ok(true) })
        }

        fn range<'a>(&'a self, _: &'a str, _: &'a [String], _: u32) -> Found<'a, CommitRange> {
            self.0.set(self.0.get() + 1);
            Box::pin(async { Ok(CommitRange::default()) })
        }

        fn base(&self, _: u32) -> Found<'_, Option<String>> {
            Box::pin(async { Ok(None) })
        }
    }

    fn mark(build: u32, revision: String) -> Mark {
        Mark { build, revision, finished: Time(0) }
    }

    /// The bound of the ranges does not bound the cost, because jobs with other good builds may make the same range.
    #[tokio::test]
    async fn an_answer_stops_at_its_runs_of_git() {
        let lanes = |count: usize| BrokenLanes {
            ref_name: "refs/heads/main".to_owned(),
            lanes: (0..count)
                .map(|at| {
                    let good = vec![mark(1, format!("other{at}")), mark(2, "good".to_owned())];
                    (format!("job{at}"), LaneBreak { failures: vec![mark(3, "bad".to_owned())], good }, None)
                })
                .collect(),
        };
        let commits = Counted::default();
        let (ranges, has_more) = in_ranges(&commits, lanes(1_000), || commits.0.get() >= RUNS_MAX).await.unwrap();
        assert!(has_more && ranges.len() == 1, "{}", ranges.len());
        assert!(ranges[0].jobs.len() < 1_000 && commits.0.get() < RUNS_MAX + 50, "{}", commits.0.get());
        let commits = Counted::default();
        let (ranges, has_more) = in_ranges(&commits, lanes(20), || commits.0.get() >= RUNS_MAX).await.unwrap();
        assert!(!has_more && ranges[0].jobs.len() == 20);
    }
}
