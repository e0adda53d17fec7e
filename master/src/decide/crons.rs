//! Builds that the clock starts: the `[trigger.cron]` entries of the pipelines, the next firing of each, and the build that a firing
//! makes.
//!
//! The times here are times of the wall clock, which may jump. If firings were missed, one late firing is made for all of them, and the
//! next one is the first after now. So a jump ahead, or a time when the master was down, causes no series of builds.

use super::builds::Order;
use super::records::{BuildRow, Cron, CronKey, CronRow, CronTip, GrantId, Head, Recorder, Rows};
use super::refs::Origin;
use super::schedule::Schedule;
use pipeline::{CronEntry, CronTimes};
use schema::values::{Commit, Fact, ShortRef, SourceRevision, SourceStamp, Time};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// If the wall clock is set back by less than this, for example to correct it, no firing is repeated. If it is set back further,
/// firings follow the new time, because an entry must not stay silent until the old time comes again.
const SET_BACK_MAX: Duration = Duration::from_secs(3600);

/// The reason why a firing builds nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::decide) enum CronSkip {
    Gone,
    /// The branch is gone, and the master has forgotten it. If it comes back, it is a new branch, whose pipeline is read again.
    Forgotten,
    Unfollowed,
    /// Nothing changed since the build with this number.
    Unchanged(u32),
    /// The build of the previous firing, which has this number, has not finished.
    Unfinished(u32),
    /// The entry names no branch, and the default branch is now another branch, which has this name.
    Moved(String),
}

/// The facts about a project's branches that the store does not have. They are needed when entries of the project fire.
#[derive(Clone, Copy)]
pub struct FiringBranches<'a> {
    /// A function that takes the full name of a ref, and returns whether the master follows it.
    pub follows: &'a dyn Fn(&str) -> bool,
    /// The full name of the default branch. `None` means that it is not known.
    pub main: Option<&'a str>,
}

impl fmt::Debug for FiringBranches<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FiringBranches").field("main", &self.main).finish_non_exhaustive()
    }
}

impl fmt::Display for CronSkip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CronSkip::Gone | CronSkip::Forgotten => f.write_str("the branch is gone"),
            CronSkip::Unfollowed => f.write_str("the master does not follow the branch"),
            CronSkip::Unchanged(build) => write!(f, "nothing changed since build {build}"),
            CronSkip::Unfinished(build) => write!(f, "build {build} is not finished"),
            CronSkip::Moved(main) => write!(f, "the default branch is {main} now"),
        }
    }
}

/// The `[trigger.cron]` entries of all pipelines.
#[derive(Debug, Default)]
pub(in crate::decide) struct Crons {
    rows: BTreeMap<String, OfProject>,
}

/// The `[trigger.cron]` entries of one project.
#[derive(Debug, Default)]
struct OfProject {
    rows: Rows<CronKey, CronRow>,
    timers: Schedule<CronKey>,
    /// The time of the wall clock at the last look at the entries. `None` means that nobody has looked since the start.
    looked: Option<Time>,
}

impl Crons {
    pub(in crate::decide) fn load(rows: Vec<CronRow>) -> Crons {
        let mut crons = Crons::default();
        for row in rows {
            let of = crons.rows.entry(row.key.project.clone()).or_default();
            of.arm(&row.key, row.next);
            of.rows.load(row.key.clone(), row);
        }
        crons
    }

    /// The entries of a project, in the order of their branches and names.
    pub(in crate::decide) fn of(&self, project: &str) -> impl Iterator<Item = &CronRow> {
        self.rows.get(project).into_iter().flat_map(|of| of.rows.values())
    }

    /// When the first entry of a project fires. `None` means that no entry does.
    pub(in crate::decide) fn next(&self, project: &str) -> Option<Time> {
        self.rows.get(project)?.timers.next()
    }

    /// Sets the entries of a branch to those that the pipeline at its tip has. Other entries of the branch are removed.
    pub(in crate::decide) fn set(
        &mut self,
        wall: Time,
        (project, ref_name): (&str, &str),
        tip: &CronTip,
        entries: Vec<CronEntry>,
        to: &mut impl Recorder,
    ) {
        if entries.is_empty() && self.of(project).next().is_none() {
            return;
        }
        let of = self.rows.entry(project.to_owned()).or_default();
        let is_gone = |key: &&CronKey| key.ref_name == ref_name && !entries.iter().any(|it| it.name == key.name);
        for key in of.rows.keys().filter(is_gone).cloned().collect::<Vec<_>>() {
            of.forget(key, to);
        }
        for entry in entries {
            let key = CronKey { project: project.to_owned(), ref_name: ref_name.to_owned(), name: entry.name.clone() };
            of.put(wall, key, tip, entry, to);
        }
    }

    /// Returns the entries of a project that are due, and sets each of them to its next firing.
    pub(in crate::decide) fn due(&mut self, wall: Time, project: &str, to: &mut impl Recorder) -> Vec<CronRow> {
        let Some(of) = self.rows.get_mut(project) else { return Vec::new() };
        if of.looked.replace(wall).is_none_or(|looked| wall < looked) {
            of.follow_clock(wall, to);
        }
        let mut due = Vec::new();
        while let Some(key) = of.timers.due(wall) {
            due.extend(of.fire(wall, &key, to));
        }
        due
    }

    /// Notes that a firing of this entry made this build.
    pub(in crate::decide) fn built(&mut self, key: &CronKey, build: &BuildRow, to: &mut impl Recorder) {
        let revision = build.stamp.sources.first().map(|source| source.revision.clone()).unwrap_or_default();
        let built = (build.number, revision, String::new());
        self.note(key, to, |cron| (cron.build, cron.built, cron.skipped) = built);
    }

    /// Notes that a firing made no build. If nothing is known of the branch any more, its entry is removed too.
    pub(in crate::decide) fn skip(&mut self, key: &CronKey, skip: &CronSkip, to: &mut impl Recorder) {
        match self.rows.get_mut(&key.project).filter(|_| *skip == CronSkip::Forgotten) {
            Some(of) => of.forget(key.clone(), to),
            None => self.note(key, to, |cron| cron.skipped = skip.to_string()),
        }
    }

    fn note(&mut self, key: &CronKey, to: &mut impl Recorder, note: impl FnOnce(&mut Cron)) {
        if let Some(of) = self.rows.get_mut(&key.project) {
            of.rows.edit(to, key, |row| note(&mut row.cron));
        }
    }
}

impl OfProject {
    fn arm(&mut self, key: &CronKey, next: Option<Time>) {
        match next {
            Some(next) => self.timers.arm(key.clone(), next),
            None => self.timers.disarm(key),
        }
    }

    fn forget(&mut self, key: CronKey, to: &mut impl Recorder) {
        self.timers.disarm(&key);
        self.rows.forget(to, key);
    }

    /// Sets an entry. If its times are the same as before, it keeps its next firing. Otherwise it fires at the first time after now.
    fn put(&mut self, wall: Time, key: CronKey, tip: &CronTip, entry: CronEntry, to: &mut impl Recorder) {
        let before = self.rows.get(&key).cloned().unwrap_or_default();
        let is_same = (&before.cron.at, &before.cron.tz) == (&entry.at, &entry.tz);
        let next = if is_same { before.next } else { next(&entry.at, &entry.tz, wall) };
        let (CronEntry { at, tz, branch, if_changed, .. }, tip) = (entry, tip.clone());
        let said = Cron { at, tz, if_changed, is_of_default: branch.is_none(), tip, ..before.cron.clone() };
        let row = CronRow { key: key.clone(), next, cron: said };
        if row != before {
            self.arm(&key, next);
            self.rows.put(to, key, row);
        }
    }

    /// Brings next firings forward that are too far away, as they may be after a start or after the clock was set back.
    fn follow_clock(&mut self, wall: Time, to: &mut impl Recorder) {
        for row in self.rows.values().cloned().collect::<Vec<_>>() {
            let repeated = row.cron.fired.filter(|fired| fired.since(wall) < SET_BACK_MAX);
            let from = repeated.map_or(wall, |fired| fired.max(wall));
            let nearer =
                next(&row.cron.at, &row.cron.tz, from).filter(|nearer| row.next.is_some_and(|it| *nearer < it));
            if nearer.is_some() {
                self.arm(&row.key, nearer);
                self.rows.edit(to, &row.key, |row| row.next = nearer);
            }
        }
    }

    /// Sets an entry to its next firing, and returns the entry as it then is.
    fn fire(&mut self, wall: Time, key: &CronKey, to: &mut impl Recorder) -> Option<CronRow> {
        let row = self.rows.get(key)?;
        let (due, next) = (row.next, next(&row.cron.at, &row.cron.tz, wall));
        self.arm(key, next);
        self.rows.edit(to, key, |row| (row.next, row.cron.fired) = (next, due)).cloned()
    }
}

/// The first firing after a moment. `None` means that there is none, or a newer version wrote an expression that this one cannot
/// read.
fn next(at: &str, tz: &str, after: Time) -> Option<Time> {
    CronTimes::new(at, tz).ok()?.next(after)
}

impl CronRow {
    /// Returns the order for the build that a firing makes, which is of the tip of its branch. Otherwise, returns why it makes none.
    /// `is_open` says whether the build of the last firing is unfinished.
    pub(in crate::decide) fn order(
        &self,
        head: Option<&Head>,
        branches: FiringBranches<'_>,
        is_open: bool,
        by: GrantId,
    ) -> Result<Order, CronSkip> {
        let head = head.ok_or(CronSkip::Forgotten)?;
        if let Some(skip) = self.skip(head, branches, is_open) {
            return Err(skip);
        }
        let revision = head.revision.clone();
        let CronTip { subject, author, .. } = match revision == self.cron.tip.revision {
            true => self.cron.tip.clone(),
            false => CronTip::default(),
        };
        let CronKey { project, ref_name, .. } = self.key.clone();
        let tip = Commit { revision: revision.clone(), subject, author, ..Commit::default() };
        let source = SourceRevision { repository: project.clone(), ref_name, revision, base: String::new() };
        Ok(Order {
            project,
            stamp: SourceStamp { sources: vec![source] },
            tip,
            by,
            origin: Origin::Tip { since: u32::MAX },
        })
    }

    fn skip(&self, head: &Head, branches: FiringBranches<'_>, is_open: bool) -> Option<CronSkip> {
        let (cron, own) = (&self.cron, self.key.ref_name.as_str());
        match branches.main.filter(|main| cron.is_of_default && *main != own) {
            _ if head.gone.is_some() => Some(CronSkip::Gone),
            Some(main) => Some(CronSkip::Moved(ShortRef::of(main).name().to_owned())),
            None if !(branches.follows)(own) => Some(CronSkip::Unfollowed),
            None if cron.if_changed && head.revision == cron.built => Some(CronSkip::Unchanged(cron.build)),
            None => is_open.then_some(CronSkip::Unfinished(cron.build)),
        }
    }

    /// Whether the previous firing built nothing for the same reason. A lasting reason, such as a deleted branch, is reported only
    /// once.
    pub(in crate::decide) fn is_told(&self, skip: &CronSkip) -> bool {
        matches!(skip, CronSkip::Gone | CronSkip::Moved(_)) && self.cron.skipped == skip.to_string()
    }

    /// The event of a firing that builds nothing.
    pub(in crate::decide) fn skipped(&self, skip: &CronSkip) -> Fact {
        let CronKey { ref_name, name, .. } = self.key.clone();
        Fact::CronSkipped { name, ref_name, reason: skip.to_string() }
    }

    /// The next firing, as a clock in the entry's time zone shows it. Empty means that there is no next firing.
    pub fn next_shown(&self) -> String {
        let times = CronTimes::new(&self.cron.at, &self.cron.tz).ok();
        times.zip(self.next).map_or_else(String::new, |(times, next)| times.shown(next))
    }
}
