//! The table of limits. Each row is one kind of value: its name, its limit, what happens beyond the limit, the fields that carry
//! the value, and the reason. The rows of `peers.rs` bound values that peers send, and the same values where a master shows them.
//! The rows of `masters.rs` bound values that only masters send. Other bounds, such as times, are in [`super::borders`].
//!
//! A text of a peer that is too long is refused if the peer can send a shorter one. It is cut if a refusal would lose an honest
//! result, such as the reason of an attempt that ended. Readers cut the texts of a master, because an older one has no limits.

use super::Limit;

/// The most bytes of a file that people write, such as `guild.toml`. It is ten times the largest `guild.toml` of a known project.
pub const FILE_MAX: usize = 1 << 20;
/// The most characters of a name, which are ASCII. It is small because names are parts of selectors, paths and lists.
pub const NAME_MAX: usize = 100;
/// The most bytes of a list in an answer. Every client reads messages of 4 MiB, and the last quarter is for the answer's other
/// fields.
pub const ANSWER_BYTES: usize = 3 << 20;
/// The most bytes of events in one batch, unless a single event has more. It is small compared with what a connection may hold,
/// and a slow link carries it well within the time of a message.
pub const BATCH_BYTES: usize = 512 << 10;
/// The most events in one batch. Small events reach it before [`BATCH_BYTES`].
pub const BATCH_EVENTS: usize = 256;
/// The most bytes of one job's plan as it travels to a worker. It is a quarter of the largest message that a worker reads. So the
/// commit, the branch and the names beside it always have room.
pub const JOB_BYTES: usize = 1 << 20;
/// The most bytes of the jobs and steps of one build as they are shown, without their reasons. It is half of the largest message,
/// so that the other half is left for the reasons.
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

/// Returns every row of the table, first the rows of `peers.rs`.
pub fn rows() -> impl Iterator<Item = &'static Limit> {
    peers::ROWS.iter().chain(masters::ROWS)
}

// One job of a plan fits into a file, and two jobs or four batches of events fit into one answer.
const _: () = assert!(JOB_BYTES <= FILE_MAX && 2 * JOB_BYTES < ANSWER_BYTES && 4 * BATCH_BYTES < ANSWER_BYTES);
