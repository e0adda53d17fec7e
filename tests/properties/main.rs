//! Random tests against simple models. `GUILD_SEEDS=N` runs more, `GUILD_SEED=S` one again.

mod cancel;
mod coordinator;
mod elsewhere;
mod lanes;
mod logs;
mod remedies;
