//! What changed for each job, since the run of its lane that it is compared with. Reads past runs and mirrors; the rule itself
//! is [`Lane::good_base`].
//!
//! A job may be left out only on two conditions. The newest run of its lane was good, and nothing that the job names differs from
//! the commit of that run. What is not known matches everything. Examples are a run that errored, was cancelled or failed, and a
//! list that was cut. A submodule that moved is one too, and so is a commit that the mirror no longer has.

use crate::decide::coordinator::lane::{Lane, LaneResult};
use crate::decide::coordinator::record::BuildRow;
use crate::intake::sources::Repository;
use futures::future::LocalBoxFuture;
use pipeline::{Changed, Pipeline};
use schema::values::SourceRevision;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Commits that one build is compared with: each costs a run of git. Mostly there is one; jobs beyond that run.
const COMPARED_MAX: usize = 16;
/// Commits of the main branch of which it is asked whether this build descends from them, for the same reason.
const ANCESTORS_MAX: usize = 16;
/// Builds of the main branch that are looked through for one that this build descends from.
const BUILDS_MAX: usize = 12;

/// What one build is compared with.
pub(super) struct Comparison<'a> {
    repository: &'a Repository,
    source: &'a SourceRevision,
    own: RefRuns,
    main: RefRuns,
    /// What differs from each commit; `None` means not known.
    differences: BTreeMap<String, Option<Arc<Vec<String>>>>,
    /// Whether this build descends from each commit.
    ancestors: BTreeMap<String, bool>,
}

/// The runs of a ref.
#[derive(Debug, Default)]
pub struct RefRuns {
    /// The lane of each job, by the job's name.
    pub lanes: BTreeMap<String, Lane>,
    /// Finished builds with jobs, the newest first.
    pub builds: Vec<LaneResult>,
}

/// A way to read the runs of a ref: all that the planner knows of history. Implemented by whoever wires the planner.
pub trait PastRuns {
    /// The lanes of a ref, and at most `limit` of its builds. `None` means that they could not be read.
    fn of_ref<'a>(&'a self, project: &'a str, ref_name: &'a str, limit: usize) -> LocalBoxFuture<'a, Option<RefRuns>>;
}

impl<'a> Comparison<'a> {
    /// `None` means that the store could not be read, so nothing is known.
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

    /// The paths for `[trigger]` that changed since the newest build of the branch that came to something, where that was good.
    pub(super) async fn paths(&mut self) -> Option<Arc<Vec<String>>> {
        let builds = if self.own.builds.is_empty() { self.main.builds.clone() } else { self.own.builds.clone() };
        let whole = Lane { results: builds.into_iter().rev().collect(), ..Lane::default() };
        let base = match self.own.builds.is_empty() {
            true => self.base_before(&whole).await,
            false => whole.good_base().map(str::to_owned),
        };
        self.difference(&base?).await
    }

    /// What changed since the compared commit, for `when`.
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

    /// The commit that a job is compared with; `None` means that it runs.
    async fn base(&mut self, job: &str) -> Option<String> {
        if let Some(lane) = self.own.lanes.get(job) {
            return lane.good_base().map(str::to_owned);
        }
        let lane = self.main.lanes.get(job)?.clone();
        self.base_before(&lane).await
    }

    /// A branch without a run of its own is compared with the main branch as it was where the two parted. It is compared with the
    /// newest run there that this build descends from.
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
