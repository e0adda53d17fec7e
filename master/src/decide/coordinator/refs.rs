//! The effects of refs on builds. They decide which builds wait until the master has read a repository, and to which update and lane a
//! build belongs.

use super::Coordinator;
use super::lane::LaneResult;
use super::model::Effect;
use super::record::{BuildCause, BuildId, BuildRow, ClaimKey, Head, JobKey, Record, RefScope};
use crate::decide::builds::Build;
use crate::decide::refs::{Before, HeldProject};
use schema::values::{Change, Outcome, SourceRevision, State, Time, Trust};

impl Coordinator {
    /// Whether plans, jobs and notices of a project wait until the master has read its repository for the first time after a restore.
    pub fn is_held(&self, project: &str) -> bool {
        self.following.holds(project)
    }

    pub fn held_list(&self) -> Vec<HeldProject> {
        let held = self.following.held();
        held.map(|project| HeldProject { project: project.clone(), open: self.builds_of(project).count() }).collect()
    }

    /// Notes that a source begins to follow a repository. Returns how the repository was followed until now.
    pub fn begin_following(&mut self, project: &str, scope: &RefScope) -> Before {
        self.following.begin(project, scope, &mut self.effects)
    }

    /// Notes that a source has looked at all refs of a repository, and reported them.
    pub fn looked_at_all(&mut self, now: Time, project: &str, address: &str, scope: &RefScope) {
        self.following.looked_at_all(project, address, scope, &mut self.effects);
        self.release(now, project);
    }

    /// Stops following the projects that the master file does not have. If a project is put back, everything that happened meanwhile
    /// counts as history.
    pub fn stop_following_others(&mut self) {
        let is_followed = |project: &str| self.terms.projects.contains_key(project);
        self.following.stop_others(is_followed, &mut self.effects);
    }

    /// Notes refs, each with its revision, of which no build is made. They are history, or deleted refs that came back unchanged.
    pub fn see_refs(&mut self, project: &str, refs: Vec<(String, String)>) {
        let next = self.next_number(project);
        self.heads.see(project, refs, next, &mut self.effects);
    }

    /// The known state of each ref of a project.
    pub fn heads_of(&self, project: &str) -> Vec<(String, Head)> {
        self.heads.of(project).map(|(ref_name, head)| (ref_name.clone(), head.clone())).collect()
    }

    pub fn head(&self, project: &str, ref_name: &str) -> Option<Head> {
        self.heads.get(project, ref_name).cloned()
    }

    pub(super) fn set_head(&mut self, project: &str, ref_name: &str, head: Head) {
        self.heads.put(project, ref_name, head, &mut self.effects);
    }

    /// Notes that a ref was deleted. If its build had not begun, the ref is forgotten, so that it is built when it comes back.
    pub(super) fn leave_head(&mut self, now: Time, change: &Change, head: Head) {
        let (project, ref_name) = (&change.project, &change.ref_name);
        self.end_claims_of_ref(now, project, ref_name);
        if self.open_builds_of(project, ref_name).any(|build| has_yet_to_build(&build.row, &head)) {
            self.heads.forget(project, ref_name, &mut self.effects);
        } else {
            self.set_head(project, ref_name, Head { gone: Some(now), ..head });
        }
    }

    /// Opens the update of a tip that was noted without a build, because this is the first build of that tip.
    pub(super) fn note_update(&mut self, build: BuildId) {
        let row = &self.builds[&build].row;
        let (project, update, source) = (row.project.clone(), row.update, first_source(row));
        let Some(head) = self.heads.get(&project, &source.ref_name).cloned() else { return };
        if update > 0 && head.update == 0 && head.revision == source.revision && head.gone.is_none() {
            self.set_head(&project, &source.ref_name, Head { update, ..head });
        }
    }

    /// Adds the result of a finished job to its lane. Results of untrusted builds do not count, nor do results of updates from before the
    /// ref was deleted and made again.
    pub(super) fn note_lane(&mut self, now: Time, key: JobKey, outcome: Outcome) {
        let build = &self.builds[&key.build];
        let job = &build.jobs[key.index as usize].row;
        debug_assert!(job.state == State::Finished, "a lane has results of finished jobs");
        if build.row.update == 0 || build.row.trust != Trust::Trusted || outcome == Outcome::Skipped {
            return;
        }
        let source = first_source(&build.row);
        let head = self.heads.get(&build.row.project, &source.ref_name);
        if head.is_some_and(|head| build.row.update < head.since) {
            return;
        }
        let (update, number) = (build.row.update, build.row.number);
        let result = LaneResult { update, build: number, outcome, finished: now, revision: source.revision };
        let key = ClaimKey { project: build.row.project.clone(), ref_name: source.ref_name, job: job.name.clone() };
        let ended = self.claims.note_result(&key, &result, &mut self.effects);
        ended.into_iter().for_each(|fact| self.tell_of(now, &key.project, number, fact));
        let ClaimKey { project, ref_name, job } = key;
        self.record(Record::Lane { project, ref_name, job, result });
    }

    pub(super) fn holds(&self, build: BuildId) -> bool {
        self.builds.get(&build).is_some_and(|build| self.is_held(&build.row.project))
    }

    /// Asks for the plan of a build, unless the build is held back.
    pub(super) fn ask_for_plan(&mut self, build: BuildId) {
        if !self.holds(build) {
            self.effects.push_back(Effect::Plan { build });
        }
    }

    /// Jobs that are held back, in the order of their builds.
    pub(super) fn held_jobs(&self) -> impl Iterator<Item = JobKey> {
        let held = self.builds.values().filter(|build| self.is_held(&build.row.project));
        held.flat_map(queued_of).filter(|key| self.placement.need(*key).is_none())
    }

    /// Releases the plans and jobs of a project that were held back.
    fn release(&mut self, now: Time, project: &str) {
        let jobs: Vec<JobKey> = self.held_jobs().filter(|key| self.builds[&key.build].row.project == project).collect();
        if !self.following.release(project) {
            return;
        }
        let planning = self.builds_of(project).filter(|build| build.row.state == State::Planning);
        for build in planning.map(|build| build.row.id).collect::<Vec<_>>() {
            self.ask_for_plan(build);
        }
        jobs.into_iter().for_each(|job| self.enqueue(now, job));
    }

    fn builds_of(&self, project: &str) -> impl Iterator<Item = &Build> {
        self.builds.values().filter(move |build| build.row.project == project)
    }
}

/// Whether this build was opened by the newest update of its ref, and has not begun.
fn has_yet_to_build(row: &BuildRow, head: &Head) -> bool {
    let revision = row.stamp.sources.first().map(|source| &source.revision);
    let opened_it = row.cause == BuildCause::Change && row.update == head.update;
    opened_it && row.started.is_none() && revision == Some(&head.revision)
}

fn queued_of(build: &Build) -> impl Iterator<Item = JobKey> + '_ {
    build.jobs.iter().filter(|job| job.row.state == State::Queued).map(|job| job.row.key)
}

fn first_source(row: &BuildRow) -> SourceRevision {
    row.stamp.sources.first().cloned().unwrap_or_default()
}
