//! The commands about builds: what makes one, how its jobs go on and end, and what keeps retries and removals apart.

mod build;
mod retry_guard;
mod trigger;
