//! History, read on reader threads. Every list costs O(log n) in the builds that exist, plus what it answers.

use super::listing;
use super::row::{self, id};
use crate::coordinator::record::{
    AttemptRow, BuildId, BuildRow, GrantId, GrantRow, JobKey, JobRow, SealRow, StepKey, StepRow,
};
use rusqlite::{Connection, OptionalExtension as _, params};
use schema::limits::{self, BATCH_BYTES};
use schema::values::{Event, Filter, JobPlan, Plan};

/// Which builds: all that is set must match.
#[derive(Clone, Debug, Default)]
pub struct BuildFilter {
    pub project: Option<String>,
    /// The projects that may be seen; none: all.
    pub allowed: Option<Vec<String>>,
    /// Full, or the short name of a branch, else of a tag.
    pub ref_name: Option<String>,
    /// At least 4 hex digits of the revision.
    pub revision: Option<String>,
    /// Only smaller numbers.
    pub before: Option<u32>,
}

/// A build with its plan, its jobs, and the steps of each job's latest attempt.
pub type Detail = (BuildRow, Option<Plan>, Vec<(JobRow, Vec<StepRow>)>);

/// A job with all its attempts; of a carried one, those of the build where it ran.
#[derive(Debug)]
pub struct JobHistory {
    pub build: BuildRow,
    pub row: JobRow,
    pub plan: Option<JobPlan>,
    pub attempts: Vec<AttemptRow>,
}

/// Builds as they were at one event.
#[derive(Debug)]
pub struct Snapshot {
    pub builds: Vec<Detail>,
    pub last_event: u64,
}

/// The newest first.
pub fn builds(store: &Connection, filter: &BuildFilter, limit: u32) -> rusqlite::Result<Vec<BuildRow>> {
    let ids = listing::newest(store, filter, limit)?;
    ids.into_iter().filter_map(|id| build_by_id(store, id).transpose()).collect()
}

pub fn newest(store: &Connection, project: &str) -> rusqlite::Result<Option<BuildRow>> {
    let filter = BuildFilter { project: Some(project.to_owned()), ..BuildFilter::default() };
    Ok(builds(store, &filter, 1)?.pop())
}

pub fn build(store: &Connection, project: &str, number: u32) -> rusqlite::Result<Option<BuildRow>> {
    let sql = format!("select {} from builds where project = ?1 and number = ?2", row::BUILD);
    store.prepare_cached(&sql)?.query_row(params![project, number], row::build).optional()
}

pub fn build_by_id(store: &Connection, build: BuildId) -> rusqlite::Result<Option<BuildRow>> {
    let sql = format!("select {} from builds where id = ?1", row::BUILD);
    store.prepare_cached(&sql)?.query_row([id(build.0)], row::build).optional()
}

pub fn plan(store: &Connection, build: BuildId) -> rusqlite::Result<Option<Plan>> {
    let mut statement = store.prepare_cached("select plan from plans where build = ?1")?;
    statement.query_row([id(build.0)], |row| row::read_json(row, 0)).optional()
}

/// In the order of the plan.
pub fn jobs(store: &Connection, build: BuildId) -> rusqlite::Result<Vec<JobRow>> {
    let sql = format!("select {} from jobs where build = ?1 order by idx", row::JOB);
    store.prepare_cached(&sql)?.query_map([id(build.0)], row::job)?.collect()
}

/// A job by its name; of a carried one, the job that really ran.
pub fn find_job(store: &Connection, build: BuildId, name: &str) -> rusqlite::Result<Option<JobRow>> {
    let found = jobs(store, build)?.into_iter().find(|job| job.name == name);
    let Some(job) = found else { return Ok(None) };
    if job.carried_from == 0 {
        return Ok(Some(job));
    }
    let Some(carrier) = build_by_id(store, build)? else { return Ok(None) };
    match self::build(store, &carrier.project, job.carried_from)? {
        Some(origin) => Ok(jobs(store, origin.id)?.into_iter().find(|job| job.name == name)),
        None => Ok(None),
    }
}

/// By its name, with its cell.
pub fn job_history(store: &Connection, build: BuildId, name: &str) -> rusqlite::Result<Option<JobHistory>> {
    let Some(of) = build_by_id(store, build)? else { return Ok(None) };
    let Some(row) = jobs(store, build)?.into_iter().find(|row| row.name == name) else { return Ok(None) };
    let plan = plan(store, build)?.and_then(|plan| plan.jobs.into_iter().nth(row.key.index as usize));
    let ran = find_job(store, build, name)?;
    let attempts = ran.map_or_else(|| Ok(Vec::new()), |ran| attempts(store, ran.key))?;
    Ok(Some(JobHistory { build: of, row, plan, attempts }))
}

/// All attempts of a job, the first one first.
pub fn attempts(store: &Connection, job: JobKey) -> rusqlite::Result<Vec<AttemptRow>> {
    let sql = format!("select {} from attempts where build = ?1 and idx = ?2 order by number", row::ATTEMPT);
    store.prepare_cached(&sql)?.query_map(params![id(job.build.0), job.index], row::attempt)?.collect()
}

/// Of each job of a build, the attempt with the highest number.
pub fn latest_attempts(store: &Connection, build: BuildId) -> rusqlite::Result<Vec<AttemptRow>> {
    let sql = format!(
        "select {} from attempts as a where build = ?1 and number = \
         (select max(number) from attempts as b where b.build = a.build and b.idx = a.idx)",
        row::ATTEMPT
    );
    store.prepare_cached(&sql)?.query_map([id(build.0)], row::attempt)?.collect()
}

pub fn detail(store: &Connection, build: BuildId) -> rusqlite::Result<Option<Detail>> {
    let Some(row) = build_by_id(store, build)? else { return Ok(None) };
    let steps = steps(store, build)?;
    let jobs = jobs(store, build)?.into_iter().map(|job| {
        let of_job = |step: &&StepRow| step.key.job == job.key && step.key.attempt == job.attempt;
        let steps = steps.iter().filter(of_job).cloned().collect();
        (job, steps)
    });
    Ok(Some((row, plan(store, build)?, jobs.collect())))
}

/// The builds that a filter names: one, or those that are open and the newest of each project. One read transaction, so
/// that nothing lies between them and `last_event`.
pub fn snapshot(store: &Connection, filter: &Filter, allowed: Option<&[String]>) -> rusqlite::Result<Snapshot> {
    let transaction = store.unchecked_transaction()?;
    let last_event = row::counter(&transaction, "event")?;
    let mut builds = Vec::new();
    for (id, project) in named(&transaction, filter)? {
        let wanted = filter.projects.is_empty() || filter.projects.contains(&project);
        if wanted && allowed.is_none_or(|allowed| allowed.contains(&project)) {
            builds.extend(detail(&transaction, id)?);
        }
    }
    Ok(Snapshot { builds, last_event })
}

/// After this one, in order: as many as one batch holds in bytes, and at least one.
pub fn events(store: &Connection, after: u64, limit: usize) -> rusqlite::Result<Vec<Event>> {
    let sql = "select sequence, time, project, build, fact from events where sequence > ?1 order by sequence limit ?2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = store.prepare_cached(sql)?;
    let mut rows = statement.query(params![id(after), limit])?;
    let (mut found, mut bytes): (Vec<Event>, usize) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let event = row::event(row)?;
        bytes += limits::event_bytes(&event);
        if bytes > BATCH_BYTES && !found.is_empty() {
            break;
        }
        found.push(event);
    }
    Ok(found)
}

pub fn seal(store: &Connection, key: StepKey) -> rusqlite::Result<Option<SealRow>> {
    let sql = "select size, hash, bytes from logs where build = ?1 and idx = ?2 and attempt = ?3 and step = ?4";
    let values = params![id(key.job.build.0), key.job.index, key.attempt, key.step];
    store.prepare_cached(sql)?.query_row(values, |row| row::seal(key, row)).optional()
}

pub fn grant(store: &Connection, grant: GrantId) -> rusqlite::Result<Option<GrantRow>> {
    let sql = format!("select {} from grants where id = ?1", row::GRANT);
    store.prepare_cached(&sql)?.query_row([id(grant.0)], row::grant).optional()
}

pub(super) fn steps(store: &Connection, build: BuildId) -> rusqlite::Result<Vec<StepRow>> {
    let sql = format!("select {} from steps where build = ?1 order by idx, attempt, step", row::STEP);
    store.prepare_cached(&sql)?.query_map([id(build.0)], row::step)?.collect()
}

fn named(store: &Connection, filter: &Filter) -> rusqlite::Result<Vec<(BuildId, String)>> {
    let name = |row: &rusqlite::Row<'_>| Ok((BuildId(row::read_id(row, 0)?), row.get(1)?));
    if filter.build > 0 {
        let sql = "select id, project from builds \
                   where number = ?1 and project in (select value from json_each(?2)) order by id";
        let projects = serde_json::to_string(&filter.projects).unwrap_or_default();
        return store.prepare_cached(sql)?.query_map(params![filter.build, projects], name)?.collect();
    }
    let sql = "select id, project from builds where state <> 'finished' union \
               select b.id, b.project from numbers as n join builds as b on b.project = n.project \
               and b.number = n.number order by 1";
    store.prepare_cached(sql)?.query_map([], name)?.collect()
}
