//! Gathers what a notice says: from the store, the mirror and the logs. Decides nothing.

use super::Reach;
use super::branch::{Branch, Decided};
use super::excerpt;
use super::lanes::Transition;
use super::notice::{self, Author, Notice, NoticeCommit, NoticeStep, Place};
use crate::coordinator::record::{BuildRow, StepKey, StepRow, ToldRow, Turn};
use crate::mirror::{Authored, Range};
use crate::store::reporters as lanes;
use schema::values::Outcome;

/// Commits that a notice names.
const COMMITS_MAX: u32 = 100;
/// Ancestors that a range is compared with.
const WITHOUT_MAX: usize = 50;

/// Where a notice comes from.
pub(super) struct Lane<'a> {
    pub(super) project: &'a str,
    pub(super) ref_name: &'a str,
    pub(super) branch: &'a Branch,
    pub(super) job: &'a str,
}

/// None: the build is gone meanwhile. `failure`: what was told of the failure that this fixes.
pub(super) async fn compose(
    reach: &Reach,
    lane: &Lane<'_>,
    transition: &Transition,
    failure: Option<&ToldRow>,
) -> Result<Option<Notice>, String> {
    let Some(result) = lane.branch.result(lane.job, transition.at) else { return Ok(None) };
    let commit = lane.branch.commits[transition.at].clone();
    let range = range(reach, lane, transition, result.build, &commit).await?;
    let commits: Vec<NoticeCommit> = range.commits.into_iter().map(told).collect();
    let (step, log) = failed_step(reach, result).await?;
    let selector = format!("{}/{}/{}", lane.project, result.build.number, lane.job);
    let before = match failure.filter(|_| transition.since.contains(&transition.at)) {
        // the same commit was bad in another build
        Some(failure) => Some(Place { commit: failure.revision.clone(), build: failure.build }),
        None => place(lane, &transition.since),
    };
    let (last_good, last_bad) = match transition.turn {
        Turn::NewlyFailing => (before, None),
        Turn::Fixed => (None, before),
    };
    Ok(Some(Notice {
        id: notice::id(lane.project, lane.ref_name, lane.job, transition.turn, &commit),
        kind: transition.turn,
        project: lane.project.to_owned(),
        branch: super::short_name(lane.ref_name).to_owned(),
        job: lane.job.to_owned(),
        build: result.build.number,
        url: (!reach.url.is_empty()).then(|| format!("{}/p/{selector}", reach.url)),
        selector,
        commit,
        last_good,
        last_bad,
        fixes: failure.map(|failure| failure.notice.clone()),
        authors: notice::authors(&commits),
        commits,
        commits_left_out: range.left_out,
        step,
        log,
    }))
}

/// The newest of them.
fn place(lane: &Lane<'_>, since: &[usize]) -> Option<Place> {
    let places = since.iter().filter_map(|place| {
        let build = lane.branch.result(lane.job, *place)?.build.number;
        Some(Place { commit: lane.branch.commits[*place].clone(), build })
    });
    places.max_by_key(|place| place.build)
}

async fn range(
    reach: &Reach,
    lane: &Lane<'_>,
    transition: &Transition,
    build: &BuildRow,
    commit: &str,
) -> Result<Range, String> {
    let mut without: Vec<String> = transition.since.iter().map(|place| lane.branch.commits[*place].clone()).collect();
    if without.is_empty() {
        // its own: what its change brought
        without.extend(build.stamp.sources.first().map(|source| source.base.clone()).filter(|base| !base.is_empty()));
    }
    without.truncate(WITHOUT_MAX);
    let found = match reach.repositories.get(lane.project) {
        Some(repository) => {
            let found = repository.mirror.range(commit, &without, COMMITS_MAX).await;
            found.map_err(|error| format!("failed to read the commits of {}: {error}", lane.project))?
        }
        None => Range::default(),
    };
    let is_itself = transition.since.contains(&transition.at);
    // the repository may have lost it since; the build knows who made it
    Ok(if found.commits.is_empty() && !is_itself { from_build(build, commit) } else { found })
}

fn from_build(build: &BuildRow, commit: &str) -> Range {
    let (name, email) = build.author.rsplit_once('<').unwrap_or((&build.author, ""));
    let commit = Authored {
        revision: commit.to_owned(),
        name: name.trim().to_owned(),
        email: email.trim_end_matches('>').to_owned(),
        time: build.created,
        subject: build.subject.clone(),
    };
    Range { commits: vec![commit], left_out: 0 }
}

fn told(commit: Authored) -> NoticeCommit {
    let author = Author { name: commit.name, email: commit.email };
    NoticeCommit { commit: commit.revision, author, subject: commit.subject, time: commit.time }
}

/// The first step that failed, and the end of its log.
async fn failed_step(reach: &Reach, result: Decided<'_>) -> Result<(Option<NoticeStep>, String), String> {
    let job = result.job.clone();
    let steps = reach.readers.query(move |store| lanes::steps(store, &job)).await;
    let steps = steps.map_err(|error| error.to_string())?;
    let Some(failed) = steps.into_iter().find(|step| step.outcome == Some(Outcome::Failed)) else {
        return Ok((None, String::new()));
    };
    let log = end_of_log(reach, failed.key).await;
    Ok((Some(told_step(failed)), log))
}

fn told_step(step: StepRow) -> NoticeStep {
    NoticeStep { number: u32::from(step.key.step) + 1, name: step.name, exit: step.exit.to_string() }
}

/// Empty where it cannot be read: retention may have taken it.
async fn end_of_log(reach: &Reach, key: StepKey) -> String {
    let read = async {
        let size = reach.logs.size(key).await?.size;
        let from = size.saturating_sub(excerpt::BYTES);
        let chunk = reach.logs.read(key, from, u32::try_from(excerpt::BYTES).unwrap_or(u32::MAX)).await?;
        Ok::<_, std::io::Error>(excerpt::excerpt(&chunk.bytes, from > 0))
    };
    read.await.unwrap_or_else(|error| {
        tracing::debug!("a notice goes without a log: {error}");
        String::new()
    })
}
