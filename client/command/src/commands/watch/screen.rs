//! The output of a watch for a person. Each running build is a tree at the bottom of the terminal. Above them are the final screens of
//! the builds that have ended.

use crate::connected::Connected;
use crate::live::{LiveRegion, tree};
use crate::render::{Look, now, one_line, status_word};
use crate::terminal_size::TerminalSize;
use client::painted::{Paint, PaintedLine};
use client::views::BuildView;
use client::{Error, UsualTimes, words};
use std::collections::{BTreeMap, BTreeSet};

type BuildKey = (String, u32);

pub(super) struct WatchScreen {
    region: LiveRegion,
    usual: BTreeMap<BuildKey, UsualTimes>,
    /// The builds whose usual times the screen has already asked for.
    begun: BTreeSet<BuildKey>,
    /// The builds whose final screen was printed, and those that had ended before the watch began.
    told: BTreeSet<BuildKey>,
    is_first: bool,
    /// Whether more builds can come, so that the screen says so while nothing runs.
    waits_for_more: bool,
}

impl WatchScreen {
    pub(super) fn new(look: &Look, waits_for_more: bool) -> WatchScreen {
        let (usual, begun, told) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        WatchScreen { region: LiveRegion::new(look), usual, begun, told, is_first: true, waits_for_more }
    }

    pub(super) async fn changed(&mut self, connected: &Connected, builds: &[&BuildView]) -> Result<(), Error> {
        let ended = self.ended(builds);
        for build in builds.iter().filter(|build| !build.is_finished()) {
            self.begin(connected, build).await?;
        }
        for (project, number) in ended {
            self.region.clear()?;
            connected.say_summary(&project, number).await?;
        }
        self.redraw(builds)
    }

    /// Returns the builds that have ended since the last picture, including those that also began since then.
    fn ended(&mut self, builds: &[&BuildView]) -> Vec<BuildKey> {
        let key = |build: &&BuildView| (build.project.clone(), build.number);
        let finished: BTreeSet<BuildKey> = builds.iter().filter(|build| build.is_finished()).map(key).collect();
        // A build that had ended before is shown only if the user asked for it.
        let is_old = std::mem::take(&mut self.is_first) && self.waits_for_more;
        let new = if is_old { Vec::new() } else { finished.difference(&self.told).cloned().collect() };
        let is_there: BTreeSet<BuildKey> = builds.iter().map(key).collect();
        self.usual.retain(|key, _| is_there.contains(key) && !finished.contains(key));
        self.begun.retain(|key| is_there.contains(key));
        self.told = finished;
        new
    }

    async fn begin(&mut self, connected: &Connected, build: &BuildView) -> Result<(), Error> {
        let key = (build.project.clone(), build.number);
        if self.begun.insert(key.clone()) {
            let guild = connected.guild().await?;
            // The branch matters, because jobs of the same name may take another time on another branch.
            let usual = guild.usual_times(&build.project, &build.ref_name, build.number).await;
            self.usual.insert(key, usual.unwrap_or_default());
        }
        Ok(())
    }

    pub(super) fn redraw(&mut self, builds: &[&BuildView]) -> Result<(), Error> {
        let size = TerminalSize::of_process();
        let open: Vec<&BuildView> = builds.iter().copied().filter(|build| !build.is_finished()).collect();
        let room = size.height.saturating_sub(1) / open.len().max(1);
        let none = UsualTimes::default();
        let usual = |build: &BuildView| self.usual.get(&(build.project.clone(), build.number)).unwrap_or(&none);
        let lines = open.iter().flat_map(|build| tree(build, usual(build), now(), room.max(2)));
        let mut lines: Vec<PaintedLine> = lines.take(size.height.saturating_sub(1)).collect();
        if open.is_empty() && self.waits_for_more {
            lines.extend(builds.iter().max_by_key(|build| build.created).map(|build| idle(build)));
        }
        // A line as wide as the terminal would wrap into the next one.
        let lines: Vec<PaintedLine> = lines.into_iter().map(|line| line.cut(size.width.saturating_sub(1))).collect();
        self.region.draw(&lines)
    }
}

/// Returns the line that is shown while nothing runs.
fn idle(newest: &BuildView) -> PaintedLine {
    let paint = Paint::of(newest.state, newest.outcome);
    let ago = newest.finished.map_or_else(String::new, |time| format!(" {}", time.seen_from(now())));
    PaintedLine::new()
        .and("waiting for the next build; the newest: ", Paint::Quiet)
        .and(format!("{} {}", words::symbol(newest.state, newest.outcome), newest.selector()), paint)
        .and(format!(" {}{ago}  {}", status_word(newest.state, newest.outcome), one_line(newest)), Paint::Quiet)
}
