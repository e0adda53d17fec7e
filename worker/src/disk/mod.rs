//! The ways in which the worker writes, keeps and removes files and directories. Nothing here knows what the files mean.

pub(crate) mod atomic_file;
pub(crate) mod free;
pub(crate) mod home;
pub(crate) mod private_dir;
pub(crate) mod removal;
pub(crate) mod serving;
pub(crate) mod spares;
