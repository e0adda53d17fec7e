//! The code that a person or a service manager starts: the commands, and the worker's life from start to end. It also holds what the
//! worker does beside its session with the master.

pub(crate) mod cli;
pub(crate) mod control;
pub(crate) mod housekeeping;
pub(crate) mod run;
pub(crate) mod service_notify;
pub(crate) mod systemd_unit;
