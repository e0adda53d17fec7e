//! Translates between [`crate::values`] and the wire, in both directions. It has no policy except for the [`crate::limits`] of the
//! values that it reads.

mod event;
mod finding;
mod master_file;
mod plan;
mod progress;
mod state;
mod worker;

pub use event::{
    read_change, read_cursor, read_event, read_filter, write_change, write_cursor, write_event, write_filter,
};
pub use finding::{read_finding, write_finding};
pub use master_file::{read_difference, read_new_project, write_difference, write_new_project};
pub use plan::{job_bytes, read_job, read_plan, read_stamp, write_job, write_plan, write_stamp};
pub use progress::{read_progress, read_tests, write_progress, write_tests};
pub use state::{
    enum_to_kind, kind_to_enum, outcome_from_wire, outcome_to_wire, read_exit, refusal, state_from_wire, state_to_wire,
    write_exit, write_refusal,
};
pub use worker::{
    read_assignment, read_description, read_home, read_resources, read_what, told_description, told_what,
    write_assignment, write_description, write_home, write_resources, write_what,
};

use crate::common_capnp::pair;

/// The protocol versions that this build speaks.
pub const VERSIONS: std::ops::RangeInclusive<u16> = 1..=2;

/// Writes a list of texts in its form on the wire.
pub fn write_texts<T: AsRef<str>>(mut list: capnp::text_list::Builder<'_>, texts: impl IntoIterator<Item = T>) {
    for (index, text) in (0..).zip(texts) {
        list.set(index, text.as_ref());
    }
}

/// Writes a list of names with their values in its form on the wire.
pub fn write_pairs(mut list: capnp::struct_list::Builder<'_, pair::Owned>, pairs: &[(String, String)]) {
    for (index, (name, value)) in (0..).zip(pairs) {
        let mut pair = list.reborrow().get(index);
        pair.set_name(name);
        pair.set_value(value);
    }
}

/// Converts the length of a list to the type that the wire uses.
pub fn length(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Converts a time to the milliseconds that the wire uses.
pub fn time(time: crate::values::Time) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// Converts milliseconds from the wire to a time. A time before 1970 becomes the beginning of 1970.
pub fn read_time(time: i64) -> crate::values::Time {
    crate::values::Time(u64::try_from(time).unwrap_or(0))
}
