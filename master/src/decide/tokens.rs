//! Lease tokens. Outsiders cannot guess them, but the key that the driver gives reproduces them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The unguessable name of a lease.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaseToken(pub [u8; 16]);

impl fmt::Debug for LeaseToken {
    /// Writes enough of the token to tell two tokens apart in a log, and too little to use it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lease {:02x}{:02x}..", self.0[0], self.0[1])
    }
}

#[derive(Debug)]
pub(in crate::decide) struct Tokens {
    key: [u8; 32],
    drawn: u64,
}

impl Tokens {
    pub(in crate::decide) fn new(key: [u8; 32]) -> Tokens {
        Tokens { key, drawn: 0 }
    }

    /// Draws the next of 2^64 tokens. It is a keyed hash of a counter, so that one token says nothing about another.
    pub(in crate::decide) fn draw(&mut self) -> LeaseToken {
        self.drawn += 1;
        let hash = blake3::keyed_hash(&self.key, &self.drawn.to_le_bytes());
        let mut token = [0; 16];
        token.copy_from_slice(&hash.as_bytes()[..16]);
        LeaseToken(token)
    }
}
