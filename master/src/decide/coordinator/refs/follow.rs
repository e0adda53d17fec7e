//! How the repositories of projects are followed: what was asked for since the last look at all refs, and in which life of the
//! store that look was.
//!
//! A store that was restored from a backup does not know what was pushed since. So a project's plans and jobs are held back
//! until all refs of its repository were looked at in this life of the store. Attempts that run go on.

use crate::decide::builds::Build;
use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::model::Effect;
use crate::decide::coordinator::record::{BuildId, FollowedRow, JobKey, Loaded, RefScope};
use schema::values::{State, Time};
use std::collections::BTreeSet;

/// Scopes that one project had since the last look at all its refs; with more, all of them count for nothing. So few, because
/// each is one reload of the master file while the repository could not be read.
const SCOPES_MAX: usize = 16;

/// How a repository was followed before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// None: all its refs were never looked at.
    pub row: Option<FollowedRow>,
    /// The store was restored from a backup since the last look.
    pub is_restored: bool,
}

impl Before {
    /// A version that did not note what it saw looked last.
    pub fn is_unnoted(&self) -> bool {
        self.row.as_ref().is_some_and(|row| row.address.is_empty())
    }
}

/// A project that is held back, as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldProject {
    pub project: String,
    /// Builds of it that are not finished.
    pub open: usize,
}

/// The projects whose repositories were not looked at in this life of the store. `FIRST`: no store is restored before it.
pub(in crate::decide::coordinator) fn held_at_load(loaded: &Loaded) -> BTreeSet<String> {
    const FIRST: u64 = 1;
    let stale = loaded.followed.iter().filter(|row| row.looked_in != loaded.incarnation);
    let never_looked = |project: &&String| !loaded.followed.iter().any(|row| row.project == **project);
    let building = loaded.builds.iter().map(|(row, ..)| &row.project);
    let building = building.filter(|_| loaded.incarnation > FIRST).filter(never_looked);
    stale.map(|row| &row.project).chain(building).cloned().collect()
}

impl Coordinator {
    /// Whether plans, jobs and notices of a project wait for the first look at its repository.
    pub fn is_held(&self, project: &str) -> bool {
        self.held.contains(project)
    }

    pub fn held_list(&self) -> Vec<HeldProject> {
        let open = |project: &String| self.builds.values().filter(|build| build.row.project == *project).count();
        self.held.iter().map(|project| HeldProject { project: project.clone(), open: open(project) }).collect()
    }

    pub(in crate::decide::coordinator) fn holds(&self, build: BuildId) -> bool {
        self.builds.get(&build).is_some_and(|build| self.is_held(&build.row.project))
    }

    /// Asks for the plan of a build, unless that is held back.
    pub(in crate::decide::coordinator) fn ask_for_plan(&mut self, build: BuildId) {
        if !self.holds(build) {
            self.effects.push_back(Effect::Plan { build });
        }
    }

    /// Jobs that are held back, in the order of their builds.
    pub(in crate::decide::coordinator) fn held_jobs(&self) -> impl Iterator<Item = JobKey> {
        let held = self.builds.values().filter(|build| self.is_held(&build.row.project));
        held.flat_map(queued_of).filter(|key| self.placement.need(*key).is_none())
    }

    /// What was held back of a project goes on.
    fn release(&mut self, now: Time, project: &str) {
        let jobs: Vec<JobKey> = self.held_jobs().filter(|key| self.builds[&key.build].row.project == project).collect();
        if !self.held.remove(project) {
            return;
        }
        let planning =
            self.builds.values().filter(|build| build.row.project == project && build.row.state == State::Planning);
        for build in planning.map(|build| build.row.id).collect::<Vec<_>>() {
            self.ask_for_plan(build);
        }
        jobs.into_iter().for_each(|job| self.enqueue(now, job));
    }

    /// A source begins to follow a repository. Answers how that was followed before.
    pub fn begin_following(&mut self, project: &str, scope: &RefScope) -> Before {
        let row = self.followed.get(project).cloned();
        let is_restored = row.as_ref().is_some_and(|row| row.looked_in != self.incarnation);
        if let Some(row) = &row {
            self.ask_for(row.clone(), scope.clone());
        }
        Before { row, is_restored }
    }

    /// A source has looked at all refs of a repository, and told what it saw.
    pub fn looked_at_all(&mut self, now: Time, project: &str, address: &str, scope: &RefScope) {
        let row = FollowedRow {
            project: project.to_owned(),
            address: address.to_owned(),
            scopes: vec![scope.clone()],
            looked_in: self.incarnation,
        };
        self.set_followed(row);
        self.release(now, project);
    }

    /// Nothing is asked for any more of projects that the master file does not have: what comes until one of them is put back
    /// is history then.
    pub fn stop_following_others(&mut self) {
        let others = self.followed.values().filter(|row| !self.terms.projects.contains_key(&row.project));
        for row in others.cloned().collect::<Vec<_>>() {
            self.ask_for(row, RefScope::default());
        }
    }

    fn ask_for(&mut self, mut row: FollowedRow, scope: RefScope) {
        if row.scopes.last() == Some(&scope) {
            return;
        }
        row.scopes.push(scope);
        if row.scopes.len() > SCOPES_MAX {
            row.scopes = vec![RefScope::default()];
        }
        self.set_followed(row);
    }

    fn set_followed(&mut self, row: FollowedRow) {
        if self.followed.get(&row.project) != Some(&row) {
            self.followed.put(&mut self.effects, row.project.clone(), row);
        }
    }
}

fn queued_of(build: &Build) -> impl Iterator<Item = JobKey> + '_ {
    build.jobs.iter().filter(|job| job.row.state == State::Queued).map(|job| job.row.key)
}
