//! Builds: what makes one, how its jobs go on and end, and what keeps a retry and a removal apart.

mod build;
mod retry_guard;
mod trigger;
