//! Counts what happened since the start of the master, for those who watch it. It counts committed events, and decides nothing.

use prometheus_client::metrics::histogram::Histogram;
use schema::values::{Event, Fact, Outcome, Time};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// The buckets of the histograms of waits and runs, in seconds: from a trivial job to a job of one day.
const JOB_SECONDS: [f64; 12] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0];
/// The buckets of the histogram of commits, in seconds: from a disk that is only memory to a disk that is failing.
const COMMIT_SECONDS: [f64; 9] = [0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// `Counted` has the numbers of a meter. A clone shares the histograms, and keeps the counts as they were.
#[derive(Clone, Debug)]
pub struct Counted {
    /// The number of finished builds, by project and outcome.
    pub builds: BTreeMap<(String, Outcome), u64>,
    /// The number of finished jobs, by project and outcome.
    pub jobs: BTreeMap<(String, Outcome), u64>,
    /// The number of attempts that were lost with their workers.
    pub attempts_lost: u64,
    pub workers_lost: u64,
    /// The number of alarms, such as a credential that somebody else showed.
    pub alarms: u64,
    /// The number of credentials and joins that were refused at the RPC port.
    pub logins_refused: u64,
    /// The times that jobs wait in the queue before a worker starts them.
    pub queue_seconds: Histogram,
    /// The times that the last attempts of jobs take, from start to end.
    pub job_seconds: Histogram,
    /// The times that builds take, from their creation to their end.
    pub build_seconds: Histogram,
    /// The times that commits of the store take, including the sync.
    pub commit_seconds: Histogram,
}

/// The meter of a master. It knows no duration of builds and jobs that began before it was made.
#[derive(Debug)]
pub struct Meter {
    counted: RefCell<Counted>,
    /// The open builds of each project, by their numbers.
    open: RefCell<BTreeMap<String, BTreeMap<u32, OpenBuild>>>,
}

#[derive(Debug)]
struct OpenBuild {
    created: Time,
    jobs: BTreeMap<String, OpenJob>,
}

#[derive(Debug, Default)]
struct OpenJob {
    queued: Option<Time>,
    started: Option<Time>,
}

impl Default for Meter {
    fn default() -> Meter {
        let counted = Counted {
            builds: BTreeMap::new(),
            jobs: BTreeMap::new(),
            attempts_lost: 0,
            workers_lost: 0,
            alarms: 0,
            logins_refused: 0,
            queue_seconds: Histogram::new(JOB_SECONDS),
            job_seconds: Histogram::new(JOB_SECONDS),
            build_seconds: Histogram::new(JOB_SECONDS),
            commit_seconds: Histogram::new(COMMIT_SECONDS),
        };
        Meter { counted: RefCell::new(counted), open: RefCell::default() }
    }
}

impl Meter {
    pub fn counted(&self) -> Counted {
        self.counted.borrow().clone()
    }

    pub fn note_commit(&self, took: Duration) {
        self.counted.borrow().commit_seconds.observe(took.as_secs_f64());
    }

    pub fn note_refused_login(&self) {
        self.counted.borrow_mut().logins_refused += 1;
    }

    pub fn note_all(&self, events: &[Event]) {
        events.iter().for_each(|event| self.note(event));
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "an event of another kind is not counted")]
    fn note(&self, event: &Event) {
        let mut counted = self.counted.borrow_mut();
        match &event.fact {
            Fact::BuildCreated { .. } => self.begin(event),
            Fact::JobQueued { job } => {
                self.on_job(event, job, |it| it.queued = Some(event.time));
            }
            Fact::JobStarted { job, .. } => {
                let queued = self.on_job(event, job, |it| {
                    it.started = Some(event.time);
                    it.queued.take()
                });
                observe(&counted.queue_seconds, queued.flatten(), event.time);
            }
            Fact::JobFinished { job, outcome, .. } => {
                *counted.jobs.entry((event.project.clone(), *outcome)).or_default() += 1;
                let started = self.on_job(event, job, |it| it.started.take());
                observe(&counted.job_seconds, started.flatten(), event.time);
            }
            Fact::BuildFinished { outcome } => {
                *counted.builds.entry((event.project.clone(), *outcome)).or_default() += 1;
                observe(&counted.build_seconds, self.end(event).map(|open| open.created), event.time);
            }
            Fact::AttemptLost { .. } => counted.attempts_lost += 1,
            Fact::WorkerLost { .. } => counted.workers_lost += 1,
            Fact::Alarm { .. } => counted.alarms += 1,
            _ => {}
        }
    }

    fn begin(&self, event: &Event) {
        let open = OpenBuild { created: event.time, jobs: BTreeMap::new() };
        self.open.borrow_mut().entry(event.project.clone()).or_default().insert(event.build, open);
    }

    fn end(&self, event: &Event) -> Option<OpenBuild> {
        let mut open = self.open.borrow_mut();
        let of_project = open.get_mut(&event.project)?;
        let ended = of_project.remove(&event.build);
        // The entry goes with the last open build, so that a project which is removed from the master file leaves nothing.
        if of_project.is_empty() {
            open.remove(&event.project);
        }
        ended
    }

    fn on_job<T>(&self, event: &Event, job: &str, change: impl FnOnce(&mut OpenJob) -> T) -> Option<T> {
        let mut open = self.open.borrow_mut();
        let build = open.get_mut(&event.project)?.get_mut(&event.build)?;
        if !build.jobs.contains_key(job) {
            build.jobs.insert(job.to_owned(), OpenJob::default());
        }
        build.jobs.get_mut(job).map(change)
    }
}

fn observe(histogram: &Histogram, from: Option<Time>, to: Time) {
    if let Some(from) = from {
        histogram.observe(to.since(from).as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(build: u32, time: u64, fact: Fact) -> Event {
        Event { sequence: time, time: Time(time), origin: None, project: "p".to_owned(), build, fact }
    }

    /// Finished builds and jobs are counted by outcome, and the meter keeps nothing else of them.
    #[test]
    fn outcomes_and_lengths_are_counted() {
        let meter = Meter::default();
        let (job, worker) = (|| "test".to_owned(), || "anvil".to_owned());
        let created = Fact::BuildCreated { cause: String::new(), ref_name: String::new(), revision: String::new() };
        meter.note_all(&[
            event(1, 1_000, created),
            event(1, 1_000, Fact::JobQueued { job: job() }),
            event(1, 3_000, Fact::JobStarted { job: job(), attempt: 1, worker: worker() }),
            event(1, 4_000, Fact::AttemptLost { job: job(), attempt: 1, worker: worker(), reason: String::new() }),
            event(1, 9_000, Fact::JobFinished { job: job(), outcome: Outcome::Errored, reason: String::new() }),
            event(1, 9_000, Fact::BuildFinished { outcome: Outcome::Errored }),
            // This build began before the master was started.
            event(7, 9_000, Fact::BuildFinished { outcome: Outcome::Succeeded }),
        ]);
        let counted = meter.counted();
        let of = |outcome| (("p".to_owned(), outcome), 1);
        assert_eq!(counted.jobs, BTreeMap::from([of(Outcome::Errored)]));
        assert_eq!(counted.builds, BTreeMap::from([of(Outcome::Errored), of(Outcome::Succeeded)]));
        assert_eq!((counted.attempts_lost, counted.alarms), (1, 0));
        assert!(meter.open.borrow().is_empty());
    }
}
