//! Reads a build's pipeline at its revision and expands it: the answer to `Effect::Plan`. Decides nothing: what the
//! coordinator makes of the answer is its own matter.

mod changed;

use crate::api::Office;
use crate::coordinator::Planned;
use crate::coordinator::record::{BuildId, BuildRow, Cause};
use crate::mirror::GitError;
use crate::sources::Repository;
use crate::turns::{Own, Principal};
use changed::Comparison;
use schema::pipeline::{self, Changed, Context, Pipeline};
use schema::values::{Outcome, Source};
use std::rc::Rc;

/// The pipeline file's name.
pub const FILE: &str = "guild.toml";
/// Begins the reason of a build that lacks the file.
const NO_FILE: &str = "there is no guild.toml at";
/// The most that a pipeline file may have, in bytes.
const FILE_MAX: usize = 1 << 20;

/// Whether a push was skipped for want of the file.
pub fn lacks_file(build: &BuildRow) -> bool {
    build.outcome == Some(Outcome::Skipped) && build.diagnosis.starts_with(NO_FILE)
}

/// Plans one build and tells the coordinator.
pub async fn plan(office: Rc<Office>, build: BuildId) {
    let Some(row) = office.driver.peek(|it, _| it.open_build_row(build).cloned()) else { return };
    let planned = read_plan(&office, &row).await;
    office.driver.note(|it, now| it.plan_ready(now, build, planned));
}

async fn read_plan(office: &Office, row: &BuildRow) -> Planned {
    let Some(source) = row.stamp.sources.first() else {
        return Planned::Broken("the build has no source".to_owned());
    };
    let Some(repository) = office.repositories.get(&source.repository) else {
        return Planned::Trouble(format!("project `{}` is no longer configured", source.repository));
    };
    let text = match repository.mirror.read(&source.revision, FILE, FILE_MAX).await {
        Ok(Some(text)) => text,
        Ok(None) => match &repository.inferred {
            Some(text) => text.clone().into_bytes(),
            None => return no_file(&repository, row, source).await,
        },
        Err(GitError::TooMuch { limit, .. }) => {
            return Planned::Broken(format!("  x {FILE} has more than {limit} bytes"));
        }
        Err(error) => return Planned::Trouble(format!("failed to read {FILE} at {}: {error}", source.revision)),
    };
    let pipeline = match pipeline::load(FILE, &text) {
        Ok(pipeline) => pipeline,
        Err(diagnostics) => return Planned::Broken(diagnostics.to_string()),
    };
    match row.cause {
        Cause::Change => plan_change(office, &repository, row, source, &pipeline).await,
        // who asks by hand wants it all
        Cause::Run { .. } => expand(row, source, &pipeline, pipeline::Cause::Run, Changed::default()),
        Cause::Retry { .. } => expand(row, source, &pipeline, pipeline::Cause::Retry, Changed::default()),
    }
}

async fn plan_change(
    office: &Office,
    repository: &Repository,
    row: &BuildRow,
    source: &Source,
    pipeline: &Pipeline,
) -> Planned {
    let mut comparison = match pipeline.asks_for_paths() {
        true => Comparison::of(&office.readers.of(Principal::Own(Own::Planner)), repository, row, source).await,
        false => None,
    };
    let paths = match &mut comparison {
        Some(comparison) if pipeline.triggers_by_paths() => comparison.paths().await,
        Some(_) | None => None,
    };
    if let Some(why) = pipeline.not_triggered(&source.ref_name, paths.as_ref().map(|paths| paths.as_slice())) {
        return Planned::Skip(format!("[trigger] of {FILE} {why}"));
    }
    let changed = match &mut comparison {
        Some(comparison) => comparison.changed(pipeline).await,
        None => Changed::default(),
    };
    expand(row, source, pipeline, pipeline::Cause::Change, changed)
}

fn expand(row: &BuildRow, source: &Source, pipeline: &Pipeline, cause: pipeline::Cause, changed: Changed) -> Planned {
    match pipeline.expand(&Context { ref_name: source.ref_name.clone(), cause, changed, trust: row.trust }) {
        Ok(plan) => Planned::Plan(plan),
        Err(diagnostics) => Planned::Broken(diagnostics.to_string()),
    }
}

/// A push of a branch that is not for Guild is no failure. Somebody who asks for a build is told what is missing.
async fn no_file(repository: &Repository, row: &BuildRow, source: &Source) -> Planned {
    let Source { revision, repository: name, .. } = source;
    match repository.mirror.commit(revision).await {
        Ok(Some(_)) => {}
        // what is lost is the mirror's, or the repository's, and nobody's who wrote it
        Ok(None) => return Planned::Trouble(format!("the repository of {name} has no commit {revision} any more")),
        Err(error) => return Planned::Trouble(format!("failed to read {revision} of {name}: {error}")),
    }
    match row.cause {
        Cause::Change => Planned::Skip(format!("{NO_FILE} {revision} of {name}")),
        Cause::Run { .. } | Cause::Retry { .. } => Planned::Broken(format!(
            "  x {NO_FILE} {revision} of {name}\n  help: `guild init` in the repository writes one to begin with\n"
        )),
    }
}
