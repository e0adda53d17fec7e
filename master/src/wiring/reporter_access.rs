//! What reporters are given: their questions answered by the store, the mirrors and the logs, and their record kept by the driver.

use crate::coordinator::lane::{Lane, is_bad};
use crate::coordinator::Coordinator;
use crate::coordinator::record::{JobRow, ReporterRow, StepKey, StepRow, ToldRow};
use crate::driver::Driver;
use crate::logs::Logs;
use crate::reporters::episodes::{PIPELINE, Planned, Said, Spot, View};
use crate::reporters::{DeliverySink, Later, ProjectRef, ReportedBuild, ReporterReads};
use crate::sources::{History, Repositories};
use crate::store::reporters::{self as rows, Looked};
use crate::store::{self, Reading, StoreError, query};
use schema::values::Refusal;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;

/// The answers to what reporters ask.
pub(super) struct StoredReads {
    pub(super) driver: Rc<Driver>,
    pub(super) readers: Reading,
    pub(super) logs: Rc<Logs>,
    pub(super) repositories: Rc<Repositories>,
}

impl ReporterReads for StoredReads {
    fn projects(&self) -> Vec<String> {
        self.repositories.all().iter().map(|it| it.project.clone()).collect()
    }

    fn history(&self, project: &str) -> Option<Rc<dyn History>> {
        self.repositories.get(project).map(|it| it.mirror.clone())
    }

    fn is_held(&self, project: &str) -> bool {
        self.driver.peek(|it, _| it.is_held(project))
    }

    fn reporter_names(&self) -> Later<'_, Vec<String>> {
        in_words(self.readers.query(rows::reporter_names))
    }

    fn reporter(&self, name: &str) -> Later<'_, Option<ReporterRow>> {
        let name = name.to_owned();
        in_words(self.readers.query(move |store| rows::reporter(store, &name)))
    }

    fn refs(&self, builds: BTreeSet<(String, u32)>) -> Later<'_, BTreeSet<ProjectRef>> {
        in_words(self.readers.query(move |store| rows::refs(store, &builds)))
    }

    fn recent_refs(&self, project: &str, builds: u32) -> Later<'_, Vec<String>> {
        let project = project.to_owned();
        in_words(self.readers.query(move |store| rows::recent_refs(store, &project, builds)))
    }

    fn look(&self, reporter: &str, project: &str, ref_name: &str) -> Later<'_, (View, Vec<Said>)> {
        let (name, project, ref_name) = (reporter.to_owned(), project.to_owned(), ref_name.to_owned());
        let read = self.readers.query(move |store| rows::look(store, &name, &project, &ref_name));
        Box::pin(async { read.await.map(seen).map_err(|error| error.to_string()) })
    }

    fn lane(&self, project: &str, ref_name: &str, job: &str) -> Later<'_, Lane> {
        let (project, ref_name, job) = (project.to_owned(), ref_name.to_owned(), job.to_owned());
        in_words(self.readers.query(move |store| match job.as_str() {
            PIPELINE => rows::pipeline(store, &project, &ref_name),
            job => Ok(store::lanes::lane(store, &project, &ref_name, job)?.unwrap_or_default()),
        }))
    }

    fn build(&self, project: &str, number: u32) -> Later<'_, Option<ReportedBuild>> {
        let project = project.to_owned();
        in_words(self.readers.query(move |store| {
            let Some(row) = query::build(store, &project, number)? else { return Ok(None) };
            Ok(Some(ReportedBuild { plan: query::plan(store, row.id)?, jobs: query::jobs(store, row.id)?, row }))
        }))
    }

    fn steps(&self, job: JobRow) -> Later<'_, Vec<StepRow>> {
        in_words(self.readers.query(move |store| rows::steps(store, &job)))
    }

    fn log_end(&self, key: StepKey, count: u32) -> Later<'_, (Vec<u8>, bool)> {
        Box::pin(async move { log_end(&self.logs, key, count).await.map_err(|error| error.to_string()) })
    }
}

async fn log_end(logs: &Logs, key: StepKey, count: u32) -> io::Result<(Vec<u8>, bool)> {
    let from = logs.size(key).await?.size.saturating_sub(u64::from(count));
    let chunk = logs.read(key, from, count).await?;
    Ok((chunk.bytes, from > 0))
}

/// A branch as reporters see it, and what one of them told of it.
fn seen(mut looked: Looked) -> (View, Vec<Said>) {
    let told = std::mem::take(&mut looked.told).into_iter().map(|(row, update)| Said { row, update }).collect();
    (view(looked), told)
}

fn view(looked: Looked) -> View {
    let mut lanes = looked.state.lanes;
    if looked.pipeline.results.iter().any(|result| is_bad(result.outcome)) {
        lanes.push((PIPELINE.to_owned(), looked.pipeline));
    }
    let planned = looked.planned.map(|(result, created)| {
        let spot = Spot { update: result.update, build: result.build, revision: result.revision };
        Planned { spot, created }
    });
    View { lanes, open: looked.open, planned }
}

/// Why a question has no answer, in words.
fn in_words<'a, T: 'a>(read: impl Future<Output = Result<T, StoreError>> + 'a) -> Later<'a, T> {
    Box::pin(async { read.await.map_err(|error| error.to_string()) })
}

/// The record of what reporters delivered.
pub(super) struct CommittedDeliveries(pub(super) Rc<Driver>);

impl CommittedDeliveries {
    fn commit<'a>(
        &'a self,
        command: impl FnOnce(&mut Coordinator) -> Result<(), Refusal> + 'a,
    ) -> Later<'a, ()> {
        Box::pin(async { self.0.call(|it, _| command(it)).await.map_err(|refusal| refusal.to_string()) })
    }
}

impl DeliverySink for CommittedDeliveries {
    fn forget_others(&self, names: Vec<String>) -> Later<'_, ()> {
        self.commit(|it| {
            it.keep_reporters(names);
            Ok(())
        })
    }

    fn save(&self, row: ReporterRow) -> Later<'_, ()> {
        self.commit(|it| it.keep_cursor(row))
    }

    fn record(&self, rows: Vec<ToldRow>) -> Later<'_, ()> {
        self.commit(|it| it.remember_told(rows))
    }
}
