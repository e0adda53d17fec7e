//! The record of the notices that were sent: the rows of a piece of news, and its id. Pure.

use super::episodes::{News, NewsLane, Said, Spot};
use super::notice;
use crate::decide::coordinator::record::{ToldRow, Transition};
use schema::values::Time;

/// A `Branch` is the branch that a piece of news is about.
#[derive(Clone, Copy, Debug)]
pub struct Branch<'a> {
    pub project: &'a str,
    pub ref_name: &'a str,
}

/// Returns the id of the notice for a piece of news. It stays the same when the same news is sent again.
pub fn id_of(branch: Branch<'_>, news: &News, told: &[Said]) -> String {
    if let Some(failure) = news.failure.as_ref().filter(|_| news.turn == Transition::NewlyFailing) {
        return failure.clone();
    }
    let is_like = |said: &&Said| said.row.turn == news.turn && said.row.revision == news.at.revision;
    let before = told.iter().rev().filter(is_like).map(|said| said.row.notice.as_str()).find(|id| !id.is_empty());
    notice::id(branch.project, branch.ref_name, before.unwrap_or_default(), news.turn, &news.at.revision)
}

/// Returns the time at which the news of a look counts as reported. That is the time of the look, because the look saw no later events. If
/// the newest reported news has a later time, it is right after that.
pub fn time_of(told: &[Said], looked: Time) -> Time {
    told.last().map_or(looked, |last| looked.max(Time(last.row.time.0 + 1)))
}

/// Returns the rows that record the news as reported, one for each lane.
pub fn rows(reporter: &str, branch: Branch<'_>, news: &News, id: &str, time: Time) -> Vec<ToldRow> {
    let at = |lane: &NewsLane| if news.turn == Transition::Fixed { news.at.clone() } else { lane.since.clone() };
    news.lanes.iter().map(|lane| row(reporter, branch, (&lane.job, news.turn, &at(lane)), id, time)).collect()
}

/// Returns the rows of lanes that were red before the branch began, about which there is nothing to report.
pub fn inherited(reporter: &str, branch: Branch<'_>, lanes: &[NewsLane], time: Time) -> Vec<ToldRow> {
    let row = |lane: &NewsLane| row(reporter, branch, (&lane.job, Transition::NewlyFailing, &lane.since), "", time);
    lanes.iter().map(row).collect()
}

fn row(
    reporter: &str,
    branch: Branch<'_>,
    (job, turn, at): (&str, Transition, &Spot),
    id: &str,
    time: Time,
) -> ToldRow {
    ToldRow {
        reporter: reporter.to_owned(),
        project: branch.project.to_owned(),
        ref_name: branch.ref_name.to_owned(),
        job: job.to_owned(),
        turn,
        revision: at.revision.clone(),
        build: at.build,
        notice: id.to_owned(),
        time,
    }
}
