//! The commands that a person starts: a master, a backup, a unit of systemd, one build of a checkout. It also holds the tasks that run
//! beside a master: reloading its file, and forgetting old history.

pub mod anew;
pub mod arguments;
pub mod backup;
pub mod reload;
pub mod retention;
pub(crate) mod serving;
pub mod soundness;
pub mod systemd_unit;
pub mod test_intake;
pub mod up;
pub(crate) mod wiring;
