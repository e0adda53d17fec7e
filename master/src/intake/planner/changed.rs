//! Finds the paths that changed for each job since the run that the job is compared with. Reads past runs and mirrors. The rule for that
//! run is [`Lane::good_base`].
//!
//! A job may be left out only on two conditions. The newest run of its lane was good, and no path that the job names differs from the
//! commit of that run. If the difference is not known, the job runs. That is so after a newest run that errored, was cancelled or failed.
//! It is so if the list of paths was cut, if a submodule moved, or if the mirror no longer has the commit.

use crate::decide::coordinator::lane::{Lane, LaneResult};
use crate::decide::coordinator::record::BuildRow;
use crate::intake::sources::Repository;
use futures::future::LocalBoxFuture;
use pipeline::{Changed, Pipeline};
use schema::values::SourceRevision;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most commits that one build is compared with. Each costs a run of git, and most builds need one. Jobs beyond the limit run.
const COMPARED_MAX: usize = 16;
/// The most commits of the main branch that are tested for being ancestors of this build, because each test costs a run of git.
const ANCESTORS_MAX: usize = 16;
/// The most builds of a ref, its newest ones, that are read to find the commit with which a build is compared.
const BUILDS_MAX: usize = 12;

/// A `Comparison` finds what changed between one build and the past runs of its jobs.
pub(super) struct Comparison<'a> {
    repository: &'a Repository,
    source: &'a SourceRevision,
    own: RefRuns,
    main: RefRuns,
    /// The paths that differ, by the commit that was compared; `None` means that they are not known.
    differences: BTreeMap<String, Option<Arc<Vec<String>>>>,
    /// Whether this build descends from a commit, by that commit.
    ancestors: BTreeMap<String, bool>,
}

/// The past runs of one ref, by job and by build.
#[derive(Debug, Default)]
pub struct RefRuns {
    /// The lane of each job, by the job's name.
    pub lanes: BTreeMap<String, Lane>,
    /// Finished builds with jobs, the newest first.
    pub builds: Vec<LaneResult>,
}

/// The planner's only access to history: reads the runs of a ref. The code that wires the planner implements it.
pub trait PastRuns {
    /// The lanes of a ref, and at most `limit` of its builds. `None` means that they could not be read.
    fn of_ref<'a>(&'a self, project: &'a str, ref_name: &'a str, limit: usize) -> LocalBoxFuture<'a, Option<RefRuns>>;
}

impl<'a> Comparison<'a> {
    /// Reads the runs of the build's ref and of the main branch. `None` means that the store could not be read, so nothing is known.
    pub(super) async fn of(
        past: &dyn PastRuns,
        repository: &'a Repository,
        row: &BuildRow,
        source: &'a SourceRevision,
    ) -> Option<Comparison<'a>> {
        let own = past.of_ref(&row.project, &source.ref_name, BUILDS_MAX).await?;
        let main = match repository.mirror.main_branch().filter(|main| *main != source.ref_name) {
            Some(main) => past.of_ref(&row.project, &main, BUILDS_MAX).await?,
            None => RefRuns::default(),
        };
        let (differences, ancestors) = (BTreeMap::new(), BTreeMap::new());
        Some(Comparison { repository, source, own, main, differences, ancestors })
    }

    /// Returns the paths for `[trigger]`: they changed since the newest build of the branch, if that build succeeded.
    pub(super) async fn paths(&mut self) -> Option<Arc<Vec<String>>> {
        let builds = if self.own.builds.is_empty() { self.main.builds.clone() } else { self.own.builds.clone() };
        let whole = Lane { results: builds.into_iter().rev().collect(), ..Lane::default() };
        let base = match self.own.builds.is_empty() {
            true => self.base_before(&whole).await,
            false => whole.good_base().map(str::to_owned),
        };
        self.difference(&base?).await
    }

    /// Returns the paths for `when`, by job: they changed since the commit with which the job is compared.
    pub(super) async fn changed(&mut self, pipeline: &Pipeline) -> Changed {
        let mut changed = Changed::default();
        for job in pipeline.jobs_by_paths() {
            let Some(base) = self.base(job).await else { continue };
            if let Some(paths) = self.difference(&base).await {
                changed.insert(job.to_owned(), paths);
            }
        }
        changed
    }

    /// Returns the commit that a job is compared with. `None` means that there is none, so the job runs.
    async fn base(&mut self, job: &str) -> Option<String> {
        if let Some(lane) = self.own.lanes.get(job) {
            return lane.good_base().map(str::to_owned);
        }
        let lane = self.main.lanes.get(job)?.clone();
        self.base_before(&lane).await
    }

    /// Returns the commit with which a branch without runs of its own is compared. It is the newest run of the main branch, in `lane`,
    /// from which this build descends. `None` means that this run was not good, or that there is none.
    async fn base_before(&mut self, lane: &Lane) -> Option<String> {
        for result in lane.results.iter().rev() {
            if self.descends_from(&result.revision).await? {
                let at = Lane { results: vec![result.clone()], ..Lane::default() };
                return at.good_base().map(str::to_owned);
            }
        }
        None
    }

    async fn descends_from(&mut self, revision: &str) -> Option<bool> {
        if let Some(known) = self.ancestors.get(revision) {
            return Some(*known);
        }
        if self.ancestors.len() >= ANCESTORS_MAX {
            return None;
        }
        let is_ancestor = self.repository.mirror.is_ancestor(revision, &self.source.revision).await.ok()?;
        self.ancestors.insert(revision.to_owned(), is_ancestor);
        Some(is_ancestor)
    }

    async fn difference(&mut self, base: &str) -> Option<Arc<Vec<String>>> {
        if let Some(known) = self.differences.get(base) {
            return known.clone();
        }
        if self.differences.len() >= COMPARED_MAX {
            return None;
        }
        let found = self.repository.mirror.difference(base, &self.source.revision).await.ok();
        let paths = found.filter(|found| found.is_whole).map(|found| Arc::new(found.paths));
        self.differences.insert(base.to_owned(), paths.clone());
        paths
    }
}
