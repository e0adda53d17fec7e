//! Shows builds as they run: HEAD first, then each new commit.

use super::checkout::Checkout;
use super::target::{self, Target};
use super::unshown::Unshown;
use super::{FollowEnd, UpError, tell};
use crate::explain::Explainer;
use crate::keep::turns::PROGRAM;
use crate::program::wiring::MasterParts;
use client::painted::{Paint, PaintedLine};
use client::screen::Screened;
use client::{Follow, Guild, Progress, Summary, summary};
use schema::shown;
use schema::values::{Cursor, JobPlan, Outcome};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::rc::Rc;

/// Builds `once` and returns its outcome. If it is `None`, follows every build until somebody stops the program.
pub(super) async fn follow(
    parts: &Rc<MasterParts>,
    guild: &Guild,
    checkout: &Checkout,
    once: Option<&Target>,
) -> Result<FollowEnd, UpError> {
    if let Some(target) = once {
        if let Some(repository) = parts.repositories.get(&checkout.name) {
            repository.mirror.bring(&target.repository, &target.commit).await?;
        }
        let number = guild.run(&checkout.name, &checkout.ref_name(), &target.commit).await?;
        let end = End { is_once: true, uncommitted: if target.is_dirty() { 0 } else { checkout.uncommitted } };
        return Ok(FollowEnd::Outcome(show(parts, guild, checkout, number, &end).await?));
    }
    if checkout.branch.is_none() {
        return Err(UpError::Usage("HEAD is detached: check out a branch to follow, or use --once".to_owned()));
    }
    follow_branch(parts, guild, checkout).await
}

async fn follow_branch(parts: &Rc<MasterParts>, guild: &Guild, checkout: &Checkout) -> Result<FollowEnd, UpError> {
    tell(
        "builds each commit, and each new tag that [trigger] asks for; stop it with ctrl-c. `guild status` and `guild logs -f` work here now.",
    );
    let mut unshown = Unshown::begin(parts, &checkout.name).await;
    loop {
        let Some(number) = unshown.next(parts, &checkout.name).await else {
            return Ok(FollowEnd::Stopped);
        };
        let uncommitted = Checkout::look(&checkout.top).map_or(0, |now| now.uncommitted);
        show(parts, guild, checkout, number, &End { is_once: false, uncommitted }).await?;
    }
}

/// Shows the output of a build as it comes, and then the summary.
async fn show(
    parts: &Rc<MasterParts>,
    guild: &Guild,
    checkout: &Checkout,
    number: u32,
    end: &End,
) -> Result<Outcome, UpError> {
    let project = &checkout.name;
    let width = terminal_width();
    let unplaceable = tokio::task::spawn_local(fail_unplaceable(parts.clone(), project.clone(), number));
    say(&summary::rule(&guild.build(project, number).await?, width));
    let commands = step_commands(parts, project, number).await;
    let progress = |progress: Progress<'_>| match progress {
        Progress::StepStarts { job, step, name, .. } => {
            let command = commands.get(&(job.to_owned(), step)).map_or("", String::as_str);
            say(&step_line(job, name, command).cut(width));
        }
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
    let summary = Summary::of(guild, project, number).await?;
    // the first line, the rule, is already above the output
    summary.lines(width, &end.next(&summary.build().selector())).iter().skip(1).for_each(say);
    if end.uncommitted > 0 {
        tell(&target::left_out(end.uncommitted));
    }
    Ok(outcome)
}

/// An `End` says what to print at the end of each build.
struct End {
    is_once: bool,
    /// The number of files that were not committed when the build began.
    uncommitted: usize,
}

impl End {
    /// Returns the commands to suggest if a build is not good. After `--once` the master is gone, so its other commands would find
    /// nobody.
    fn next(&self, build: &str) -> Vec<String> {
        match self.is_once {
            true => vec![format!("guild-master up --look    then: guild logs {build} --failed")],
            false => vec![format!("guild logs {build} --failed"), format!("guild retry {build} --failed")],
        }
    }
}

/// Returns the line of a step, for example `▸ test  python3 -m pytest`. A step with the name of its job is the only one, so its name is
/// left out.
fn step_line(job: &str, name: &str, command: &str) -> PaintedLine {
    let is_only = job.split('@').next() == Some(name);
    let name = if is_only { String::new() } else { format!(": {name}") };
    let line = PaintedLine::new().and("▸ ", Paint::Strong).and(format!("{job}{name}"), Paint::Strong);
    if command.is_empty() { line } else { line.and(format!("  {command}"), Paint::Quiet) }
}

fn say(line: &PaintedLine) {
    let has_colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    shown::tell_coloured(&line.written(has_colours));
}

/// Returns the width of the terminal at standard error, or 80 columns if that is not a terminal.
fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|width| *width > 0).unwrap_or(80)
}

/// Returns the first line of each step's command, by job and number, as soon as the build has its plan.
async fn step_commands(parts: &MasterParts, project: &str, number: u32) -> BTreeMap<(String, u16), String> {
    let mut cursor = Cursor { incarnation: parts.incarnation, after: parts.feed.last() };
    loop {
        let Ok(Some(build)) = parts.readers.of(PROGRAM).planned_build(project, number).await else {
            return BTreeMap::new();
        };
        if !build.jobs.is_empty() || build.build.outcome.is_some() {
            let plan = build.plan.ok().flatten().unwrap_or_default();
            let of_job = |job: &JobPlan| {
                (1..).zip(&job.steps).map(|(at, step)| ((job.name.clone(), at), step.first_line())).collect::<Vec<_>>()
            };
            return plan.jobs.iter().flat_map(of_job).collect();
        }
        let Ok(batch) = parts.feed.next(PROGRAM, cursor, 256).await else { return BTreeMap::new() };
        cursor = batch.end(parts.incarnation);
    }
}

/// Ends each job that this machine's worker can never take, because it would wait for ever.
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
