//! The structs that masters, workers and clients read from each other's messages. A value that was read can be written, and is then
//! read as the same.

use super::pieces::Pieces;
use capnp::message::{Builder, Reader, ReaderOptions, SegmentArray};
use client::fuzz::read_as_any_view;
use schema::change_capnp::{change, source_stamp};
use schema::common_capnp::refusal;
use schema::event_capnp::{event, filter};
use schema::grant_capnp::{difference, finding, new_project, what};
use schema::identity::Identity;
use schema::plan_capnp::{job, plan};
use schema::sturdy_ref::Fingerprint;
use schema::wire;
use schema::worker_capnp::{assignment, description, exit, home, lease};
use std::sync::LazyLock;

/// The largest segment, in bytes. A longer input has several segments, so that far pointers can lead somewhere.
const SEGMENT_MAX: usize = 1 << 10;

/// The number of views that a client reads.
const VIEWS: usize = 8;

static TELLER: LazyLock<Fingerprint> = LazyLock::new(|| Identity::generate().fingerprint());

/// Reads the words after the first byte as the kind of struct that the first byte chooses.
pub fn target(data: &[u8]) {
    let mut pieces = Pieces(data);
    let Some(kind) = pieces.byte() else { return };
    let words = &pieces.0[..pieces.0.len() / 8 * 8];
    let segments: Vec<&[u8]> = words.chunks(SEGMENT_MAX).collect();
    let options = ReaderOptions { traversal_limit_in_words: Some(words.len() + 512), nesting_limit: 32 };
    let message = Reader::new(SegmentArray::new(&segments), options);
    let _ = read(kind, &message);
}

/// Reads a value, writes it, and checks that it is read as the same.
macro_rules! again {
    ($message:expr, $read:ident, $write:ident, $written:ident) => {{
        let value = wire::$read($message.get_root()?)?;
        let mut message = Builder::new_default();
        wire::$write(message.init_root::<$written::Builder<'_>>(), &value);
        let again = wire::$read(message.get_root_as_reader()?)?;
        assert_eq!(again, value);
    }};
}

fn read(kind: u8, message: &Reader<SegmentArray<'_>>) -> capnp::Result<()> {
    match kind % 17 {
        0 => again!(message, read_plan, write_plan, plan),
        1 => again!(message, read_job, write_job, job),
        2 => again!(message, read_stamp, write_stamp, source_stamp),
        3 => again!(message, read_assignment, write_assignment, assignment),
        4 => again!(message, read_description, write_description, description),
        5 => again!(message, read_home, write_home, home),
        6 => again!(message, read_what, write_what, what),
        7 => again!(message, read_change, write_change, change),
        8 => again!(message, read_filter, write_filter, filter),
        9 => again!(message, read_finding, write_finding, finding),
        10 => again!(message, read_difference, write_difference, difference),
        11 => again!(message, read_new_project, write_new_project, new_project),
        12 => again!(message, read_exit, write_exit, exit),
        13 => read_event(message)?,
        14 => drop(wire::refusal(true, message.get_root::<refusal::Reader<'_>>())?),
        15 => drop(wire::read_progress(message.get_root::<lease::report_params::Reader<'_>>()?.get_progress())?),
        _ => assert!(read_as_any_view(message.get_root()?) <= VIEWS),
    }
    Ok(())
}

/// Reads an event, writes it, and reads it again. The two may differ, because an unknown event is not written as it was.
fn read_event(message: &Reader<SegmentArray<'_>>) -> capnp::Result<()> {
    let value = wire::read_event(message.get_root::<event::Reader<'_>>()?)?;
    let mut message = Builder::new_default();
    wire::write_event(message.init_root(), &value, &TELLER);
    wire::read_event(message.get_root_as_reader()?).map(drop)
}
