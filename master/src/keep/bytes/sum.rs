//! The BLAKE3 of bytes that arrive piece by piece. A hasher takes 2 KiB and most logs stay empty, so it is allocated with the
//! first byte.

#[derive(Clone, Debug, Default)]
pub(in crate::keep) struct Sum(Option<Box<blake3::Hasher>>);

impl Sum {
    pub(in crate::keep) fn update(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0.get_or_insert_default().update(bytes);
        }
    }

    pub(in crate::keep) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the hash of the bytes so far.
    pub(in crate::keep) fn hash(&self) -> [u8; 32] {
        let hash = self.0.as_ref().map_or_else(|| blake3::hash(&[]), |hasher| hasher.finalize());
        *hash.as_bytes()
    }
}
