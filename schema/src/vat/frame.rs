//! The framing of Cap'n Proto messages on a byte stream: a table of segment sizes, then the segments
//! (<https://capnproto.org/encoding.html#serialization-over-a-stream>). Pure: it checks sizes before it allocates anything for
//! them.

use capnp::serialize::{OwnedSegments, SegmentLengthsBuilder};

use super::CloseReason;

pub(super) const WORD_BYTES: usize = 8;
/// The most segments of a message. The reference implementation has the same limit.
const SEGMENTS_MAX: usize = 512;
/// The size of the longest table of segment sizes, in bytes. A read buffer must be able to hold it.
pub(super) const TABLE_BYTES_MAX: usize = 4 + SEGMENTS_MAX * 4 + 4;

/// A table that was read: the allocated room for its segments, and the number of bytes of the table itself.
pub(super) struct SegmentTable {
    pub(super) segments: OwnedSegments,
    pub(super) table_bytes: usize,
}

/// Reads the table at the start of `bytes`. Returns `None` if `bytes` does not hold the whole table yet.
pub(super) fn parse_table(bytes: &[u8], message_bytes_max: usize) -> Result<Option<SegmentTable>, CloseReason> {
    let Some(count) = number(bytes, 0) else {
        return Ok(None);
    };
    let count = (count as usize).saturating_add(1);
    if count > SEGMENTS_MAX {
        return Err(CloseReason::Protocol(format!("a message of {count} segments; at most {SEGMENTS_MAX} are read")));
    }
    let table_bytes = (4 + count * 4).next_multiple_of(WORD_BYTES);
    if bytes.len() < table_bytes {
        return Ok(None);
    }
    let lengths = (1..=count).filter_map(|index| number(bytes, index));
    let total: u64 = lengths.clone().map(u64::from).sum();
    let message_bytes = total.saturating_mul(WORD_BYTES as u64);
    if message_bytes > message_bytes_max as u64 {
        return Err(CloseReason::TooLarge { bytes: message_bytes, limit: message_bytes_max });
    }
    let mut builder = SegmentLengthsBuilder::with_capacity(count);
    for length in lengths {
        builder.try_push_segment(length as usize).map_err(|e| CloseReason::Protocol(e.to_string()))?;
    }
    Ok(Some(SegmentTable { segments: builder.into_owned_segments(), table_bytes }))
}

/// Appends the message that consists of `segments`.
pub(super) fn append(out: &mut Vec<u8>, segments: &[&[u8]]) {
    let body: usize = segments.iter().map(|segment| segment.len()).sum();
    let table_bytes = (4 + segments.len() * 4).next_multiple_of(WORD_BYTES);
    out.reserve(table_bytes + body);
    let end_of_table = out.len() + table_bytes;
    out.extend_from_slice(&(segments.len() as u32 - 1).to_le_bytes());
    for segment in segments {
        out.extend_from_slice(&((segment.len() / WORD_BYTES) as u32).to_le_bytes());
    }
    out.resize(end_of_table, 0);
    for segment in segments {
        out.extend_from_slice(segment);
    }
}

fn number(bytes: &[u8], index: usize) -> Option<u32> {
    let four = bytes.get(index * 4..index * 4 + 4)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_read_again() {
        for count in 1..=6 {
            let segments = vec![[7u8; 16].as_slice(); count];
            let mut bytes = Vec::new();
            append(&mut bytes, &segments);
            let table = parse_table(&bytes, 1 << 20).unwrap().unwrap();
            assert_eq!(bytes.len(), table.table_bytes + count * 16);
            assert_eq!(table.segments.len(), count * 16);
            for cut in 0..table.table_bytes {
                assert!(parse_table(&bytes[..cut], 1 << 20).unwrap().is_none());
            }
        }
    }

    #[test]
    fn sizes_are_refused_before_anything_is_allocated() {
        let huge = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        assert!(matches!(parse_table(&huge, 1 << 20), Err(CloseReason::TooLarge { .. })));
        assert!(parse_table(&[0xff; 8], 1 << 20).is_err());
        assert!(parse_table(&[0, 2, 0, 0], 1 << 20).is_err());
    }
}
