//! What a process of Guild needs of its host. Depends on nothing else of ours, and knows nothing of the API.
//!
//! - [`boot`]: which start of the machine this is;
//! - [`chance`]: what is left to chance, and no secret;
//! - [`fail_point`]: where tests let a process die;
//! - [`heap`]: memory that was let go of;
//! - [`private_file`]: files that only their owner reads;
//! - [`program`]: where a program lies;
//! - [`systemd`]: what a program and who runs it tell each other;
//! - [`tail`]: the end of an output that is too long to be kept.

pub mod boot;
pub mod chance;
pub mod fail_point;
pub mod heap;
pub mod private_file;
pub mod program;
#[cfg(feature = "systemd")]
pub mod systemd;
pub mod tail;
