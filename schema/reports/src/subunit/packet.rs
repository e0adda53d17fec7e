//! Reads one packet of subunit, with its fields.

/// The content of one packet.
#[derive(Default)]
pub(super) struct Packet {
    pub status: u16,
    /// The time of the packet, in microseconds since 1970.
    pub time: Option<u64>,
    pub test: Option<String>,
    pub is_text: bool,
    pub file: Option<(String, Vec<u8>)>,
    /// The route code, which tells apart several processes that write to one stream.
    pub route: String,
}

impl Packet {
    pub(super) fn parse(bytes: &[u8]) -> Option<Packet> {
        let flags = u16::from_be_bytes([*bytes.get(1)?, *bytes.get(2)?]);
        let (_, start) = number(bytes.get(3..)?)?;
        let mut fields = Fields(bytes.get(3 + start..)?);
        let has = |flag: u16| flags & flag != 0;
        let mut packet = Packet { status: flags & 7, ..Packet::default() };
        if has(0x0200) {
            packet.time = Some(fields.time()?);
        }
        if has(0x0800) {
            packet.test = Some(fields.text()?);
        }
        if has(0x0080) {
            for _ in 0..fields.number()? {
                fields.text()?;
            }
        }
        packet.is_text = if has(0x0020) { fields.text()?.starts_with("text/") } else { true };
        if has(0x0040) {
            packet.file = Some((fields.text()?, fields.bytes()?.to_vec()));
        }
        if has(0x0400) {
            packet.route = fields.text()?;
        }
        Some(packet)
    }
}

/// The fields of a packet that are not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<usize> {
        let (number, length) = number(self.0)?;
        self.0 = &self.0[length..];
        Some(number)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.number()?;
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn time(&mut self) -> Option<u64> {
        let (seconds, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from(u32::from_be_bytes(*seconds)) * 1_000_000 + self.number()? as u64 / 1_000)
    }
}

/// Reads a number whose first two bits say how many bytes follow the first byte. Returns the number and its length in bytes.
pub(super) fn number(bytes: &[u8]) -> Option<(usize, usize)> {
    let length = usize::from(*bytes.first()? >> 6) + 1;
    let all = bytes.get(..length)?;
    let first = usize::from(all[0] & 0x3f);
    Some((all[1..].iter().fold(first, |sum, byte| sum << 8 | usize::from(*byte)), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_says_how_long_it_is() {
        for (bytes, wanted) in [
            (&[0x3f][..], Some((0x3f, 1))),
            (&[0x40, 0x80, 7], Some((0x80, 2))),
            (&[0xc1, 2, 3, 4], Some((0x0102_0304, 4))),
            (&[0xc1, 2, 3], None),
            (&[], None),
        ] {
            assert_eq!(number(bytes), wanted, "{bytes:?}");
        }
    }
}
