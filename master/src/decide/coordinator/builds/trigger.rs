//! What makes a build, stops one, or makes one again: changes, people, deleted refs.

use super::build::finished;
use crate::decide::builds::{Build, Trigger, change_submitted};
use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::model::Order;
use crate::decide::coordinator::record::{Answer, BuildCause, BuildId, BuildRow, GrantId, Head, JobRow, Record};
use crate::decide::coordinator::requests::Request;
use crate::decide::records::Row;
use crate::decide::refs::Origin;
use schema::values::{
    Change, Commit, Fact, Outcome, Plan, Refusal, RefusalCode, SourceRevision, SourceStamp, State, Time,
};

/// A finished build, read from history, to be made again.
#[derive(Clone, Debug)]
pub struct Past {
    pub row: BuildRow,
    pub plan: Plan,
    pub jobs: Vec<JobRow>,
    /// What [`Coordinator::removals`] said before it was read.
    pub removals: u64,
}

impl Coordinator {
    /// One update of one ref: acknowledged once, however often it is told. Answers the build, or none where the ref was
    /// deleted, the change is known, or a deleted ref came back to where it was.
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
        let build = self.open_build(now, order(&change, by), BuildCause::Change, Trigger::Moved);
        let update = self.builds[&build].row.update;
        let since = known.filter(|head| head.gone.is_none()).map_or(update, |head| head.since);
        let head = Head { revision: change.revision.clone(), is_told: true, gone: None, update, since };
        self.set_head(&project, &ref_name, head);
        self.record(Record::Change { build: Some(build), change, time: now });
        Some(build)
    }

    /// Somebody asks for a build.
    pub fn run(&mut self, now: Time, request: Request, by: &str, order: Order) -> Result<BuildId, Refusal> {
        self.once(now, request, |this| {
            let id = this.open_build(now, order, BuildCause::Run { by: by.to_owned() }, Trigger::Asked);
            this.note_update(id);
            Ok(Answer::Build(id))
        })
        .and_then(Answer::build)
    }

    /// A new build of the same stamp and plan that names the old. `again`: indices of the jobs to repeat; what needs
    /// them is repeated as well, and the others are carried by reference.
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
                return Err(Refusal::new(RefusalCode::Conflict, "none of its jobs is to be repeated"));
            }
            this.retry_guard.retry(&past)?;
            let cause = BuildCause::Retry { number: past.row.number, by: by.to_owned() };
            let id = this.insert_build(now, again_of(&past.row, grant), cause, Trigger::Again(past.row.trust));
            let carried = carried(&past, again, id);
            this.adopt(now, id, past.plan, carried);
            Ok(Answer::Build(id))
        })
        .and_then(Answer::build)
    }

    /// Stops a build, or one of its jobs.
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

    fn open_build(&mut self, now: Time, order: Order, cause: BuildCause, trigger: Trigger) -> BuildId {
        let id = self.insert_build(now, order, cause, trigger);
        self.ask_for_plan(id);
        id
    }

    fn insert_build(&mut self, now: Time, order: Order, cause: BuildCause, trigger: Trigger) -> BuildId {
        self.last_build += 1;
        let id = BuildId(self.last_build);
        let number = self.next_number(&order.project);
        self.numbers.insert(order.project.clone(), number);
        let source = order.stamp.sources.first().cloned().unwrap_or_default();
        let head = self.heads.get(&order.project, &source.ref_name);
        let update = order.origin.update(&source, head, number);
        let row = BuildRow {
            id,
            project: order.project,
            number,
            stamp: order.stamp,
            cause,
            trust: trigger.trust(),
            state: State::Planning,
            outcome: None,
            created: now,
            started: None,
            finished: None,
            subject: order.tip.subject,
            author: order.tip.author,
            diagnosis: String::new(),
            job_count: 0,
            by: order.by,
            update,
        };
        let fact =
            Fact::BuildCreated { cause: row.cause.to_string(), ref_name: source.ref_name, revision: source.revision };
        self.builds.insert(id, Build::new(Row::new(row, &mut self.effects)));
        self.tell(now, id, fact);
        id
    }

    /// The number that the next build of a project gets.
    pub(in crate::decide::coordinator) fn next_number(&self, project: &str) -> u32 {
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

fn order(change: &Change, by: GrantId) -> Order {
    let source = SourceRevision {
        repository: change.project.clone(),
        ref_name: change.ref_name.clone(),
        revision: change.revision.clone(),
        base: change.before.clone(),
    };
    Order {
        project: change.project.clone(),
        stamp: SourceStamp { sources: vec![source] },
        tip: change.commits.first().cloned().unwrap_or_default(),
        by,
        origin: Origin::Moved,
    }
}

fn again_of(row: &BuildRow, by: GrantId) -> Order {
    let tip = Commit { subject: row.subject.clone(), author: row.author.clone(), ..Commit::default() };
    let origin = Origin::Again(row.update);
    Order { project: row.project.clone(), stamp: row.stamp.clone(), tip, by, origin }
}

/// Rows of the jobs that are not repeated: finished from the start, and saying where they ran.
fn carried(past: &Past, again: &[usize], id: BuildId) -> Vec<(usize, JobRow)> {
    let mut repeat = vec![false; past.plan.jobs.len()];
    for index in again {
        repeat[*index] = true;
    }
    for (index, job) in past.plan.jobs.iter().enumerate() {
        // needs come before those that need them, so one pass is enough
        repeat[index] |= job.needs.iter().any(|need| repeat[*need as usize]);
    }
    let kept = past.jobs.iter().enumerate().filter(|(index, row)| !repeat[*index] && row.state == State::Finished);
    kept.map(|(index, row)| {
        let mut row = row.clone();
        row.key.build = id;
        if row.carried_from == 0 {
            row.carried_from = past.row.number;
        }
        (index, row)
    })
    .collect()
}

/// Indices of the jobs of a finished build that a retry repeats: those named, or those that did not succeed, or all.
pub fn chosen(past: &Past, names: &[String], failed: bool) -> Result<Vec<usize>, Refusal> {
    for name in names {
        if !past.jobs.iter().any(|row| row.name == *name) {
            let what = format!("build {}/{} has no job `{name}`", past.row.project, past.row.number);
            return Err(Refusal::new(RefusalCode::NotFound, what));
        }
    }
    let wanted = |row: &JobRow| match (names.is_empty(), failed) {
        (false, _) => names.contains(&row.name),
        (true, true) => row.outcome.is_none_or(|outcome| !matches!(outcome, Outcome::Succeeded | Outcome::Warned)),
        (true, false) => true,
    };
    Ok(past.jobs.iter().enumerate().filter(|(_, row)| wanted(row)).map(|(index, _)| index).collect())
}
