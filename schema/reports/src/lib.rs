//! What test tools report, as one typed list. Workers make the list of the reports that a step wrote and store it as a blob.
//! Masters and clients read the list, and never a report itself.
//!
//! [`Collection`] reads reports. Each form has a reader of its own, which is lenient, takes bounded memory and never panics. What
//! was whole is kept, and the list says what is wrong, with the place.

mod collection;
mod cut;
mod junit;
mod libtest;
mod lines;
mod list;
mod noise;
mod read;
mod subunit;
mod tap;
mod test;

pub use collection::Collection;
pub use list::{TestList, UnreadableList, decode, encode};
pub use test::{TestId, TestOutcome, TestResult};

/// A list has at most this many results: a larger suite tells nobody more, and a generated one could fill the master.
pub const RESULTS_MAX: usize = 250_000;

/// A list takes at most this many bytes in memory before it is compressed.
pub const LIST_MAX: usize = 128 << 20;

/// The bytes of one report that are read. The reports of large suites have some MiB.
pub const REPORT_MAX: u64 = 256 << 20;

/// The bytes of the message of one test: a line or two are shown, and an assertion that prints both sides has more.
pub const MESSAGE_MAX: usize = 4 << 10;

/// The bytes of the output of one test. The report itself has the rest.
pub const OUTPUT_MAX: usize = 16 << 10;

/// The bytes of a suite, of a name and of parameters, each: names that somebody wrote are shorter, and generated ones have no end.
pub const NAME_MAX: usize = 1 << 10;
