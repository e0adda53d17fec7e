//! What a person starts: a master, a backup, a unit of systemd, one build of the checkout at hand; and what goes on while a
//! master runs (reloading its file, forgetting old history).

pub mod anew;
pub mod arguments;
pub mod backup;
pub mod reload;
pub mod retention;
pub(crate) mod serving;
pub mod soundness;
pub mod systemd_unit;
pub mod up;
pub(crate) mod wiring;
