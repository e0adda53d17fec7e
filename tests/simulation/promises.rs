//! Checks the promises of the product against what really happened in the simulation. Violations name a promise by its number.

use crate::record::{Facts, Job};
use crate::users::Users;
use crate::world::{LEASE, LONGEST, PROJECT, World};
use client::views::{BuildView, JobView};
use client::{BuildQuery, LogAddress, Tail, Until};
use schema::values::{Exit, Outcome};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use worker::supervisor::KillCause;

/// Everything is final within this time after the last fault. It contains the longest lease: a master that starts just before the
/// calm waits a full term for a worker that does not come back. The rest takes at most 4 minutes.
const CALM: Duration = LONGEST.saturating_add(Duration::from_secs(4 * 60));
/// A worker that is revoked and reachable has no process any more after this time.
const REVOKED: Duration = Duration::from_secs(10);

/// Checks, while faults go on, what must hold at any time: the coordinator's invariants, and that revoked workers stop (P5).
pub fn meanwhile(world: &World, users: &Users) {
    world.check_coordinator();
    for (name, at) in &users.told.borrow().revoked {
        let Some(worker) = world.workers.iter().find(|worker| worker.credential.name == *name) else { continue };
        let is_late = at.elapsed() > REVOKED;
        let was_reachable = worker.task.is_some() && worker.cable.silence_within(*at, Instant::now()).is_zero();
        let is_over = at.elapsed() > LONGEST;
        if world.record.running_at(name) > 0 && (is_late && was_reachable || is_over) {
            world.record.violated(format!("P5: {name} was revoked {:?} ago and still runs a step", at.elapsed()));
        }
    }
}

/// Checks, after the last fault, that everything ends and has the right result.
pub async fn at_the_end(world: &World, users: &mut Users) {
    let began = Instant::now();
    if timeout(CALM, users.answered()).await.is_err() {
        return world.record.violated(format!("what was asked for is not answered after {CALM:?}"));
    }
    let client = users.developer();
    let guild = client.guild().await;
    let query = BuildQuery { project: PROJECT.to_owned(), limit: 1_000, ..BuildQuery::default() };
    let builds = loop {
        let builds = guild.builds(&query).await.unwrap_or_default();
        if !builds.is_empty() && builds.iter().all(BuildView::is_finished) {
            break builds;
        }
        if began.elapsed() > CALM {
            let left: Vec<_> = builds.iter().filter(|build| !build.is_finished()).map(|build| build.number).collect();
            let queue = guild.queue().await;
            return world.record.violated(format!("builds {left:?} are not finished after {CALM:?}: {queue:?}"));
        }
        sleep(Duration::from_secs(1)).await;
    };
    submissions(world, users, &builds);
    for build in &builds {
        match guild.build(PROJECT, build.number).await {
            Ok(build) => check_build(world, users, &guild, &build).await,
            Err(error) => world.record.violated(format!("build {} cannot be read: {error}", build.number)),
        }
    }
    events(world, users, &builds).await;
}

/// Checks P1: each acknowledged request is one build, and no request or retry made more builds than one.
fn submissions(world: &World, users: &Users, builds: &[BuildView]) {
    let told = users.told.borrow();
    let mut numbers: Vec<u32> = told.builds.values().copied().collect();
    numbers.sort_unstable();
    for pair in numbers.windows(2).filter(|pair| pair[0] == pair[1]) {
        world.record.violated(format!("P1: two requests are build {}", pair[0]));
    }
    for number in numbers.iter().filter(|number| !builds.iter().any(|build| build.number == **number)) {
        world.record.violated(format!("P1: build {number} was acknowledged and is not there"));
    }
    let by_run = builds.iter().filter(|build| build.retry_of == 0).count();
    if by_run > told.asked.len() {
        world.record.violated(format!("P1: {} requests made {by_run} builds", told.asked.len()));
    }
    if (builds.len() - by_run) as u32 > told.retries {
        world.record.violated(format!("P1: {} retries made {} builds", told.retries, builds.len() - by_run));
    }
}

async fn check_build(world: &World, users: &Users, guild: &client::Guild, build: &BuildView) {
    if users.told.borrow().cancelled.contains(&build.number) && build.outcome != Some(Outcome::Cancelled) {
        world.record.violated(format!("P1: the cancel of build {} was acknowledged: {build:?}", build.number));
    }
    if let Some(before) = users.told.borrow().finished.get(&build.number)
        && *before != format!("{build:?}")
    {
        world.record.violated(format!("P2: the finished build {} has changed", build.number));
    }
    for job in build.jobs.iter().filter(|job| job.carried_from == 0) {
        let name: Job = (build.number, job.name.clone());
        let wrong = check_job(world, &world.record.facts(), &name, job);
        wrong.into_iter().for_each(|wrong| world.record.violated(wrong));
        if matches!(job.outcome, Some(Outcome::Succeeded | Outcome::Failed | Outcome::Warned)) {
            check_logs(world, guild, &name, job).await;
        }
    }
}

/// Checks P2, that a job's outcome follows from what its processes did, and P3, that no attempt was repeated without a reason.
fn check_job(world: &World, facts: &Facts, name: &Job, job: &JobView) -> Vec<String> {
    let mut wrong = Vec::new();
    let latest = facts.latest(name);
    let of =
        |exit: Exit| latest.values().filter(move |process| matches!(&process.ended, Some((_, _, e)) if *e == exit));
    match job.outcome {
        Some(Outcome::Succeeded) if of(Exit::Code(0)).count() < job.steps.len() => {
            wrong.push(format!("P2: {name:?} succeeded, and its steps did not: {latest:?}"));
        }
        Some(Outcome::Failed) if of(Exit::Code(1)).count() == 0 => {
            wrong.push(format!("P2: {name:?} failed, and none of its steps did ({}): {latest:?}", job.reason));
        }
        None => wrong.push(format!("P2: {name:?} has no outcome")),
        Some(_) => {}
    }
    let Some(all) = facts.processes.get(name) else { return wrong };
    // if an attempt was followed by another one, there must have been a reason
    for pair in all.windows(2).filter(|pair| pair[0].token != pair[1].token) {
        let (before, after) = (&pair[0], &pair[1]);
        let Some(worker) = world.workers.iter().find(|worker| worker.credential.name == before.worker) else {
            continue;
        };
        let cause = before.ended.as_ref().map(|(_, cause, _)| cause.clone());
        // a process that was told to stop had lost its lease, and that takes a silence of its link
        let has_cause = !matches!(cause, Some(Some(KillCause::Ended | KillCause::Stopped(_))));
        let silence = worker.cable.silence_within(before.began - LEASE, after.began);
        if !has_cause && silence < LEASE / 2 && worker.revoked_at.is_none() {
            wrong.push(format!("P3: {name:?} ran again without a reason: {before:?}, then {after:?}"));
        }
    }
    wrong
}

/// Checks P4: the stored log of each step is exactly what the step wrote.
async fn check_logs(world: &World, guild: &client::Guild, name: &Job, job: &JobView) {
    if job.reason.contains("log-incomplete") {
        world.record.violated(format!("P4: a log of {name:?} is incomplete: {}", job.reason));
    }
    let expected: Vec<(u16, Vec<u8>)> = {
        let facts = world.record.facts();
        facts.latest(name).into_iter().map(|(step, process)| (step, process.output.clone())).collect()
    };
    for (step, output) in expected {
        let address =
            LogAddress { project: PROJECT.to_owned(), build: name.0, job: name.1.clone(), attempt: 0, step: step + 1 };
        let mut tail = Tail::new(guild, address, 0, Until::Offset(u64::MAX));
        let mut read = Vec::new();
        loop {
            match tail.next().await {
                Ok(Some(bytes)) => read.extend(bytes),
                Ok(None) => break,
                Err(error) => return world.record.violated(format!("P4: step {step} of {name:?}: {error}")),
            }
        }
        if read != output {
            let at = read.iter().zip(&output).position(|(a, b)| a != b).unwrap_or(read.len().min(output.len()));
            world.record.violated(format!(
                "P4: the log of step {step} of {name:?} has {} bytes, it wrote {}; they differ at {at}",
                read.len(),
                output.len()
            ));
        }
    }
}

/// Checks P10: a subscriber received every event, and the events have the outcomes that builds are shown with.
async fn events(world: &World, users: &Users, builds: &[BuildView]) {
    let guild = users.developer().guild().await;
    let Ok(latest) = guild.latest_event().await else { return };
    for _ in 0..120 {
        if users.seen.borrow().last >= latest.after {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    let seen = users.seen.borrow();
    if seen.last < latest.after {
        world.record.violated(format!("P10: {} events, and a subscriber saw {}", latest.after, seen.last));
    }
    for build in builds.iter().filter(|build| seen.builds.get(&build.number) != build.outcome.as_ref()) {
        world.record.violated(format!("P10: the events do not say that build {} is {:?}", build.number, build.outcome));
    }
}

/// Checks P9: no process of a step is left running.
pub fn no_process_left(world: &World) {
    for worker in &world.workers {
        let running = world.record.running_at(&worker.credential.name);
        if running > 0 {
            world.record.violated(format!("P9: {running} processes of {} run on", worker.credential.name));
        }
    }
}
