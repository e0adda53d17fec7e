//! The reading half of a connection: it makes messages of bytes, within limits. It holds no buffer while no message is arriving.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use capnp::ErrorKind;
use capnp::any_pointer;
use capnp::message::{Reader, ReaderOptions};
use capnp::serialize::OwnedSegments;
use tokio::io::{AsyncRead, ReadBuf};

use super::frame::{self, TABLE_BYTES_MAX, WORD_BYTES};
use super::{CloseReason, Limits};

/// The bytes of the read buffer. A whole table of segments must fit in it; larger bodies are read straight to their place.
const BUFFER_BYTES: usize = 8 << 10;
const _: () = assert!(BUFFER_BYTES >= 2 * TABLE_BYTES_MAX);

/// The traversal limit of a message, as a multiple of its words. It is above 1 because the library counts an object each time
/// that the account, the library, a getter or a gate looks at it.
const TRAVERSAL_FACTOR: usize = 8;
/// The least traversal limit of a message, in words. It lets the smallest messages pass, which hold a few small objects that are
/// each looked at some twenty times. It also bounds a list of elements without a size, each of which counts as a word.
const TRAVERSAL_WORDS_MIN: usize = 512;

pub(super) type Message = Reader<OwnedSegments>;

thread_local! {
    /// A spare buffer that the connections of this thread share, because few of them read at the same moment.
    static SPARE: Cell<Box<[u8]>> = Cell::default();
}

#[derive(Default)]
pub(super) struct Input {
    /// The read buffer: empty, or of [`BUFFER_BYTES`]. The unread bytes are at `start..end`.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    body: Option<Body>,
}

/// A message whose table of segments is read and whose segments are arriving.
struct Body {
    segments: OwnedSegments,
    filled: usize,
}

impl Input {
    /// Returns the next message and its size in bytes, or `None` if it is not complete yet.
    pub(super) fn next(&mut self, limits: &Limits) -> Result<Option<(Message, usize)>, CloseReason> {
        if self.body.is_none() {
            let here = &self.buffer[self.start..self.end];
            let Some(table) = frame::parse_table(here, limits.message_bytes)? else {
                return Ok(None);
            };
            self.start += table.table_bytes;
            self.body = Some(Body { segments: table.segments, filled: 0 });
        }
        self.move_to_body();
        match self.body.take() {
            Some(body) if body.filled == body.segments.len() => {
                let bytes = body.filled;
                let options = reader_options(bytes, limits);
                Ok(Some((Reader::new(body.segments, options), bytes)))
            }
            unfinished => {
                self.body = unfinished;
                Ok(None)
            }
        }
    }

    /// Returns how many bytes of the current message have come, or `None` if no message has begun.
    pub(super) fn begun(&self) -> Option<usize> {
        let here = self.end - self.start;
        match &self.body {
            Some(body) => Some(body.filled),
            None => (here > 0).then_some(here),
        }
    }

    /// Reads once and returns the number of bytes. 0 is the end of the stream.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: Pin<&mut (impl AsyncRead + ?Sized)>,
    ) -> Poll<io::Result<usize>> {
        let target = match &mut self.body {
            // A large body is read straight to its place, without the buffer.
            Some(body) if body.segments.len() - body.filled >= BUFFER_BYTES => {
                let mut target = ReadBuf::new(&mut body.segments[body.filled..]);
                ready!(stream.poll_read(cx, &mut target))?;
                let count = target.filled().len();
                body.filled += count;
                return Poll::Ready(Ok(count));
            }
            Some(_) | None => self.free_space(),
        };
        let mut target = ReadBuf::new(target);
        let polled = stream.poll_read(cx, &mut target);
        let count = target.filled().len();
        self.end += count;
        if polled.is_pending() && self.start == self.end {
            SPARE.set(std::mem::take(&mut self.buffer));
            (self.start, self.end) = (0, 0);
        }
        ready!(polled)?;
        Poll::Ready(Ok(count))
    }

    fn move_to_body(&mut self) {
        let Some(body) = &mut self.body else { return };
        let here = &self.buffer[self.start..self.end];
        let count = here.len().min(body.segments.len() - body.filled);
        body.segments[body.filled..body.filled + count].copy_from_slice(&here[..count]);
        body.filled += count;
        self.start += count;
    }

    fn free_space(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            let spare = SPARE.take();
            self.buffer = if spare.is_empty() { vec![0; BUFFER_BYTES].into_boxed_slice() } else { spare };
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.buffer[self.end..]
    }
}

/// Refuses a message that refers to more than it holds, for example one that points to the same object twice. Gates copy messages,
/// and the copy of such a message would be many times as large as the message.
pub(super) fn weigh(root: &any_pointer::Reader<'_>, bytes: usize) -> capnp::Result<()> {
    match root.target_size()?.word_count <= (bytes / WORD_BYTES) as u64 {
        true => Ok(()),
        false => Err(capnp::Error::from_kind(ErrorKind::ReadLimitExceeded)),
    }
}

/// Returns the reason with which a message that cannot be read ends the connection.
pub(super) fn told(error: capnp::Error) -> CloseReason {
    if error.kind == ErrorKind::ReadLimitExceeded {
        return CloseReason::Overload("a message refers to more than it holds".to_owned());
    }
    if error.kind == ErrorKind::Overloaded {
        return CloseReason::Overload(error.extra);
    }
    CloseReason::Protocol(error.to_string())
}

fn reader_options(bytes: usize, limits: &Limits) -> ReaderOptions {
    let words = bytes / WORD_BYTES * TRAVERSAL_FACTOR;
    let mut options = ReaderOptions::new();
    options.traversal_limit_in_words(Some(words.max(TRAVERSAL_WORDS_MIN)));
    options.nesting_limit(limits.nesting);
    options
}
