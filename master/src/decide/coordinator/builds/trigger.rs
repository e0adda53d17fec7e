//! The commands that make, cancel or repeat a build, because of a change, a person or a deleted ref.

use super::build::finished;
use crate::decide::builds::{Build, Order, Past, Retried, Trigger, change_submitted};
use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::record::{Answer, BuildCause, BuildId, GrantId, Head, Record};
use crate::decide::coordinator::requests::Request;
use crate::decide::records::Row;
use schema::values::{Change, Fact, Refusal, RefusalCode, Time};

impl Coordinator {
    /// Takes an update of a ref, and makes one build of it, however often it is reported. Returns the build. Returns `None` if the ref
    /// was deleted, if the change is known, or if a deleted ref came back at its last revision.
    pub fn submit_change(&mut self, now: Time, by: GrantId, change: Change) -> Option<BuildId> {
        let (project, ref_name) = (change.project.clone(), change.ref_name.clone());
        let known = self.heads.get(&project, &ref_name).cloned();
        if change.revision.is_empty() {
            if let Some(head) = known.filter(|head| head.gone.is_none()) {
                self.leave_head(now, &change, head);
                self.delete_ref(now, &change);
            }
            return None;
        }
        match known.clone().filter(|head| head.revision == change.revision) {
            Some(head) if head.gone.is_some() => {
                self.set_head(&project, &ref_name, Head { gone: None, ..head });
                return None;
            }
            Some(head) if head.is_told => return None,
            Some(_) | None => {}
        }
        self.tell_of(now, &project, 0, change_submitted(&change));
        let build = self.open_build(now, Order::of_change(&change, by), BuildCause::Change, Trigger::Moved);
        let update = self.builds[&build].row.update;
        let since = known.filter(|head| head.gone.is_none()).map_or(update, |head| head.since);
        let head = Head { revision: change.revision.clone(), is_told: true, gone: None, update, since };
        self.set_head(&project, &ref_name, head);
        self.record(Record::Change { build: Some(build), change, time: now });
        Some(build)
    }

    /// Makes a build because somebody asked for it. `cause` names that person.
    pub fn run(&mut self, now: Time, request: Request, cause: BuildCause, order: Order) -> Result<BuildId, Refusal> {
        self.once(now, request, |this| {
            let trigger = Trigger::of_person(&cause);
            let id = this.open_build(now, order, cause, trigger);
            this.note_update(id);
            Ok(Answer::Build(id))
        })
        .and_then(Answer::build)
    }

    /// Makes a build with the stamp and plan of an old build, which it names. `again` has the indices of the jobs to repeat. The jobs
    /// that need them are repeated as well, and all others keep their old results.
    pub fn retry(
        &mut self,
        now: Time,
        request: Request,
        by: &str,
        past: Past,
        again: &[usize],
    ) -> Result<BuildId, Refusal> {
        let grant = request.by;
        self.once(now, request, |this| {
            if again.is_empty() {
                return Err(Refusal::new(RefusalCode::Conflict, "the build has no job to repeat"));
            }
            this.retry_guard.retry(&past)?;
            let cause = past.row.cause.again(past.row.number, by);
            let id = this.insert_build(now, Order::again(&past.row, grant), cause, Trigger::Again(past.row.trust));
            let Retried { plan, carried } = past.retried(again, id);
            this.adopt(now, id, plan, carried);
            Ok(Answer::Build(id))
        })
        .and_then(Answer::build)
    }

    /// Cancels a build, or one of its jobs.
    pub fn cancel(
        &mut self,
        now: Time,
        request: Request,
        build: BuildId,
        job: Option<&str>,
        why: &str,
    ) -> Result<(), Refusal> {
        self.once(now, request, |this| {
            if !this.builds.contains_key(&build) {
                return Err(finished());
            }
            this.cancel_jobs(now, build, job, why).map(|()| Answer::Done)
        })
        .map(|_| ())
    }

    pub(in crate::decide::coordinator) fn open_build(
        &mut self,
        now: Time,
        order: Order,
        cause: BuildCause,
        trigger: Trigger,
    ) -> BuildId {
        let id = self.insert_build(now, order, cause, trigger);
        self.ask_for_plan(id);
        id
    }

    fn insert_build(&mut self, now: Time, order: Order, cause: BuildCause, trigger: Trigger) -> BuildId {
        self.last_build += 1;
        let id = BuildId(self.last_build);
        let number = self.next_number(&order.project);
        self.numbers.insert(order.project.clone(), number);
        let source = order.source();
        let head = self.heads.get(&order.project, &source.ref_name);
        let update = order.origin.update(&source, head, number);
        let row = order.row(now, id, (number, update), cause, trigger);
        let fact =
            Fact::BuildCreated { cause: row.cause.to_string(), ref_name: source.ref_name, revision: source.revision };
        self.builds.insert(id, Build::new(Row::new(row, &mut self.effects)));
        self.tell(now, id, fact);
        id
    }

    /// The number that the next build of a project gets.
    pub fn next_number(&self, project: &str) -> u32 {
        self.numbers.get(project).copied().unwrap_or_default() + 1
    }

    fn delete_ref(&mut self, now: Time, change: &Change) {
        self.record(Record::Change { build: None, change: change.clone(), time: now });
        self.tell_of(now, &change.project, 0, Fact::RefDeleted { ref_name: change.ref_name.clone() });
        let builds: Vec<BuildId> =
            self.open_builds_of(&change.project, &change.ref_name).map(|build| build.row.id).collect();
        for build in builds {
            self.cancel_waiting(now, build, &format!("{} was deleted", change.ref_name));
        }
    }

    pub(in crate::decide::coordinator) fn open_builds_of(
        &self,
        project: &str,
        ref_name: &str,
    ) -> impl Iterator<Item = &Build> {
        self.builds.values().filter(move |build| {
            build.row.project == project
                && build.row.stamp.sources.first().is_some_and(|source| source.ref_name == ref_name)
        })
    }
}
