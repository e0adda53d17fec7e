//! The access that reporters get: the store, the mirrors and the logs answer their questions, and the driver keeps their record.

use crate::commit::driver::Driver;
use crate::commit::state_reader::StateReader;
use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::lane::{Lane, is_bad};
use crate::decide::coordinator::record::{
    BuildRow, ClaimKey, JobRow, LaneClaim, ReporterRow, StepKey, StepRow, ToldRow,
};
use crate::intake::sources::{History, Repositories};
use crate::keep::logs::Logs;
use crate::keep::store::{FailuresOfRun, Reading, StoreError, TestLane, TestName, WatchedBranch};
use crate::serve::reporters::episodes::{NewestPlan, ObservedBranch, PIPELINE, Said, Spot};
use crate::serve::reporters::failed_tests::{FailedTests, NoticeTest, NoticeTests};
use crate::serve::reporters::notice::NoticeClaim;
use crate::serve::reporters::{DeliverySink, Later, ProjectRef, ReportedBuild, ReporterReads};
use reports::TestId;
use schema::values::{Refusal, TestsReported};
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;

/// `StoredReads` answers the questions of reporters.
pub(super) struct StoredReads {
    pub(super) state: StateReader,
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
        self.state.peek(|it, _| it.is_held(project))
    }

    fn is_gone(&self, project: &str, ref_name: &str) -> bool {
        self.state.peek(|it, _| it.head(project, ref_name)).is_none_or(|head| head.gone.is_some())
    }

    fn claim(&self, project: &str, ref_name: &str, job: &str) -> Option<NoticeClaim> {
        let key = ClaimKey { project: project.to_owned(), ref_name: ref_name.to_owned(), job: job.to_owned() };
        let claim = self.state.peek(|it, _| it.claim_of(&key).cloned())?;
        let LaneClaim { name, since, until, reason, .. } = claim;
        Some(NoticeClaim { job: key.job, name, since, until, reason })
    }

    fn reporter_names(&self) -> Later<'_, Vec<String>> {
        in_words(self.readers.reporter_names())
    }

    fn reporter<'a>(&'a self, name: &'a str) -> Later<'a, Option<ReporterRow>> {
        in_words(self.readers.reporter(name))
    }

    fn refs(&self, builds: BTreeSet<(String, u32)>) -> Later<'_, BTreeSet<ProjectRef>> {
        in_words(self.readers.refs_of(builds))
    }

    fn recent_refs<'a>(&'a self, project: &'a str, builds: u32) -> Later<'a, Vec<String>> {
        in_words(self.readers.recent_refs(project, builds))
    }

    fn told_refs<'a>(&'a self, reporter: &'a str, project: &'a str) -> Later<'a, Vec<String>> {
        in_words(self.readers.failing_told_refs(reporter, project))
    }

    fn look<'a>(
        &'a self,
        reporter: &'a str,
        project: &'a str,
        ref_name: &'a str,
    ) -> Later<'a, (ObservedBranch, Vec<Said>)> {
        in_words(async move { self.readers.watched_branch(reporter, project, ref_name).await.map(seen) })
    }

    fn lane<'a>(&'a self, project: &'a str, ref_name: &'a str, job: &'a str) -> Later<'a, Lane> {
        in_words(async move {
            match job {
                PIPELINE => self.readers.pipeline_lane(project, ref_name).await,
                job => self.readers.lane(project, ref_name, job).await,
            }
        })
    }

    fn build<'a>(&'a self, project: &'a str, number: u32) -> Later<'a, Option<ReportedBuild>> {
        in_words(async move {
            let found = self.readers.planned_build(project, number).await?;
            Ok(found.map(|it| ReportedBuild { row: it.build, plan: it.plan.unwrap_or_default(), jobs: it.jobs }))
        })
    }

    fn steps<'a>(&'a self, job: &'a JobRow) -> Later<'a, Vec<StepRow>> {
        in_words(self.readers.steps(job.key, job.attempt))
    }

    fn failed_tests<'a>(&'a self, build: &'a BuildRow, job: &'a JobRow) -> Later<'a, FailedTests> {
        in_words(async move {
            let project = build.project.clone();
            let ref_name = build.stamp.sources.first().map(|source| source.ref_name.clone()).unwrap_or_default();
            let main = self.repositories.get(&project).and_then(|it| it.mirror.main_branch()).unwrap_or_default();
            let run = (TestLane { project, ref_name, job: job.name.clone() }, job.key);
            self.readers.failures_of_run(run, &main, TestsReported::FAILING_MAX).await.map(failed)
        })
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

/// Returns a branch as reporters see it, and what one of them reported about it.
fn seen(mut looked: WatchedBranch) -> (ObservedBranch, Vec<Said>) {
    let told = std::mem::take(&mut looked.told).into_iter().map(|(row, update)| Said { row, update }).collect();
    (view(looked), told)
}

fn view(looked: WatchedBranch) -> ObservedBranch {
    let mut lanes = looked.state.lanes;
    if looked.pipeline.results.iter().any(|result| is_bad(result.outcome)) {
        lanes.push((PIPELINE.to_owned(), looked.pipeline));
    }
    let planned = looked.planned.map(|(result, created)| {
        let spot = Spot { update: result.update, build: result.build, revision: result.revision };
        NewestPlan { spot, created }
    });
    ObservedBranch { lanes, open: looked.open, planned }
}

/// Returns the failed tests of a run as a notice has them. Their numbers are raised by one, because people count tests from 1.
fn failed(found: FailuresOfRun) -> FailedTests {
    let told = |(number, TestName { suite, name, parameters, .. }): (u32, TestName)| NoticeTest {
        number: number.saturating_add(1),
        name: TestId { suite, name, parameters }.to_string(),
    };
    match found {
        FailuresOfRun::Unread => FailedTests::Unread,
        FailuresOfRun::Unknown => FailedTests::Unknown,
        FailuresOfRun::Known(sorted) => FailedTests::Known(NoticeTests {
            newly_failing: sorted.new.into_iter().map(told).collect(),
            newly_failing_count: sorted.new_count,
            still_failing_count: sorted.known_count,
            flaky_count: sorted.flaky_count,
        }),
    }
}

/// Reads from the store, and turns an error into its text.
fn in_words<'a, T: 'a>(read: impl Future<Output = Result<T, StoreError>> + 'a) -> Later<'a, T> {
    Box::pin(async { read.await.map_err(|error| error.to_string()) })
}

/// `CommittedDeliveries` commits the record of what reporters delivered.
pub(super) struct CommittedDeliveries(pub(super) Rc<Driver>);

impl CommittedDeliveries {
    fn commit<'a>(&'a self, command: impl FnOnce(&mut Coordinator) -> Result<(), Refusal> + 'a) -> Later<'a, ()> {
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
