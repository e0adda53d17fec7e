//! The writing half of a connection: all messages of one turn leave in one write. It holds no large buffer while no message waits.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::frame;

/// The largest empty buffer, in bytes, that is kept from one turn to the next. A larger one is freed, so that idle connections stay
/// small.
const KEPT_BYTES: usize = 512;

#[derive(Default)]
pub(super) struct Output {
    queue: Vec<u8>,
    sending: Vec<u8>,
    sent: usize,
    /// Bytes that the stream has taken since the beginning.
    position: u64,
    /// Whether the stream has taken bytes since the last flush.
    dirty: bool,
    /// Whether the stream takes no more at the moment. If so, the next progress proves that the peer reads.
    blocked: bool,
}

/// The result of one [`Output::poll_write`].
pub(super) struct WriteProgress {
    /// Whether everything is written and flushed.
    pub(super) idle: bool,
    /// Whether the stream was full and has taken bytes since, which proves that the peer is alive.
    pub(super) unblocked: bool,
}

impl Output {
    /// Queues a message and returns the position in the output at which it ends.
    pub(super) fn push(&mut self, segments: &[&[u8]]) -> u64 {
        frame::append(&mut self.queue, segments);
        self.position + self.waiting() as u64
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len() + self.sending.len() - self.sent
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting() == 0 && !self.dirty
    }

    /// Writes as much as the stream takes.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        mut stream: Pin<&mut (impl AsyncWrite + ?Sized)>,
    ) -> io::Result<WriteProgress> {
        let mut unblocked = false;
        loop {
            let polled = if self.next_batch() {
                stream.as_mut().poll_write(cx, &self.sending[self.sent..])
            } else if self.dirty {
                stream.as_mut().poll_flush(cx).map_ok(|()| 0)
            } else {
                let idle = true;
                return Ok(WriteProgress { idle, unblocked });
            };
            let Poll::Ready(result) = polled else {
                self.blocked = true;
                let idle = false;
                return Ok(WriteProgress { idle, unblocked });
            };
            unblocked |= std::mem::take(&mut self.blocked);
            self.took(result?)?;
        }
    }

    /// Whether bytes are left to write. If all sent bytes are taken, the queue becomes the next batch.
    fn next_batch(&mut self) -> bool {
        if self.sent == self.sending.len() {
            self.sending.clear();
            self.sent = 0;
            std::mem::swap(&mut self.queue, &mut self.sending);
            for buffer in [&mut self.queue, &mut self.sending] {
                if buffer.is_empty() && buffer.capacity() > KEPT_BYTES {
                    *buffer = Vec::new();
                }
            }
        }
        !self.sending.is_empty()
    }

    fn took(&mut self, count: usize) -> io::Result<()> {
        if self.sending.is_empty() {
            self.dirty = false;
        } else if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        } else {
            self.sent += count;
            self.position += count as u64;
            self.dirty = true;
        }
        Ok(())
    }
}
