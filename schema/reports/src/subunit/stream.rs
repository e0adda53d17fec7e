//! Finds the packets of a stream. Any other bytes may be between them, because programs also print to the stream. Some letters
//! contain the byte with which a packet begins.

use super::packet::number;
use crate::REPORT_MAX;
use std::io::{self, Read};

const SIGNATURE: u8 = 0xb3;
/// The least bytes of a packet: signature, flags, length and sum.
const PACKET_MIN: usize = 8;
/// The most bytes of a packet, as the protocol defines it.
const PACKET_MAX: usize = 4 << 20;
/// The bytes from the signature to the end of the length, if the length has its longest form.
const HEAD_BYTES: usize = 7;
/// The bytes of the checksum with which a packet ends.
const SUM_BYTES: usize = 4;
/// The number of bytes that are read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// The most bytes of damaged packets whose checksums are computed in vain. Later damaged packets are skipped as a whole, so that the
/// time is bounded. It is the size of the largest report.
const VAIN_MAX: u64 = REPORT_MAX;

/// A stream that is being read.
pub(super) struct Packets<R> {
    from: R,
    has_ended: bool,
    /// The bytes that were read. Those before `start` are done with.
    bytes: Vec<u8>,
    start: usize,
    /// The number of bytes of the stream that are done with.
    passed: u64,
    /// The number of bytes in packets whose checksum was wrong.
    vain: u64,
}

/// The bytes that begin with a signature.
enum Candidate {
    /// A packet with this number of bytes.
    Packet(usize),
    /// A damaged packet, with the fault and the number of its bytes.
    Damaged(&'static str, usize),
    Text,
}

impl<R: Read> Packets<R> {
    pub(super) fn new(from: R) -> Packets<R> {
        Packets { from, has_ended: false, bytes: Vec::new(), start: 0, passed: 0, vain: 0 }
    }

    /// Returns the next packet without its checksum, or a text that says where a packet is damaged. `None` is the end of the stream.
    pub(super) fn next(&mut self) -> Result<Option<Result<Vec<u8>, String>>, String> {
        while self.find()? {
            match self.look()? {
                Candidate::Text => self.pass(1),
                Candidate::Packet(length) => {
                    let packet = self.bytes[self.start..self.start + length - SUM_BYTES].to_vec();
                    self.pass(length);
                    return Ok(Some(Ok(packet)));
                }
                Candidate::Damaged(why, length) => {
                    let why = format!("the packet at byte {} {why}", self.passed);
                    // a packet may begin within it, because text can look like the head of a packet
                    self.pass(if self.vain < VAIN_MAX { 1 } else { length });
                    return Ok(Some(Err(why)));
                }
            }
        }
        Ok(None)
    }

    fn look(&mut self) -> Result<Candidate, String> {
        let head = self.ahead(HEAD_BYTES)?;
        let is_of_version_2 = head.get(1).is_none_or(|flags| flags >> 4 == 2);
        // one flag has no meaning yet and is never set
        let is_plain = head.get(2).is_none_or(|flags| flags & 0x08 == 0);
        if !is_of_version_2 || !is_plain {
            return Ok(Candidate::Text);
        }
        let Some((length, _)) = head.get(3..).and_then(number) else {
            return Ok(Candidate::Damaged("is cut", head.len()));
        };
        if !(PACKET_MIN..=PACKET_MAX).contains(&length) {
            return Ok(Candidate::Damaged("has a length that none has", 1));
        }
        let all = self.ahead(length)?;
        let Some((packet, sum)) = all.split_at_checked(length - SUM_BYTES).filter(|_| all.len() == length) else {
            return Ok(Candidate::Damaged("is cut", all.len()));
        };
        if sum == crc32(packet).to_be_bytes() {
            return Ok(Candidate::Packet(length));
        }
        self.vain += length as u64;
        Ok(Candidate::Damaged("is damaged", length))
    }

    /// Skips to the next signature. Returns `false` if there is none.
    fn find(&mut self) -> Result<bool, String> {
        loop {
            let left = &self.bytes[self.start..];
            let found = left.iter().position(|byte| *byte == SIGNATURE);
            self.pass(found.unwrap_or(left.len()));
            if found.is_some() {
                return Ok(true);
            }
            if !self.fill()? {
                return Ok(false);
            }
        }
    }

    fn pass(&mut self, count: usize) {
        self.start += count;
        self.passed += count as u64;
    }

    /// Returns the next `count` bytes, or fewer if the stream ends earlier.
    fn ahead(&mut self, count: usize) -> Result<&[u8], String> {
        while self.bytes.len() - self.start < count && self.fill()? {}
        let left = &self.bytes[self.start..];
        Ok(&left[..left.len().min(count)])
    }

    /// Reads more bytes. Returns `false` if the stream has ended.
    fn fill(&mut self) -> Result<bool, String> {
        if self.has_ended {
            return Ok(false);
        }
        // the unread bytes are moved, so this is done only if they are the smaller part
        if self.start * 2 >= self.bytes.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        let end = self.bytes.len();
        self.bytes.resize(end + CHUNK_BYTES, 0);
        let read = loop {
            match self.from.read(&mut self.bytes[end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.bytes.truncate(end + *read.as_ref().unwrap_or(&0));
        self.has_ended = read.map_err(|error| error.to_string())? == 0;
        Ok(!self.has_ended)
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| TABLE[usize::from(sum as u8 ^ byte)] ^ sum >> 8)
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let (mut sum, mut bit) = (at as u32, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { 0xedb8_8320 ^ sum >> 1 } else { sum >> 1 };
            bit += 1;
        }
        table[at] = sum;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_zip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    fn packet(content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(PACKET_MIN + content.len()).unwrap();
        let mut packet = [&[SIGNATURE, 0x20, 3, length], content].concat();
        packet.extend(crc32(&packet).to_be_bytes());
        packet
    }

    /// Returns the contents of the packets, and the texts about the damaged ones, in the order of the stream.
    fn read(bytes: &[u8]) -> Vec<String> {
        let mut stream = Packets::new(bytes);
        let mut found = Vec::new();
        while let Some(packet) = stream.next().unwrap() {
            found.push(packet.map_or_else(|why| why, |packet| String::from_utf8_lossy(&packet[4..]).into_owned()));
        }
        assert_eq!(stream.passed, bytes.len() as u64);
        found
    }

    /// The letters `³` and `γ` end with the byte of the signature, and text after them is not a packet.
    #[test]
    fn a_signature_in_a_text_is_no_packet() {
        for text in ["3 m³ of it\n", "αβγδ", "³"] {
            assert_eq!(read(&[text.as_bytes(), &packet(b"one"), &packet(b"two")].concat()), ["one", "two"], "{text}");
        }
    }

    #[test]
    fn what_looks_like_a_packet_takes_none_with_it() {
        let start = "a γ and ".as_bytes();
        let all = [start, &packet(b"one"), &packet(b"two")].concat();
        assert_eq!(read(&all), ["the packet at byte 3 is cut", "one", "two"]);
        let mut damaged = packet(b"one");
        damaged[5] ^= 1;
        assert_eq!(read(&[damaged, packet(b"two")].concat()), ["the packet at byte 0 is damaged", "two"]);
        assert_eq!(read(&packet(b"one")[..9]), ["the packet at byte 0 is cut"]);
        assert_eq!(read(&[SIGNATURE]), ["the packet at byte 0 is cut"]);
    }

    /// Without a bound, the checksum of four MiB would be computed for each of a million signatures.
    #[test]
    fn what_only_looks_like_packets_is_passed_over_at_last() {
        let start = [SIGNATURE, 0x20, 3, 0xc0, 0x10, 0, 0];
        let bytes = start.repeat((8 << 20) / start.len());
        let mut stream = Packets { vain: VAIN_MAX - 1, ..Packets::new(&bytes[..]) };
        let mut count = 0;
        while stream.next().unwrap().is_some() {
            count += 1;
        }
        assert!(stream.vain < VAIN_MAX + (16 << 20), "{} bytes in {count} places", stream.vain);
    }
}
