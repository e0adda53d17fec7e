//! Reads whole builds: a build with its plan, jobs and steps, one job with its attempts, and a snapshot of many builds.

use super::columns::read_id;
use super::tables::Tables;
use crate::decide::coordinator::record::{BuildId, JobRow, StepRow};
use crate::keep::store::{Detail, JobHistory, LoggedJob, PlannedBuild, Snapshot};
use rusqlite::{Row, params};
use schema::values::Filter;

impl Tables<'_> {
    pub(crate) fn planned_build(self, project: &str, number: u32) -> rusqlite::Result<Option<PlannedBuild>> {
        let Some(build) = self.build(project, number)? else { return Ok(None) };
        Ok(Some(PlannedBuild { plan: self.plan(build.id)?, jobs: self.jobs(build.id)?, build }))
    }

    pub(crate) fn detail(self, build: BuildId) -> rusqlite::Result<Option<Detail>> {
        let Some(row) = self.build_by_id(build)? else { return Ok(None) };
        let steps = self.steps(build)?;
        let jobs = self.jobs(build)?.into_iter().map(|job| {
            let of_job = |step: &&StepRow| step.key.job == job.key && step.key.attempt == job.attempt;
            let steps = steps.iter().filter(of_job).cloned().collect();
            (job, steps)
        });
        Ok(Some((row, self.readable_plan(build)?, jobs.collect())))
    }

    /// Returns a job by its name. If the job was carried, it returns the job that ran.
    fn find_job(self, build: BuildId, name: &str) -> rusqlite::Result<Option<JobRow>> {
        let found = self.jobs(build)?.into_iter().find(|job| job.name == name);
        let Some(job) = found else { return Ok(None) };
        if job.carried_from == 0 {
            return Ok(Some(job));
        }
        let Some(carrier) = self.build_by_id(build)? else { return Ok(None) };
        match self.build(&carrier.project, job.carried_from)? {
            Some(origin) => Ok(self.jobs(origin.id)?.into_iter().find(|job| job.name == name)),
            None => Ok(None),
        }
    }

    pub(crate) fn job_history(self, build: BuildId, name: &str) -> rusqlite::Result<Option<JobHistory>> {
        let Some(of) = self.build_by_id(build)? else { return Ok(None) };
        let Some(row) = self.jobs(build)?.into_iter().find(|row| row.name == name) else { return Ok(None) };
        let plan = self.readable_plan(build)?.and_then(|plan| plan.jobs.into_iter().nth(row.key.index as usize));
        let ran = self.find_job(build, name)?;
        let attempts = ran.map_or_else(|| Ok(Vec::new()), |ran| self.attempts(ran.key))?;
        Ok(Some(JobHistory { build: of, row, plan, attempts }))
    }

    pub(crate) fn logged_job(self, build: BuildId, name: &str) -> rusqlite::Result<LoggedJob> {
        let job = self.find_job(build, name)?;
        let removed = self.logs_removed(job.as_ref().map_or(build, |job| job.key.build))?;
        Ok(LoggedJob { job, removed })
    }

    pub(crate) fn snapshot(self, filter: &Filter, allowed: Option<&[String]>) -> rusqlite::Result<Snapshot> {
        let last_event = self.counter("event")?;
        let mut builds = Vec::new();
        for (id, project) in self.named(filter)? {
            let wanted = filter.projects.is_empty() || filter.projects.contains(&project);
            if wanted && allowed.is_none_or(|allowed| allowed.contains(&project)) {
                builds.extend(self.detail(id)?);
            }
        }
        Ok(Snapshot { builds, last_event })
    }

    /// Returns the builds that a filter names, each with its project, in the order of their ids.
    fn named(self, filter: &Filter) -> rusqlite::Result<Vec<(BuildId, String)>> {
        let name = |row: &Row<'_>| Ok((BuildId(read_id(row, 0)?), row.get(1)?));
        if filter.build > 0 {
            let sql = "select id, project from builds \
                       where number = ?1 and project in (select value from json_each(?2)) order by id";
            let projects = serde_json::to_string(&filter.projects).unwrap_or_default();
            return self.0.prepare_cached(sql)?.query_map(params![filter.build, projects], name)?.collect();
        }
        let sql = "select id, project from builds where state <> 'finished' union \
                   select b.id, b.project from numbers as n join builds as b on b.project = n.project \
                   and b.number = n.number order by 1";
        self.0.prepare_cached(sql)?.query_map([], name)?.collect()
    }
}
