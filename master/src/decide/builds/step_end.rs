//! Checks the reports of a worker about the end of a step. Also names the limit of the master that cut the time of a job.

use schema::limits::BLAKE3;
use schema::limits::borders::{EXIT_CODE, SIGNAL};
use schema::values::{Exit, Fact, JobPlan, Outcome, Refusal, RefusalCode, StepEnd, Time, TimeSpan};
use std::time::Duration;

/// The numbers of signals on Linux, including the real-time signals.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=SIGNAL.most as i32;
/// The codes with which a process can exit.
const CODES: std::ops::RangeInclusive<i32> = 0..=EXIT_CODE.most as i32;
/// The length of a BLAKE3 hash, in bytes.
const HASH_BYTES: usize = BLAKE3.most;

/// The endings of the reason that a worker gives if the time of an attempt was over. First is the ending of this version, and then the
/// ending of versions up to 0.2.
const OVER: [&str; 2] = ["its timeout passed", "time was over"];

/// Checks that a step can have ended like this. `started` is when it began. `None` means that the worker never reported its start.
pub(in crate::decide) fn check_end(end: &StepEnd, started: Option<Time>) -> Result<(), Refusal> {
    let invalid = |text: String| Err(Refusal::new(RefusalCode::Invalid, text));
    let has_run = match &end.exit {
        Exit::Code(code) if !CODES.contains(code) => return invalid(format!("no process exits with the code {code}")),
        Exit::Signal(signal) if !SIGNALS.contains(signal) => return invalid(format!("there is no signal {signal}")),
        Exit::Code(_) | Exit::Signal(_) | Exit::Timeout | Exit::Idle => true,
        Exit::None | Exit::Lost(_) => false,
    };
    if has_run && started.is_none() {
        let text = format!("it ended ({}), but you never reported that it started", end.exit);
        return Err(Refusal::new(RefusalCode::Conflict, text).help("report `started` first"));
    }
    let list = end.tests.as_ref().map_or(0, |tests| tests.list.len());
    match (end.log_hash.len(), list) {
        (0 | HASH_BYTES, 0 | HASH_BYTES) => Ok(()),
        (0 | HASH_BYTES, count) => invalid(format!("the hash of a list of tests has {HASH_BYTES} bytes, not {count}")),
        (count, _) => invalid(format!("the hash of a log has {HASH_BYTES} bytes, not {count}")),
    }
}

/// The fact that a step ended. The index `step` counts from 0.
pub(in crate::decide) fn end_of_step(job: String, attempt: u16, step: u16, end: &StepEnd) -> Fact {
    let trouble = end.tests.as_ref().map_or("", |tests| &tests.trouble);
    let reason = match end.outcome {
        Outcome::Succeeded | Outcome::Skipped => String::new(),
        Outcome::Warned | Outcome::Failed | Outcome::Errored | Outcome::Cancelled => {
            end.exit.reason(Some(end.outcome), trouble)
        }
    };
    let tests = end.tests.as_ref().map(|tests| tests.counts);
    Fact::StepFinished { job, attempt, step: step + 1, outcome: end.outcome, reason, tests }
}

/// The reason of an attempt that failed after the time `had`. If the master's limit cut the time that the job asked for, the reason says
/// so, because the worker cannot know it.
pub(in crate::decide) fn reason_with_limit(
    plan: &JobPlan,
    limit: Duration,
    had: Duration,
    outcome: Outcome,
    reason: &str,
) -> String {
    let asked = Duration::from_millis(plan.timeout_ms);
    // A step may have a timeout of its own, which is shorter.
    if outcome != Outcome::Failed || asked <= limit || had < limit || !OVER.iter().any(|over| reason.ends_with(over)) {
        return reason.to_owned();
    }
    let (limit, asked) = (TimeSpan(limit).written(), TimeSpan(asked).written());
    format!("{reason}: the job's `timeout` of {asked} was cut to `limits.job_timeout` of the master, {limit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::TestsReported;

    fn end(exit: Exit) -> StepEnd {
        StepEnd { outcome: Outcome::Failed, exit, time: Time(5), log_size: 0, log_hash: Vec::new(), tests: None }
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

    /// Case C46: the reason names the limit of the master that ended the attempt.
    #[test]
    fn a_time_that_the_master_cut_is_named() {
        let reason = |asked_s: u64, had_s, outcome, said: &str| {
            let plan = JobPlan { timeout_ms: asked_s * 1_000, ..JobPlan::default() };
            reason_with_limit(&plan, Duration::from_secs(60), Duration::from_secs(had_s), outcome, said)
        };
        for said in [format!("step 1 `test`: {}", Exit::Timeout), "step 1 `test`: killed: its time was over".to_owned()]
        {
            let named = format!("{said}: the job's `timeout` of 1h was cut to `limits.job_timeout` of the master, 1m");
            assert_eq!(reason(3_600, 60, Outcome::Failed, &said), named);
        }
        let said = "step 1 `test`: killed: its time was over";
        assert_eq!(reason(60, 60, Outcome::Failed, said), said, "it is the job's own limit");
        assert_eq!(reason(3_600, 5, Outcome::Failed, said), said, "it is the step's own limit");
        assert_eq!(reason(3_600, 90, Outcome::Failed, "step 1 `test`: exit code 1"), "step 1 `test`: exit code 1");
        assert_eq!(reason(3_600, 90, Outcome::Cancelled, said), said);
    }

    #[test]
    fn a_hash_is_whole_or_there_is_none() {
        for (count, is_good) in [(0, true), (1, false), (31, false), (32, true), (33, false), (1 << 20, false)] {
            let end = StepEnd { log_hash: vec![7; count], ..end(Exit::Code(0)) };
            assert_eq!(check_end(&end, Some(Time(1))).is_ok(), is_good, "{count} bytes");
            let tests = TestsReported { list: vec![7; count], ..TestsReported::default() };
            let end = StepEnd { log_hash: Vec::new(), tests: Some(tests), ..end };
            assert_eq!(check_end(&end, Some(Time(1))).is_ok(), is_good, "{count} bytes of a list");
        }
    }
}
