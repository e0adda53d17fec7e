//! The one idea of bytes: append-only, addressed by an offset, sealed with a length and a BLAKE3.

pub(in crate::keep) mod budget;
pub(in crate::keep) mod grip;
pub(in crate::keep) mod snapshot;
pub(in crate::keep) mod sum;
