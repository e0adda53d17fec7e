//! Tests against hostile peers: each attack that once worked is tested here with the right behaviour, beside similar attacks.
//! The bounds are those of the product. Memory and latencies are only printed here; the bench judges them.

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
