//! The named reads: every question that the master asks about history.
//!
//! Each read sees one moment: everything that was committed before it began, and nothing later. So the parts of one answer fit
//! together. Two reads one after the other may see different moments.
//!
//! The comments say which rows a read reads, which is its cost. Rows are found by an index, so the cost grows with the answer and with the
//! logarithm of what is stored.

use super::answers::{
    AgeingCursor, AgeingPage, BuildFilter, Detail, JobHistory, LoggedJob, LoggedPage, PlannedBuild, RefHistory,
    Snapshot, WatchedBranch,
};
use super::{
    FailuresOfRun, Reading, StoreError, TestFilter, TestHistory, TestIdentity, TestLane, TestPage, TestRunRow,
    UnreadTests,
};
use crate::decide::coordinator::lane::{Lane, RefState};
use crate::decide::coordinator::record::{
    AttemptRow, BuildId, BuildRow, GrantId, GrantRow, JobKey, ReporterRow, SealRow, StepKey, StepRow, UploadKey,
};
use crate::decide::test_history::RUNS_KEPT;
use crate::keep::blobs::{BlobHash, BlobUsage};
use crate::keep::bytes::Seal;
use schema::values::{Change, Event, Filter};
use std::collections::{BTreeMap, BTreeSet};

/// The reads about the tables themselves.
impl Reading {
    /// Returns the names of all tables, in alphabetical order.
    pub async fn tables(&self) -> Result<Vec<String>, StoreError> {
        self.ask(|store| store.names()).await
    }

    /// Returns what is damaged in a table or its indexes; `None` means that nothing is. Reads all its pages.
    pub async fn damage_of(&self, table: &str) -> Result<Option<String>, StoreError> {
        let table = table.to_owned();
        self.ask(move |store| store.damage_of(&table)).await
    }
}

/// Builds, with their jobs, attempts and steps.
impl Reading {
    /// Returns the build of a project with this number. Reads one row.
    pub async fn build(&self, project: &str, number: u32) -> Result<Option<BuildRow>, StoreError> {
        let project = project.to_owned();
        self.ask(move |store| store.build(&project, number)).await
    }

    /// Returns the build with this id. Reads one row.
    pub async fn build_by_id(&self, build: BuildId) -> Result<Option<BuildRow>, StoreError> {
        self.ask(move |store| store.build_by_id(build)).await
    }

    /// Returns the build of a project with the highest number. Reads one row.
    pub async fn newest_build(&self, project: &str) -> Result<Option<BuildRow>, StoreError> {
        let project = project.to_owned();
        self.ask(move |store| store.newest_build(&project)).await
    }

    /// Returns the highest number of a kept build of each of these projects, in the order of the projects. A project without
    /// builds has 0. Reads one row for each project.
    pub async fn newest_numbers(&self, projects: Vec<String>) -> Result<Vec<u32>, StoreError> {
        self.ask(move |store| store.newest_numbers(&projects)).await
    }

    /// Returns the newest build of each of these refs, which are given by project and full name, in their order. Refs without a
    /// build are left out. Reads one row for each ref.
    pub async fn newest_of_refs(&self, refs: Vec<(String, String)>) -> Result<Vec<BuildRow>, StoreError> {
        self.ask(move |store| store.newest_of_refs(&refs)).await
    }

    /// Returns at most `limit` builds that match a filter, the newest first. A short name of a ref means the branch if it was
    /// built, and otherwise the tag. Reads the rows that it returns. A filter by revision reads all rows of that revision. A
    /// filter without a project costs `limit` rows for each project that it may see.
    pub async fn builds(&self, filter: BuildFilter, limit: u32) -> Result<Vec<BuildRow>, StoreError> {
        self.ask(move |store| store.builds(&filter, limit)).await
    }

    /// Returns a build with its plan, its jobs in the order of the plan, and the steps of each job's latest attempt. Reads the
    /// rows of all jobs and of all steps of the build.
    pub async fn detail(&self, build: BuildId) -> Result<Option<Detail>, StoreError> {
        self.ask(move |store| store.detail(build)).await
    }

    /// Returns the update of a ref that made a build; `None` means that something else requested it. Reads one row.
    pub async fn change_of(&self, build: BuildId) -> Result<Option<Change>, StoreError> {
        self.ask(move |store| store.change_of(build)).await
    }

    /// Returns a build with its plan and its jobs in the order of the plan. Reads the rows of its jobs.
    pub async fn planned_build(&self, project: &str, number: u32) -> Result<Option<PlannedBuild>, StoreError> {
        let project = project.to_owned();
        self.ask(move |store| store.planned_build(&project, number)).await
    }

    /// Returns a job by its name, which includes its cell, and all its attempts, the first one first. Reads the rows of the
    /// build's jobs, and of the jobs of the build where a carried job ran.
    pub async fn job_history(&self, build: BuildId, name: &str) -> Result<Option<JobHistory>, StoreError> {
        let name = name.to_owned();
        self.ask(move |store| store.job_history(build, &name)).await
    }

    /// Returns the job whose attempts have the logs of this job, and whether these logs can be read. Reads as many rows as
    /// [`Reading::job_history`].
    pub async fn logged_job(&self, build: BuildId, name: &str) -> Result<LoggedJob, StoreError> {
        let name = name.to_owned();
        self.ask(move |store| store.logged_job(build, &name)).await
    }

    /// Returns all attempts of a job, the first one first. Reads the rows that it returns.
    pub async fn attempts(&self, job: JobKey) -> Result<Vec<AttemptRow>, StoreError> {
        self.ask(move |store| store.attempts(job)).await
    }

    /// Returns the steps of one attempt of a job, in their order. Reads the rows that it returns.
    pub async fn steps(&self, job: JobKey, attempt: u16) -> Result<Vec<StepRow>, StoreError> {
        self.ask(move |store| store.steps_of(job, attempt)).await
    }

    /// Returns the builds that a filter names, each in detail, in the order of their ids, as they were at one event. A filter
    /// names one build number in some projects, or else the unfinished builds and the newest build of each project. `allowed`
    /// limits the projects; `None` means all. Makes one [`Reading::detail`] for each build.
    pub async fn snapshot(&self, filter: Filter, allowed: Option<Vec<String>>) -> Result<Snapshot, StoreError> {
        self.ask(move |store| store.snapshot(&filter, allowed.as_deref())).await
    }
}

/// The reads about refs, their lanes, and sent notices.
impl Reading {
    /// Returns the state of a ref: its newest build, and the lanes of its newest plan in the order of the plan. Reads the
    /// builds that are newer than that plan, at most 200, and the lanes of the ref.
    pub async fn ref_state(&self, project: &str, ref_name: &str) -> Result<RefState, StoreError> {
        let (project, ref_name) = (project.to_owned(), ref_name.to_owned());
        self.ask(move |store| store.ref_state(&project, &ref_name)).await
    }

    /// Returns the first of these refs that has a build, and its state. Makes one [`Reading::ref_state`] for each ref that it
    /// tries.
    pub async fn first_built(
        &self,
        project: &str,
        refs: Vec<String>,
    ) -> Result<Option<(String, RefState)>, StoreError> {
        let project = project.to_owned();
        self.ask(move |store| store.first_built(&project, refs)).await
    }

    /// Returns all lanes of a ref, and its newest finished builds, at most `builds`. Reads at most 200 builds and the lanes of
    /// the ref.
    pub async fn ref_history(&self, project: &str, ref_name: &str, builds: usize) -> Result<RefHistory, StoreError> {
        let (project, ref_name) = (project.to_owned(), ref_name.to_owned());
        self.ask(move |store| store.ref_history(&project, &ref_name, builds)).await
    }

    /// Returns one lane of a ref: the results of a job. It is empty if the job never finished. Reads one row.
    pub async fn lane(&self, project: &str, ref_name: &str, job: &str) -> Result<Lane, StoreError> {
        let key = (project.to_owned(), ref_name.to_owned(), job.to_owned());
        let found = self.ask(move |store| store.lane((&key.0, &key.1, &key.2))).await?;
        Ok(found.unwrap_or_default())
    }

    /// Returns the results of reading the pipeline of a ref, as a lane. Reads its newest 200 builds.
    pub async fn pipeline_lane(&self, project: &str, ref_name: &str) -> Result<Lane, StoreError> {
        let (project, ref_name) = (project.to_owned(), ref_name.to_owned());
        self.ask(move |store| store.pipeline_lane(&project, &ref_name)).await
    }

    /// Returns the state of a branch, and the notices that a reporter sent about it. Reads its newest 200 builds, the jobs of
    /// the unfinished ones, its lanes, and these notices.
    pub async fn watched_branch(
        &self,
        reporter: &str,
        project: &str,
        ref_name: &str,
    ) -> Result<WatchedBranch, StoreError> {
        let (reporter, project, ref_name) = (reporter.to_owned(), project.to_owned(), ref_name.to_owned());
        self.ask(move |store| store.watched_branch(&reporter, &project, &ref_name)).await
    }

    /// Returns the refs of the newest `builds` builds of a project, each once, in no order. Reads these builds.
    pub async fn recent_refs(&self, project: &str, builds: u32) -> Result<Vec<String>, StoreError> {
        let project = project.to_owned();
        self.ask(move |store| store.recent_refs(&project, builds)).await
    }

    /// Returns the refs of a project of which this reporter reported a failure. Reads all its rows of the project.
    pub async fn failing_told_refs(&self, reporter: &str, project: &str) -> Result<Vec<String>, StoreError> {
        let (reporter, project) = (reporter.to_owned(), project.to_owned());
        self.ask(move |store| store.failing_told_refs(&reporter, &project)).await
    }

    /// Returns the refs of builds, which are given by project and number, each with its project. Builds that no longer exist
    /// are left out. Reads one row for each build.
    pub async fn refs_of(&self, builds: BTreeSet<(String, u32)>) -> Result<BTreeSet<(String, String)>, StoreError> {
        self.ask(move |store| store.refs_of(&builds)).await
    }

    /// Returns how far a reporter has read the events; `None` means that it never read any. Reads one row.
    pub async fn reporter(&self, name: &str) -> Result<Option<ReporterRow>, StoreError> {
        let name = name.to_owned();
        self.ask(move |store| store.reporter(&name)).await
    }

    /// Returns the names of all reporters that the store knows, in alphabetical order. Reads the rows that it returns.
    pub async fn reporter_names(&self) -> Result<Vec<String>, StoreError> {
        self.ask(move |store| store.reporter_names()).await
    }
}

/// The reads about events, grants and the audit chain.
impl Reading {
    /// Returns the events after a number, in order: at most `limit`, and as many as one batch holds in bytes, but at least one.
    /// Reads the rows that it returns.
    pub async fn events_after(&self, after: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.ask(move |store| store.events_after(after, limit)).await
    }

    /// Returns a grant as it was committed. Reads one row.
    pub async fn grant(&self, grant: GrantId) -> Result<Option<GrantRow>, StoreError> {
        self.ask(move |store| store.grant(grant)).await
    }

    /// Verifies the whole audit chain and returns how many rows it has. Fails at the first row that does not fit. Reads every
    /// row of the chain.
    pub async fn verify_audit(&self) -> Result<u64, StoreError> {
        self.ask(move |store| store.verify_audit()).await
    }
}

/// The reads about the history of tests, by lane.
impl Reading {
    /// Returns the first finished job whose lists of tests are not read yet; `None` means that all are read. Reads the jobs of
    /// its build.
    pub async fn unread_tests(&self) -> Result<Option<UnreadTests>, StoreError> {
        self.ask(|store| store.unread_tests()).await
    }

    /// Returns the number of each test of a project. Reads the rows that it returns.
    pub async fn test_numbers(&self, project: &str) -> Result<BTreeMap<TestIdentity, u32>, StoreError> {
        let project = project.to_owned();
        self.ask(move |store| store.test_numbers(&project)).await
    }

    /// Returns the file of each test of a project whose file is known. Reads the rows that it returns.
    pub async fn test_files(&self, project: &str) -> Result<BTreeMap<TestIdentity, String>, StoreError> {
        let project = project.to_owned();
        self.ask(move |store| store.test_files(&project)).await
    }

    /// Returns the tests of a ref that match a filter. Reads the runs of the ref's lanes and of the lanes with which they are
    /// compared, and the newest 500 runs of the project. It holds the runs of one lane at a time. A search also costs the names
    /// of all tests of the project.
    pub async fn tests_of_ref(&self, filter: TestFilter) -> Result<TestPage, StoreError> {
        self.ask(move |store| store.tests_of_ref(&filter)).await
    }

    /// Returns one test in the lanes that ran last; `None` means that the project has no such test. A young lane is compared
    /// with `base_ref`, unless that is empty. Reads the newest 500 runs of the project, and the runs of at most 40 lanes and of
    /// the lanes with which they are compared.
    pub async fn test_history(
        &self,
        project: &str,
        number: u32,
        base_ref: &str,
    ) -> Result<Option<TestHistory>, StoreError> {
        let (project, base_ref) = (project.to_owned(), base_ref.to_owned());
        self.ask(move |store| store.test_history(&project, number, &base_ref)).await
    }

    /// Sorts the tests that failed in the run of a job by what its lane knows about them, and names at most `limit` of them. A
    /// young lane is compared with `base_ref`, unless that is empty. Reads the runs of the lane and of the lane with which it
    /// is compared, and the newest 500 runs of the project.
    pub async fn failures_of_run(
        &self,
        run: (TestLane, JobKey),
        base_ref: &str,
        limit: usize,
    ) -> Result<FailuresOfRun, StoreError> {
        let base_ref = base_ref.to_owned();
        self.ask(move |store| store.failures_of_run(run, &base_ref, limit)).await
    }

    /// Returns the kept runs of a lane, the newest first. Reads the rows that it returns, each of which has a byte for each
    /// test.
    pub async fn test_runs(&self, lane: &TestLane) -> Result<Vec<TestRunRow>, StoreError> {
        let lane = lane.clone();
        self.ask(move |store| store.test_runs(&lane, RUNS_KEPT)).await
    }
}

/// The reads about logs and blobs, and the reads that retention makes before it removes anything.
impl Reading {
    /// Returns the seal of a log, and its bytes if the log is small. Reads one row.
    pub async fn seal(&self, step: StepKey) -> Result<Option<SealRow>, StoreError> {
        self.ask(move |store| store.seal(step)).await
    }

    /// Returns why the logs of a build can no longer be read; `None` means that they can. Reads two rows.
    pub async fn logs_removed(&self, build: BuildId) -> Result<Option<String>, StoreError> {
        self.ask(move |store| store.logs_removed(build)).await
    }

    /// Returns the bytes of all kept logs. Reads one row, because a counter is kept.
    pub async fn log_bytes(&self) -> Result<u64, StoreError> {
        self.ask(move |store| store.log_bytes()).await
    }

    /// Returns the bytes of all kept blobs. Reads one row, because a counter is kept.
    pub async fn blob_bytes(&self) -> Result<u64, StoreError> {
        self.ask(move |store| store.blob_bytes()).await
    }

    /// Returns the seal of an upload; `None` means that it was not sealed. Reads two rows.
    pub async fn sealed_upload(&self, key: UploadKey) -> Result<Option<Seal>, StoreError> {
        self.ask(move |store| store.sealed_upload(&key)).await
    }

    /// Returns a blob that an attempt of a build refers to. `None` means that no attempt does, or that the build no longer
    /// exists. Reads three rows.
    pub async fn blob_of(&self, build: BuildId, hash: BlobHash) -> Result<Option<Seal>, StoreError> {
        self.ask(move |store| store.blob_of(build, &hash)).await
    }

    /// Returns the bytes that all projects, the project and the attempt of an upload have stored. Reads the rows of the
    /// attempt's blobs.
    pub async fn blob_usage(&self, key: UploadKey) -> Result<BlobUsage, StoreError> {
        self.ask(move |store| store.blob_usage(&key)).await
    }

    /// Returns at most `limit` blobs to which nothing refers. Reads the rows that it returns.
    pub async fn unreferenced_blobs(&self, limit: u32) -> Result<Vec<BlobHash>, StoreError> {
        self.ask(move |store| store.unreferenced_blobs(limit)).await
    }

    /// Returns the hashes among these to which something refers. Reads one row for each hash.
    pub async fn referenced_blobs(&self, hashes: Vec<BlobHash>) -> Result<BTreeSet<BlobHash>, StoreError> {
        self.ask(move |store| store.referenced_blobs(&hashes)).await
    }

    /// Returns the next builds after `after` that have logs, the oldest first, at most `limit`, and the bytes of all logs.
    /// Reads the rows of their logs.
    pub async fn logged(&self, after: BuildId, limit: u32) -> Result<LoggedPage, StoreError> {
        self.ask(move |store| store.logged(after, limit)).await
    }

    /// Returns the builds that were removed and have rows or files left, the oldest first, at most `limit`. Reads the rows that
    /// it returns.
    pub async fn unswept(&self, limit: u32) -> Result<Vec<BuildId>, StoreError> {
        self.ask(move |store| store.unswept(limit)).await
    }

    /// Returns the next builds beyond the newest `kept` of their project, the newest first: at most `limit`, all of one
    /// project. If `from` is `None`, it begins with the first project. Reads `kept` entries of an index, and at most 500 for
    /// each ref on the page.
    pub async fn removal_candidates(
        &self,
        from: Option<AgeingCursor>,
        kept: u32,
        limit: u32,
    ) -> Result<AgeingPage, StoreError> {
        self.ask(move |store| store.removal_candidates(from, kept, limit)).await
    }
}
