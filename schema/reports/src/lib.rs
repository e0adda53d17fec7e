//! Reads the reports of test tools into one typed list. A worker makes the list from the reports of a step and stores it as a blob.
//! Masters and clients read only the list, and never a report itself.
//!
//! [`Collection`] reads reports. Each form has a reader of its own, which is lenient, takes bounded memory and never panics. It keeps
//! every complete result. If something is wrong, the list says what, and where.

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

/// The most results of a list. Nobody learns more from a larger suite, and a generated one could fill the master's disk.
pub const RESULTS_MAX: usize = 250_000;

/// The most bytes that a list takes before it is compressed. It bounds the memory of each program that reads a list.
pub const LIST_MAX: usize = 128 << 20;

/// The most bytes that are read of one report. The reports of large suites have some MiB.
pub const REPORT_MAX: u64 = 256 << 20;

/// The most bytes of the message of one test. A line or two are shown, but an assertion that prints both sides has more.
pub const MESSAGE_MAX: usize = 4 << 10;

/// The most bytes of the output of one test. The report itself has the rest.
pub const OUTPUT_MAX: usize = 16 << 10;

/// The most bytes of a suite, of a name and of parameters, each. Names that people write are shorter, but generated ones may have any
/// length.
pub const NAME_MAX: usize = 1 << 10;
