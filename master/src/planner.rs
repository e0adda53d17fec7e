//! Reads a build's pipeline at its revision and expands it: the answer to `Effect::Plan`. Decides nothing: what the
//! coordinator makes of the answer is its own matter.

use crate::api::Office;
use crate::coordinator::Planned;
use crate::coordinator::record::{BuildId, BuildRow, Cause};
use crate::mirror::GitError;
use crate::sources::Repository;
use crate::store::query::{self, BuildFilter};
use schema::pipeline::{self, Context};
use schema::values::{Outcome, Source, State};
use std::rc::Rc;

/// The pipeline file's name.
pub const FILE: &str = "guild.toml";
/// Begins the reason of a build that lacks the file.
const NO_FILE: &str = "there is no guild.toml at";
/// The most that a pipeline file may have, in bytes.
const FILE_MAX: usize = 1 << 20;
/// How many earlier builds of a ref are looked through for a finished one.
const EARLIER: u32 = 50;

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
    // who asks by hand wants it all
    let paths = match row.cause {
        Cause::Change => changed_paths(office, &repository, row, source).await,
        Cause::Run { .. } | Cause::Retry { .. } => None,
    };
    expand(row, source, &text, paths)
}

fn expand(row: &BuildRow, source: &Source, text: &[u8], paths: Option<Vec<String>>) -> Planned {
    let pipeline = match pipeline::load(FILE, text) {
        Ok(pipeline) => pipeline,
        Err(diagnostics) => return Planned::Broken(diagnostics.to_string()),
    };
    if row.cause == Cause::Change
        && let Some(why) = pipeline.not_triggered(&source.ref_name, paths.as_deref())
    {
        return Planned::Skip(format!("[trigger] of {FILE} {why}"));
    }
    let cause = match row.cause {
        Cause::Change => pipeline::Cause::Change,
        Cause::Run { .. } => pipeline::Cause::Run,
        Cause::Retry { .. } => pipeline::Cause::Retry,
    };
    let context = Context { ref_name: source.ref_name.clone(), cause, paths, trust: row.trust };
    match pipeline.expand(&context) {
        Ok(plan) => Planned::Plan(plan),
        Err(diagnostics) => Planned::Broken(diagnostics.to_string()),
    }
}

/// What differs from the last finished build of this ref, so that a superseded or broken one never hides a change.
/// None: unknown, which matches everything.
async fn changed_paths(
    office: &Office,
    repository: &Repository,
    row: &BuildRow,
    source: &Source,
) -> Option<Vec<String>> {
    let filter = BuildFilter {
        project: Some(row.project.clone()),
        ref_name: Some(source.ref_name.clone()),
        before: Some(row.number),
        ..BuildFilter::default()
    };
    let earlier = office.readers.query(move |store| query::builds(store, &filter, EARLIER)).await.ok()?;
    let last = earlier.into_iter().find(|row| row.state == State::Finished && row.job_count > 0)?;
    let before = last.stamp.sources.into_iter().next()?.revision;
    repository.mirror.paths_between(&before, &source.revision).await.ok()
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
