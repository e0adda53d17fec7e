//! The progress of an attempt in its form on the wire.

use super::{length, outcome_from_wire, outcome_to_wire, read_exit, read_time, time, write_exit, write_texts};
use crate::limits::{self, FAILING, FAILING_TEST, LOG_HASH, PROGRESS, REASON, REPORT_TROUBLE, TEST_LIST};
use crate::values::{Progress, StepEnd, TestCounts, TestsReported};
use crate::worker_capnp::{progress, step_end, tests_reported};
use capnp::struct_list;

/// Writes the progress of an attempt in its form on the wire.
pub fn write_progress(mut to: struct_list::Builder<'_, progress::Owned>, said: &[Progress]) {
    for (index, said) in (0..).zip(said) {
        let to = to.reborrow().get(index);
        match said {
            Progress::Started { step, time: at } => {
                let mut to = to.init_started();
                to.set_step(*step);
                to.set_time(time(*at));
            }
            Progress::Finished { step, end } => write_step_end(to.init_finished(), *step, end),
            Progress::Ended { outcome, reason } => {
                let mut to = to.init_ended();
                to.set_outcome(outcome_to_wire(Some(*outcome)));
                // The text is cut, because a long reason must not lose an honest result.
                to.set_reason(REASON.cut(reason));
            }
        }
    }
}

fn write_step_end(mut to: step_end::Builder<'_>, step: u16, end: &StepEnd) {
    to.set_step(step);
    to.set_outcome(outcome_to_wire(Some(end.outcome)));
    to.set_time(time(end.time));
    to.set_log_size(end.log_size);
    to.set_log_hash(&end.log_hash);
    write_exit(to.reborrow().init_exit(), &end.exit);
    if let Some(tests) = &end.tests {
        write_tests(to.init_tests(), tests);
    }
}

/// Writes the summary of a step's reports, cut to the limits of the wire.
pub fn write_tests(mut to: tests_reported::Builder<'_>, tests: &TestsReported) {
    to.set_list(&tests.list);
    to.set_passed(tests.counts.passed);
    to.set_failed(tests.counts.failed);
    to.set_errored(tests.counts.errored);
    to.set_skipped(tests.counts.skipped);
    to.set_duration(tests.duration_us);
    let failing = &tests.failing[..tests.failing.len().min(FAILING.most)];
    // The names are cut, because long names must not lose an honest result.
    let cut = failing.iter().map(|name| FAILING_TEST.cut(name));
    write_texts(to.reborrow().init_failing(length(failing.len())), cut);
    to.set_trouble(REPORT_TROUBLE.cut(&tests.trouble));
}

/// Reads the progress of an attempt from its form on the wire, within the limits of its fields.
pub fn read_progress(from: capnp::Result<struct_list::Reader<'_, progress::Owned>>) -> capnp::Result<Vec<Progress>> {
    limits::structs(from, &PROGRESS)?.map(read_one).collect()
}

fn read_one(from: progress::Reader<'_>) -> capnp::Result<Progress> {
    Ok(match from.which()? {
        progress::Started(started) => {
            let started = started?;
            Progress::Started { step: started.get_step(), time: read_time(started.get_time()) }
        }
        progress::Finished(finished) => {
            let finished = finished?;
            Progress::Finished { step: finished.get_step(), end: read_step_end(finished)? }
        }
        progress::Ended(ended) => {
            let ended = ended?;
            let outcome = outcome_from_wire(ended.get_outcome()?).ok_or_else(|| no_outcome("ended"))?;
            Progress::Ended { outcome, reason: limits::text(ended.get_reason(), &REASON)? }
        }
    })
}

fn read_step_end(from: step_end::Reader<'_>) -> capnp::Result<StepEnd> {
    Ok(StepEnd {
        outcome: outcome_from_wire(from.get_outcome()?).ok_or_else(|| no_outcome("finished"))?,
        exit: read_exit(from.get_exit()?)?,
        time: read_time(from.get_time()),
        log_size: from.get_log_size(),
        log_hash: limits::data(from.get_log_hash(), &LOG_HASH)?.to_vec(),
        tests: if from.has_tests() { Some(read_tests(from.get_tests()?)?) } else { None },
    })
}

/// Reads the summary of a step's reports. A value beyond its limit is cut, or refused by name.
pub fn read_tests(from: tests_reported::Reader<'_>) -> capnp::Result<TestsReported> {
    Ok(TestsReported {
        list: limits::data(from.get_list(), &TEST_LIST)?.to_vec(),
        counts: TestCounts {
            passed: from.get_passed(),
            failed: from.get_failed(),
            errored: from.get_errored(),
            skipped: from.get_skipped(),
        },
        duration_us: from.get_duration(),
        failing: limits::texts(from.get_failing(), &FAILING, &FAILING_TEST)?,
        trouble: limits::text(from.get_trouble(), &REPORT_TROUBLE)?,
    })
}

fn no_outcome(what: &str) -> capnp::Error {
    capnp::Error::failed(format!("`{what}` needs an outcome"))
}
