//! The writing half: all messages of one turn leave in one write. Holds no buffer while nothing waits.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::frame;

/// A buffer of this size is kept from one turn to the next; a larger one is given back.
const KEPT_BYTES: usize = 512;

#[derive(Default)]
pub(super) struct Output {
    queue: Vec<u8>,
    sending: Vec<u8>,
    sent: usize,
    /// Bytes that the stream has taken since the beginning.
    position: u64,
    /// The stream has taken bytes that it was not asked to flush yet.
    dirty: bool,
    /// The stream takes no more at the moment: the next progress proves that the peer reads.
    blocked: bool,
}

/// How far the writing of a message came.
pub(super) struct WriteProgress {
    /// All is written and flushed.
    pub(super) idle: bool,
    /// The stream was full and has taken something since: the other end is alive.
    pub(super) unblocked: bool,
}

impl Output {
    /// Queues a message and says at which position it ends.
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

    /// Whether there is something to write.
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
