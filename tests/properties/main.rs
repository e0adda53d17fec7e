//! Random tests against simple models. `GUILD_SEEDS=N` runs more, `GUILD_SEED=S` one again.

mod branches;
mod coordinator;
mod lanes;
mod leases;
mod logs;
mod remedies;
mod restored;
