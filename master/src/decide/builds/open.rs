//! An unfinished build in memory: its plan, its jobs, and for each job the attempt that has a lease.

use crate::decide::records::{AttemptRow, BuildRow, JobRow, Row, Steps};
use schema::values::{Outcome, Plan, State};

#[derive(Debug)]
pub(in crate::decide) struct Build {
    pub row: Row<BuildRow>,
    pub plan: Option<Plan>,
    pub jobs: Vec<Job>,
    /// The number of the build's jobs that are not finished.
    pub(super) open: usize,
}

impl Build {
    /// A build whose plan is still to be made.
    pub(in crate::decide) fn new(row: Row<BuildRow>) -> Build {
        Build { row, plan: None, jobs: Vec::new(), open: 0 }
    }

    /// Takes a plan and the rows of its jobs, in the order of their indices. Derives which jobs need each job, and how many jobs are
    /// open.
    pub(in crate::decide) fn take_plan(&mut self, plan: Plan, rows: Vec<Row<JobRow>>) {
        self.jobs.clear();
        self.open = 0;
        self.add_jobs(plan, rows);
    }

    /// Takes a plan that extends the plan of the build, and the rows of the additional jobs.
    pub(in crate::decide) fn add_jobs(&mut self, plan: Plan, rows: Vec<Row<JobRow>>) {
        let first = self.jobs.len();
        self.open += rows.iter().filter(|row| row.state != State::Finished).count();
        self.jobs.extend(rows.into_iter().map(|row| Job { row, needed_by: Vec::new(), attempt: None }));
        for (index, job) in (0..).zip(&plan.jobs).skip(first) {
            job.needs.iter().for_each(|need| self.jobs[*need as usize].needed_by.push(index));
        }
        self.plan = Some(plan);
    }

    /// Panics if an invariant of an open build is broken. Only tests call this.
    pub(in crate::decide) fn check(&self) {
        let id = self.row.id;
        assert!(self.row.state != State::Finished, "finished build {id:?} is kept");
        assert_eq!(self.open_jobs().count(), self.open, "the open jobs of {id:?} are miscounted");
        assert!(self.row.state == State::Planning || self.open > 0, "{id:?} has nothing to do and is not finished");
    }

    /// The outcome of a job as it counts for its build, and for the jobs that need it. `None` means that the job is not finished.
    pub(in crate::decide) fn counted(&self, index: usize) -> Option<Outcome> {
        let plan = self.plan.as_ref().and_then(|plan| plan.jobs.get(index));
        self.jobs[index].row.outcome.map(|outcome| plan.map_or(outcome, |plan| plan.counted(outcome)))
    }

    /// The outcome of a job as it counts for its lane. A job that errored says nothing about the code, even if it may fail.
    pub(in crate::decide) fn told_to_lane(&self, index: usize) -> Option<Outcome> {
        let outcome = self.jobs[index].row.outcome;
        if outcome == Some(Outcome::Errored) { outcome } else { self.counted(index) }
    }

    /// Whether the jobs that need this one must not run, because it ended badly or was itself skipped for its needs. A job that `when`
    /// left out blocks nothing.
    pub(in crate::decide) fn blocks(&self, index: usize) -> bool {
        let is_left_out = || self.plan.as_ref().is_some_and(|plan| !plan.jobs[index].skipped.is_empty());
        match self.counted(index) {
            None | Some(Outcome::Succeeded | Outcome::Warned) => false,
            Some(Outcome::Skipped) => !is_left_out(),
            Some(Outcome::Failed | Outcome::Errored | Outcome::Cancelled) => true,
        }
    }
}

#[derive(Debug)]
pub(in crate::decide) struct Job {
    pub row: Row<JobRow>,
    /// The indices of the jobs that need this one.
    pub needed_by: Vec<u32>,
    /// The attempt that is offered, that runs, or that may still resume. Placement holds its lease.
    pub attempt: Option<OpenAttempt>,
}

/// An attempt of a job that has not ended yet.
#[derive(Debug)]
pub(in crate::decide) struct OpenAttempt {
    pub row: Row<AttemptRow>,
    pub steps: Steps,
}

impl OpenAttempt {
    /// Makes an attempt that is offered. Nobody has accepted it, and it is not recorded.
    pub(in crate::decide) fn draft(row: AttemptRow) -> OpenAttempt {
        OpenAttempt { row: Row::draft(row), steps: Steps::default() }
    }

    /// The reason for which somebody asked to end the attempt. `None` means that nobody asked.
    pub(in crate::decide) fn cancelled(&self) -> Option<&str> {
        (self.row.outcome == Some(Outcome::Cancelled)).then_some(self.row.reason.as_str())
    }
}
