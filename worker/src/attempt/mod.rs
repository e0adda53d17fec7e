//! One attempt of a job, from its assignment to the acknowledged end. It says what is in hand, which step is next, what its
//! processes print, and what the master hears of it.

pub(crate) mod ledger;
pub(crate) mod next;
pub(crate) mod output;
pub(crate) mod report;
pub(crate) mod runner;
pub(crate) mod shared;
pub(crate) mod test_reports;
pub(crate) mod troubles;
pub(crate) mod window;
