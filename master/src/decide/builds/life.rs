//! The life of a build: it gets its jobs, may get more, and each job ends. All these changes are recorded here. The caller announces
//! them, and queues the jobs that become ready.

use super::{AddedJob, Build, Job, extended};
use crate::decide::records::{BuildId, BuildRow, JobKey, JobRow, Record, Recorder, Row};
use schema::limits::REASON;
use schema::values::{JobPlan, Outcome, Plan, Refusal, RefusalCode, State, Time};
use schema::wire::length;

/// The next action of a job, by the state of the jobs that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::decide) enum AfterNeeds {
    /// The job stays as it is, because its needs are still open or because it is not waiting any more.
    Stays,
    /// The job's needs are met, so it waits for a worker from now on.
    Ready,
    /// The job must not run, for this reason.
    Skipped(String),
}

impl Build {
    /// Takes a plan, and records it with its jobs. `carried` has the indices and rows of jobs that a retry does not repeat. Returns the
    /// names of all jobs.
    pub(in crate::decide) fn adopt(
        &mut self,
        plan: Plan,
        carried: Vec<(usize, JobRow)>,
        to: &mut impl Recorder,
    ) -> Vec<String> {
        let mut rows = new_jobs(self.row.id, &plan, 0);
        for (index, row) in carried {
            rows[index] = row;
        }
        let names = self.record_plan(&plan, |row| row.state = State::Queued, to);
        self.take_plan(plan, recorded(rows, to));
        names
    }

    /// Adds all of these jobs to the build, or none, and records the whole plan again. Existing jobs keep their keys. Returns the index
    /// of the first new job, and the names of all new jobs.
    pub(in crate::decide) fn append(
        &mut self,
        jobs: Vec<AddedJob>,
        to: &mut impl Recorder,
    ) -> Result<(u32, Vec<String>), Refusal> {
        let plan = extended(self.plan.as_ref().ok_or_else(unplanned)?, jobs)?;
        let first = length(self.jobs.len());
        let names = self.record_plan(&plan, |_| (), to);
        let rows = new_jobs(self.row.id, &plan, first);
        self.add_jobs(plan, recorded(rows, to));
        Ok((first, names))
    }

    /// Marks the build as running, because a job of it has started.
    pub(in crate::decide) fn begin(&mut self, now: Time, to: &mut impl Recorder) {
        if self.row.state != State::Running {
            self.row.edit(to, |row| (row.state, row.started) = (State::Running, Some(now)));
        }
    }

    /// The next action of a job, by the state of the jobs that it needs.
    pub(in crate::decide) fn after_needs(&self, index: u32) -> AfterNeeds {
        if self.jobs[index as usize].row.state != State::Waiting {
            return AfterNeeds::Stays;
        }
        let plan = self.job_plan(index);
        if !plan.skipped.is_empty() {
            return AfterNeeds::Skipped(plan.skipped.clone());
        }
        let needs = || plan.needs.iter().map(|need| *need as usize);
        if let Some(row) = needs().find(|need| self.blocks(*need)).map(|need| &self.jobs[need].row) {
            return AfterNeeds::Skipped(format!(
                "needs {}, which {}",
                row.name,
                row.outcome.map_or("is not finished", became)
            ));
        }
        let is_ready = needs().all(|need| self.jobs[need].row.state == State::Finished);
        if is_ready { AfterNeeds::Ready } else { AfterNeeds::Stays }
    }

    /// Ends a job. Returns its name, and its reason as it is stored.
    pub(in crate::decide) fn close_job(
        &mut self,
        now: Time,
        index: u32,
        outcome: Outcome,
        reason: &str,
        to: &mut impl Recorder,
    ) -> (String, String) {
        let row = self.jobs[index as usize].row.edit(to, |row| {
            assert!(row.state != State::Finished, "job {} is finished twice", row.name);
            row.state = State::Finished;
            row.outcome = Some(outcome);
            row.reason = REASON.cut(reason).into_owned();
            row.finished = Some(now);
        });
        let told = (row.name.clone(), row.reason.clone());
        self.open -= 1;
        told
    }

    /// The outcome of the build, which is the outcome of its worst job. `None` means that the build is not planned, or that a job of it
    /// is not finished.
    pub(in crate::decide) fn outcome(&self) -> Option<Outcome> {
        if self.open > 0 || self.row.state == State::Planning {
            return None;
        }
        let worst = (0..self.jobs.len()).filter_map(|index| self.counted(index)).max().unwrap_or(Outcome::Skipped);
        // A build whose jobs were all skipped succeeds, because nothing failed.
        Some(if worst == Outcome::Skipped { Outcome::Succeeded } else { worst })
    }

    /// Ends the build. `diagnosis` says why there is no plan, and is empty if there is a plan.
    pub(in crate::decide) fn finish(self, now: Time, outcome: Outcome, diagnosis: String, to: &mut impl Recorder) {
        self.row.close(to, |row| {
            row.state = State::Finished;
            row.outcome = Some(outcome);
            row.finished = Some(now);
            row.diagnosis = diagnosis;
        });
    }

    /// The jobs of the build that are not finished.
    pub(in crate::decide) fn open_jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(|job| job.row.state != State::Finished)
    }

    /// The jobs that this one needs and that are not finished.
    pub(in crate::decide) fn open_needs(&self, index: u32) -> impl Iterator<Item = &JobRow> {
        let needs = self.job_plan(index).needs.iter().map(|need| &*self.jobs[*need as usize].row);
        needs.filter(|row| row.state != State::Finished)
    }

    pub(in crate::decide) fn job_plan(&self, index: u32) -> &JobPlan {
        &self.plan.as_ref().expect("a build with jobs has a plan").jobs[index as usize]
    }

    /// Whether a step of the job may leave a list of tests.
    pub(in crate::decide) fn reports_tests(&self, index: u32) -> bool {
        self.job_plan(index).steps.iter().any(|step| !step.reports.is_empty())
    }

    fn record_plan(&mut self, plan: &Plan, change: impl FnOnce(&mut BuildRow), to: &mut impl Recorder) -> Vec<String> {
        to.record(Record::Plan { build: self.row.id, plan: plan.clone() });
        self.row.edit(to, |row| {
            row.job_count = length(plan.jobs.len());
            change(row);
        });
        plan.jobs.iter().map(|job| job.name.clone()).collect()
    }
}

/// The rows of the jobs of a plan, from the index `first` on.
fn new_jobs(build: BuildId, plan: &Plan, first: u32) -> Vec<JobRow> {
    let jobs = (0..).zip(&plan.jobs).skip(first as usize);
    jobs.map(|(index, job)| new_job(JobKey { build, index }, job)).collect()
}

fn new_job(key: JobKey, plan: &JobPlan) -> JobRow {
    JobRow { key, name: plan.name.clone(), state: State::Waiting, platform: plan.on.clone(), ..JobRow::default() }
}

fn recorded(rows: Vec<JobRow>, to: &mut impl Recorder) -> Vec<Row<JobRow>> {
    rows.into_iter().map(|row| Row::new(row, to)).collect()
}

/// The words for the end of a job, after "which".
fn became(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Skipped => "was skipped",
        Outcome::Cancelled => "was cancelled",
        Outcome::Succeeded | Outcome::Warned | Outcome::Failed | Outcome::Errored => outcome.word(),
    }
}

fn unplanned() -> Refusal {
    Refusal::new(RefusalCode::Conflict, "it has no plan yet").help("try again when it has one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::builds::{Order, Trigger};
    use crate::decide::records::{BuildCause, GrantId};
    use crate::decide::refs::Origin;
    use schema::values::{Commit, SourceStamp, Trust};

    fn job(name: &str, needs: &[u32]) -> JobPlan {
        JobPlan { name: name.to_owned(), needs: needs.to_vec(), ..JobPlan::default() }
    }

    /// A build in which `c` needs `a` and `b`, and `d` needs `c`.
    fn build(to: &mut Vec<Record>) -> Build {
        let (project, by) = ("p".to_owned(), GrantId(1));
        let (stamp, tip) = (SourceStamp::default(), Commit::default());
        let order = Order { project, stamp, tip, by, origin: Origin::Tip { since: u32::MAX } };
        let row = order.row(Time(1), BuildId(7), (1, 1), BuildCause::Change, Trigger::Asked);
        let jobs = vec![job("a", &[]), job("b", &[]), job("c", &[0, 1]), job("d", &[2])];
        let mut build = Build::new(Row::new(row, to));
        build.adopt(Plan { version: 1, jobs, trust: Trust::Trusted }, Vec::new(), to);
        build
    }

    #[test]
    fn a_job_is_ready_when_all_that_it_needs_came_to_a_good_end() {
        let mut records = Vec::new();
        let mut build = build(&mut records);
        let next = |build: &Build| [0, 1, 2, 3].map(|index| build.after_needs(index));
        assert_eq!(next(&build), [AfterNeeds::Ready, AfterNeeds::Ready, AfterNeeds::Stays, AfterNeeds::Stays]);
        build.close_job(Time(2), 0, Outcome::Succeeded, "", &mut records);
        assert_eq!(next(&build), [AfterNeeds::Stays, AfterNeeds::Ready, AfterNeeds::Stays, AfterNeeds::Stays]);
        build.close_job(Time(2), 1, Outcome::Warned, "", &mut records);
        assert_eq!(next(&build)[2..], [AfterNeeds::Ready, AfterNeeds::Stays]);
    }

    #[test]
    fn a_build_ends_as_its_worst_job_when_all_have_ended() {
        let mut records = Vec::new();
        let mut build = build(&mut records);
        build.close_job(Time(2), 0, Outcome::Failed, "", &mut records);
        assert_eq!(build.after_needs(2), AfterNeeds::Skipped("needs a, which failed".to_owned()));
        build.close_job(Time(2), 2, Outcome::Skipped, "needs a, which failed", &mut records);
        assert_eq!(build.after_needs(3), AfterNeeds::Skipped("needs c, which was skipped".to_owned()));
        build.close_job(Time(2), 3, Outcome::Skipped, "needs c, which was skipped", &mut records);
        assert_eq!((build.outcome(), build.open_jobs().count()), (None, 1));
        build.close_job(Time(2), 1, Outcome::Succeeded, "", &mut records);
        assert_eq!(build.outcome(), Some(Outcome::Failed));
        let of_jobs = records.iter().filter(|record| matches!(record, Record::Job(_)));
        assert_eq!(of_jobs.count(), 4 + 4, "each job is recorded as it is made and as it ends");
    }
}
