//! Reads whole refs: the state of a ref, its lanes, and a branch as a reporter looks at it. It decides nothing.

use super::columns::{maybe_word, read_id, read_json, read_maybe_time, read_time, read_word};
use super::tables::Tables;
use crate::decide::coordinator::lane::{Lane, LaneResult, RefState};
use crate::decide::coordinator::record::{BuildCause, BuildId, BuildRow};
use crate::keep::store::{RefHistory, WatchedBranch};
use rusqlite::{Row, params};
use schema::values::{Outcome, State, Time, Trust};
use std::collections::BTreeSet;

// a build whose `ref_update` is 0 belongs to no update
const NEWEST: &str = "select id from builds indexed by builds_update \
                      where project = ?1 and ref = ?2 and ref_update > 0 and ref_update >= \
                      coalesce((select ref_since from heads where project = ?1 and ref = ?2), 0) order by ref_update desc, number desc";
/// The number of newest builds of a ref that are searched for a plan. Usually few pushes in a row need no build.
const LOOKED_THROUGH: usize = 200;

/// The number of newest builds of a branch that are searched for unfinished ones and for broken pipelines. More are rarely
/// unfinished at a time, and older results are settled.
const READ_MAX: u32 = 200;

const READINGS: &str = "select ref_update, number, state, outcome, job_count, revision, created, finished, trust, id, \
                        cause \
                        from builds indexed by builds_update where project = ?1 and ref = ?2 and ref_update > 0 \
                        and ref_update >= ?4 \
                        order by ref_update desc, number desc limit ?3";

impl Tables<'_> {
    pub(crate) fn ref_state(self, project: &str, ref_name: &str) -> rusqlite::Result<RefState> {
        let mut state = RefState::default();
        let mut statement = self.0.prepare_cached(NEWEST)?;
        let mut rows = statement.query(params![project, ref_name])?;
        for _ in 0..LOOKED_THROUGH {
            let Some(row) = rows.next()? else { break };
            let Some(build) = self.build_by_id(read_id(row, 0).map(BuildId)?)? else {
                continue;
            };
            state.tip.get_or_insert_with(|| build.clone());
            if build.job_count > 0 {
                state.lanes = self.planned_lanes(&build, ref_name)?;
                break;
            }
            if is_broken(&build) {
                state.broken.get_or_insert(build);
            }
        }
        Ok(state)
    }

    /// Returns the first of these refs that has a build, and its state.
    pub(crate) fn first_built(self, project: &str, refs: Vec<String>) -> rusqlite::Result<Option<(String, RefState)>> {
        for ref_name in refs {
            let state = self.ref_state(project, &ref_name)?;
            if state.tip.is_some() {
                return Ok(Some((ref_name, state)));
            }
        }
        Ok(None)
    }

    pub(crate) fn ref_history(self, project: &str, ref_name: &str, builds: usize) -> rusqlite::Result<RefHistory> {
        let finished = self.finished(project, ref_name, builds)?;
        Ok(RefHistory { lanes: self.lanes(project, ref_name)?, builds: finished })
    }

    /// Returns the results of the newest finished builds of a ref as a whole, the newest first. Builds without a result are
    /// left out.
    fn finished(self, project: &str, ref_name: &str, limit: usize) -> rusqlite::Result<Vec<LaneResult>> {
        let mut statement = self.0.prepare_cached(NEWEST)?;
        let ids = statement.query_map(params![project, ref_name], |row| read_id(row, 0).map(BuildId))?;
        let mut found = Vec::new();
        for id in ids.take(LOOKED_THROUGH) {
            let Some(build) = self.build_by_id(id?)? else { continue };
            found.extend(whole(build));
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    /// Returns the lanes of a build's jobs, in the order of the jobs. A lane without a result is empty.
    fn planned_lanes(self, build: &BuildRow, ref_name: &str) -> rusqlite::Result<Vec<(String, Lane)>> {
        let mut known = self.lanes(&build.project, ref_name)?;
        let jobs = self.jobs(build.id)?.into_iter();
        Ok(jobs.map(|job| known.remove_entry(&job.name).unwrap_or((job.name, Lane::default()))).collect())
    }

    pub(crate) fn watched_branch(
        self,
        reporter: &str,
        project: &str,
        ref_name: &str,
    ) -> rusqlite::Result<WatchedBranch> {
        let mut looked = WatchedBranch::default();
        for build in self.readings(project, ref_name)? {
            if build.state != State::Finished {
                let jobs = self.open_jobs(&build)?;
                let known = looked.open.remove(&build.update).unwrap_or_else(|| Some(BTreeSet::new()));
                let both = known.zip(jobs).map(|(known, jobs)| known.into_iter().chain(jobs).collect());
                looked.open.insert(build.update, both);
            }
            let Some(result) = build.result() else { continue };
            if result.outcome == Outcome::Succeeded {
                looked.planned = Some((result.clone(), build.created));
            }
            looked.pipeline.add(result);
        }
        let since = self.ref_since(project, ref_name)?;
        looked.told = self.told(reporter, project, ref_name)?;
        looked.told.retain(|(_, update)| *update >= since);
        looked.state = self.ref_state(project, ref_name)?;
        Ok(looked)
    }

    /// Returns the unfinished jobs of a build; `None` means that it has no plan yet.
    fn open_jobs(self, build: &PipelineRead) -> rusqlite::Result<Option<BTreeSet<String>>> {
        if build.job_count == 0 {
            return Ok(None);
        }
        let jobs = self.jobs(build.id)?.into_iter().filter(|job| job.state != State::Finished);
        Ok(Some(jobs.map(|job| job.name).collect()))
    }

    pub(crate) fn pipeline_lane(self, project: &str, ref_name: &str) -> rusqlite::Result<Lane> {
        let mut lane = Lane::default();
        self.readings(project, ref_name)?.iter().filter_map(PipelineRead::result).for_each(|result| lane.add(result));
        Ok(lane)
    }

    /// Returns how the pipeline was read in the newest builds of a branch, the oldest first. Only builds of trusted sources
    /// count.
    fn readings(self, project: &str, ref_name: &str) -> rusqlite::Result<Vec<PipelineRead>> {
        let mut statement = self.0.prepare_cached(READINGS)?;
        let read = |row: &Row<'_>| {
            Ok((
                read_word::<Trust>(row, 8)?,
                PipelineRead {
                    id: BuildId(read_id(row, 9)?),
                    update: row.get(0)?,
                    build: row.get(1)?,
                    state: read_word(row, 2)?,
                    outcome: maybe_word(row, 3)?,
                    job_count: row.get(4)?,
                    revision: row.get(5)?,
                    created: read_time(row, 6)?,
                    finished: read_maybe_time(row, 7)?,
                    is_push: read_json::<BuildCause>(row, 10)? == BuildCause::Change,
                },
            ))
        };
        let since = self.ref_since(project, ref_name)?;
        let rows = statement.query_map(params![project, ref_name, READ_MAX, since], read)?;
        let rows: Vec<(Trust, PipelineRead)> = rows.collect::<Result<_, _>>()?;
        let trusted = rows.into_iter().rev().filter(|(trust, _)| *trust == Trust::Trusted);
        Ok(trusted.map(|(_, reading)| reading).collect())
    }

    pub(crate) fn refs_of(self, builds: &BTreeSet<(String, u32)>) -> rusqlite::Result<BTreeSet<(String, String)>> {
        let mut found = BTreeSet::new();
        for (project, number) in builds {
            found.extend(self.ref_of(project, *number)?.map(|name| (project.clone(), name)));
        }
        Ok(found)
    }
}

/// Returns the result of a finished build as if it were one job. The build must have jobs, or a broken pipeline.
fn whole(build: BuildRow) -> Option<LaneResult> {
    let is_broken = is_broken(&build);
    let (outcome, finished) = (build.outcome?, build.finished?);
    let revision = build.stamp.sources.first()?.revision.clone();
    let (update, number) = (build.update, build.number);
    (build.job_count > 0 || is_broken).then_some(LaneResult { update, build: number, outcome, finished, revision })
}

/// Whether a push brought a pipeline that cannot be read. A build that somebody requested does not count: the branch may simply
/// have no pipeline.
fn is_broken(build: &BuildRow) -> bool {
    let is_push = build.cause == BuildCause::Change;
    is_push && build.state == State::Finished && build.outcome == Some(Outcome::Failed) && build.job_count == 0
}

/// The result of reading the pipeline in one build.
struct PipelineRead {
    id: BuildId,
    update: u32,
    build: u32,
    state: State,
    outcome: Option<Outcome>,
    job_count: u32,
    revision: String,
    created: Time,
    finished: Option<Time>,
    is_push: bool,
}

impl PipelineRead {
    /// Returns the result as one of a lane; `None` means that the pipeline was not read, or that there was nothing to read.
    fn result(&self) -> Option<LaneResult> {
        // a requested build does not count, because its branch may have no pipeline
        let is_broken = self.is_push && self.state == State::Finished && self.outcome == Some(Outcome::Failed);
        let (outcome, finished) = match self.job_count {
            0 if is_broken => (Outcome::Failed, self.finished.unwrap_or(self.created)),
            0 => return None,
            _ => (Outcome::Succeeded, self.created),
        };
        let (update, build, revision) = (self.update, self.build, self.revision.clone());
        Some(LaneResult { update, build, outcome, finished, revision })
    }
}
