//! Checks the reports of a worker about its steps. Each step must be in the plan of the job, and must end as a step can end.

use super::Coordinator;
use super::lease::stale;
use super::record::{JobKey, LeaseToken, Record, SealRow, StepKey, StepRow};
use crate::decide::builds::{OpenAttempt, check_end, end_of_step};
use schema::limits::STEP_NAME;
use schema::values::{Exit, Fact, Refusal, RefusalCode, SourceRevision, State, StepEnd, Time};

/// The log of a step whose attempt is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenLog {
    pub key: StepKey,
    /// The size of the log in bytes, as reported with the end of its step. `None` means that the step has not ended.
    pub size: Option<u64>,
}

impl Coordinator {
    pub fn step_started(&mut self, now: Time, token: LeaseToken, step: u16, time: Time) -> Result<(), Refusal> {
        self.hear(now, token)?;
        let (key, name) = self.step_of(token, step)?;
        if self.reported(key.job, step).is_some() {
            return Ok(());
        }
        let row = StepRow {
            key,
            name: name.clone(),
            state: State::Running,
            outcome: None,
            exit: Exit::None,
            started: Some(time),
            finished: None,
            log_size: 0,
            log_hash: Vec::new(),
            tests: None,
        };
        self.note_step(now, token, row);
        let job = self.job(key.job).row.name.clone();
        self.tell(now, key.job.build, Fact::StepStarted { job, attempt: key.attempt, step: step + 1, name });
        Ok(())
    }

    pub fn step_finished(&mut self, now: Time, token: LeaseToken, step: u16, end: StepEnd) -> Result<(), Refusal> {
        self.hear(now, token)?;
        let (key, name) = self.step_of(token, step)?;
        let started = match self.reported(key.job, step) {
            Some(row) if row.state == State::Finished => return Ok(()),
            row => row.and_then(|row| row.started),
        };
        check_end(&end, started).map_err(|refusal| of_step(step, &name, refusal))?;
        let fact = end_of_step(self.job(key.job).row.name.clone(), key.attempt, step, &end);
        let row = StepRow {
            key,
            name,
            state: State::Finished,
            outcome: Some(end.outcome),
            exit: end.exit,
            started,
            // The clock of the worker's machine may have been set back since the step began.
            finished: Some(started.map_or(end.time, |started| started.max(end.time))),
            log_size: end.log_size,
            log_hash: end.log_hash,
            tests: end.tests,
        };
        self.note_step(now, token, row);
        self.tell(now, key.job.build, fact);
        Ok(())
    }

    /// Returns the steps of this attempt, whose logs can be sealed. Refuses this while a step runs, because its end is yet to come.
    pub fn finished_steps(&self, token: LeaseToken) -> Result<Vec<StepRow>, Refusal> {
        let job = self.begun(token)?.owner;
        let OpenAttempt { steps, .. } = self.attempt(job).ok_or_else(stale)?;
        if let Some(row) = steps.iter().find(|row| row.state != State::Finished) {
            let text = format!("step {} ({}) has not finished yet", row.key.step + 1, row.name);
            return Err(Refusal::new(RefusalCode::Conflict, text));
        }
        Ok(steps.to_vec())
    }

    /// Records logs that will not change any more. Refuses this while their attempt is under way, because its steps may still write.
    pub fn seal_logs(&mut self, seals: Vec<SealRow>) -> Result<(), Refusal> {
        if let Some(row) = seals.iter().find(|row| self.is_attempt_open(row.key.job, row.key.attempt)) {
            let text = format!("the attempt of step {} has not ended yet", row.key.step + 1);
            return Err(Refusal::new(RefusalCode::Conflict, text));
        }
        seals.into_iter().for_each(|row| self.record(Record::Seal(row)));
        Ok(())
    }

    /// The last report of the worker on this step, in the attempt that has a lease.
    fn reported(&self, job: JobKey, step: u16) -> Option<&StepRow> {
        self.attempt(job)?.steps.at(step)
    }

    fn note_step(&mut self, now: Time, token: LeaseToken, row: StepRow) {
        let JobKey { build, index } = row.key.job;
        let jobs = self.builds.get_mut(&build).map(|build| &mut build.jobs);
        if let Some(attempt) = jobs.and_then(|jobs| jobs[index as usize].attempt.as_mut()) {
            attempt.steps.put(&mut self.effects, row);
        }
        self.placement.note_sign(self.ahead.steady(now), token);
    }

    /// Returns the log of a step. Refuses it before the attempt begins, after it ends, and for a step that its plan does not have.
    pub fn lease_log(&self, token: LeaseToken, step: u16) -> Result<OpenLog, Refusal> {
        let (key, _) = self.step_of(token, step)?;
        let size = self.reported(key.job, step).filter(|row| row.state == State::Finished).map(|row| row.log_size);
        Ok(OpenLog { key, size })
    }

    /// Returns the source with this index in the stamp of the lease's build. Refuses it before the attempt begins.
    pub fn lease_source(&self, token: LeaseToken, index: usize) -> Result<SourceRevision, Refusal> {
        let lease = self.begun(token)?;
        let sources = &self.builds[&lease.owner.build].row.stamp.sources;
        let missing = || Refusal::new(RefusalCode::Invalid, format!("the stamp has {} sources", sources.len()));
        sources.get(index).cloned().ok_or_else(missing)
    }

    fn step_of(&self, token: LeaseToken, step: u16) -> Result<(StepKey, String), Refusal> {
        let job = self.begun(token)?.owner;
        let OpenAttempt { row, .. } = self.attempt(job).ok_or_else(stale)?;
        let plan = self.job_plan(job);
        let name =
            plan.steps.get(usize::from(step)).map(|step| STEP_NAME.cut(&step.name).into_owned()).ok_or_else(|| {
                let count = plan.steps.len();
                Refusal::new(
                    RefusalCode::Invalid,
                    format!("job {} has {count} steps, none with index {step}", plan.name),
                )
            })?;
        Ok((StepKey { job, attempt: row.number, step }, name))
    }
}

fn of_step(step: u16, name: &str, refusal: Refusal) -> Refusal {
    Refusal { text: format!("step {} ({name}): {}", u32::from(step) + 1, refusal.text), ..refusal }
}
