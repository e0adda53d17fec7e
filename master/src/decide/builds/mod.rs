//! The parts of an unfinished build, and the rules that need nothing else. They say which job needs which, which job is ready, and
//! whether one runs again. They also say how a build ends, and which jobs a retry of a finished build repeats.

mod append;
mod change_event;
mod life;
mod open;
mod order;
mod planned;
mod refused;
mod repeat;
mod retry;
mod step_end;
mod trust;

pub use append::AddedJob;
pub use order::Order;
pub use planned::Planned;
pub use retry::{Past, chosen};

use append::extended;
pub(in crate::decide) use change_event::change_submitted;
pub(in crate::decide) use life::AfterNeeds;
pub(in crate::decide) use open::{Build, Job, OpenAttempt};
pub(in crate::decide) use repeat::{AfterLoss, after_loss};
pub(in crate::decide) use retry::{Retried, RetryGuard};
pub(in crate::decide) use step_end::{check_end, end_of_step, reason_with_limit};
pub(in crate::decide) use trust::Trigger;
