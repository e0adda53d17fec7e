//! The table. Each row is one kind of value: its name, its limit, what happens beyond it, the fields that carry it, and why.
//! `peers.rs` has what peers send, `masters.rs` what only masters send; a row of the first bounds the same value also where a
//! master shows it. What is not a field, as connections and times, is in [`super::borders`].
//!
//! Texts that a peer sends are refused beyond their limit where the peer can send a shorter one. They are cut where a refusal
//! would lose an honest result, as the reason of an attempt that ended. What the master tells is cut by who reads it, since an
//! older master tells it without these limits.

use super::Limit;

/// The bytes of a file that people write, above all `guild.toml`: the largest one of a known project has a tenth.
pub const FILE_MAX: usize = 1 << 20;
/// The characters of a name, which are ASCII: names stand in selectors, directories and lists.
pub const NAME_MAX: usize = 100;
/// The most that a list of an answer holds, in bytes. Every client reads a message of 4 MiB, and the quarter that is left is
/// for what stands beside the list.
pub const ANSWER_BYTES: usize = 3 << 20;
/// The most bytes of events in one batch. A batch is small beside what a connection may hold, and a slow link carries it well
/// within the time of a message. One event alone may have more.
pub const BATCH_BYTES: usize = 512 << 10;
/// The most events in one batch.
pub const BATCH_EVENTS: usize = 256;
/// The most bytes of one job's plan as it travels to a worker: a quarter of the message that a worker reads. So the commit, the
/// branch and the names that travel beside it always have room.
pub const JOB_BYTES: usize = 1 << 20;
/// The most bytes of the jobs and steps of one build as they are shown, without their reasons. It is half of a message, so that
/// the other half is left for the reasons.
pub const VIEW_BYTES: usize = 2 << 20;

macro_rules! table {
    ($($(#[doc = $why:literal])+ $row:ident: $name:literal, $most:expr, $unit:ident, $beyond:ident, [$($field:literal),+ $(,)?];)+) => {
        $(
            $(#[doc = $why])+
            pub const $row: Limit = Limit {
                name: $name,
                fields: &[$($field),+],
                most: $most,
                unit: Unit::$unit,
                beyond: Beyond::$beyond,
                why: concat!($($why),+),
            };
        )+

        /// The rows of this file.
        pub(super) const ROWS: &[Limit] = &[$($row),+];
    };
}

mod masters;
mod peers;

pub use masters::*;
pub use peers::*;

/// Every row of the table.
pub fn rows() -> impl Iterator<Item = &'static Limit> {
    peers::ROWS.iter().chain(masters::ROWS)
}

/// A file of 1 MiB holds every text that it can bring, and a plan is never read from a larger one.
const _: () = assert!(JOB_BYTES <= FILE_MAX && 2 * JOB_BYTES < ANSWER_BYTES && 4 * BATCH_BYTES < ANSWER_BYTES);
