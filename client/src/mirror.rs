//! A live copy of builds, made from a snapshot and the events after it. Both come from a [`crate::Watch`].

use crate::views::{BuildView, JobView, StepTests, StepView};
use schema::values::{Commit, Event, Fact, Outcome, State, TestCounts, Time};
use std::collections::{BTreeMap, BTreeSet};

/// The name of the project, and the number of the build in it.
type BuildKey = (String, u32);

/// A live copy of builds, made from the news of a [`crate::Watch`].
///
/// ```no_run
/// # async fn example(watch: &mut client::Watch) -> Result<(), client::Error> {
/// let mut mirror = client::Mirror::default();
/// loop {
///     match watch.next().await? {
///         client::News::Snapshot(builds) => mirror.reset(builds),
///         client::News::Events(events) => events.iter().for_each(|event| mirror.apply(event)),
///     }
///     assert!(mirror.builds().all(|build| build.number > 0));
/// }
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    builds: BTreeMap<BuildKey, BuildView>,
    /// The newest commit of the latest submitted change of each project. The event of the build that follows a change names only the
    /// revision.
    tips: BTreeMap<String, Commit>,
}

impl Mirror {
    /// Replaces all builds by a snapshot.
    pub fn reset(&mut self, builds: Vec<BuildView>) {
        self.builds = builds.into_iter().map(|build| ((build.project.clone(), build.number), build)).collect();
    }

    /// Applies one event. Ignores an event of a build that is not mirrored, unless the event creates the build.
    pub fn apply(&mut self, event: &Event) {
        let key = (event.project.clone(), event.build);
        if let Fact::ChangeSubmitted { commits, .. } = &event.fact {
            self.tips.extend(commits.first().map(|tip| (event.project.clone(), tip.clone())));
        } else if let Fact::BuildCreated { cause, ref_name, revision } = &event.fact {
            let tip = self.tips.get(&event.project).filter(|tip| tip.revision == *revision);
            let tip = tip.cloned().unwrap_or_default();
            self.builds.entry(key).or_insert_with(|| BuildView {
                subject: tip.subject,
                author: tip.author,
                project: event.project.clone(),
                number: event.build,
                cause: cause.clone(),
                ref_name: ref_name.clone(),
                revision: revision.clone(),
                created: Some(event.time),
                ..BuildView::default()
            });
        } else if let Some(build) = self.builds.get_mut(&key) {
            carry_on(build, event);
        }
    }

    /// Returns the build with this number, if it is mirrored.
    pub fn build(&self, project: &str, number: u32) -> Option<&BuildView> {
        self.builds.get(&(project.to_owned(), number))
    }

    /// Returns all mirrored builds, ordered by project, and the oldest of each project first.
    pub fn builds(&self) -> impl Iterator<Item = &BuildView> {
        self.builds.values()
    }

    /// Replaces a mirrored build by the build as the master shows it now.
    pub fn replace(&mut self, build: BuildView) {
        self.builds.insert((build.project.clone(), build.number), build);
    }

    /// Copies from `told` the facts that events do not tell, such as the subject. Leaves the progress of the mirrored build alone.
    pub fn describe(&mut self, told: &BuildView) {
        let Some(build) = self.builds.get_mut(&(told.project.clone(), told.number)) else { return };
        build.subject.clone_from(&told.subject);
        build.author.clone_from(&told.author);
        for job in &mut build.jobs {
            let Some(known) = told.job(&job.name) else { continue };
            job.needs.clone_from(&known.needs);
            job.platform.clone_from(&known.platform);
            job.carried_from = known.carried_from;
        }
    }

    /// Forgets the finished builds of each project but its newest, so that a long watch stays small.
    pub fn forget_finished(&mut self) {
        let newest: BTreeMap<String, u32> = self.builds.keys().cloned().collect();
        self.builds.retain(|(project, number), build| !build.is_finished() || newest.get(project) == Some(number));
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an event of another kind, known or to come, changes no job and no step"
)]
fn carry_on(build: &mut BuildView, event: &Event) {
    match &event.fact {
        Fact::BuildPlanned { jobs } => plan(build, jobs),
        Fact::BuildFinished { outcome } => finish_build(build, *outcome, event.time),
        Fact::JobQueued { job } => on_job(build, job, |job| {
            job.state = State::Queued;
            job.queued = job.queued.or(Some(event.time));
            // The event for which the job waited has happened.
            job.reason.clear();
        }),
        Fact::JobStarted { job, attempt, worker } => {
            build.state = State::Running;
            build.started = build.started.or(Some(event.time));
            on_job(build, job, |job| start_job(job, *attempt, worker, event.time));
        }
        Fact::AttemptLost { job, reason, .. } => on_job(build, job, |job| {
            job.reason.clone_from(reason);
            finish_steps(job, Outcome::Errored, event.time);
        }),
        Fact::StepStarted { job, attempt, step, name } => {
            on_step(build, job, *attempt, *step, |step| {
                step.name.clone_from(name);
                step.state = State::Running;
                step.started = Some(event.time);
            });
        }
        Fact::StepFinished { job, attempt, step, outcome, tests, .. } => {
            on_step(build, job, *attempt, *step, |step| {
                step.state = State::Finished;
                step.outcome = Some(*outcome);
                step.finished = Some(event.time);
                // A snapshot knows more than the event, such as the names of the tests that failed.
                step.tests = step.tests.take().or_else(|| tests.map(counted));
            });
        }
        Fact::JobFinished { job, outcome, reason } => on_job(build, job, |job| {
            job.state = State::Finished;
            job.outcome = Some(*outcome);
            job.reason.clone_from(reason);
            job.finished = Some(event.time);
            finish_steps(job, *outcome, event.time);
        }),
        _ => {}
    }
}

/// Returns the numbers of tests, without the details that an event does not tell.
fn counted(tests: TestCounts) -> StepTests {
    let TestCounts { passed, failed, errored, skipped } = tests;
    StepTests { passed, failed, errored, skipped, ..StepTests::default() }
}

/// Adds the jobs that are new. The event comes again if jobs are added to a build. Known jobs stay as they are, because a later
/// snapshot may know more of them than the event.
fn plan(build: &mut BuildView, jobs: &[String]) {
    if build.state == State::Planning {
        build.state = State::Waiting;
    }
    build.job_count = build.job_count.max(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
    let known: BTreeSet<String> = build.jobs.iter().map(|job| job.name.clone()).collect();
    let new = jobs.iter().filter(|name| !known.contains(*name));
    let waits = |name: &String| JobView { name: name.clone(), state: State::Waiting, ..JobView::default() };
    build.jobs.extend(new.map(waits));
}

fn finish_build(build: &mut BuildView, outcome: Outcome, time: Time) {
    build.state = State::Finished;
    build.outcome = Some(outcome);
    build.finished = Some(time);
}

fn start_job(job: &mut JobView, attempt: u16, worker: &str, time: Time) {
    job.state = State::Running;
    job.attempt = attempt;
    job.worker = worker.to_owned();
    job.reason.clear();
    job.started = Some(time);
    job.steps.clear();
}

/// Ends the running steps of an attempt that ended without an event for them.
fn finish_steps(job: &mut JobView, outcome: Outcome, time: Time) {
    for step in job.steps.iter_mut().filter(|step| step.state == State::Running) {
        step.state = State::Finished;
        step.outcome = Some(outcome);
        step.finished = Some(time);
    }
}

fn on_job(build: &mut BuildView, name: &str, change: impl FnOnce(&mut JobView)) {
    if let Some(job) = build.jobs.iter_mut().find(|job| job.name == name) {
        change(job);
    }
}

/// Changes the step with this number, counted from 1. Steps before it that were never seen are added as waiting, because events have no
/// plan.
fn on_step(build: &mut BuildView, name: &str, attempt: u16, step: u16, change: impl FnOnce(&mut StepView)) {
    on_job(build, name, |job| {
        let Some(index) = usize::from(step).checked_sub(1) else { return };
        if job.attempt != attempt {
            return;
        }
        if job.steps.len() <= index {
            job.steps.resize_with(index + 1, || StepView { state: State::Waiting, ..StepView::default() });
        }
        change(&mut job.steps[index]);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sequence: u64, fact: Fact) -> Event {
        Event { sequence, time: Time(sequence * 1000), origin: None, project: "p".to_owned(), build: 1, fact }
    }

    fn mirror_after(facts: Vec<Fact>) -> Mirror {
        let mut mirror = Mirror::default();
        for (sequence, fact) in (1..).zip(facts) {
            mirror.apply(&event(sequence, fact));
        }
        mirror
    }

    fn text(mirror: &Mirror) -> String {
        let build = mirror.build("p", 1).unwrap();
        let mut lines = vec![format!("{} {:?}", build.state, build.outcome)];
        for job in &build.jobs {
            lines.push(format!("{} {} {:?} #{} {}", job.name, job.state, job.outcome, job.attempt, job.worker));
            for step in &job.steps {
                lines.push(format!("  {} {} {:?}", step.name, step.state, step.outcome));
            }
        }
        lines.join("\n")
    }

    /// T2.1, T2.2: a build without a push has its subject from the master. The reason why a job waited disappears when the job is
    /// queued.
    #[test]
    fn what_events_do_not_tell_is_learned_and_goes_stale_with_them() {
        let job = || "test".to_owned();
        let mut mirror = mirror_after(vec![created(), Fact::BuildPlanned { jobs: vec![job()] }]);
        let mut told = mirror.build("p", 1).unwrap().clone();
        "Fix it".clone_into(&mut told.subject);
        told.jobs[0].needs = vec![0];
        mirror.describe(&told);
        let mut waiting = mirror.build("p", 1).unwrap().clone();
        "needs lint".clone_into(&mut waiting.jobs[0].reason);
        mirror.replace(waiting);
        mirror.apply(&event(3, Fact::JobQueued { job: job() }));
        let build = mirror.build("p", 1).unwrap();
        assert_eq!((build.subject.as_str(), build.jobs[0].needs.as_slice()), ("Fix it", &[0][..]));
        assert_eq!((build.jobs[0].state, build.jobs[0].reason.as_str()), (State::Queued, ""));
    }

    #[test]
    fn a_build_that_follows_a_change_has_its_subject() {
        let tip = Commit {
            revision: "abc".into(),
            subject: "Fix it".into(),
            author: "Ann <ann@example.org>".into(),
            ..Commit::default()
        };
        let change = Fact::ChangeSubmitted {
            ref_name: "refs/heads/main".into(),
            revision: "abc".into(),
            forced: false,
            commits: vec![tip],
            more_commits: false,
            paths: Vec::new(),
            more_paths: false,
        };
        let told = mirror_after(vec![change, Fact::Unknown { kind: "later".into() }, created()]);
        let build = told.build("p", 1).unwrap();
        assert_eq!((build.subject.as_str(), build.author.as_str()), ("Fix it", "Ann <ann@example.org>"));
        assert_eq!(mirror_after(vec![created()]).build("p", 1).unwrap().subject, "");
    }

    fn created() -> Fact {
        Fact::BuildCreated { cause: "change".into(), ref_name: "refs/heads/main".into(), revision: "abc".into() }
    }

    #[test]
    fn follows_a_build_to_its_end() {
        let job = || "test".to_owned();
        let mut facts = vec![
            created(),
            Fact::BuildPlanned { jobs: vec![job(), "lint".into()] },
            Fact::JobQueued { job: job() },
            Fact::JobStarted { job: job(), attempt: 1, worker: "w".into() },
            Fact::StepStarted { job: job(), attempt: 1, step: 1, name: "make".into() },
        ];
        assert_eq!(
            text(&mirror_after(facts.clone())),
            "running None\ntest running None #1 w\n  make running None\nlint waiting None #0 "
        );
        facts.extend([
            Fact::AttemptLost { job: job(), attempt: 1, worker: "w".into(), reason: "gone".into() },
            Fact::JobStarted { job: job(), attempt: 2, worker: "v".into() },
            Fact::StepFinished {
                job: job(),
                attempt: 1,
                step: 1,
                outcome: Outcome::Failed,
                reason: String::new(),
                tests: None,
            },
            Fact::StepStarted { job: job(), attempt: 2, step: 2, name: "check".into() },
            Fact::JobFinished { job: job(), outcome: Outcome::Failed, reason: String::new() },
            Fact::JobFinished { job: "lint".into(), outcome: Outcome::Skipped, reason: String::new() },
            Fact::BuildFinished { outcome: Outcome::Failed },
        ]);
        assert_eq!(
            text(&mirror_after(facts)),
            "finished Some(Failed)\ntest finished Some(Failed) #2 v\n   waiting None\n  check finished Some(Failed)\n\
             lint finished Some(Skipped) #0 "
        );
    }

    #[test]
    fn a_step_that_ended_has_its_numbers_of_tests() {
        let tests = |step: u16, tests| Fact::StepFinished {
            job: "test".into(),
            attempt: 1,
            step,
            outcome: Outcome::Failed,
            reason: "exit code 1".into(),
            tests,
        };
        let counts = TestCounts { passed: 4, failed: 1, errored: 2, skipped: 3 };
        let planned = Fact::BuildPlanned { jobs: vec!["test".into()] };
        let started = Fact::JobStarted { job: "test".into(), attempt: 1, worker: "w".into() };
        let mirror = mirror_after(vec![created(), planned, started, tests(1, Some(counts)), tests(2, None)]);
        let steps = &mirror.build("p", 1).unwrap().jobs[0].steps;
        let told = steps[0].tests.as_ref().map(|it| (it.passed, it.failed, it.errored, it.skipped));
        assert_eq!((told, &steps[1].tests), (Some((4, 1, 2, 3)), &None));
    }

    #[test]
    fn shows_the_jobs_that_are_added_to_a_build() {
        let planned =
            |names: &[&str]| Fact::BuildPlanned { jobs: names.iter().map(|name| (*name).to_owned()).collect() };
        let facts = [
            created(),
            planned(&["test"]),
            Fact::JobStarted { job: "test".into(), attempt: 1, worker: "w".into() },
            planned(&["test", "pack", "send"]),
            Fact::JobQueued { job: "pack".into() },
            // Events may come again although a snapshot already contains them.
            planned(&["test"]),
        ];
        let told = mirror_after(facts.to_vec());
        assert_eq!(text(&told), "running None\ntest running None #1 w\npack queued None #0 \nsend waiting None #0 ");
        assert_eq!(told.build("p", 1).unwrap().job_count, 3);
    }

    #[test]
    fn events_of_unknown_builds_and_jobs_change_nothing() {
        let mut mirror = mirror_after(vec![Fact::BuildFinished { outcome: Outcome::Failed }]);
        assert_eq!(mirror.builds().count(), 0);
        mirror.apply(&event(1, created()));
        mirror.apply(&event(2, Fact::JobQueued { job: "nobody".into() }));
        assert_eq!(text(&mirror), "planning None");
    }

    #[test]
    fn a_long_watch_forgets_what_is_over() {
        let mut mirror = mirror_after(vec![created(), Fact::BuildFinished { outcome: Outcome::Succeeded }]);
        mirror.apply(&Event { build: 2, ..event(9, created()) });
        mirror.forget_finished();
        assert_eq!(mirror.builds().map(|build| build.number).collect::<Vec<_>>(), [2]);
    }
}
