//! Reads a build's pipeline at its revision and expands it to a plan, which is the answer to `Effect::Plan`. The coordinator decides what
//! follows from the answer. This module holds the mirrors and a reader of past runs, and nothing with which it could command.

mod changed;
mod workshop;

pub use changed::{PastRuns, RefRuns};
pub use workshop::Workshop;

use crate::decide::coordinator::Planned;
use crate::decide::coordinator::record::{BuildCause, BuildRow};
use crate::intake::sources::{Repositories, Repository};
use crate::keep::mirror::GitError;
use crate::keep::turns::QueueLoad;
use changed::Comparison;
use pipeline::{Changed, Context, CronEntry, Pipeline};
use schema::limits::FILE_MAX;
use schema::values::{Outcome, ShortRef, SourceRevision};
use std::rc::Rc;
use std::sync::Arc;
use workshop::WorkSize;

/// The name of the pipeline's file.
pub const FILE: &str = "guild.toml";
/// The first words of the reason of a build whose commit lacks the pipeline file.
const NO_FILE: &str = "there is no guild.toml at";

/// Whether a push was skipped because its commit has no pipeline file.
pub fn lacks_file(build: &BuildRow) -> bool {
    build.outcome == Some(Outcome::Skipped) && build.diagnosis.starts_with(NO_FILE)
}

/// A `PlanRead` holds what the planner read from the pipeline of a build.
#[derive(Clone, Debug)]
pub struct PlanRead {
    pub planned: Planned,
    /// The entries of `[trigger.cron]` for the branch of the build. `None` means that they are not known.
    pub crons: Option<Vec<CronEntry>>,
}

impl From<Planned> for PlanRead {
    fn from(planned: Planned) -> PlanRead {
        PlanRead { planned, crons: None }
    }
}

/// The planner makes plans of builds. The caller takes the plan to the coordinator.
pub struct Planner {
    repositories: Rc<Repositories>,
    past: Box<dyn PastRuns>,
    workshop: Workshop,
}

impl Planner {
    pub fn new(repositories: Rc<Repositories>, past: Box<dyn PastRuns>, workshop: Workshop) -> Planner {
        Planner { repositories, past, workshop }
    }

    /// Returns how many plans wait for a turn, and how many are being made.
    pub fn counts(&self) -> QueueLoad {
        self.workshop.counts()
    }

    /// Reads the pipeline of one build and plans it.
    pub async fn plan(&self, row: &BuildRow) -> PlanRead {
        let Some(source) = row.stamp.sources.first() else {
            return Planned::Broken("the build has no source".to_owned()).into();
        };
        let Some(repository) = self.repositories.get(&source.repository) else {
            return Planned::Trouble(format!("project `{}` is no longer configured", source.repository)).into();
        };
        match read_file(&repository, row, source).await {
            Ok(text) => self.plan_text(text, &repository, row, source).await,
            // a branch without the file has no cron entries either
            Err(planned) => PlanRead { crons: matches!(planned, Planned::Skip(_)).then(Vec::new), planned },
        }
    }

    async fn plan_text(
        &self,
        text: Vec<u8>,
        repository: &Repository,
        row: &BuildRow,
        source: &SourceRevision,
    ) -> PlanRead {
        let size = WorkSize::of(&text);
        let loaded = self.workshop.run(&row.project, size, move || pipeline::load(FILE, &text).map(Arc::new)).await;
        let pipeline = match loaded {
            Some(Ok(pipeline)) => pipeline,
            Some(Err(diagnostics)) => return Planned::Broken(diagnostics.to_string()).into(),
            None => return broke_down().into(),
        };
        let crons = crons_of(&pipeline, repository, source);
        let draft = Draft { planner: self, row, source, pipeline, size };
        let planned = match row.cause {
            BuildCause::Change => draft.plan_change(repository).await,
            // a build that a person or the clock asks for runs all jobs, changed or not
            BuildCause::Run { .. } | BuildCause::Retry { .. } | BuildCause::Cron { .. } => {
                draft.expand(Changed::default()).await
            }
            BuildCause::Try { ref jobs, ref platform, .. } => {
                narrowed(draft.expand(Changed::default()).await, jobs, platform)
            }
        };
        PlanRead { planned, crons }
    }
}

/// Leaves out what a try does not run.
fn narrowed(planned: Planned, jobs: &[String], platform: &str) -> Planned {
    let Planned::Plan(plan) = planned else { return planned };
    match pipeline::tried(plan, jobs, platform) {
        Ok(plan) => Planned::Plan(plan),
        Err(why) => Planned::Broken(format!("  x {why}")),
    }
}

/// Returns the entries of `[trigger.cron]` for the branch of this source. `None` means that the source is not a branch. It may also mean
/// that an entry is for the default branch, which the mirror does not know yet.
fn crons_of(pipeline: &Pipeline, repository: &Repository, source: &SourceRevision) -> Option<Vec<CronEntry>> {
    let branch = ShortRef::of(&source.ref_name).branch()?;
    let main = repository.mirror.main_branch().map(|main| main == source.ref_name);
    let judged = pipeline.crons().iter().map(|entry| {
        let is_of = entry.branch.as_ref().map_or(main, |named| Some(named == branch));
        is_of.map(|is_of| is_of.then(|| entry.clone()))
    });
    let judged: Option<Vec<Option<CronEntry>>> = judged.collect();
    judged.map(|entries| entries.into_iter().flatten().collect())
}

/// Returns the text of a build's pipeline. If it cannot be read, returns the outcome of planning as the error.
async fn read_file(repository: &Repository, row: &BuildRow, source: &SourceRevision) -> Result<Vec<u8>, Planned> {
    match repository.mirror.read(&source.revision, FILE, FILE_MAX).await {
        Ok(Some(text)) => Ok(text),
        Ok(None) => match &repository.inferred {
            Some(text) => Ok(text.clone().into_bytes()),
            None => Err(no_file(repository, row, source).await),
        },
        Err(GitError::TooMuch { limit, .. }) => Err(Planned::Broken(format!("  x {FILE} has more than {limit} bytes"))),
        Err(GitError::Astray(why)) => Err(Planned::Broken(format!("  x {FILE} at {}: {why}", source.revision))),
        Err(error) => Err(Planned::Trouble(format!("failed to read {FILE} at {}: {error}", source.revision))),
    }
}

/// Returns the outcome of planning after a panic in our own code, which the log shows.
fn broke_down() -> Planned {
    Planned::Trouble(format!("{FILE} could not be planned: the master's log says why"))
}

/// A `Draft` is a loaded pipeline that is about to be expanded for one build.
struct Draft<'a> {
    planner: &'a Planner,
    row: &'a BuildRow,
    source: &'a SourceRevision,
    pipeline: Arc<Pipeline>,
    size: WorkSize,
}

impl Draft<'_> {
    async fn plan_change(self, repository: &Repository) -> Planned {
        let mut comparison = match self.pipeline.asks_for_paths() {
            true => Comparison::of(&*self.planner.past, repository, self.row, self.source).await,
            false => None,
        };
        let paths = match &mut comparison {
            Some(comparison) if self.pipeline.triggers_by_paths() => comparison.paths().await,
            Some(_) | None => None,
        };
        match self.not_triggered(paths).await {
            Some(None) => {}
            Some(Some(why)) => return Planned::Skip(format!("[trigger] of {FILE} {why}")),
            None => return broke_down(),
        }
        let changed = match &mut comparison {
            Some(comparison) => comparison.changed(&self.pipeline).await,
            None => Changed::default(),
        };
        self.expand(changed).await
    }

    /// Returns why the push makes no build; `Some(None)` means that it makes one, and `None` that the check panicked.
    async fn not_triggered(&self, paths: Option<Arc<Vec<String>>>) -> Option<Option<String>> {
        let (pipeline, ref_name) = (self.pipeline.clone(), self.source.ref_name.clone());
        let judge = move || pipeline.not_triggered(&ref_name, paths.as_ref().map(|paths| paths.as_slice()));
        self.planner.workshop.run(&self.row.project, self.size, judge).await
    }

    async fn expand(self, changed: Changed) -> Planned {
        let cause = self.row.cause.clone();
        let context = Context { ref_name: self.source.ref_name.clone(), cause, changed, trust: self.row.trust };
        let pipeline = self.pipeline;
        let expand = move || pipeline.expand(&context);
        match self.planner.workshop.run(&self.row.project, self.size, expand).await {
            Some(Ok(plan)) => Planned::Plan(plan),
            Some(Err(diagnostics)) => Planned::Broken(diagnostics.to_string()),
            None => broke_down(),
        }
    }
}

/// Returns the outcome of a build whose commit has no pipeline file. A push of such a branch is skipped, because that is not a failure. A
/// person who asks for the build gets an error with the way out.
async fn no_file(repository: &Repository, row: &BuildRow, source: &SourceRevision) -> Planned {
    let SourceRevision { revision, repository: name, .. } = source;
    match repository.mirror.commit(revision).await {
        Ok(Some(_)) => {}
        // the mirror or the repository lost the commit, so this is not the author's fault
        Ok(None) => return Planned::Trouble(format!("the repository of {name} no longer has the commit {revision}")),
        Err(GitError::Astray(why)) => return Planned::Broken(format!("  x {FILE} at {}: {why}", source.revision)),
        Err(error) => return Planned::Trouble(format!("failed to read {revision} of {name}: {error}")),
    }
    match row.cause {
        BuildCause::Change | BuildCause::Cron { .. } => Planned::Skip(format!("{NO_FILE} {revision} of {name}")),
        BuildCause::Run { .. } | BuildCause::Retry { .. } | BuildCause::Try { .. } => Planned::Broken(format!(
            "  x {NO_FILE} {revision} of {name}\n  help: run `guild init` in the repository to write a first one\n"
        )),
    }
}
