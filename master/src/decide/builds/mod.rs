//! What a build that is not finished is made of, and the rules that need nothing else: who needs whom, whether a job is run again,
//! and what a plan becomes when jobs are added to it.

mod append;
mod change_event;
mod open;
mod repeat;
mod trust;

pub use append::AddedJob;
pub(in crate::decide) use append::extended;
pub(in crate::decide) use change_event::change_submitted;
pub(in crate::decide) use open::{Build, Job, OpenAttempt};
pub(in crate::decide) use repeat::{AfterLoss, after_loss};
pub(in crate::decide) use trust::Trigger;
