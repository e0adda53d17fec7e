//! Decides when a branch turned red, and when it was good again. It is pure: from the results of the lanes and the notices that were
//! sent, it computes the next notice. The time is an argument.
//!
//! Results are ordered by the updates of the ref, so it does not matter which build finishes first. A branch is red at an update if a
//! lane that counts is bad there. A red range begins at the first such update, and ends at the first update at which no lane is bad. The
//! beginning and the end of each range are reported once.

pub use super::notice::PIPELINE;

use super::notice;
use crate::decide::coordinator::lane::{Lane, LaneResult, Mark, is_bad};
use crate::decide::coordinator::record::{ToldRow, Transition};
use schema::values::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The time for which a result is held back because a build before it is unfinished. Most builds end within an hour, and a build that
/// waits for a worker for days must not hold back what is known.
pub const PATIENCE: Duration = Duration::from_secs(3600);

/// A `Spot` is the place of a result in the history of a branch.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    pub update: u32,
    /// The number of the build.
    pub build: u32,
    pub revision: String,
}

/// The newest build that has a plan. A lane that no longer exists was left out there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewestPlan {
    pub spot: Spot,
    pub created: Time,
}

/// An `ObservedBranch` is the state of a branch that a reporter looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedBranch {
    /// The lanes of the newest plan, and [`PIPELINE`] if a pipeline could not be read. Only these lanes count.
    pub lanes: Vec<(String, Lane)>,
    /// The updates with an unfinished build, each with the lanes whose results it may still bring. `None` means any lane.
    pub open: BTreeMap<u32, Option<BTreeSet<String>>>,
    pub planned: Option<NewestPlan>,
}

impl ObservedBranch {
    /// Whether some build of these updates is unfinished, so that it could still end a range that contains them.
    fn is_open(&self, from: u32, to: u32) -> bool {
        self.open.keys().any(|open| (from..=to).contains(open))
    }
}

/// A `Said` is what was reported about a lane, with the update that it was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The row in the store. An empty notice means that the lane was red before the branch began, so there was nothing to report.
    pub row: ToldRow,
    pub update: u32,
}

/// A `NewsLane` is a lane that a piece of news names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewsLane {
    pub job: String,
    /// The place where the lane began to fail.
    pub since: Spot,
    /// The newest good result before the lane began to fail. A fix has none.
    pub last_good: Option<Mark>,
}

/// `News` is a change of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    pub turn: Transition,
    /// The first bad result or, for a fix, the result that made the branch good again.
    pub at: Spot,
    /// The lanes of the change, at least one, in the order of the plan.
    pub lanes: Vec<NewsLane>,
    /// The newest bad result before `at`, which only a fix has.
    pub last_bad: Option<Spot>,
    /// The id of the notice that reported the failure. A fix has it, and so have lanes that are added to a failure.
    pub failure: Option<String>,
}

/// The next thing to do about a branch. When it is done, the caller asks again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Nothing,
    /// An unfinished build could still change the news. The caller waits until this time, or until something happens.
    Wait(Time),
    Tell(News),
    /// These lanes failed later in a range that was reported. They are recorded, and no notice is sent.
    Add(News),
}

/// Returns the lanes that were reported as failing and are still red, each with the row of its report.
pub fn still_red<'a>(view: &ObservedBranch, told: &'a [Said]) -> Vec<(NewsLane, &'a Said)> {
    let red = ToldSummary::of(view, told).open.into_iter().filter_map(|said| {
        let (_, lane) = view.lanes.iter().find(|(job, _)| *job == said.row.job)?;
        lane.first_bad()?;
        let since = spot_of(said);
        let last_good = good_before(lane, since.update);
        Some((NewsLane { job: said.row.job.clone(), since, last_good }, said))
    });
    red.collect()
}

/// Decides the next thing to do about a branch. A failure from before `born` is not reported.
pub fn next(view: &ObservedBranch, told: &[Said], born: Time, now: Time) -> Next {
    let record = ToldSummary::of(view, told);
    let course = Course::of(view, &record);
    match record.open.is_empty() {
        true => failing(view, course.after(&record), &record, (born, now)),
        false => goes_on(view, &course, &record, now),
    }
}

/// A `ToldSummary` summarises the rows of what was reported.
struct ToldSummary<'a> {
    /// The newest row of each lane that was reported as failing and not yet as good again, in the order of time.
    open: Vec<&'a Said>,
    /// The lanes that were red before the branch began.
    inherited: BTreeSet<&'a str>,
    /// The newest update for which a fix was reported.
    until: u32,
    /// The time when the newest fix was reported.
    fixed: Time,
    /// The newest row of each lane.
    last: BTreeMap<&'a str, &'a Said>,
}

impl<'a> ToldSummary<'a> {
    fn of(view: &ObservedBranch, told: &'a [Said]) -> ToldSummary<'a> {
        let is_inherited = |said: &&Said| said.row.notice.is_empty();
        let inherited = told.iter().filter(is_inherited).map(|said| said.row.job.as_str()).collect();
        let mut last: BTreeMap<&str, &Said> = BTreeMap::new();
        for said in told.iter().filter(|said| !is_inherited(said)) {
            last.insert(&said.row.job, said);
        }
        let is_open = |said: &&Said| said.row.turn == Transition::NewlyFailing && !is_left_over(view, &said.row);
        let mut open: Vec<&Said> = last.values().copied().filter(is_open).collect();
        open.sort_by_key(|said| said.row.time);
        let fixes = || told.iter().filter(|said| said.row.turn == Transition::Fixed);
        let until = fixes().map(|said| said.update).max().unwrap_or(0);
        let fixed = fixes().map(|said| said.row.time).max().unwrap_or(Time(0));
        ToldSummary { open, inherited, until, fixed, last }
    }

    fn has(&self, job: &str) -> bool {
        self.open.iter().any(|said| said.row.job == job)
    }

    /// Whether this result was already known when the lane was reported as good again.
    fn is_over(&self, job: &str, point: &Point) -> bool {
        self.last.get(job).is_some_and(|said| {
            said.row.turn == Transition::Fixed && said.update >= point.spot.update && said.row.time >= point.finished
        })
    }
}

/// Whether a row is left over from version 0.1, and is no longer news. That version reported each lane by itself, and never reported
/// the end of a lane that left the plan.
fn is_left_over(view: &ObservedBranch, row: &ToldRow) -> bool {
    let counts = view.lanes.iter().any(|(job, _)| *job == row.job);
    !counts && row.notice == notice::id(&row.project, &row.ref_name, &row.job, row.turn, &row.revision)
}

/// A `Point` is the result of a lane in one update.
#[derive(Clone, Debug)]
struct Point {
    spot: Spot,
    is_bad: bool,
    finished: Time,
}

impl Point {
    fn of(result: &LaneResult) -> Point {
        let spot = Spot { update: result.update, build: result.build, revision: result.revision.clone() };
        Point { spot, is_bad: is_bad(result.outcome), finished: result.finished }
    }
}

/// A `RedRange` is the updates from the first red one to the first good one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RedRange {
    start: u32,
    /// The first update that is good again; `None` means that the branch is still red.
    end: Option<u32>,
}

/// A `Course` is the lanes of a branch, update by update.
#[derive(Clone)]
struct Course<'a> {
    lanes: Vec<(&'a str, Vec<Point>)>,
}

impl<'a> Course<'a> {
    fn of(view: &'a ObservedBranch, record: &ToldSummary<'_>) -> Course<'a> {
        let lanes = view.lanes.iter().map(|(job, lane)| {
            let mut points = points(lane);
            // if a good result was kept no longer, it came before the failures that are kept
            if record.inherited.contains(job.as_str()) && lane.earlier.last_good.is_none() {
                points.iter_mut().take_while(|point| point.is_bad).for_each(|point| point.is_bad = false);
            }
            (job.as_str(), points)
        });
        Course { lanes: lanes.collect() }
    }

    /// Returns the course without the failures that had ended when the newest fix was reported.
    fn after(mut self, record: &ToldSummary<'_>) -> Course<'a> {
        let is_over = |point: &Point| point.spot.update <= record.until && point.finished <= record.fixed;
        let points = self.lanes.iter_mut().flat_map(|(_, points)| points);
        points.filter(|point| is_over(point)).for_each(|point| point.is_bad = false);
        self
    }

    fn points(&self) -> impl Iterator<Item = &Point> {
        self.lanes.iter().flat_map(|(_, points)| points)
    }

    fn updates(&self) -> BTreeSet<u32> {
        self.points().map(|point| point.spot.update).collect()
    }

    fn is_red(&self, update: u32) -> bool {
        self.lanes.iter().any(|(_, points)| {
            points.iter().rev().find(|point| point.spot.update <= update).is_some_and(|point| point.is_bad)
        })
    }

    /// Returns the ranges in which a lane was red, in the order of updates.
    fn ranges(&self) -> Vec<RedRange> {
        let mut ranges: Vec<RedRange> = Vec::new();
        for update in self.updates() {
            let open = ranges.last_mut().filter(|range| range.end.is_none());
            match (open, self.is_red(update)) {
                (None, true) => ranges.push(RedRange { start: update, end: None }),
                (Some(range), false) => range.end = Some(update),
                (None, false) | (Some(_), true) => {}
            }
        }
        ranges
    }

    /// Returns the first bad result of each lane within a range, in the order of the plan.
    fn bad(&self, range: RedRange) -> Vec<(&'a str, &Point)> {
        let is_in =
            |point: &&Point| point.spot.update >= range.start && range.end.is_none_or(|end| point.spot.update < end);
        let lanes = self.lanes.iter();
        lanes
            .filter_map(|(job, points)| Some((*job, points.iter().filter(is_in).find(|point| point.is_bad)?)))
            .collect()
    }

    /// Returns when it is time to report what happened at an update; `None` means that it is time now.
    fn ready_at(&self, view: &ObservedBranch, at: u32, ended: Time, now: Time) -> Option<Time> {
        let is_held = view.open.range(..=at).any(|(open, lanes)| self.matters(*open, lanes.as_ref(), at));
        Some(ended.after(PATIENCE)).filter(|ready| is_held && *ready > now)
    }

    /// Whether an unfinished build could change what happened at an update. It can if it belongs to that update, or if one of its lanes
    /// has no result in between.
    fn matters(&self, open: u32, lanes: Option<&BTreeSet<String>>, at: u32) -> bool {
        let is_between = |point: &Point| open < point.spot.update && point.spot.update < at;
        let may_have = |job: &str| lanes.is_none_or(|lanes| lanes.contains(job));
        let mut lanes = self.lanes.iter().filter(|(job, _)| may_have(job));
        open == at || lanes.any(|(_, points)| !points.iter().any(is_between))
    }
}

/// Returns one point for each update with a result that counts. The first point stands for the results that are no longer kept.
fn points(lane: &Lane) -> Vec<Point> {
    let earlier = &lane.earlier;
    let is_bad = earlier.outcome.is_some_and(is_bad);
    let mark = if is_bad { &earlier.first_bad } else { &earlier.last_good };
    let before = mark.as_ref().map(|mark| Point {
        spot: Spot { update: mark.build.min(earlier.until.0), build: mark.build, revision: mark.revision.clone() },
        is_bad,
        finished: mark.finished,
    });
    let mut points: Vec<Point> = before.into_iter().collect();
    for result in lane.results.iter().filter(|result| result.counts()) {
        match points.last_mut().filter(|last| last.spot.update == result.update) {
            Some(last) => *last = Point::of(result),
            None => points.push(Point::of(result)),
        }
    }
    points
}

/// Decides the next thing on a branch without a reported failure: whether something fails.
fn failing(view: &ObservedBranch, course: Course<'_>, record: &ToldSummary<'_>, (born, now): (Time, Time)) -> Next {
    for range in course.ranges() {
        let first = course.bad(RedRange { start: range.start, end: Some(range.start + 1) });
        let is_past = range.end.is_some_and(|end| end <= record.until);
        if is_past || first.iter().all(|(_, point)| point.finished <= born) {
            continue;
        }
        let ended = first.iter().map(|(_, point)| point.finished).min().unwrap_or(now);
        if let Some(ready) = course.ready_at(view, range.start, ended, now) {
            return Next::Wait(ready);
        }
        let Some(at) = first.first().map(|(_, point)| point.spot.clone()) else { continue };
        let lanes = first.iter().map(|(job, point)| failing_lane(view, job, point)).collect();
        return Next::Tell(News { turn: Transition::NewlyFailing, at, lanes, last_bad: None, failure: None });
    }
    Next::Nothing
}

fn failing_lane(view: &ObservedBranch, job: &str, point: &Point) -> NewsLane {
    let lane = view.lanes.iter().find(|(name, _)| name == job).map(|(_, lane)| lane);
    let last_good = lane.and_then(|lane| good_before(lane, point.spot.update));
    NewsLane { job: job.to_owned(), since: point.spot.clone(), last_good }
}

/// Returns the newest good result before an update.
fn good_before(lane: &Lane, update: u32) -> Option<Mark> {
    let is_good = |result: &&LaneResult| result.counts() && !is_bad(result.outcome) && result.update < update;
    let found = lane.results.iter().rev().find(is_good);
    let mark = |it: &LaneResult| Mark { build: it.build, revision: it.revision.clone(), finished: it.finished };
    found.map(mark).or_else(|| lane.earlier.last_good.clone())
}

/// Decides the next thing after a failure was reported: whether more lanes failed, and whether the branch is good again.
fn goes_on(view: &ObservedBranch, course: &Course<'_>, record: &ToldSummary<'_>, now: Time) -> Next {
    let (Some(first), Some(newest)) = (record.open.first(), record.open.iter().max_by_key(|said| said.update)) else {
        return Next::Nothing;
    };
    let range = told_range(view, course, record, newest.update);
    let failure = Some(first.row.notice.clone());
    let added = course.bad(range).into_iter().filter(|(job, point)| !record.has(job) && !record.is_over(job, point));
    let (pending, added): (Vec<_>, Vec<_>) = added.partition(|(_, point)| view.is_open(range.start, point.spot.update));
    if let Some(news) = addition(view, &added, &failure) {
        return Next::Add(news);
    }
    let Some(end) = range.end else { return Next::Nothing };
    let (at, ended) = good_at(view, course, end).unwrap_or_else(|| (spot_of(newest), now));
    // an unfinished build within the range may add more lanes
    let whole_at = Some(ended.after(PATIENCE)).filter(|ready| view.is_open(range.start, end) && *ready > now);
    if let Some(ready) = course.ready_at(view, end, ended, now).or(whole_at) {
        return Next::Wait(ready);
    }
    if let Some(news) = addition(view, &pending, &failure) {
        return Next::Add(news);
    }
    let bad = course.points().filter(|point| point.is_bad && point.spot.update < end).map(|point| point.spot.clone());
    let last_bad = bad.max().or_else(|| Some(spot_of(newest)));
    Next::Tell(News {
        turn: Transition::Fixed,
        at,
        lanes: record.open.iter().map(told_lane).collect(),
        last_bad,
        failure,
    })
}

/// Returns the news of lanes that failed later in the range.
fn addition(view: &ObservedBranch, lanes: &[(&str, &Point)], failure: &Option<String>) -> Option<News> {
    let lanes: Vec<NewsLane> = lanes.iter().map(|(job, point)| failing_lane(view, job, point)).collect();
    let at = lanes.first()?.since.clone();
    Some(News { turn: Transition::NewlyFailing, at, lanes, last_bad: None, failure: failure.clone() })
}

/// Returns the range that contains the update of what was reported.
fn told_range(view: &ObservedBranch, course: &Course<'_>, record: &ToldSummary<'_>, update: u32) -> RedRange {
    let ranges = course.ranges();
    let holds = |range: &&RedRange| range.start <= update && range.end.is_none_or(|end| update < end);
    if let Some(range) = ranges.iter().find(holds) {
        return *range;
    }
    // the update is no longer red: a retry was good, or a lane left the plan
    let later = ranges.iter().find(|range| range.start > update).copied();
    let of_told = course.lanes.iter().filter(|(job, _)| record.has(job)).flat_map(|(_, points)| points);
    let good =
        of_told.filter(|point| !point.is_bad && point.spot.update >= update).min_by_key(|point| point.spot.update);
    match (good, later) {
        (Some(good), Some(later)) if is_same(course, good, later, update) => later,
        (Some(good), _) => RedRange { start: update, end: Some(good.spot.update) },
        (None, Some(later)) => later,
        (None, None) => {
            let planned = view.planned.as_ref().map_or(0, |planned| planned.spot.update);
            RedRange { start: update, end: Some(planned.max(update)) }
        }
    }
}

/// Whether a reported range goes on in a later one. It does if the later range was red already when the good result came, because that
/// result then only moved the beginning.
fn is_same(course: &Course<'_>, good: &Point, later: RedRange, update: u32) -> bool {
    let known = course.bad(RedRange { start: later.start, end: Some(later.start + 1) });
    let was_red = known.iter().any(|(_, point)| point.finished <= good.finished);
    good.spot.update > later.start || (good.spot.update == update && was_red)
}

/// Returns the newest good result of an update, or the plan that left the lanes out.
fn good_at(view: &ObservedBranch, course: &Course<'_>, update: u32) -> Option<(Spot, Time)> {
    let good = course.points().filter(|point| point.spot.update == update && !point.is_bad);
    let found = good.max_by_key(|point| point.spot.build).map(|point| (point.spot.clone(), point.finished));
    let planned = view.planned.as_ref().filter(|planned| planned.spot.update == update);
    found.or_else(|| planned.map(|planned| (planned.spot.clone(), planned.created)))
}

fn spot_of(said: &Said) -> Spot {
    Spot { update: said.update, build: said.row.build, revision: said.row.revision.clone() }
}

fn told_lane(said: &&Said) -> NewsLane {
    NewsLane { job: said.row.job.clone(), since: spot_of(said), last_good: None }
}

#[cfg(test)]
#[path = "episodes_tests.rs"]
mod tests;
