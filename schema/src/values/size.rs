//! Sizes as people write them and read them.

use std::fmt;

/// A number of bytes, as people read and write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl Bytes {
    /// Reads a text such as `4GiB`: a whole number with one of the units `B`, `KiB`, `MiB`, `GiB` and `TiB`.
    pub fn parse(text: &str) -> Option<Bytes> {
        let (number, unit) = text.split_at(text.find(|char: char| !char.is_ascii_digit())?);
        let shift = match unit.trim_start() {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(1 << shift).map(Bytes)
    }
}

impl fmt::Display for Bytes {
    /// Writes a text such as `12.3 MiB`, in the largest unit up to GiB of which there is at least one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0 as f64;
        match self.0 {
            0..1_024 => write!(f, "{} B", self.0),
            1_024..1_048_576 => write!(f, "{:.1} KiB", count / 1_024.0),
            1_048_576..1_073_741_824 => write!(f, "{:.1} MiB", count / 1_048_576.0),
            _ => write!(f, "{:.1} GiB", count / 1_073_741_824.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(Bytes::parse("4GiB"), Some(Bytes(4 << 30)));
        assert_eq!(Bytes::parse("512 MiB"), Some(Bytes(512 << 20)));
        assert_eq!(Bytes::parse("7B"), Some(Bytes(7)));
        for bad in ["", "4", "4GB", "GiB", "-1B", "1.5GiB", "99999999999TiB"] {
            assert_eq!(Bytes::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_shown() {
        let shown = [0, 1_023, 1_024, 1 << 20, (1 << 30) - 1, 3 << 30].map(|count| Bytes(count).to_string());
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1024.0 MiB", "3.0 GiB"]);
    }
}
