//! A byte stream under TLS. Holds no buffer while nothing is on its way. What comes is read into a buffer that all connections of
//! a thread share, many records at once. What goes is dropped once the stream below has taken it.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::session::{Session, Stage};

/// What is read at once, with what was left over. More than the longest record.
const SCRATCH_BYTES: usize = 64 << 10;
/// What is sealed at once, and so may wait for the stream below. It is much while that takes all, and little once it did not,
/// since what the stream takes shows that a slow peer lives.
const FLOWING_BYTES: usize = 64 << 10;
const STALLED_BYTES: usize = 16 << 10;

/// A secured stream. Reading and writing belong to one task.
pub struct TlsStream<S> {
    below: S,
    session: Session,
    stage: Stage,
    /// What came and is not done with: the beginning of a record, or of what consists of several.
    sealed: Vec<u8>,
    /// Read, and not asked for yet.
    plain: Rest,
    /// What is to be sent.
    out: Rest,
    /// The stream below took all of the last write at once.
    is_flowing: bool,
    is_closed: bool,
    /// The error of a session that failed behind something that could still be read.
    failure: Option<io::Error>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Shakes hands as the session wants it.
    pub(super) async fn open(below: S, mut session: Session) -> io::Result<TlsStream<S>> {
        let mut out = Rest::default();
        let stage = session.take_in(&mut [], &mut out.bytes, &mut |_| {}).1.map_err(broken)?;
        let (sealed, plain) = Default::default();
        let (is_flowing, is_closed, failure) = (true, false, None);
        let mut stream = TlsStream { below, session, stage, sealed, plain, out, is_flowing, is_closed, failure };
        let opened = poll_fn(|cx| stream.poll_open(cx)).await;
        if opened.is_err() {
            let _ = poll_fn(|cx| stream.poll_drain(cx)).await;
        }
        opened.map(|()| stream)
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            // both ends may have something to say at once: who waits for room reads on
            let drained = match self.poll_drain(cx)? {
                Poll::Ready(()) => Pin::new(&mut self.below).poll_flush(cx)?,
                Poll::Pending => Poll::Pending,
            };
            if self.stage != Stage::Handshake {
                return drained.map(Ok);
            }
            ready!(self.poll_take_in(cx, &mut ReadBuf::new(&mut [])))?;
        }
    }

    /// Reads once; what comes out goes to `target`, and beyond it to `plain`.
    fn poll_take_in(&mut self, cx: &mut Context<'_>, target: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut scratch = Scratch::take();
        let held = self.sealed.len();
        if held == scratch.len() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a handshake that is too long")));
        }
        let (before, room) = scratch.split_at_mut(held);
        let mut room = ReadBuf::new(room);
        ready!(Pin::new(&mut self.below).poll_read(cx, &mut room))?;
        let came = room.filled().len();
        if came == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        before.copy_from_slice(&self.sealed);
        let (session, plain) = (&mut self.session, &mut self.plain);
        let mut deliver = |bytes: &[u8]| {
            let (now, later) = bytes.split_at(bytes.len().min(target.remaining()));
            target.put_slice(now);
            plain.bytes.extend_from_slice(later);
        };
        let came = &mut scratch[..held + came];
        let (done, stage) = session.take_in(came, &mut self.out.bytes, &mut deliver);
        self.sealed = came[done..].to_vec();
        Poll::Ready(match stage {
            Ok(stage) => {
                self.stage = stage;
                if stage == Stage::Ended {
                    self.sealed = Vec::new();
                }
                Ok(())
            }
            Err(error) => {
                self.stage = Stage::Broken;
                session.last_words(&mut self.out.bytes);
                Err(broken(error))
            }
        })
    }

    /// Appends to `out`, unless the session has failed before.
    fn write(
        &mut self,
        task: impl FnOnce(&mut Session, &mut Vec<u8>, &mut Vec<u8>) -> Result<(), rustls::Error>,
    ) -> io::Result<()> {
        if self.stage == Stage::Broken || self.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let written = task(&mut self.session, &mut self.sealed, &mut self.out.bytes);
        written.map_err(|error| {
            self.stage = Stage::Broken;
            broken(error)
        })
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.left().is_empty() {
            let count = ready!(Pin::new(&mut self.below).poll_write(cx, self.out.left()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.took(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> TlsStream<S> {
    pub(super) fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.session.peer_certificate()
    }

    /// Bytes of memory for what is on its way.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.sealed.capacity() + self.plain.bytes.capacity() + self.out.bytes.capacity()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = target.filled().len();
        while target.filled().len() == before && target.remaining() > 0 {
            let here = this.plain.left();
            if !here.is_empty() {
                let count = here.len().min(target.remaining());
                target.put_slice(&here[..count]);
                this.plain.took(count);
            } else if this.stage == Stage::Ended {
                break;
            } else if this.stage == Stage::Broken {
                return Poll::Ready(Err(this.failure.take().unwrap_or(io::ErrorKind::BrokenPipe.into())));
            } else if let Err(error) = ready!(this.poll_take_in(cx, target)) {
                let _ = this.poll_drain(cx);
                if target.filled().len() == before && this.plain.left().is_empty() {
                    return Poll::Ready(Err(error));
                }
                this.failure = Some(error);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, plain: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        let most = if this.is_flowing { FLOWING_BYTES } else { STALLED_BYTES };
        let plain = &plain[..plain.len().min(most)];
        this.write(|session, left, out| session.seal(plain, left, out))?;
        // what the stream below does not take now is drained before the next, or by a flush
        this.is_flowing = this.poll_drain(cx)?.is_ready();
        Poll::Ready(Ok(plain.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.below).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.stage != Stage::Broken && !this.is_closed {
            this.write(Session::close)?;
            this.is_closed = true;
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.below).poll_shutdown(cx)
    }
}

impl<S: fmt::Debug> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("below", &self.below).field("stage", &self.stage).finish_non_exhaustive()
    }
}

fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Bytes of which the first were taken. Holds no memory once all of them were.
#[derive(Default)]
struct Rest {
    bytes: Vec<u8>,
    taken: usize,
}

impl Rest {
    fn left(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    fn took(&mut self, count: usize) {
        self.taken += count;
        if self.taken == self.bytes.len() {
            *self = Rest::default();
        }
    }
}

thread_local! {
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// The thread's buffer, for as long as one look lasts.
struct Scratch(Box<[u8]>);

impl Scratch {
    /// A stream within a stream gets one of its own.
    fn take() -> Scratch {
        Scratch(SCRATCH.take().unwrap_or_else(|| vec![0; SCRATCH_BYTES].into_boxed_slice()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        SCRATCH.set(Some(std::mem::take(&mut self.0)));
    }
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
