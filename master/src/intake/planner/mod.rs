//! Reads a build's pipeline at its revision and expands it: the answer to `Effect::Plan`. Decides nothing: what the
//! coordinator makes of the answer is its own matter. Holds the mirrors and a way to read the runs of a ref, and nothing that
//! commands.

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
/// Begins the reason of a build that lacks the file.
const NO_FILE: &str = "there is no guild.toml at";

/// Whether a push was skipped for want of the file.
pub fn lacks_file(build: &BuildRow) -> bool {
    build.outcome == Some(Outcome::Skipped) && build.diagnosis.starts_with(NO_FILE)
}

/// What the pipeline of a build says.
#[derive(Clone, Debug)]
pub struct PlanRead {
    pub planned: Planned,
    /// The entries of `[trigger.cron]` of the branch that is built. `None` means that they are not known.
    pub crons: Option<Vec<CronEntry>>,
}

impl From<Planned> for PlanRead {
    fn from(planned: Planned) -> PlanRead {
        PlanRead { planned, crons: None }
    }
}

/// The planner makes plans of builds. Whoever asks for a plan takes the answer to the coordinator.
pub struct Planner {
    repositories: Rc<Repositories>,
    past: Box<dyn PastRuns>,
    workshop: Workshop,
}

impl Planner {
    pub fn new(repositories: Rc<Repositories>, past: Box<dyn PastRuns>, workshop: Workshop) -> Planner {
        Planner { repositories, past, workshop }
    }

    /// How many plans wait for a turn, and how many are made.
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
            // a branch without the file has no entries either
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
            // who asks by hand wants it all, and so does the clock
            BuildCause::Run { .. } | BuildCause::Retry { .. } | BuildCause::Cron { .. } => {
                draft.expand(Changed::default()).await
            }
        };
        PlanRead { planned, crons }
    }
}

/// The entries of `[trigger.cron]` that are of the branch of this source. `None` means that the source is of no branch, or an
/// entry is of the default branch, which is not known yet.
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

/// The text of a build's pipeline, or what becomes of a build whose text cannot be had.
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

/// A fault of ours, which the log has.
fn broke_down() -> Planned {
    Planned::Trouble(format!("{FILE} could not be planned: the master's log says why"))
}

/// A pipeline, to be expanded for one build.
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

    /// Why the push makes no build, if so.
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

/// A push of a branch that is not for Guild is not a failure. Tells somebody who asks for a build what is missing.
async fn no_file(repository: &Repository, row: &BuildRow, source: &SourceRevision) -> Planned {
    let SourceRevision { revision, repository: name, .. } = source;
    match repository.mirror.commit(revision).await {
        Ok(Some(_)) => {}
        // what is lost is the mirror's, or the repository's, and nobody's who wrote it
        Ok(None) => return Planned::Trouble(format!("the repository of {name} has no commit {revision} any more")),
        Err(GitError::Astray(why)) => return Planned::Broken(format!("  x {FILE} at {}: {why}", source.revision)),
        Err(error) => return Planned::Trouble(format!("failed to read {revision} of {name}: {error}")),
    }
    match row.cause {
        BuildCause::Change | BuildCause::Cron { .. } => Planned::Skip(format!("{NO_FILE} {revision} of {name}")),
        BuildCause::Run { .. } | BuildCause::Retry { .. } => Planned::Broken(format!(
            "  x {NO_FILE} {revision} of {name}\n  help: `guild init` in the repository writes one to begin with\n"
        )),
    }
}
