//! What a worker says of the steps of its attempt, held against the plan: which steps there are, and how one can end.

use super::Coordinator;
use super::lease::stale;
use super::record::{JobKey, LeaseToken, Record, SealRow, StepKey, StepRow};
use crate::decide::builds::OpenAttempt;
use schema::limits::borders::{EXIT_CODE, SIGNAL};
use schema::limits::{BLAKE3, STEP_NAME};
use schema::values::{Exit, Fact, Refusal, RefusalCode, SourceRevision, State, StepEnd, Time};

/// The numbers of signals on Linux, the real-time ones included.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=SIGNAL.most as i32;
/// What a process can exit with.
const CODES: std::ops::RangeInclusive<i32> = 0..=EXIT_CODE.most as i32;
/// Bytes of a BLAKE3 hash.
const HASH_BYTES: usize = BLAKE3.most;

/// The log of a step whose attempt has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenLog {
    pub key: StepKey,
    /// How long the log is, as the end of its step said. None: the step has not ended.
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
            Some(row) => row.started,
            None => None,
        };
        check_end(&end, started).map_err(|refusal| of_step(step, &name, refusal))?;
        let row = StepRow {
            key,
            name,
            state: State::Finished,
            outcome: Some(end.outcome),
            exit: end.exit,
            started,
            // the clock of its machine may have been set back meanwhile
            finished: Some(started.map_or(end.time, |started| started.max(end.time))),
            log_size: end.log_size,
            log_hash: end.log_hash,
        };
        self.note_step(now, token, row);
        let job = self.job(key.job).row.name.clone();
        let fact = Fact::StepFinished { job, attempt: key.attempt, step: step + 1, outcome: end.outcome };
        self.tell(now, key.job.build, fact);
        Ok(())
    }

    /// Steps of this attempt, all finished, for sealing their logs. Refused while one runs: its end is still on its way.
    pub fn finished_steps(&self, token: LeaseToken) -> Result<Vec<StepRow>, Refusal> {
        let job = self.begun(token)?.owner;
        let OpenAttempt { steps, .. } = self.attempt(job).ok_or_else(stale)?;
        if let Some(row) = steps.iter().find(|row| row.state != State::Finished) {
            let text = format!("step {} ({}) has not finished yet", row.key.step + 1, row.name);
            return Err(Refusal::new(RefusalCode::Conflict, text));
        }
        Ok(steps.to_vec())
    }

    /// Records logs that change no more. Refused while their attempt is under way: its steps may still write.
    pub fn seal_logs(&mut self, seals: Vec<SealRow>) -> Result<(), Refusal> {
        if let Some(row) = seals.iter().find(|row| self.is_attempt_open(row.key.job, row.key.attempt)) {
            let text = format!("the attempt of step {} has not ended yet", row.key.step + 1);
            return Err(Refusal::new(RefusalCode::Conflict, text));
        }
        seals.into_iter().for_each(|row| self.record(Record::Seal(row)));
        Ok(())
    }

    /// What the worker said of this step of the attempt that has a lease.
    fn reported(&self, job: JobKey, step: u16) -> Option<&StepRow> {
        self.attempt(job)?.steps.at(step)
    }

    fn note_step(&mut self, now: Time, token: LeaseToken, row: StepRow) {
        let JobKey { build, index } = row.key.job;
        let jobs = self.builds.get_mut(&build).map(|build| &mut build.jobs);
        if let Some(attempt) = jobs.and_then(|jobs| jobs[index as usize].attempt.as_mut()) {
            attempt.steps.put(&mut self.effects, row);
        }
        self.placement.note_sign(now, token);
    }

    /// The log of a step. Refused before the attempt has begun, after its end, and for a step that its plan does not have.
    pub fn lease_log(&self, token: LeaseToken, step: u16) -> Result<OpenLog, Refusal> {
        let (key, _) = self.step_of(token, step)?;
        let size = self.reported(key.job, step).filter(|row| row.state == State::Finished).map(|row| row.log_size);
        Ok(OpenLog { key, size })
    }

    /// The index-th source of the build that a lease is for. Refused before the attempt has begun.
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

/// Whether a step can have ended like this. `started`: when it began; none: nobody said that it did.
fn check_end(end: &StepEnd, started: Option<Time>) -> Result<(), Refusal> {
    let invalid = |text: String| Err(Refusal::new(RefusalCode::Invalid, text));
    let has_run = match &end.exit {
        Exit::Code(code) if !CODES.contains(code) => return invalid(format!("no process exits with the code {code}")),
        Exit::Signal(signal) if !SIGNALS.contains(signal) => return invalid(format!("there is no signal {signal}")),
        Exit::Code(_) | Exit::Signal(_) | Exit::Timeout | Exit::Idle => true,
        Exit::None | Exit::Lost(_) => false,
    };
    if has_run && started.is_none() {
        let text = format!("it ended ({}) and was never said to have started", end.exit);
        return Err(Refusal::new(RefusalCode::Conflict, text).help("say `started` first"));
    }
    match end.log_hash.len() {
        0 | HASH_BYTES => Ok(()),
        count => invalid(format!("the hash of a log has {HASH_BYTES} bytes, not {count}")),
    }
}

fn of_step(step: u16, name: &str, refusal: Refusal) -> Refusal {
    Refusal { text: format!("step {} ({name}): {}", u32::from(step) + 1, refusal.text), ..refusal }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::Outcome;

    fn end(exit: Exit) -> StepEnd {
        StepEnd { outcome: Outcome::Failed, exit, time: Time(5), log_size: 0, log_hash: Vec::new() }
    }

    #[test]
    fn a_step_ends_as_a_process_can() {
        let ran = Some(Time(1));
        for good in [Exit::Code(0), Exit::Code(255), Exit::Signal(1), Exit::Signal(64), Exit::Timeout, Exit::Idle] {
            assert_eq!(check_end(&end(good.clone()), ran), Ok(()), "{good}");
            let refused = check_end(&end(good.clone()), None).unwrap_err();
            assert_eq!(refused.code, RefusalCode::Conflict, "{good} of what never started");
        }
        for good in [Exit::None, Exit::Lost("no such program".to_owned())] {
            assert_eq!((check_end(&end(good.clone()), ran), check_end(&end(good), None)), (Ok(()), Ok(())));
        }
        for bad in [-1, 256, i32::MAX, i32::MIN] {
            assert_eq!(check_end(&end(Exit::Code(bad)), ran).unwrap_err().code, RefusalCode::Invalid, "code {bad}");
        }
        for bad in [-1, 0, 65, i32::MAX, i32::MIN] {
            assert_eq!(check_end(&end(Exit::Signal(bad)), ran).unwrap_err().code, RefusalCode::Invalid, "signal {bad}");
        }
    }

    #[test]
    fn a_hash_is_whole_or_there_is_none() {
        for (count, is_good) in [(0, true), (1, false), (31, false), (32, true), (33, false), (1 << 20, false)] {
            let end = StepEnd { log_hash: vec![7; count], ..end(Exit::Code(0)) };
            assert_eq!(check_end(&end, Some(Time(1))).is_ok(), is_good, "{count} bytes");
        }
    }
}
