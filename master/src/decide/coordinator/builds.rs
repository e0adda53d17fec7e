//! Builds: what makes one, how its jobs go on and end, and what keeps a retry and a removal apart.

mod append;
mod build;
mod retry_guard;
mod trigger;

pub(super) use retry_guard::RetryGuard;
pub use trigger::{Past, chosen};
