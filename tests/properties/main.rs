//! Random tests against simple models. `GUILD_SEEDS=N` runs N seeds, and `GUILD_SEED=S` only the seed S.

mod append;
mod authority;
mod branches;
mod cancel;
mod chains;
mod clocks;
mod coordinator;
mod elsewhere;
mod kept_room;
mod lanes;
mod leases;
mod logs;
mod offers;
mod overdue;
mod placement;
mod remedies;
mod restored;
mod scripts;
mod world;
