//! Hostile peers hold: each attack that was once seen to work is a test here, with the right value, beside its relatives.
//! Owns no bound: those are the product's. Memory and latencies are printed here, and judged by the bench.

mod attempts;
mod bounds;
mod doors;
mod grants;
mod limits;
mod pages;
mod revocation;
mod schema_walk;
mod sent;
mod turns;
mod wire;
