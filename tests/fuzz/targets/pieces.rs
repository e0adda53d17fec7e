//! [`Pieces`] lets a target take several values from one input: numbers from its front, and texts that end with a mark.

/// `Pieces` is the part of an input from which no value has been taken yet.
pub struct Pieces<'a>(pub &'a [u8]);

impl<'a> Pieces<'a> {
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Takes a number of two bytes, little-endian. Missing bytes count as zero.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte().unwrap_or(0), self.byte().unwrap_or(0)])
    }

    /// Takes at most this many bytes.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Takes the bytes before the next mark, and drops the mark. Without a mark, takes all that is left.
    pub fn until(&mut self, mark: u8) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == mark).unwrap_or(self.0.len());
        let taken = self.take(end);
        self.byte();
        taken
    }
}
