//! What keeps a step apart: how its process starts, and how all of its processes end. Tier 1, `guard`, and tier 0,
//! `plain`.

pub(crate) mod descent;
pub(crate) mod spawn;
