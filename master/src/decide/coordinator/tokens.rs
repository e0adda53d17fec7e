//! Lease tokens: unguessable from outside, reproducible from the seed that the driver gives.

use super::record::LeaseToken;

#[derive(Debug)]
pub(super) struct Tokens {
    key: [u8; 32],
    drawn: u64,
}

impl Tokens {
    pub(super) fn new(key: [u8; 32]) -> Tokens {
        Tokens { key, drawn: 0 }
    }

    /// The next of 2^64 tokens: a keyed hash of a counter, so that one says nothing of another.
    pub(super) fn draw(&mut self) -> LeaseToken {
        self.drawn += 1;
        let hash = blake3::keyed_hash(&self.key, &self.drawn.to_le_bytes());
        let mut token = [0; 16];
        token.copy_from_slice(&hash.as_bytes()[..16]);
        LeaseToken(token)
    }
}
