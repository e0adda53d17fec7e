//! What a person starts: a master, a backup, a unit of systemd, one build of the checkout at hand. It also holds what goes on
//! while a master runs: reloading its file, and forgetting old history.

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
