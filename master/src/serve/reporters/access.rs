//! Everything that reporters can reach: events, named reads, and one sink that records what was delivered. The code that wires them gives
//! it to them, so a reporter could move to another machine unchanged.

use super::episodes::{ObservedBranch, Said};
use super::failed_tests::FailedTests;
use super::notice::NoticeClaim;
use crate::commit::events::Subscription;
use crate::config::MailConfig;
use crate::config::clock::Clock;
use crate::decide::coordinator::lane::Lane;
use crate::decide::coordinator::record::{BuildRow, JobRow, ReporterRow, StepKey, StepRow, ToldRow};
use crate::intake::sources::History;
use futures::future::LocalBoxFuture;
use schema::values::Plan;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

/// An answer that comes later, or the reason why there is no answer.
pub type Later<'a, T> = LocalBoxFuture<'a, Result<T, String>>;

/// A project and a ref of its repository.
pub type ProjectRef = (String, String);

/// `ReporterAccess` is what the reporters of a master share.
pub struct ReporterAccess {
    pub clock: Clock,
    pub events: Subscription,
    pub reads: Box<dyn ReporterReads>,
    pub deliveries: Box<dyn DeliverySink>,
    /// The address by which people reach the master. It may be empty.
    pub url: String,
    /// The directory in which commands run.
    pub state: PathBuf,
    pub mail: Option<MailConfig>,
}

/// The questions that reporters ask.
pub trait ReporterReads {
    /// Returns the names of the projects that are followed.
    fn projects(&self) -> Vec<String>;
    /// Returns the repository of a project. `None` means that the project is not followed.
    fn history(&self, project: &str) -> Option<Rc<dyn History>>;
    /// Whether the builds of a project are held back after a restore.
    fn is_held(&self, project: &str) -> bool;
    /// Whether a ref was deleted, so that nobody can mend it.
    fn is_gone(&self, project: &str, ref_name: &str) -> bool;
    /// Returns who looks after a job of a branch. `None` means nobody.
    fn claim(&self, project: &str, ref_name: &str, job: &str) -> Option<NoticeClaim>;
    /// Returns the names of the recorded reporters.
    fn reporter_names(&self) -> Later<'_, Vec<String>>;
    /// Returns how far a reporter has come. `None` means that it is new.
    fn reporter<'a>(&'a self, name: &'a str) -> Later<'a, Option<ReporterRow>>;
    /// Returns the refs of builds, each of which is named by its project and its number.
    fn refs(&self, builds: BTreeSet<(String, u32)>) -> Later<'_, BTreeSet<ProjectRef>>;
    /// Returns the refs of the newest builds of a project.
    fn recent_refs<'a>(&'a self, project: &'a str, builds: u32) -> Later<'a, Vec<String>>;
    /// Returns the refs of a project of which this reporter reported a failure.
    fn told_refs<'a>(&'a self, reporter: &'a str, project: &'a str) -> Later<'a, Vec<String>>;
    /// Returns the state of a ref, and what this reporter reported about it.
    fn look<'a>(
        &'a self,
        reporter: &'a str,
        project: &'a str,
        ref_name: &'a str,
    ) -> Later<'a, (ObservedBranch, Vec<Said>)>;
    /// Returns the lane of a job on a ref. The job may be [`PIPELINE`](super::episodes::PIPELINE). The lane is empty if it has no result.
    fn lane<'a>(&'a self, project: &'a str, ref_name: &'a str, job: &'a str) -> Later<'a, Lane>;
    /// Returns a build with its plan and its jobs. `None` means that the build is gone.
    fn build<'a>(&'a self, project: &'a str, number: u32) -> Later<'a, Option<ReportedBuild>>;
    /// Returns the steps of a job's latest attempt.
    fn steps<'a>(&'a self, job: &'a JobRow) -> Later<'a, Vec<StepRow>>;
    /// Returns what the history of tests knows about the tests that failed in a job of this build.
    fn failed_tests<'a>(&'a self, build: &'a BuildRow, job: &'a JobRow) -> Later<'a, FailedTests>;
    /// Returns the last bytes of a log, at most `count`, and whether the log has more before them.
    fn log_end(&self, key: StepKey, count: u32) -> Later<'_, (Vec<u8>, bool)>;
}

/// A `ReportedBuild` is a build with what a notice needs of it.
pub struct ReportedBuild {
    pub row: BuildRow,
    pub plan: Option<Plan>,
    pub jobs: Vec<JobRow>,
}

/// A `DeliverySink` records what was delivered, which is a reporter's only way to command. Each call returns after its commit.
pub trait DeliverySink {
    /// Forgets every reporter whose name is not among these.
    fn forget_others(&self, names: Vec<String>) -> Later<'_, ()>;
    /// Records how far a reporter has come.
    fn save(&self, row: ReporterRow) -> Later<'_, ()>;
    /// Records what a reporter reported.
    fn record(&self, rows: Vec<ToldRow>) -> Later<'_, ()>;
}
