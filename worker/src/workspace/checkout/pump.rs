//! Brings the bytes of a pack from the master to git. The answer to a `renew` comes after the parts that were requested before it. So a
//! lease could be lost while a large pack crosses a slow link. Therefore the size of the next part follows the speed of the link.

use super::CheckoutError;
use crate::workspace::git::Progress;
use capnp::capability::Promise;
use schema::common_capnp::byte_source;
use schema::limits::{self, PART};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;
use tokio::time::Instant;

/// The largest part that one call requests, in bytes. A master gives no more at once.
const PART_MAX: u32 = 256 << 10;
/// The smallest part, in bytes. It keeps the overhead of a call small even over a slow link.
const PART_MIN: u32 = 16 << 10;
/// The size of the first part, in bytes. Over 64 kbit/s it takes 8 s, and many packs are no larger.
const PART_FIRST: u32 = 64 << 10;
/// The number of requests under way at once. The first is for a link that takes the largest parts, so that it is never idle, and the
/// second for slower links.
const PARTS_AT_ONCE: (usize, usize) = (4, 2);
/// The times that change the size of the next part. A part that came within the first makes it larger, and one that took longer than
/// the second makes it smaller.
const SOON: Duration = Duration::from_millis(500);
const LATE: Duration = Duration::from_secs(1);

/// A part of a pack that was requested.
pub(super) struct Part {
    count: u32,
    asked: Instant,
    bytes: Promise<Vec<u8>, capnp::Error>,
}

impl Part {
    /// Requests the beginning of a pack. The pack may be shorter than that.
    pub(super) fn first(source: &byte_source::Client) -> Part {
        Part::of(source, 0, PART_FIRST)
    }

    fn of(source: &byte_source::Client, offset: u64, count: u32) -> Part {
        let mut request = source.read_request();
        request.get().set_offset(offset);
        request.get().set_count(count);
        let promise = request.send().promise;
        let bytes = async move { Ok(limits::data(promise.await?.get()?.get_bytes(), &PART)?.to_vec()) };
        Part { count, asked: Instant::now(), bytes: Promise::from_future(bytes) }
    }
}

/// Returns the size of the next part, in bytes, given the size and the duration of the last one.
fn next(part: u32, took: Duration) -> u32 {
    match took {
        _ if took < SOON => part.saturating_mul(2).min(PART_MAX),
        _ if took > LATE => (part / 2).max(PART_MIN),
        _ => part,
    }
}

/// Writes the first `size` bytes of the source to git in their order, while the next parts are under way.
pub(super) async fn pump(
    source: &byte_source::Client,
    size: u64,
    first: Part,
    mut pipe: ChildStdin,
    progress: Progress,
) -> Result<(), CheckoutError> {
    let (mut asked, mut written, mut count) = (u64::from(first.count).min(size), 0, first.count);
    let mut parts = VecDeque::from([first]);
    while written < size {
        let most = if count == PART_MAX { PARTS_AT_ONCE.0 } else { PARTS_AT_ONCE.1 };
        while asked < size && parts.len() < most {
            let fits = u32::try_from(size - asked).unwrap_or(u32::MAX).min(count);
            parts.push_back(Part::of(source, asked, fits));
            asked += u64::from(fits);
        }
        let Some(part) = parts.pop_front() else {
            break;
        };
        let bytes = part.bytes.await?;
        count = next(count, part.asked.elapsed());
        if bytes.len() as u64 != u64::from(part.count).min(size - written) {
            return Err(capnp::Error::failed("a read brought fewer bytes than there are".to_string()).into());
        }
        written += bytes.len() as u64;
        if pipe.write_all(&bytes).await.is_err() {
            // Git ended early, and its own message says why.
            return Ok(());
        }
        progress.note();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F15, a relative: soon no more of a pack is under way than a lease can wait for.
    #[test]
    fn parts_follow_the_link() {
        let after = |bytes_per_second: f64, parts: u32| {
            (0..parts).fold(PART_FIRST, |part, _| {
                next(part, Duration::from_secs_f64(2.0 * f64::from(part) / bytes_per_second))
            })
        };
        assert_eq!(after(8_000.0, 3), PART_MIN, "64 kbit/s");
        assert_eq!(after(100e6, 3), PART_MAX);
        assert!((PART_MIN..PART_MAX).contains(&after(200e3, 9)), "1.6 Mbit/s");
    }
}
