//! One attempt of a job, from its assignment to the acknowledged end. The files are the ledger of attempts, the choice of the next
//! step, the output of the attempt's processes, and its reports to the master.

pub(crate) mod ledger;
pub(crate) mod next;
pub(crate) mod output;
pub(crate) mod report;
pub(crate) mod runner;
pub(crate) mod shared;
pub(crate) mod test_reports;
pub(crate) mod troubles;
pub(crate) mod window;
