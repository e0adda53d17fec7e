//! Decides which step comes next, and how the job ended. Its input is the events so far, and it knows no process, file or clock.

use crate::process::supervisor::{Journal, KillCause};
use schema::values::{Exit, JobPlan, Outcome};
use serde::{Deserialize, Serialize};

/// What to do next in an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Run(u16),
    /// The step runs after a cancel or after the job's time, because it always runs. It has a time limit of its own.
    CleanUp(u16),
    /// The step does not run.
    Skip(u16),
    Done(AttemptResult),
}

/// The result of an attempt: its outcome, and the reason for it in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttemptResult {
    pub(crate) outcome: Outcome,
    pub(crate) reason: String,
}

/// An event outside of the steps that ends an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Halt {
    /// The job was cancelled, for this reason. Steps that always run still run.
    Cancelled(String),
    /// The job was cancelled again, or its worker must stop. No further step runs, not even one that always runs.
    CancelledNow(String),
    /// The job's time was over before a step began.
    OutOfTime,
    /// The source or the directory for the steps could not be prepared.
    Errored(String),
    /// The commit cannot be checked out anywhere, which is the fault of its author.
    Unusable(String),
}

impl Halt {
    /// Returns which steps may still run.
    fn after(&self) -> After {
        match self {
            Halt::Cancelled(_) | Halt::OutOfTime => After::CleanUp,
            Halt::CancelledNow(_) | Halt::Errored(_) | Halt::Unusable(_) => After::Nothing,
        }
    }

    /// Whether this halt replaces an earlier one.
    pub(crate) fn overrides(&self, earlier: &Halt) -> bool {
        match (self, earlier) {
            (Halt::CancelledNow(_), Halt::Cancelled(_) | Halt::OutOfTime) | (Halt::Cancelled(_), Halt::OutOfTime) => {
                true
            }
            (Halt::Cancelled(_) | Halt::CancelledNow(_), _)
            | (Halt::OutOfTime | Halt::Errored(_) | Halt::Unusable(_), _) => false,
        }
    }
}

/// The steps that may still run. A greater value lets fewer run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum After {
    All,
    /// Only the steps that always run may still run.
    CleanUp,
    Nothing,
}

/// The end of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepEnd {
    pub(crate) outcome: Outcome,
    pub(crate) exit: Exit,
    pub(crate) after: After,
    /// Why the step failed although its command succeeded. Empty means that its exit says why.
    pub(crate) why: String,
}

impl StepEnd {
    pub(crate) fn skipped() -> StepEnd {
        StepEnd { outcome: Outcome::Skipped, exit: Exit::None, after: After::All, why: String::new() }
    }

    /// Returns the end of a step that lacks a result that it had to produce, such as a test report. A step that had not succeeded keeps
    /// its end.
    pub(crate) fn lacking(self, why: String, continue_on_failure: bool) -> StepEnd {
        let outcome = if continue_on_failure { Outcome::Warned } else { Outcome::Failed };
        if self.outcome == Outcome::Succeeded { StepEnd { outcome, why, ..self } } else { self }
    }

    /// Returns the end of a step, as it follows from the supervisor's journal.
    pub(crate) fn of(journal: &Journal, continue_on_failure: bool) -> StepEnd {
        let failed = if continue_on_failure { Outcome::Warned } else { Outcome::Failed };
        let outcome = match &journal.cause {
            KillCause::Ended if journal.exit == Exit::Code(0) => Outcome::Succeeded,
            KillCause::Ended
            | KillCause::StepTime
            | KillCause::Idle
            | KillCause::Impossible(_)
            | KillCause::Excess(_) => failed,
            KillCause::AttemptTime => Outcome::Failed,
            KillCause::LeaseOver | KillCause::Orphaned | KillCause::Broken(_) => Outcome::Errored,
            KillCause::Stopped(_) => Outcome::Cancelled,
        };
        let after = match &journal.cause {
            KillCause::Ended
            | KillCause::StepTime
            | KillCause::Idle
            | KillCause::Impossible(_)
            | KillCause::Excess(_) => After::All,
            KillCause::AttemptTime | KillCause::Stopped(_) => After::CleanUp,
            KillCause::LeaseOver | KillCause::Orphaned | KillCause::Broken(_) => After::Nothing,
        };
        StepEnd { outcome, exit: journal.exit.clone(), after, why: String::new() }
    }

    fn has_run(&self) -> bool {
        self.outcome != Outcome::Skipped
    }
}

/// Returns what to do next. `ended` lists the ends of the steps so far, in order and without gaps.
pub(crate) fn next(job: &JobPlan, ended: &[StepEnd], halt: Option<&Halt>) -> Next {
    let index = ended.len();
    let Some(step) = job.steps.get(index) else {
        return Next::Done(result(job, ended, halt));
    };
    let number = u16::try_from(index).expect("a plan has at most 65,535 steps");
    let after = ended.iter().map(|end| end.after).chain(halt.map(Halt::after)).max().unwrap_or(After::All);
    let has_failed = ended.iter().any(|end| end.outcome == Outcome::Failed);
    match after {
        After::All if has_failed && !step.always => Next::Skip(number),
        After::All => Next::Run(number),
        After::CleanUp if is_cleanup(job, ended) => Next::CleanUp(number),
        After::CleanUp | After::Nothing => Next::Skip(number),
    }
}

/// Whether the present or next step cleans up after others: it always runs, and a step before it has run.
pub(crate) fn is_cleanup(job: &JobPlan, ended: &[StepEnd]) -> bool {
    job.steps.get(ended.len()).is_some_and(|step| step.always) && ended.iter().any(StepEnd::has_run)
}

fn result(job: &JobPlan, ended: &[StepEnd], halt: Option<&Halt>) -> AttemptResult {
    let halted = match halt {
        Some(Halt::Cancelled(why) | Halt::CancelledNow(why)) => Some((Outcome::Cancelled, why.clone())),
        Some(Halt::Errored(why)) => Some((Outcome::Errored, why.clone())),
        // Another worker would end the job in the same way.
        Some(Halt::Unusable(why)) => Some((Outcome::Failed, why.clone())),
        Some(Halt::OutOfTime) => Some((Outcome::Failed, "the job's time was over".to_owned())),
        None => None,
    };
    if let Some((outcome, reason)) = halted {
        return AttemptResult { outcome, reason };
    }
    // Steps that clean up after a stopped step do not change the outcome of the job.
    let count = ended.iter().position(|end| end.after == After::CleanUp).map_or(ended.len(), |last| last + 1);
    for outcome in [Outcome::Cancelled, Outcome::Errored, Outcome::Failed, Outcome::Warned] {
        if let Some(index) = ended[..count].iter().position(|end| end.outcome == outcome) {
            let end = &ended[index];
            let why = if end.why.is_empty() { end.exit.to_string() } else { end.why.clone() };
            let reason = format!("step {} `{}`: {why}", index + 1, job.steps[index].name);
            return AttemptResult { outcome, reason };
        }
    }
    AttemptResult { outcome: Outcome::Succeeded, reason: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::{Command, StepPlan, Time};

    /// Makes a job with steps of these names. A name that ends with `!` always runs, and one that ends with `?` continues on failure.
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
            reports: Vec::new(),
        };
        JobPlan { steps: names.iter().map(step).collect(), ..JobPlan::default() }
    }

    fn journal(cause: KillCause, exit: Exit) -> Journal {
        Journal { cause, exit, started: Time(0), ended: Time(0), size: 0, survivors: 0 }
    }

    /// Runs a whole attempt, and returns the script of what happened as text. A step that is not in `ends` succeeds.
    fn play(job: &JobPlan, ends: &[(&str, KillCause, Exit)], halt_after: Option<(usize, Halt)>) -> String {
        let (mut ended, mut script) = (Vec::new(), Vec::new());
        loop {
            let halt = halt_after.as_ref().filter(|(after, _)| ended.len() >= *after).map(|(_, halt)| halt);
            match next(job, &ended, halt) {
                Next::Run(index) | Next::CleanUp(index) => {
                    let step = &job.steps[usize::from(index)];
                    let found = ends.iter().find(|(name, _, _)| *name == step.name).cloned();
                    let (_, cause, exit) = found.unwrap_or(("", KillCause::Ended, Exit::Code(0)));
                    let end = StepEnd::of(&journal(cause, exit), step.continue_on_failure);
                    script.push(format!("{} {}", step.name, end.outcome));
                    ended.push(end);
                }
                Next::Skip(index) => {
                    script.push(format!("{} skipped", job.steps[usize::from(index)].name));
                    ended.push(StepEnd::skipped());
                }
                Next::Done(result) => {
                    script.push(format!("= {} ({})", result.outcome, result.reason));
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
        let ends = [("a", KillCause::Ended, Exit::Code(2))];
        let expected = "a failed, b skipped, c succeeded, d skipped, = failed (step 1 `a`: exit code 2)";
        assert_eq!(play(&job(&["a", "b", "c!", "d"]), &ends, None), expected);
        let ends = [("a", KillCause::Idle, Exit::Idle), ("c", KillCause::Ended, Exit::Code(1))];
        let expected = "a failed, c failed, = failed (step 1 `a`: killed: no output for as long as `idle` allows)";
        assert_eq!(play(&job(&["a", "c!"]), &ends, None), expected);
    }

    #[test]
    fn a_failure_that_may_be_is_a_warning() {
        let ends = [("a", KillCause::Ended, Exit::Signal(11)), ("c", KillCause::StepTime, Exit::Timeout)];
        let expected = "a warned, b succeeded, = warned (step 1 `a`: killed by signal 11)";
        assert_eq!(play(&job(&["a?", "b"]), &ends, None), expected);
        let expected = "a warned, c failed, b skipped, = failed (step 2 `c`: killed: its timeout passed)";
        assert_eq!(play(&job(&["a?", "c", "b"]), &ends, None), expected);
    }

    #[test]
    fn nothing_runs_after_the_infrastructure_failed() {
        for cause in [KillCause::LeaseOver, KillCause::Orphaned, KillCause::Broken("x".to_owned())] {
            let ends = [("a", cause, Exit::Lost("why".to_owned()))];
            let expected = "a errored, b skipped, = errored (step 1 `a`: lost: why)";
            assert_eq!(play(&job(&["a?", "b!"]), &ends, None), expected);
        }
    }

    #[test]
    fn after_the_jobs_time_only_what_always_runs() {
        let ends = [("a", KillCause::AttemptTime, Exit::Timeout)];
        let expected =
            "a failed, b succeeded, c skipped, d succeeded, = failed (step 1 `a`: killed: its timeout passed)";
        assert_eq!(play(&job(&["a?", "b!", "c", "d!"]), &ends, None), expected);
        let expected = "a succeeded, b skipped, c succeeded, = failed (the job's time was over)";
        assert_eq!(play(&job(&["a", "b", "c!"]), &[], Some((1, Halt::OutOfTime))), expected);
        let expected = "a skipped, b skipped, = failed (the job's time was over)";
        assert_eq!(play(&job(&["a", "b!"]), &[], Some((0, Halt::OutOfTime))), expected, "nothing is to be cleared up");
    }

    #[test]
    fn what_clears_up_does_not_change_what_became_of_the_job() {
        let broken = KillCause::Broken("x".to_owned());
        let ends = [("a", KillCause::AttemptTime, Exit::Timeout), ("b", broken.clone(), Exit::Lost("why".to_owned()))];
        let expected = "a failed, b errored, c skipped, = failed (step 1 `a`: killed: its timeout passed)";
        assert_eq!(play(&job(&["a", "b!", "c!"]), &ends, None), expected);
        let halt = Some((1, Halt::Cancelled("by a person".to_owned())));
        let ends = [("b", broken, Exit::Lost("why".to_owned()))];
        let expected = "a succeeded, b errored, c skipped, = cancelled (by a person)";
        assert_eq!(play(&job(&["a", "b!", "c!"]), &ends, halt), expected);
    }

    #[test]
    fn a_cancelled_job_is_cancelled_whatever_its_steps_did() {
        let halt = |after| Some((after, Halt::Cancelled("by a person".to_owned())));
        let expected = "a skipped, b skipped, = cancelled (by a person)";
        assert_eq!(play(&job(&["a", "b!"]), &[], halt(0)), expected, "nothing is to be cleared up");
        let ends = [("a", KillCause::Stopped("cancelled".to_owned()), Exit::Signal(15))];
        let expected = "a cancelled, b skipped, c succeeded, = cancelled (by a person)";
        assert_eq!(play(&job(&["a", "b", "c!"]), &ends, halt(1)), expected);
        let ends = [("a", KillCause::Ended, Exit::Code(1))];
        assert_eq!(play(&job(&["a"]), &ends, halt(1)), "a failed, = cancelled (by a person)");
    }

    #[test]
    fn after_a_second_cancel_nothing_runs() {
        let halt = |after| Some((after, Halt::CancelledNow("by a person".to_owned())));
        let ends = [("a", KillCause::Stopped("cancelled".to_owned()), Exit::Signal(15))];
        let expected = "a cancelled, b skipped, c skipped, = cancelled (by a person)";
        assert_eq!(play(&job(&["a", "b!", "c!"]), &ends, halt(1)), expected);
        let ends = [ends[0].clone(), ("b", KillCause::Stopped("again".to_owned()), Exit::Signal(15))];
        let expected = "a cancelled, b cancelled, c skipped, = cancelled (by a person)";
        assert_eq!(play(&job(&["a", "b!", "c!"]), &ends, halt(2)), expected);
    }

    #[test]
    fn a_later_halt_counts_where_it_says_more() {
        let why = || "why".to_owned();
        let all = [
            Halt::OutOfTime,
            Halt::Cancelled(why()),
            Halt::CancelledNow(why()),
            Halt::Errored(why()),
            Halt::Unusable(why()),
        ];
        let counts = |later: &Halt| all.iter().map(|earlier| later.overrides(earlier)).collect::<Vec<_>>();
        assert_eq!(counts(&all[0]), [false; 5]);
        assert_eq!(counts(&all[1]), [true, false, false, false, false]);
        assert_eq!(counts(&all[2]), [true, true, false, false, false]);
        assert_eq!(counts(&all[3]), [false; 5]);
        assert_eq!(counts(&all[4]), [false; 5]);
    }

    #[test]
    fn a_step_that_lacks_its_report_fails_unless_it_had_failed() {
        let ended = |exit| StepEnd::of(&journal(KillCause::Ended, exit), false);
        let lacking = |end: StepEnd, may_fail| end.lacking("py.xml was not written".to_owned(), may_fail);
        let failed = lacking(ended(Exit::Code(0)), false);
        let expected = "step 1 `a`: py.xml was not written";
        assert_eq!(result(&job(&["a"]), std::slice::from_ref(&failed), None).reason, expected);
        assert_eq!((failed.outcome, failed.exit), (Outcome::Failed, Exit::Code(0)));
        assert_eq!(lacking(ended(Exit::Code(0)), true).outcome, Outcome::Warned);
        assert_eq!(lacking(ended(Exit::Code(3)), false), ended(Exit::Code(3)));
    }

    #[test]
    fn what_clears_up_is_what_always_runs_behind_others() {
        let ran =
            || StepEnd { outcome: Outcome::Succeeded, exit: Exit::Code(0), after: After::All, why: String::new() };
        assert!(!is_cleanup(&job(&["a!", "b!"]), &[]), "nothing came before it");
        assert!(!is_cleanup(&job(&["a", "b!"]), &[StepEnd::skipped()]));
        assert!(is_cleanup(&job(&["a", "b!"]), &[ran()]));
        assert!(!is_cleanup(&job(&["a", "b"]), &[ran()]));
        assert!(!is_cleanup(&job(&["a"]), &[ran()]));
    }

    #[test]
    fn without_a_source_no_step_runs() {
        let halt = Some((0, Halt::Errored("no such revision".to_owned())));
        assert_eq!(play(&job(&["a", "b!"]), &[], halt), "a skipped, b skipped, = errored (no such revision)");
        let halt = Some((0, Halt::Unusable("invalid path".to_owned())));
        assert_eq!(play(&job(&["a", "b!"]), &[], halt), "a skipped, b skipped, = failed (invalid path)");
    }
}
