//! The commands about builds that the clock starts. They take the `[trigger.cron]` entries of pipelines, and make the due builds.

use super::record::{BuildCause, BuildRow, CronKey, CronRow, CronTip};
use super::{Coordinator, ROOT};
use crate::decide::builds::Trigger;
use crate::decide::crons::FiringBranches;
use pipeline::CronEntry;
use schema::values::Time;

impl Coordinator {
    /// Takes the `[trigger.cron]` entries that the pipeline of a build has for its branch. They count only if the build is of the tip
    /// of that branch.
    pub fn read_crons(&mut self, wall: Time, build: &BuildRow, entries: Vec<CronEntry>) {
        let Some(source) = build.stamp.sources.first() else { return };
        let head = self.heads.get(&build.project, &source.ref_name).filter(|head| head.gone.is_none());
        if head.is_some_and(|head| head.revision == source.revision) {
            let (subject, author) = (build.subject.clone(), build.author.clone());
            let tip = CronTip { revision: source.revision.clone(), subject, author };
            self.crons.set(wall, (&build.project, &source.ref_name), &tip, entries, &mut self.effects);
        }
    }

    /// Makes the builds of a project that are due by the wall clock. Returns the time when the next one is due.
    pub fn fire_crons(&mut self, now: Time, wall: Time, project: &str, branches: FiringBranches<'_>) -> Option<Time> {
        // After a restore, the store does not know the tips of the branches yet.
        if !self.is_held(project) {
            let due = self.crons.due(wall, project, &mut self.effects);
            due.into_iter().for_each(|row| self.fire_cron(now, row, branches));
        }
        self.crons.next(project)
    }

    /// The entries of a project, in the order of their branches and names.
    pub fn crons_of(&self, project: &str) -> impl Iterator<Item = &CronRow> {
        self.crons.of(project)
    }

    fn fire_cron(&mut self, now: Time, row: CronRow, branches: FiringBranches<'_>) {
        let CronKey { project, ref_name, name } = &row.key;
        let is_open = self.builds.values().any(|it| it.row.number == row.cron.build && it.row.project == *project);
        match row.order(self.heads.get(project, ref_name), branches, is_open, ROOT) {
            Ok(order) => {
                let id = self.open_build(now, order, BuildCause::Cron { name: name.clone() }, Trigger::Timed);
                self.note_update(id);
                self.crons.built(&row.key, &self.builds[&id].row, &mut self.effects);
            }
            Err(skip) => {
                if !row.is_told(&skip) {
                    self.tell_of(now, project, 0, row.skipped(&skip));
                }
                self.crons.skip(&row.key, &skip, &mut self.effects);
            }
        }
    }
}
