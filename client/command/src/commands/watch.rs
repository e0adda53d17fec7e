//! `guild watch` shows builds live. On a terminal the running builds are at its bottom and are drawn again in place. A program gets a
//! line for each change. Both compare states rather than print events, so that a lost link leaves no gap.

mod awaited;
mod lines;
mod screen;

use crate::connected::{Connected, exit_status};
use crate::resolve::Wish;
use awaited::Awaited;
use clap::Args;
use client::views::BuildView;
use client::{Error, Mirror, News, Watch as Subscription};
use futures::StreamExt as _;
use lines::PrintedLines;
use schema::values::{Filter, Outcome};
use screen::WatchScreen;
use std::collections::BTreeSet;
use std::time::Duration;

/// The time between two pictures on a terminal while something runs. It is short enough for tenths of a second to look alive, and a
/// picture costs only a few hundred bytes.
const REDRAW: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(crate) struct Watch {
    /// What to watch. A build is watched until it ends, and its outcome is the exit status. A branch, a tag or a commit means its
    /// latest build, or its next one if there is none yet. A project is watched without end [default: the project here, else all]
    selector: Option<String>,
}

impl Watch {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let subject = match connected.meant(self.selector.as_deref(), Wish::Scope).await {
            Ok(meant) => match (meant.project, meant.build) {
                (_, Some(build)) => Subject::Build(build.project, build.number),
                (project, None) => Subject::All(project),
            },
            Err(error) if error.is_not_found() => {
                let awaited = Awaited::of(connected, self.selector.as_deref()).await?.ok_or(error)?;
                awaited.say(connected).await?;
                Subject::Awaited(awaited)
            }
            Err(error) => return Err(error),
        };
        follow(connected, subject).await
    }
}

/// The builds that the command watches.
enum Subject {
    /// All builds of one project or of all projects.
    All(Option<String>),
    Build(String, u32),
    /// A build that does not exist yet.
    Awaited(Awaited),
}

impl Subject {
    fn filter(&self) -> Filter {
        let (projects, build) = match self {
            Subject::All(project) => (project.iter().cloned().collect(), 0),
            Subject::Build(project, number) => (vec![project.clone()], *number),
            Subject::Awaited(awaited) => (vec![awaited.project.clone()], 0),
        };
        Filter { projects, build, ..Filter::default() }
    }

    /// Whether the command shows this build.
    fn shows(&self, build: &BuildView) -> bool {
        match self {
            Subject::All(_) => true,
            Subject::Build(project, number) => build.project == *project && build.number == *number,
            Subject::Awaited(awaited) => awaited.is(build),
        }
    }

    /// Returns the outcome of the build that the command waits for. `None` means that it has not ended.
    fn outcome(&self, mirror: &Mirror) -> Option<Outcome> {
        match self {
            Subject::All(_) => None,
            Subject::Build(project, number) => mirror.build(project, *number).and_then(outcome),
            Subject::Awaited(awaited) => mirror.builds().filter(|build| awaited.is(build)).find_map(outcome),
        }
    }
}

/// Waits for the end of one build, and on a terminal shows it as a watch does. Returns its outcome as an exit status.
pub(super) async fn until_end(connected: &Connected, project: &str, number: u32) -> Result<u8, Error> {
    if connected.printer.look.terminal && !connected.printer.wants_json() {
        return follow(connected, Subject::Build(project.to_owned(), number)).await;
    }
    let outcome = connected.guild().await?.outcome(project, number).await?;
    connected.say_summary(project, number).await?;
    Ok(exit_status(outcome))
}

async fn follow(connected: &Connected, mut subject: Subject) -> Result<u8, Error> {
    let guild = connected.guild().await?;
    let mut news = Subscription::new(guild, subject.filter()).into_stream();
    let mut shown = Shows::new(connected, &subject);
    let mut mirror = Mirror::default();
    let mut ticks = tokio::time::interval(REDRAW);
    // After a pause of the whole command, one picture is enough.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut described = BTreeSet::new();
    loop {
        tokio::select! {
            Some(news) = news.next() => match news? {
                News::Snapshot(builds) => {
                    mirror.reset(builds);
                    if let Subject::Awaited(awaited) = &subject
                        && let Some(number) = awaited.number(guild).await?
                    {
                        // The build began before this subscription, and may have ended.
                        subject = Subject::Build(awaited.project.clone(), number);
                        news_of(guild, &mut mirror, &subject).await?;
                    }
                }
                News::Events(events) => events.iter().for_each(|event| mirror.apply(event)),
            },
            _ = ticks.tick(), if shown.is_live() => {
                shown.redraw(&mirror, &subject)?;
                continue;
            }
        }
        describe(connected, &mut mirror, &mut described).await;
        shown.changed(connected, &mirror, &subject).await?;
        if let Some(outcome) = subject.outcome(&mirror) {
            return Ok(exit_status(outcome));
        }
        mirror.forget_finished();
    }
}

/// Adds the build of the subject to the mirror, if the snapshot does not have it.
async fn news_of(guild: &client::Guild, mirror: &mut Mirror, subject: &Subject) -> Result<(), Error> {
    if let Subject::Build(project, number) = subject
        && mirror.build(project, *number).is_none()
    {
        mirror.replace(guild.build(project, *number).await?);
    }
    Ok(())
}

/// Asks the master for new builds, because events do not tell what their jobs need, nor the subject of a build that nobody pushed.
async fn describe(connected: &Connected, mirror: &mut Mirror, described: &mut BTreeSet<(String, u32)>) {
    let key = |build: &BuildView| (build.project.clone(), build.number);
    let is_new =
        |build: &&BuildView| !build.is_finished() && !build.jobs.is_empty() && !described.contains(&key(build));
    let without_subject =
        |build: &&BuildView| build.subject.is_empty() && build.jobs.is_empty() && !described.contains(&key(build));
    let new: Vec<_> = mirror
        .builds()
        .filter(|build| is_new(build) || without_subject(build))
        .map(|build| (key(build), !build.jobs.is_empty()))
        .collect();
    for ((project, number), is_planned) in new {
        let Ok(guild) = connected.guild().await else { return };
        if let Ok(told) = guild.build(&project, number).await {
            mirror.describe(&told);
        }
        if is_planned {
            described.insert((project, number));
        }
    }
}

fn outcome(build: &BuildView) -> Option<Outcome> {
    build.outcome.filter(|_| build.is_finished())
}

/// The way in which the command shows builds: lines for a program, or a screen for a person.
enum Shows {
    Lines(PrintedLines),
    Screen(Box<WatchScreen>),
}

impl Shows {
    fn new(connected: &Connected, subject: &Subject) -> Shows {
        match connected.printer.look.terminal && !connected.printer.wants_json() {
            true => {
                Shows::Screen(Box::new(WatchScreen::new(&connected.printer.look, matches!(subject, Subject::All(_)))))
            }
            false => Shows::Lines(PrintedLines::default()),
        }
    }

    fn is_live(&self) -> bool {
        matches!(self, Shows::Screen(_))
    }

    async fn changed(&mut self, connected: &Connected, mirror: &Mirror, subject: &Subject) -> Result<(), Error> {
        let builds = mirror.builds().filter(|build| subject.shows(build));
        match self {
            Shows::Lines(lines) => {
                for build in builds {
                    lines.say_changes(&connected.printer, build)?;
                    if matches!(subject, Subject::Build(..) | Subject::Awaited(_)) && build.is_finished() {
                        connected.say_summary(&build.project, build.number).await?;
                    }
                }
                Ok(())
            }
            Shows::Screen(screen) => screen.changed(connected, &builds.collect::<Vec<_>>()).await,
        }
    }

    fn redraw(&mut self, mirror: &Mirror, subject: &Subject) -> Result<(), Error> {
        match self {
            Shows::Lines(_) => Ok(()),
            Shows::Screen(screen) => {
                let builds: Vec<&BuildView> = mirror.builds().filter(|build| subject.shows(build)).collect();
                screen.redraw(&builds)
            }
        }
    }
}
