//! Which step comes next, and what became of the job. Pure: told what has happened, it knows no process, file or clock.

use crate::supervisor::{Cause, Journal};
use schema::values::{Exit, JobPlan, Outcome};
use serde::{Deserialize, Serialize};

/// What to do next in an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Run(u16),
    /// This step does not run.
    Skip(u16),
    Done(Verdict),
}

/// What became of the job, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) reason: String,
}

/// What ends an attempt from outside its steps. No further step runs, not even one that always does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Halt {
    Cancelled(String),
    /// The job's own time was over before a step began.
    OutOfTime,
    /// What the steps need could not be had: the source, the directory.
    Errored(String),
}

/// How one step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepEnd {
    pub(crate) outcome: Outcome,
    pub(crate) exit: Exit,
    /// The attempt is over with this step.
    pub(crate) is_last: bool,
}

impl StepEnd {
    pub(crate) fn skipped() -> StepEnd {
        StepEnd { outcome: Outcome::Skipped, exit: Exit::None, is_last: false }
    }

    /// Judges what the supervisor wrote down.
    pub(crate) fn of(journal: &Journal, continue_on_failure: bool) -> StepEnd {
        let failed = if continue_on_failure { Outcome::Warned } else { Outcome::Failed };
        let outcome = match &journal.cause {
            Cause::Ended if journal.exit == Exit::Code(0) => Outcome::Succeeded,
            Cause::Ended | Cause::StepTime | Cause::Idle | Cause::Impossible(_) => failed,
            Cause::AttemptTime => Outcome::Failed,
            Cause::LeaseOver | Cause::Orphaned | Cause::Broken(_) => Outcome::Errored,
            Cause::Stopped(_) => Outcome::Cancelled,
        };
        let is_last = match &journal.cause {
            Cause::Ended | Cause::StepTime | Cause::Idle | Cause::Impossible(_) => false,
            Cause::AttemptTime | Cause::LeaseOver | Cause::Orphaned | Cause::Broken(_) | Cause::Stopped(_) => true,
        };
        StepEnd { outcome, exit: journal.exit.clone(), is_last }
    }
}

/// `ended`: the steps so far, in order, none left out.
pub(crate) fn next(job: &JobPlan, ended: &[StepEnd], halt: Option<&Halt>) -> Next {
    let index = ended.len();
    let Some(step) = job.steps.get(index) else {
        return Next::Done(verdict(job, ended, halt));
    };
    let number = u16::try_from(index).expect("a plan has at most 65,535 steps");
    let is_over = halt.is_some() || ended.iter().any(|end| end.is_last);
    let has_failed = ended.iter().any(|end| end.outcome == Outcome::Failed);
    if is_over || has_failed && !step.always { Next::Skip(number) } else { Next::Run(number) }
}

fn verdict(job: &JobPlan, ended: &[StepEnd], halt: Option<&Halt>) -> Verdict {
    let halted = match halt {
        Some(Halt::Cancelled(why)) => Some((Outcome::Cancelled, why.clone())),
        Some(Halt::Errored(why)) => Some((Outcome::Errored, why.clone())),
        Some(Halt::OutOfTime) => Some((Outcome::Failed, "the job's time was over".to_owned())),
        None => None,
    };
    if let Some((outcome, reason)) = halted {
        return Verdict { outcome, reason };
    }
    for outcome in [Outcome::Cancelled, Outcome::Errored, Outcome::Failed, Outcome::Warned] {
        if let Some(index) = ended.iter().position(|end| end.outcome == outcome) {
            let reason = format!("step {} `{}`: {}", index + 1, job.steps[index].name, ended[index].exit);
            return Verdict { outcome, reason };
        }
    }
    Verdict { outcome: Outcome::Succeeded, reason: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::{Command, StepPlan, Time};

    /// Steps by name; `!` at the end: always; `?`: continue on failure.
    fn job(names: &[&str]) -> JobPlan {
        let step = |name: &&str| StepPlan {
            name: name.trim_end_matches(['!', '?']).to_owned(),
            command: Command::Exec(vec!["true".to_owned()]),
            env: Vec::new(),
            dir: String::new(),
            timeout_ms: 0,
            idle_ms: 0,
            always: name.ends_with('!'),
            continue_on_failure: name.ends_with('?'),
        };
        JobPlan { steps: names.iter().map(step).collect(), ..JobPlan::default() }
    }

    fn journal(cause: Cause, exit: Exit) -> Journal {
        Journal { cause, exit, started: Time(0), ended: Time(0), size: 0, survivors: 0 }
    }

    /// Runs the whole attempt; a step that is not in `ends` succeeds. The script of what happened, as text.
    fn play(job: &JobPlan, ends: &[(&str, Cause, Exit)], halt_after: Option<(usize, Halt)>) -> String {
        let (mut ended, mut script) = (Vec::new(), Vec::new());
        loop {
            let halt = halt_after.as_ref().filter(|(after, _)| ended.len() >= *after).map(|(_, halt)| halt);
            match next(job, &ended, halt) {
                Next::Run(index) => {
                    let step = &job.steps[usize::from(index)];
                    let found = ends.iter().find(|(name, _, _)| *name == step.name).cloned();
                    let (_, cause, exit) = found.unwrap_or(("", Cause::Ended, Exit::Code(0)));
                    let end = StepEnd::of(&journal(cause, exit), step.continue_on_failure);
                    script.push(format!("{} {}", step.name, end.outcome));
                    ended.push(end);
                }
                Next::Skip(index) => {
                    script.push(format!("{} skipped", job.steps[usize::from(index)].name));
                    ended.push(StepEnd::skipped());
                }
                Next::Done(verdict) => {
                    script.push(format!("= {} ({})", verdict.outcome, verdict.reason));
                    return script.join(", ");
                }
            }
        }
    }

    #[test]
    fn all_is_well() {
        assert_eq!(play(&job(&["a", "b"]), &[], None), "a succeeded, b succeeded, = succeeded ()");
        assert_eq!(play(&job(&[]), &[], None), "= succeeded ()");
    }

    #[test]
    fn after_a_failure_only_what_always_runs() {
        let ends = [("a", Cause::Ended, Exit::Code(2))];
        let expected = "a failed, b skipped, c succeeded, d skipped, = failed (step 1 `a`: exit code 2)";
        assert_eq!(play(&job(&["a", "b", "c!", "d"]), &ends, None), expected);
        let ends = [("a", Cause::Idle, Exit::Idle), ("c", Cause::Ended, Exit::Code(1))];
        let expected = "a failed, c failed, = failed (step 1 `a`: killed: silent for too long)";
        assert_eq!(play(&job(&["a", "c!"]), &ends, None), expected);
    }

    #[test]
    fn a_failure_that_may_be_is_a_warning() {
        let ends = [("a", Cause::Ended, Exit::Signal(11)), ("c", Cause::StepTime, Exit::Timeout)];
        let expected = "a warned, b succeeded, = warned (step 1 `a`: killed by signal 11)";
        assert_eq!(play(&job(&["a?", "b"]), &ends, None), expected);
        let expected = "a warned, c failed, b skipped, = failed (step 2 `c`: killed: its time was over)";
        assert_eq!(play(&job(&["a?", "c", "b"]), &ends, None), expected);
    }

    #[test]
    fn nothing_runs_after_the_infrastructure_failed() {
        for cause in [Cause::LeaseOver, Cause::Orphaned, Cause::Broken("x".to_owned())] {
            let ends = [("a", cause, Exit::Lost("why".to_owned()))];
            let expected = "a errored, b skipped, = errored (step 1 `a`: lost: why)";
            assert_eq!(play(&job(&["a?", "b!"]), &ends, None), expected);
        }
    }

    #[test]
    fn nothing_runs_after_the_jobs_time() {
        let ends = [("a", Cause::AttemptTime, Exit::Timeout)];
        let expected = "a failed, b skipped, = failed (step 1 `a`: killed: its time was over)";
        assert_eq!(play(&job(&["a?", "b!"]), &ends, None), expected);
        assert_eq!(
            play(&job(&["a", "b!"]), &[], Some((1, Halt::OutOfTime))),
            "a succeeded, b skipped, = failed (the job's time was over)"
        );
    }

    #[test]
    fn a_cancelled_job_is_cancelled_whatever_its_steps_did() {
        let halt = |after| Some((after, Halt::Cancelled("by a person".to_owned())));
        let expected = "a skipped, b skipped, = cancelled (by a person)";
        assert_eq!(play(&job(&["a", "b!"]), &[], halt(0)), expected);
        let ends = [("a", Cause::Stopped("cancelled".to_owned()), Exit::Signal(15))];
        let expected = "a cancelled, b skipped, = cancelled (by a person)";
        assert_eq!(play(&job(&["a", "b!"]), &ends, halt(1)), expected);
        let ends = [("a", Cause::Ended, Exit::Code(1))];
        assert_eq!(play(&job(&["a"]), &ends, halt(1)), "a failed, = cancelled (by a person)");
    }

    #[test]
    fn without_a_source_no_step_runs() {
        let halt = Some((0, Halt::Errored("no such revision".to_owned())));
        assert_eq!(play(&job(&["a", "b!"]), &[], halt), "a skipped, b skipped, = errored (no such revision)");
    }
}
