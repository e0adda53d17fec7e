//! A byte stream under TLS. It holds no buffer while it is idle. Incoming records are read, many at once, into a buffer that all
//! connections of a thread share. Outgoing bytes are freed once the stream below has taken them.

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

/// The most bytes that are read at once, together with those left over from the last read. The longest record must fit.
const SCRATCH_BYTES: usize = 64 << 10;
/// The most plain bytes that one write encrypts while the stream below takes everything.
const FLOWING_BYTES: usize = 64 << 10;
/// The most plain bytes that one write encrypts once the stream below did not take everything. They are few, because each write that
/// the stream takes shows that a slow peer is alive.
const STALLED_BYTES: usize = 16 << 10;

/// A secured stream. One task must do both the reading and the writing.
pub struct TlsStream<S> {
    below: S,
    session: Session,
    stage: Stage,
    /// Incoming bytes that the session has not processed: the beginning of a record, or of a message of several records.
    sealed: Vec<u8>,
    /// Decrypted bytes that nobody has read yet.
    plain: Rest,
    /// Encrypted bytes that are not sent yet.
    out: Rest,
    /// Whether the stream below took all of the last write at once.
    is_flowing: bool,
    is_closed: bool,
    /// The error of a session that failed after bytes that could still be read. It is returned after those bytes.
    failure: Option<io::Error>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Does the handshake of `session` over the stream `below`.
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
            // both ends may write at once, so an end that waits for room must still read
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

    /// Reads once. The decrypted bytes go to `target`, and those for which it has no room go to `plain`.
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

    /// Lets `task` append to `out`. Fails if the session has failed or was closed before.
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

    /// Returns the bytes of memory that the buffers of this stream take.
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
        // bytes that the stream below does not take now are sent before the next write, or by a flush
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

/// A buffer whose first bytes may have been taken. It frees its memory once all bytes are taken.
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

/// The thread's shared buffer while one read uses it. Dropping it gives the buffer back.
struct Scratch(Box<[u8]>);

impl Scratch {
    /// Takes the thread's buffer. A stream within another stream finds it taken and gets a new one.
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
