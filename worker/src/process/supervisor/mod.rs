//! The supervisor of a step: a small process between the worker and the step, which outlives the worker. It serves one step at a time.
//! It is the parent of the step, keeps its output and its limits, and ends it with all processes that it started. Then it writes down
//! how the step ended. It knows nothing of the master: the worker tells it how long the lease lasts.
//!
//! Everything that a supervisor needs is in the attempt's directory ([`StepFiles`]). It runs on one thread and without a runtime. Its
//! standard input is a socket to the worker, and its standard output is the locked order.

mod bounds;
mod clock;
mod door;
mod forker;
mod link;
mod order;
mod probe;
mod scope;
mod spool;
mod start;
mod step;
mod watch;

pub use clock::{Moment, milliseconds, wall, wall_of};
pub(crate) use door::listening;
pub use forker::SupervisorForker;
pub use order::{Journal, KillCause, Limits, Order, OrderSlot, StepFiles, shortened};
pub(crate) use probe::{PROBE_MAX, probe, probe_bounds};
pub use scope::{ServiceManager, service_manager};
pub(crate) use spool::{MARK_BYTES, append_notes};
pub use start::{Prepared, connect, prepare};

use crate::process::isolation::launch::launch;
use crate::process::isolation::{establish, spawn};
use crate::process::open_files;
use link::Link;
use schema::shown;
use schema::values::Exit;
use spool::Spool;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;
use step::Supervision;
use system::fail_point::fail_point;

/// The hidden first argument with which a binary becomes a supervisor.
pub const SUPERVISE: &str = "supervise";

/// Runs a supervisor for the step that the arguments `DIR STEP` name. Call it before anything else in `main`, if the first argument is
/// [`SUPERVISE`], with the arguments after that.
pub fn supervise_main(arguments: &[String]) -> ExitCode {
    spawn::close_inherited();
    open_files::take_back();
    let parsed = match arguments {
        [word] if word == forker::FORKER => return forker::serve(),
        [word, tier] if word == probe::PROBE => return probe::serve(tier),
        [word] if word == probe::BOUNDS => return probe::serve_bounds(),
        [word, tier] if word == probe::STRAY => return probe::stray(tier),
        [dir, step] => step.parse().ok().map(|step| (Path::new(dir), step)),
        _ => None,
    };
    let Some((dir, step)) = parsed else {
        shown::tell(&format!("usage: {SUPERVISE} {} | {SUPERVISE} DIR STEP (for the worker only)", forker::FORKER));
        return ExitCode::from(2);
    };
    match supervise(dir, step) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shown::tell(&format!("failed to supervise step {step} of {}: {error}", dir.display()));
            ExitCode::from(4)
        }
    }
}

fn supervise(dir: &Path, step: u16) -> io::Result<()> {
    let files = StepFiles::new(dir, step);
    let (order, slot) = files.take_order()?;
    // This process holds the lock of the order through its standard output.
    let _ = rustix::process::setsid();
    slot.begin()?;
    if let Err(error) = establish(order.tier) {
        return slot.write(&below(&order, &error));
    }
    let spool = Spool::new(files.spool(), files.marks(), order.limits.output_max);
    let mut link = Link::open(files, io::stdin().as_fd().try_clone_to_owned()?)?;
    let journal = run(&order, spool, &mut link);
    fail_point("supervisor-exited");
    // The link closes before the journal is written, because the directory may belong to another attempt after that.
    link.close();
    slot.write(&journal)?;
    fail_point("supervisor-journalled");
    link.tell_exited();
    Ok(())
}

/// Returns the journal of a step that does not run, because the machine cannot give the step its tier.
fn below(order: &Order, error: &io::Error) -> Journal {
    let text = shortened(&format!("its supervisor cannot give isolation `{}`: {error}", order.tier));
    Journal::without_process(KillCause::Broken(text.clone()), &text, wall())
}

fn run(order: &Order, mut spool: Spool, link: &mut Link) -> Journal {
    let started = wall();
    if let Err(error) = order.notes.iter().try_for_each(|note| spool.note(note)) {
        let text = shortened(&format!("its log cannot be written: {error}"));
        return Journal::without_process(KillCause::Broken(text.clone()), &text, started);
    }
    fail_point("supervisor-before-exec");
    let launched = launch(&order.argv, &order.env, &order.dir, order.limits.open_files());
    fail_point("supervisor-after-exec");
    match launched {
        Ok((main, pipe)) => Supervision::new(order, main, pipe, spool, link).run(started),
        Err(error) => {
            let (cause, text) = not_started(order, &error);
            let noted = spool.note(&text);
            let mut journal = Journal::without_process(cause, &text, started);
            journal.size = spool.size();
            if let Err(error) = noted {
                journal.exit = Exit::Lost(shortened(&format!("{text}; its log cannot be written: {error}")));
            }
            journal
        }
    }
}

/// Returns the end of the message about a program that was not found. It says that variables in `PATH` are not expanded, if there are
/// any.
fn searched(order: &Order, program: &str, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::NotFound || program.contains('/') {
        return String::new();
    }
    let path = order.env.iter().find(|(name, _)| name == "PATH").map_or("", |(_, path)| path.as_str());
    match path.contains('$') {
        true => format!("; it was searched in PATH, which is `{path}`: variables in it are not expanded"),
        false => format!("; it was searched in PATH, which is `{path}`"),
    }
}

/// Returns why a step could not start, and a text for people. It is the pipeline's fault if a program or directory does not exist or
/// cannot be used. Otherwise the machine failed.
fn not_started(order: &Order, error: &io::Error) -> (KillCause, String) {
    let program = order.argv.first().map_or("", String::as_str);
    if !order.dir.is_dir() {
        let text = format!("cannot start `{program}`: there is no directory {}", order.dir.display());
        return (KillCause::Impossible(shortened(&text)), text);
    }
    let text = shortened(&format!("cannot start `{program}`: {error}{}", searched(order, program, error)));
    let is_code = matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::ArgumentListTooLong
    ) || error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error());
    (if is_code { KillCause::Impossible(text.clone()) } else { KillCause::Broken(text.clone()) }, text)
}

/// Reads the order and the journal from the bytes of an order's file, for `tests/fuzz`.
#[cfg(feature = "fuzz")]
pub(crate) fn parts_of_order(bytes: &[u8]) -> (Option<Order>, Option<Journal>) {
    let found = order::OrderFile::of(bytes.to_owned());
    (serde_json::from_slice(found.order()).ok(), found.slot.and_then(|slot| found.journal_at(slot)))
}
