//! The worker's files and directories, below everything that means something by them: how they are written, kept for another
//! time, and removed.

pub(crate) mod atomic_file;
pub(crate) mod free;
pub(crate) mod home;
pub(crate) mod private_dir;
pub(crate) mod removal;
pub(crate) mod serving;
pub(crate) mod spares;
