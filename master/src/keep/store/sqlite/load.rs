//! Loads the state from which a coordinator starts: everything that is not history.

use super::tables::Tables;
use crate::decide::coordinator::record::{BuildRow, Loaded, LoadedAttempt, LoadedBuild, StepRow};
use crate::keep::store::StoreError;

pub(super) fn load(store: Tables<'_>) -> Result<Loaded, StoreError> {
    Ok(Loaded {
        incarnation: store.incarnation()?,
        builds: builds(store)?,
        grants: store.grants()?,
        workers: store.workers()?,
        heads: store.heads()?,
        followed: store.followed()?,
        crons: store.crons()?,
        claims: store.claims()?,
        requests: store.requests()?,
        numbers: store.numbers()?,
        last_build: store.counter("build")?,
        last_grant: store.counter("grant")?,
        last_event: store.counter("event")?,
    })
}

fn builds(store: Tables<'_>) -> rusqlite::Result<Vec<LoadedBuild>> {
    store.open_builds()?.into_iter().map(|build| load_build(store, build)).collect()
}

fn load_build(store: Tables<'_>, build: BuildRow) -> rusqlite::Result<LoadedBuild> {
    let id = build.id;
    let steps = store.steps(id)?;
    let attempts = store.latest_attempts(id)?.into_iter().map(|attempt| {
        let is_of = |step: &&StepRow| step.key.job == attempt.job && step.key.attempt == attempt.number;
        let steps = steps.iter().filter(is_of).cloned().collect();
        (attempt, steps)
    });
    let attempts: Vec<LoadedAttempt> = attempts.collect();
    Ok((build, store.plan(id)?, store.jobs(id)?, attempts))
}
