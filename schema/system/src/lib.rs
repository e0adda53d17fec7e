//! The things that a process of Guild needs from its host. This crate depends on no other crate of ours and knows nothing of the API.
//!
//! - [`boot`]: the id of the current start of the machine;
//! - [`chance`]: random numbers on which no secret depends;
//! - [`fail_point`]: places at which tests let a process die;
//! - [`heap`]: giving freed memory back to the machine;
//! - [`private_file`]: files that only their owner can read;
//! - [`program`]: the path of a program;
//! - [`systemd`]: messages to the service manager, and unit files;
//! - [`tail`]: the last bytes of an output that is too long to be kept.

pub mod boot;
pub mod chance;
pub mod fail_point;
pub mod heap;
pub mod private_file;
pub mod program;
#[cfg(feature = "systemd")]
pub mod systemd;
pub mod tail;
