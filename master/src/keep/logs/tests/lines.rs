//! The lines of a log, compared with a plain split of its bytes.

use super::*;

fn naive(text: &[u8], first: usize, count: usize) -> Vec<u8> {
    let lines = text.split_inclusive(|byte| *byte == b'\n').skip(first - 1).take(count);
    let mut bytes = lines.collect::<Vec<_>>().concat();
    bytes.truncate(256 << 10);
    bytes
}

/// Returns the last lines that fit into 256 KiB, or the end of the last line if that is longer.
fn naive_last(text: &[u8], count: usize) -> (u64, Vec<u8>) {
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let mut bytes = Vec::new();
    let mut first = lines.len();
    for line in lines.iter().rev().take(count) {
        let length = bytes.len() + line.len();
        let is_whole = length < 256 << 10 || length == 256 << 10 && length == text.len();
        if !is_whole && !bytes.is_empty() {
            break;
        }
        let part = &line[line.len().saturating_sub(256 << 10)..];
        bytes.splice(0..0, part.iter().copied());
        first -= 1;
        if !is_whole {
            break;
        }
    }
    (first as u64 + 1, bytes)
}

#[test]
fn lines_are_those_of_a_plain_split() {
    for first in 0..30 {
        let seed = Cell::new(first);
        run(async {
            let disk = Disk::new(LIMIT);
            let logs = disk.open();
            // line ends are dense or rare, and some are at the borders of blocks
            let rare = [1, 2, 40, 3_000, 200_000][below(&seed, 5)];
            let mut text: Vec<u8> = Vec::new();
            for part in 0..4 {
                for _ in 0..below(&seed, 120_000) {
                    text.push(if below(&seed, rare) == 0 { b'\n' } else { b'x' });
                }
                for border in [65_535, 65_536, 131_071, 131_072] {
                    if border < text.len() && logs.received(KEY).await.unwrap().0 <= border as u64 {
                        text[border] = b'\n';
                    }
                }
                let from = logs.received(KEY).await.unwrap().0 as usize;
                write(&logs, from, &text[from..]).await;
                if part == 3 {
                    let sealed = seal(&logs, &text).await;
                    disk.commit(&logs, sealed.row);
                }
                let all = text.split_inclusive(|byte| *byte == b'\n').count();
                for _ in 0..20 {
                    let (line, count) = (1 + below(&seed, all + 2), below(&seed, 50));
                    let found = logs.lines(KEY, line as u64, count as u32).await.unwrap();
                    assert_eq!(found.bytes, naive(&text, line, count), "seed {first}: {count} lines from {line}");
                    assert_eq!(text[found.offset as usize..][..found.bytes.len()], found.bytes);
                    let count = count + 1;
                    let (number, last) = logs.last_lines_on(KEY, &Grip::default(), count as u32).await.unwrap();
                    let wanted = naive_last(&text, count);
                    let sizes = (number, last.bytes.len(), wanted.0, wanted.1.len(), text.len());
                    assert!(
                        (number, &last.bytes) == (wanted.0, &wanted.1),
                        "seed {first}: the last {count}: {sizes:?}"
                    );
                    assert!(text[last.offset as usize..] == last.bytes, "seed {first}");
                }
            }
        });
    }
}

#[test]
fn a_line_of_10_mib_is_cut_and_the_next_one_is_found() {
    run(async {
        let disk = Disk::new(LIMIT);
        let logs = disk.open();
        let mut text = b"first\n".to_vec();
        text.extend(std::iter::repeat_n(0xff, 10 << 20));
        text.extend(b"\nlast");
        for (number, part) in text.chunks(1 << 20).enumerate() {
            write(&logs, number << 20, part).await;
        }
        let lines = |first| logs.lines(KEY, first, 1);
        assert_eq!(lines(1).await.unwrap().bytes, b"first\n");
        let long = lines(2).await.unwrap();
        assert_eq!((long.offset, long.bytes.len()), (6, 256 << 10));
        assert_eq!(lines(3).await.unwrap(), Lines { bytes: b"last".to_vec(), offset: text.len() as u64 - 4 });
        assert_eq!(lines(4).await.unwrap(), Lines { bytes: Vec::new(), offset: text.len() as u64 });
        // files are synced while later writes go on
        loop {
            let written = logs.write(KEY, text.len() as u64, Vec::new(), Vec::new()).await.unwrap();
            assert!(written.durable >= 4 << 20 && written.durable <= written.received, "{written:?}");
            if written.durable >= 8 << 20 {
                break;
            }
            tokio::task::yield_now().await;
        }
    });
}
