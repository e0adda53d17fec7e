//! The readers of the reports that test tools write, with a target for each form, and the reader of stored lists of tests.

use super::pieces::Pieces;
use reports::{
    Collection, MESSAGE_MAX, NAME_MAX, OUTPUT_MAX, RESULTS_MAX, TestList, TestOutcome, TestResult, decode, encode,
};
use schema::values::{ReportFormat, TestsReported};
use std::io::{self, Read};

/// The newest version of the list that the reader knows.
const VERSION: u64 = 1;

pub fn junit(data: &[u8]) {
    read(ReportFormat::Junit, data);
}

pub fn tap(data: &[u8]) {
    read(ReportFormat::Tap, data);
}

pub fn libtest(data: &[u8]) {
    read(ReportFormat::Libtest, data);
}

/// Reads the input as it is, and also as packets with right checksums, which a fuzzer would not guess.
pub fn subunit(data: &[u8]) {
    read(ReportFormat::Subunit, data);
    read(ReportFormat::Subunit, &framed(data));
}

/// Checks that a report is read as the same in any pieces, and that its tests are within their bounds.
fn read(format: ReportFormat, data: &[u8]) {
    let list = collected(format, data);
    let in_pieces = collected(format, Slow { bytes: data, most: data.len() % 7 + 1 });
    assert_eq!(list.results, in_pieces.results);
    assert_eq!(list.trouble.is_empty(), in_pieces.trouble.is_empty(), "{} {}", list.trouble, in_pieces.trouble);
    list.results.iter().for_each(check);
    check_list(&list);
}

fn collected(format: ReportFormat, from: impl Read) -> TestList {
    let mut collection = Collection::below("/build", "web");
    collection.read(format, "dir/report.xml", from);
    collection.finish()
}

fn check(result: &TestResult) {
    let id = &result.id;
    assert!([&id.suite, &id.name, &id.parameters].iter().all(|name| name.len() <= NAME_MAX), "{id}");
    assert!(result.message.len() <= MESSAGE_MAX && result.output.len() <= OUTPUT_MAX, "{id}");
    assert!(!result.file.starts_with('/') && result.file.len() <= NAME_MAX, "{}", result.file);
    assert!(result.line == 0 || !result.file.is_empty());
    let is_bad = matches!(result.outcome, TestOutcome::Failed | TestOutcome::Errored);
    assert!(is_bad || result.output.is_empty(), "{id}");
    assert!(result.attempt > 0);
}

/// Checks that a list which is encoded and decoded is the same, and that its counts fit its results.
fn check_list(list: &TestList) {
    let stored = encode(list).expect("memory takes it");
    assert_eq!(&decode(&stored).expect("it was encoded"), list);
    let short = list.in_short();
    let counts = short.counts;
    let count = counts.passed + counts.failed + counts.errored + counts.skipped;
    assert!(count as usize <= list.results.len() && (count == 0) == list.results.is_empty());
    assert!(short.failing.len() <= TestsReported::FAILING_MAX.min((counts.failed + counts.errored) as usize));
}

/// `Slow` is a reader that returns few bytes at a time.
struct Slow<'a> {
    bytes: &'a [u8],
    most: usize,
}

impl Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.most.min(into.len());
        self.bytes.read(&mut into[..count])
    }
}

/// Makes packets from the input. For each it has two bytes with the number of bytes, two with the flags, and the fields.
fn framed(data: &[u8]) -> Vec<u8> {
    let mut pieces = Pieces(data);
    let mut stream = Vec::new();
    while !pieces.0.is_empty() {
        let count = usize::from(pieces.short() & 0x0fff);
        let [first, second] = pieces.short().to_le_bytes();
        let fields = pieces.take(count);
        let length = (fields.len() + 9) as u16 | 0x4000;
        let mut packet = vec![0xb3, 0x20 | first & 0x0f, second & 0xf7];
        packet.extend(length.to_be_bytes());
        packet.extend(fields);
        packet.extend(crc32(&packet).to_be_bytes());
        stream.extend(packet);
    }
    stream
}

/// Returns the checksum of a packet, calculated bit by bit as its definition says.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { 0xedb8_8320 ^ sum >> 1 } else { sum >> 1 })
    })
}

/// Reads the input as a stored list, and also as the uncompressed lines of one.
pub fn list(data: &[u8]) {
    let _ = decode(data);
    let Ok(list) = decode(&stored(data)) else { return };
    assert!(list.results.len() <= RESULTS_MAX);
    let head = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let version = serde_json::from_slice::<serde_json::Value>(head).ok().and_then(|head| head["version"].as_u64());
    assert!(version.is_none_or(|version| version <= VERSION), "a list of version {version:?} is read");
    check_list(&list);
}

/// Returns a frame of zstd (RFC 8878, section 3.1.1) that contains the bytes uncompressed.
fn stored(data: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend((data.len() as u32).to_le_bytes());
    for block in data.chunks(64 << 10) {
        frame.extend(&((block.len() as u32) << 3).to_le_bytes()[..3]);
        frame.extend(block);
    }
    // the last block of the frame is an empty one
    frame.extend([1, 0, 0]);
    frame
}
