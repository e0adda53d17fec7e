//! How an attempt goes, as its worker tells it.

use super::{outcome_from_wire, outcome_to_wire, read_exit, read_time, time, write_exit};
use crate::limits::{self, LOG_HASH, PROGRESS, REASON};
use crate::values::{Progress, StepEnd};
use crate::worker_capnp::{progress, step_end};
use capnp::struct_list;

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
                // an honest result is not lost for its words
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
    write_exit(to.init_exit(), &end.exit);
}

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
    })
}

fn no_outcome(what: &str) -> capnp::Error {
    capnp::Error::failed(format!("`{what}` needs an outcome"))
}
