//! Builds: what makes one, how its jobs go on and end, and what keeps a retry and a removal apart.

mod append;
mod build;
mod open;
mod repeat;
mod retry_guard;
mod trigger;

pub use append::AddedJob;
pub(super) use open::{Attempt, Build};
pub(super) use repeat::{AfterLoss, after_loss};
pub(super) use retry_guard::RetryGuard;
pub use trigger::{Past, chosen};
