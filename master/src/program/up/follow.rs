//! Shows builds as they run: HEAD, then each new commit.

use super::checkout::Checkout;
use super::target::Target;
use super::{Followed, UpError, tell};
use crate::explain::Explainer;
use crate::keep::turns::PROGRAM;
use crate::program::wiring::MasterParts;
use client::screen::Screened;
use client::{Follow, Guild, Progress};
use schema::shown;
use schema::values::{Cursor, Event, Fact, Outcome};
use std::io::IsTerminal as _;
use std::rc::Rc;

/// Builds what is asked for once and answers its outcome, or follows every build until it is stopped.
pub(super) async fn follow(
    parts: &Rc<MasterParts>,
    guild: &Guild,
    checkout: &Checkout,
    once: Option<&Target>,
) -> Result<Followed, UpError> {
    if let Some(target) = once {
        if let Some(repository) = parts.repositories.get(&checkout.name) {
            repository.mirror.bring(&target.repository, &target.commit).await?;
        }
        let number = guild.run(&checkout.name, &checkout.ref_name(), &target.commit).await?;
        return Ok(Followed::Outcome(show(parts, guild, &checkout.name, number).await?));
    }
    if checkout.branch.is_none() {
        return Err(UpError::Usage("HEAD is detached: check out a branch to follow, or use --once".to_owned()));
    }
    follow_branch(parts, guild, checkout).await
}

async fn follow_branch(parts: &Rc<MasterParts>, guild: &Guild, checkout: &Checkout) -> Result<Followed, UpError> {
    tell("builds each commit; end with ctrl-c. In this repository `guild status`, `guild logs -f` work now.");
    let mut next = resume_point(parts, &checkout.name).await;
    loop {
        let Some(number) = next_build(parts, &checkout.name, &mut next).await else {
            return Ok(Followed::Stopped);
        };
        show(parts, guild, &checkout.name, number).await?;
    }
}

/// The build's output as it comes, then its outcome.
async fn show(parts: &Rc<MasterParts>, guild: &Guild, project: &str, number: u32) -> Result<Outcome, UpError> {
    let unplaceable = tokio::task::spawn_local(fail_unplaceable(parts.clone(), project.to_owned(), number));
    let progress = |progress: Progress<'_>| match progress {
        Progress::StepStarts { job, name, .. } => tell(&format!("> {job}: {name}")),
        Progress::Planned(_) | Progress::JobEnded(_) => {}
    };
    let mut out = match std::io::stdout().is_terminal() {
        true => Screened::for_terminal(tokio::io::stdout()),
        false => Screened::exact(tokio::io::stdout()),
    };
    let followed = Follow::new(guild, project, number).on_progress(progress).run(&mut out).await;
    unplaceable.abort();
    out.finish().await.map_err(client::Error::Output)?;
    let outcome = followed?;
    let view = guild.build(project, number).await?;
    if !view.diagnosis.is_empty() {
        shown::tell(&view.diagnosis);
    }
    for job in view.jobs.iter().filter(|job| job.is_bad()) {
        let reason = if job.reason.is_empty() { String::new() } else { format!(": {}", job.reason) };
        tell(&format!("{} {}{reason}", job.name, job.outcome.map_or("is open", Outcome::word)));
    }
    tell(&format!("build {project}/{number} {outcome}"));
    Ok(outcome)
}

/// A job that this machine's worker can never take would wait for ever: here it ends.
async fn fail_unplaceable(parts: Rc<MasterParts>, project: String, number: u32) {
    let mut cursor = Cursor { incarnation: parts.incarnation, after: parts.feed.last() };
    loop {
        let connected = parts.driver.peek(|it, _| it.counts().workers_connected > 0);
        if connected && let Some(build) = build_id(&parts, &project, number).await {
            parts.driver.note(|it, now| {
                for job in it.unplaceable(build) {
                    let why = Explainer::new(it, now).why(job);
                    it.fail_unplaceable(now, job, &why);
                }
            });
        }
        let Ok(batch) = parts.feed.next(PROGRAM, cursor, 256).await else { return };
        cursor = batch.end(parts.incarnation);
    }
}

async fn build_id(
    parts: &MasterParts,
    project: &str,
    number: u32,
) -> Option<crate::decide::coordinator::record::BuildId> {
    let row = parts.readers.of(PROGRAM).build(project, number).await.ok()??;
    Some(row.id)
}

/// Where to begin: at the newest build where it is still open, else with what comes.
async fn resume_point(parts: &MasterParts, project: &str) -> Cursor {
    let latest = Cursor { incarnation: parts.incarnation, after: parts.feed.last() };
    let newest = parts.readers.of(PROGRAM).newest_build(project).await.ok().flatten();
    match newest {
        Some(row) if row.outcome.is_none() => Cursor { after: 0, ..latest },
        Some(_) | None => latest,
    }
}

/// The next build of the project that is created after the cursor, and is not finished yet.
async fn next_build(parts: &MasterParts, project: &str, cursor: &mut Cursor) -> Option<u32> {
    loop {
        let batch = parts.feed.next(PROGRAM, *cursor, 1).await.ok()?;
        *cursor = batch.end(parts.incarnation);
        let created = |event: &&Rc<Event>| event.project == project && matches!(event.fact, Fact::BuildCreated { .. });
        if let Some(event) = batch.events().iter().find(created) {
            return Some(event.build);
        }
    }
}
