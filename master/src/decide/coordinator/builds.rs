//! The commands about builds: how one is made, how its jobs proceed and end, and how retries and removals are kept apart.

mod build;
mod retry_guard;
mod trigger;
