//! The table of lanes: written with each result, read as the state of a branch.

use super::commit::run;
use super::query;
use super::row::{self, json};
use crate::coordinator::lane::{Lane, LaneResult, RefState};
use crate::coordinator::record::{BuildCause, BuildId, BuildRow, JobRow};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use schema::values::{Outcome, SourceRevision, State, Trust};
use std::collections::BTreeMap;

const LANE: &str = "select lane from lanes where project = ?1 and ref = ?2 and job = ?3";
const LANES: &str = "select job, lane from lanes where project = ?1 and ref = ?2";
// an update that is 0 is none
const NEWEST: &str = "select id from builds indexed by builds_update \
                      where project = ?1 and ref = ?2 and ref_update > 0 and ref_update >= \
                      coalesce((select ref_since from heads where project = ?1 and ref = ?2), 0) order by ref_update desc, number desc";
/// Builds of a ref that are looked through for a plan: pushes that nothing was to be built of are many at most.
const LOOKED_THROUGH: usize = 200;

/// One lane of a ref.
pub fn lane(store: &Connection, project: &str, ref_name: &str, job: &str) -> rusqlite::Result<Option<Lane>> {
    store.prepare_cached(LANE)?.query_row(params![project, ref_name, job], |row| row::read_json(row, 0)).optional()
}

/// All lanes of a ref, also those that its newest plan no longer has.
pub fn lanes(store: &Connection, project: &str, ref_name: &str) -> rusqlite::Result<BTreeMap<String, Lane>> {
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row::read_json(row, 1)?));
    store.prepare_cached(LANES)?.query_map(params![project, ref_name], read)?.collect()
}

/// What a branch, or another ref, is: one read transaction.
pub fn ref_state(store: &Connection, project: &str, ref_name: &str) -> rusqlite::Result<RefState> {
    let store = store.unchecked_transaction()?;
    state_in(&store, project, ref_name)
}

/// As [`ref_state`], in a transaction that is open already.
pub(super) fn state_in(store: &Connection, project: &str, ref_name: &str) -> rusqlite::Result<RefState> {
    let mut state = RefState::default();
    let mut statement = store.prepare_cached(NEWEST)?;
    let mut rows = statement.query(params![project, ref_name])?;
    for _ in 0..LOOKED_THROUGH {
        let Some(row) = rows.next()? else { break };
        let Some(build) = query::build_by_id(store, row::read_id(row, 0).map(BuildId)?)? else {
            continue;
        };
        state.tip.get_or_insert_with(|| build.clone());
        if build.job_count > 0 {
            state.lanes = planned_lanes(store, &build, ref_name)?;
            break;
        }
        if is_broken(&build) {
            state.broken.get_or_insert(build);
        }
    }
    Ok(state)
}

/// What the newest finished builds of a ref came to as wholes, the newest first. Those of which nothing was built are left out.
pub fn finished(store: &Connection, project: &str, ref_name: &str, limit: usize) -> rusqlite::Result<Vec<LaneResult>> {
    let mut statement = store.prepare_cached(NEWEST)?;
    let ids = statement.query_map(params![project, ref_name], |row| row::read_id(row, 0).map(BuildId))?;
    let mut found = Vec::new();
    for id in ids.take(LOOKED_THROUGH) {
        let Some(build) = query::build_by_id(store, id?)? else { continue };
        found.extend(whole(build));
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

/// A finished build with jobs, or with a pipeline that cannot be read, as if it were one job.
fn whole(build: BuildRow) -> Option<LaneResult> {
    let is_broken = is_broken(&build);
    let (outcome, finished) = (build.outcome?, build.finished?);
    let revision = ref_source(&build)?.revision.clone();
    let (update, number) = (build.update, build.number);
    (build.job_count > 0 || is_broken).then_some(LaneResult { update, build: number, outcome, finished, revision })
}

/// Of the jobs that a build has, in their order; a lane without a result yet is empty.
fn planned_lanes(store: &Connection, build: &BuildRow, ref_name: &str) -> rusqlite::Result<Vec<(String, Lane)>> {
    let mut known = lanes(store, &build.project, ref_name)?;
    let jobs = query::jobs(store, build.id)?.into_iter();
    Ok(jobs.map(|job| known.remove_entry(&job.name).unwrap_or((job.name, Lane::default()))).collect())
}

/// A push brought a pipeline that cannot be read. Somebody may ask for a build of a branch that has none, which says nothing
/// of the branch.
fn is_broken(build: &BuildRow) -> bool {
    let is_push = build.cause == BuildCause::Change;
    is_push && build.state == State::Finished && build.outcome == Some(Outcome::Failed) && build.job_count == 0
}

pub(super) fn add(
    to: &Transaction<'_>,
    (project, ref_name, job): (&str, &str, &str),
    result: &LaneResult,
) -> rusqlite::Result<()> {
    let mut lane = lane(to, project, ref_name, job)?.unwrap_or_default();
    lane.add(result.clone());
    write(to, (project, ref_name, job), &lane)
}

fn write(to: &Transaction<'_>, key: (&str, &str, &str), lane: &Lane) -> rusqlite::Result<()> {
    let sql = "insert or replace into lanes (project, ref, job, lane) values (?1, ?2, ?3, ?4)";
    run(to, sql, params![key.0, key.1, key.2, json(lane)])
}

/// The ref came into being: what an earlier one of its name had is no lane of this one.
pub(super) fn remove(to: &Transaction<'_>, project: &str, ref_name: &str) -> rusqlite::Result<()> {
    run(to, "delete from lanes where project = ?1 and ref = ?2", params![project, ref_name])
}

/// A build was removed from history; the lanes of its ref go with the last one.
pub(super) fn remove_unbuilt(to: &Transaction<'_>, project: &str, ref_name: &str) -> rusqlite::Result<()> {
    let sql = "delete from lanes where project = ?1 and ref = ?2 \
               and not exists (select 1 from builds where project = ?1 and ref = ?2)";
    run(to, sql, params![project, ref_name])
}

/// Makes every lane from the jobs that are in history: what a store of version 0.1 had not.
pub(super) fn rebuild(to: &Transaction<'_>) -> rusqlite::Result<()> {
    let sql =
        format!("select {} from builds where ref_update > 0 order by project, ref, ref_update, number", row::BUILD);
    let mut statement = to.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut of_ref = RefLanes::default();
    while let Some(row) = rows.next()? {
        let build = row::build(row)?;
        if build.trust != Trust::Trusted {
            continue;
        }
        let Some(source) = ref_source(&build) else { continue };
        let key = (build.project.clone(), source.ref_name.clone());
        if of_ref.key != key {
            std::mem::replace(&mut of_ref, RefLanes { key, lanes: BTreeMap::new() }).write(to)?;
        }
        let jobs = query::jobs(to, build.id)?.into_iter();
        jobs.filter_map(|job| result_of(&build, job)).for_each(|(job, result)| of_ref.add(job, result));
    }
    of_ref.write(to)
}

/// The lanes of one ref, being made.
#[derive(Default)]
struct RefLanes {
    key: (String, String),
    lanes: BTreeMap<String, Lane>,
}

impl RefLanes {
    fn add(&mut self, job: String, result: LaneResult) {
        self.lanes.entry(job).or_default().add(result);
    }

    fn write(self, to: &Transaction<'_>) -> rusqlite::Result<()> {
        let (project, ref_name) = &self.key;
        self.lanes.iter().try_for_each(|(job, lane)| write(to, (project, ref_name, job), lane))
    }
}

/// What a job says of its lane; none where it was skipped, carried or is not finished.
pub fn result_of(build: &BuildRow, job: JobRow) -> Option<(String, LaneResult)> {
    let outcome = job.outcome.filter(|outcome| *outcome != Outcome::Skipped && job.carried_from == 0)?;
    let revision = ref_source(build)?.revision.clone();
    let (update, number) = (build.update, build.number);
    Some((job.name, LaneResult { update, build: number, outcome, finished: job.finished?, revision }))
}

fn ref_source(build: &BuildRow) -> Option<&SourceRevision> {
    build.stamp.sources.first()
}
