//! The authority to look. A project that the grant does not name gets the refusal `notFound`.

use super::branch;
use super::build::BuildCapability;
use super::cron::{cron_bytes, write_cron};
use super::detail::{JobDetail, detail};
use super::event::Subscriber;
use super::room::{ProjectRow, build_bytes, fit_all, queue_bytes, shorten_worker, worker_bytes};
use super::suspects::{self, SuspectQuery};
use super::test_view;
use super::view::{write_build, write_jobs, write_queue_item, write_workers};
use super::viewer_access::{ViewedRepository, ViewerAccess};
use super::{Holder, accept, broken, no_build, no_project, refuse};
use crate::decide::coordinator::record::BuildRow;
use crate::explain::Explainer;
use crate::keep::store::BuildFilter;
use schema::limits::{self, DIAGNOSIS_LISTED, JOB, PROJECT, REF, REVISION, ROWS_TOLD, WORKER};
use schema::perspective_capnp::viewer;
use schema::values::{Filter, Refusal, RefusalCode};
use schema::wire;
use std::rc::Rc;

/// The most builds in one answer.
const BUILDS_MAX: u32 = ROWS_TOLD.most as u32;

pub(super) struct Viewer {
    pub(super) access: Rc<ViewerAccess>,
    pub(super) holder: Holder,
}

impl viewer::Server for Viewer {
    async fn projects(
        self: Rc<Self>,
        params: viewer::ProjectsParams,
        mut results: viewer::ProjectsResults,
    ) -> capnp::Result<()> {
        let mut seen = self.access.repositories();
        let after = limits::text(params.get()?.get_after(), &PROJECT)?;
        seen.retain(|repository| self.holder.what.sees(repository.project()) && *repository.project() > *after);
        let mut rows: Vec<ProjectRow<'_>> = seen.iter().map(|repository| project_row(repository)).collect();
        let shown = limits::page(rows.iter().map(ProjectRow::bytes));
        results.get().set_more(shown < rows.len());
        rows.truncate(shown);
        let names: Vec<String> = rows.iter().map(|row| row.name.to_owned()).collect();
        let latest = self.access.history(&self.holder).newest_numbers(names).await.map_err(broken)?;
        let mut list = results.get().init_projects(wire::length(rows.len()));
        for (index, (row, latest)) in (0..).zip(rows.iter().zip(latest)) {
            let mut to = list.reborrow().get(index);
            to.set_name(row.name);
            to.set_repository(&*row.address);
            wire::write_texts(to.reborrow().init_aliases(wire::length(row.aliases.len())), row.aliases);
            to.set_latest(latest);
            to.set_main_branch(&row.main_branch);
            to.set_next_look(row.next_look.map_or(0, wire::time));
        }
        Ok(())
    }

    async fn builds(
        self: Rc<Self>,
        params: viewer::BuildsParams,
        mut results: viewer::BuildsResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let some = |text: String| if text.is_empty() { None } else { Some(text) };
        let filter = BuildFilter {
            project: some(limits::text(params.get_project(), &PROJECT)?),
            allowed: self.allowed(),
            ref_name: some(limits::text(params.get_ref(), &REF)?),
            revision: some(limits::text(params.get_revision(), &REVISION)?),
            before: Some(params.get_before()).filter(|before| *before > 0),
        };
        let limit = params.get_limit().min(BUILDS_MAX);
        let reading = self.access.history(&self.holder);
        let rows = reading.builds(filter, limit).await.map_err(broken)?;
        let sizes = rows.iter().map(|row| build_bytes(row, &DIAGNOSIS_LISTED.cut(&row.diagnosis)));
        let shown = limits::page(sizes);
        results.get().set_more(shown < rows.len());
        let mut list = results.get().init_builds(wire::length(shown));
        for (index, row) in (0..).zip(&rows[..shown]) {
            write_build(list.reborrow().get(index), row, &DIAGNOSIS_LISTED.cut(&row.diagnosis));
        }
        Ok(())
    }

    async fn build(
        self: Rc<Self>,
        params: viewer::BuildParams,
        mut results: viewer::BuildResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (project, number) = (limits::text(params.get_project(), &PROJECT)?, params.get_number());
        if !self.holder.what.sees(&project) {
            refuse!(results, no_project(&project));
        }
        let reading = self.access.history(&self.holder);
        let found = match number {
            0 => reading.newest_build(&project).await,
            number => reading.build(&project, number).await,
        };
        let Some(row) = found.map_err(broken)? else { refuse!(results, no_build(&project, number)) };
        let build = BuildCapability { access: self.access.clone(), holder: self.holder.clone(), id: row.id };
        results.get().set_build(capnp_rpc::new_client(build));
        Ok(())
    }

    async fn workers(
        self: Rc<Self>,
        params: viewer::WorkersParams,
        mut results: viewer::WorkersResults,
    ) -> capnp::Result<()> {
        let after = limits::text(params.get()?.get_after(), &WORKER)?;
        let mut workers =
            self.access.look(&self.holder, |it, now| Explainer::new(it, now).workers()).await.map_err(unavailable)?;
        workers.retain(|worker| worker.name > after);
        workers.iter_mut().for_each(|worker| {
            self.holder.narrow(worker);
            shorten_worker(worker);
        });
        let mut results = results.get();
        let shown = limits::page(workers.iter().map(worker_bytes));
        results.set_more(shown < workers.len());
        write_workers(results.init_workers(wire::length(shown)), &workers);
        Ok(())
    }

    async fn queue(self: Rc<Self>, _: viewer::QueueParams, mut results: viewer::QueueResults) -> capnp::Result<()> {
        let mut items =
            self.access.look(&self.holder, |it, now| Explainer::new(it, now).queue()).await.map_err(unavailable)?;
        items.retain(|item| self.holder.what.sees(&item.project));
        items.truncate(limits::fitting(0, items.iter().map(queue_bytes)).min(ROWS_TOLD.most));
        let mut list = results.get().init_items(wire::length(items.len()));
        for (index, item) in (0..).zip(&items) {
            write_queue_item(list.reborrow().get(index), item);
        }
        Ok(())
    }

    async fn branch(
        self: Rc<Self>,
        params: viewer::BranchParams,
        mut results: viewer::BranchResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (project, name) = (limits::text(params.get_project(), &PROJECT)?, limits::text(params.get_ref(), &REF)?);
        let repository = self.access.repository(&project).filter(|_| self.holder.what.sees(&project));
        let Some(repository) = repository else { refuse!(results, no_project(&project)) };
        match branch::look(&self.access.history(&self.holder), &repository, &name).await.map_err(broken)? {
            Ok(found) => {
                let claims = self.access.look(&self.holder, |it, _| branch::claims(it, &project, &found)).await;
                branch::write_branch(results.get().init_branch(), &found, &claims.map_err(unavailable)?);
            }
            Err(refusal) => refuse!(results, refusal),
        }
        Ok(())
    }

    async fn crons(
        self: Rc<Self>,
        params: viewer::CronsParams,
        mut results: viewer::CronsResults,
    ) -> capnp::Result<()> {
        let project = limits::text(params.get()?.get_project(), &PROJECT)?;
        if !self.holder.what.sees(&project) || self.access.repository(&project).is_none() {
            refuse!(results, no_project(&project));
        }
        let rows = self.access.look(&self.holder, |it, _| it.crons_of(&project).cloned().collect::<Vec<_>>());
        let rows = rows.await.map_err(unavailable)?;
        let shown = limits::page(rows.iter().map(cron_bytes));
        results.get().set_more(shown < rows.len());
        let mut list = results.get().init_crons(wire::length(shown));
        (0..).zip(&rows[..shown]).for_each(|(index, row)| write_cron(list.reborrow().get(index), row));
        Ok(())
    }

    async fn tests(
        self: Rc<Self>,
        params: viewer::TestsParams,
        mut results: viewer::TestsResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let project = limits::text(params.get_project(), &PROJECT)?;
        let repository = self.access.repository(&project).filter(|_| self.holder.what.sees(&project));
        let Some(repository) = repository else { refuse!(results, no_project(&project)) };
        let filter = accept!(results, test_view::filter(&self.access, &self.holder, &repository, params).await?);
        let page = self.access.history(&self.holder).tests_of_ref(filter).await.map_err(broken)?;
        let mut to = results.get();
        to.set_count(page.count);
        test_view::write_lines(to.init_tests(wire::length(page.lines.len())), &page.lines);
        Ok(())
    }

    async fn test(self: Rc<Self>, params: viewer::TestParams, mut results: viewer::TestResults) -> capnp::Result<()> {
        let params = params.get()?;
        let (project, number) = (limits::text(params.get_project(), &PROJECT)?, params.get_number());
        let repository = self.access.repository(&project).filter(|_| self.holder.what.sees(&project));
        let Some(repository) = repository else { refuse!(results, no_project(&project)) };
        let main = repository.main_branch().unwrap_or_default();
        let history = self.access.history(&self.holder);
        // People count from 1, and the store from 0.
        let found = match number.checked_sub(1) {
            Some(number) => history.test_history(&project, number, &main).await.map_err(broken)?,
            None => None,
        };
        let missing = || Refusal::new(RefusalCode::NotFound, format!("{project} has no test number {number}"));
        let found = accept!(results, found.ok_or_else(missing));
        let mut to = results.get();
        test_view::write_name(to.reborrow().init_test(), found.number, &found.name);
        test_view::write_lanes(to.init_lanes(wire::length(found.lanes.len())), &found.lanes);
        Ok(())
    }

    async fn suspects(
        self: Rc<Self>,
        params: viewer::SuspectsParams,
        mut results: viewer::SuspectsResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let project = limits::text(params.get_project(), &PROJECT)?;
        let repository = self.access.repository(&project).filter(|_| self.holder.what.sees(&project));
        let Some(repository) = repository else { refuse!(results, no_project(&project)) };
        let query = SuspectQuery {
            ref_name: limits::text(params.get_ref(), &REF)?,
            build: params.get_build(),
            job: limits::text(params.get_job(), &JOB)?,
            test: params.get_test(),
        };
        let found =
            self.access.about_commits(&self.holder, async |history| suspects::find(history, &repository, &query).await);
        let found = found.await?;
        let (ranges, has_more) = accept!(results, found);
        let shown = suspects::fitting(&ranges);
        let mut to = results.get();
        to.set_more(has_more || shown < ranges.len());
        let mut list = to.init_ranges(wire::length(shown));
        for (index, range) in (0..).zip(&ranges[..shown]) {
            suspects::write_range(list.reborrow().get(index), &project, range);
        }
        Ok(())
    }

    async fn watch(
        self: Rc<Self>,
        params: viewer::WatchParams,
        mut results: viewer::WatchResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let filter = wire::read_filter(params.get_filter()?)?;
        let observer = params.get_observer()?;
        if let Some(project) = filter.projects.iter().find(|project| !self.holder.what.sees(project)) {
            refuse!(results, no_project(project));
        }
        let (mut builds, after) = self.snapshot(&filter).await?;
        let cursor = self.access.cursor(after);
        let subscriber = Subscriber::new(&self.access, &self.holder, filter);
        let subscription = subscriber.follow(cursor, observer);
        let mut results = results.get();
        results.set_subscription(subscription);
        wire::write_cursor(results.reborrow().init_cursor(), cursor);
        let shown = fit_all(&mut builds);
        let mut list = results.init_builds(wire::length(shown));
        for (index, (row, jobs)) in (0..).zip(&builds[..shown]) {
            write_build(list.reborrow().get(index), row, &row.diagnosis);
            write_jobs(list.reborrow().get(index), jobs);
        }
        Ok(())
    }
}

impl Viewer {
    /// Returns the projects to which lists are narrowed; `None` means all projects.
    fn allowed(&self) -> Option<Vec<String>> {
        let projects = &self.holder.what.projects;
        projects.named().map(|names| names.iter().cloned().collect())
    }

    async fn snapshot(&self, filter: &Filter) -> capnp::Result<(Vec<(BuildRow, Vec<JobDetail>)>, u64)> {
        let taken = self.access.history(&self.holder).snapshot(filter.clone(), self.allowed()).await;
        let taken = taken.map_err(broken)?;
        let builds = taken.builds.into_iter().map(|(row, plan, jobs)| {
            let details = detail(self.access.state(), &row, plan.as_ref(), jobs);
            (row, details)
        });
        Ok((builds.collect(), taken.last_event))
    }
}

fn project_row(repository: &ViewedRepository) -> ProjectRow<'_> {
    let branch = repository.main_branch().unwrap_or_default();
    let row = ProjectRow::new(repository.project(), repository.address(), branch, repository.aliases());
    ProjectRow { next_look: repository.next_look(), ..row }
}

fn unavailable(refusal: schema::values::Refusal) -> capnp::Error {
    capnp::Error::overloaded(refusal.text)
}
