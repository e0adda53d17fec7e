//! The first page, the queue, the workers, a badge.

use super::{BuildLine, Frame, Mark, When, tidy};
use askama::Template;
use client::views::{BranchView, BuildView, ProjectView, QueueItem, WorkerView};
use schema::values::Outcome;

/// A project with the latest builds of its main branch.
pub(crate) struct ProjectLine {
    pub(crate) project: ProjectView,
    /// None: nothing was built of it.
    pub(crate) branch: Option<BranchView>,
    pub(crate) builds: Vec<BuildView>,
}

#[derive(Template)]
#[template(path = "home.html")]
pub(crate) struct Home {
    frame: Frame,
    projects: Vec<ProjectCard>,
    waiting: usize,
    /// None: the visitor sees no workers.
    workers: Option<WorkerCounts>,
}

struct WorkerCounts {
    connected: usize,
    busy: usize,
    lost: Vec<String>,
}

struct ProjectCard {
    name: String,
    repository: String,
    /// Of its main branch.
    state: Option<Mark>,
    is_errored: bool,
    newest: Option<BuildLine>,
    /// Oldest first.
    strip: Vec<BuildLine>,
}

impl Home {
    pub(crate) fn new(frame: Frame, lines: &[ProjectLine], waiting: usize, workers: Option<&[WorkerView]>) -> Home {
        let projects = lines.iter().map(|line| ProjectCard {
            name: line.project.name.clone(),
            repository: tidy(&line.project.repository),
            state: line.branch.as_ref().and_then(Mark::of_branch),
            is_errored: line.branch.as_ref().is_some_and(|branch| branch.errored),
            newest: line.builds.first().map(BuildLine::new),
            strip: line.builds.iter().rev().map(BuildLine::new).collect(),
        });
        let workers = workers.map(|workers| WorkerCounts {
            connected: workers.iter().filter(|worker| worker.connected).count(),
            busy: workers.iter().filter(|worker| !worker.running.is_empty()).count(),
            lost: workers.iter().filter(|worker| !worker.connected).map(|worker| worker.name.clone()).collect(),
        });
        Home { frame, projects: projects.collect(), waiting, workers }
    }
}

#[derive(Template)]
#[template(path = "queue.html")]
pub(crate) struct Queue {
    frame: Frame,
    items: Vec<QueueLine>,
}

struct QueueLine {
    project: String,
    build: u32,
    job: String,
    since: Option<When>,
    reason: String,
    remedy: String,
}

impl Queue {
    pub(crate) fn new(frame: Frame, items: &[QueueItem]) -> Queue {
        let items = items.iter().map(|item| QueueLine {
            project: item.project.clone(),
            build: item.build,
            job: item.job.clone(),
            since: When::new(item.since),
            reason: tidy(&item.reason),
            remedy: tidy(&item.remedy),
        });
        Queue { frame, items: items.collect() }
    }
}

#[derive(Template)]
#[template(path = "workers.html")]
pub(crate) struct Workers {
    frame: Frame,
    workers: Vec<WorkerLine>,
}

struct WorkerLine {
    name: String,
    /// "connected", "draining", "held", "lost".
    state: &'static str,
    class: &'static str,
    held: String,
    platform: String,
    version: String,
    pools: String,
    slots: u16,
    tiers: String,
    running: Vec<(String, String)>,
    heard: Option<When>,
}

impl Workers {
    pub(crate) fn new(frame: Frame, workers: &[WorkerView]) -> Workers {
        let workers = workers.iter().map(|worker| {
            let (state, class) = match worker {
                worker if !worker.connected => ("lost", "bad"),
                worker if !worker.held.is_empty() => ("held", "warned"),
                worker if worker.draining => ("draining", "warned"),
                worker if !worker.running.is_empty() => ("busy", "running"),
                _ => ("idle", "good"),
            };
            WorkerLine {
                name: worker.name.clone(),
                state,
                class,
                held: tidy(if worker.held.is_empty() { &worker.waits } else { &worker.held }),
                platform: tidy(&worker.description.platform),
                version: tidy(&worker.description.version),
                pools: worker.pools.join(", "),
                slots: worker.description.total.slots,
                tiers: tidy(&worker.tiers()),
                running: worker.running.iter().map(|selector| (format!("/p/{selector}"), selector.clone())).collect(),
                heard: When::new(worker.last_heard),
            }
        });
        Workers { frame, workers: workers.collect() }
    }
}

/// A small picture with two words.
#[derive(Template)]
#[template(path = "badge.svg", escape = "html")]
pub(crate) struct Badge {
    branch: String,
    word: &'static str,
    colour: &'static str,
    left: usize,
    right: usize,
    width: usize,
}

impl Badge {
    pub(crate) fn new(branch: &str, state: Option<&BranchView>) -> Badge {
        let is_errored = state.is_some_and(|state| state.errored);
        let (word, colour) = match state.and_then(|state| state.outcome) {
            Some(Outcome::Succeeded) => ("passing", "#2b8a3e"),
            Some(Outcome::Warned) => ("warnings", "#a86400"),
            Some(Outcome::Failed) => ("failing", "#c92a2a"),
            // of a branch of which nothing counts yet
            None if is_errored => ("error", "#862e9c"),
            Some(Outcome::Errored | Outcome::Cancelled | Outcome::Skipped) | None => ("unknown", "#5c636a"),
        };
        let mut branch: String = tidy(branch);
        if branch.chars().count() > 40 {
            branch = branch.chars().take(39).chain(['…']).collect();
        }
        // about the width of Verdana at 11 pixels
        let wide = |text: &str| text.chars().count() * 7 + 12;
        let (left, right) = (wide(&branch), wide(word));
        Badge { branch, word, colour, left, right, width: left + right }
    }

    fn left_middle(&self) -> usize {
        self.left / 2
    }

    fn right_middle(&self) -> usize {
        self.left + self.right / 2
    }
}

impl ProjectCard {
    /// Its state; where nothing counts yet, how the newest build goes.
    fn mark(&self) -> Option<&Mark> {
        self.state.as_ref().or(self.newest.as_ref().map(|line| &line.mark))
    }
}
