//! A `Watched` stream of a guest notes whether the master waits for the guest, for as long as the guest holds its place.

use super::Place;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) struct Watched<S> {
    stream: S,
    place: Weak<Place>,
    /// Whether bytes that the guest takes count as progress.
    may_take_its_time: bool,
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S, place: &Arc<Place>) -> Watched<S> {
        Watched { stream, place: Arc::downgrade(place), may_take_its_time: false }
    }

    /// Watches the stream of a guest that takes long answers. Slow reading then does not count as silence.
    pub(crate) fn of_a_reader(stream: S, place: &Arc<Place>) -> Watched<S> {
        Watched { may_take_its_time: true, ..Watched::new(stream, place) }
    }

    fn note<T>(&self, polled: &Poll<io::Result<T>>, done: impl FnOnce(&Place)) {
        let Some(place) = self.place.upgrade() else { return };
        match polled {
            Poll::Pending => place.awaits(),
            Poll::Ready(_) => done(&place),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.note(&polled, Place::heard);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if self.may_take_its_time {
            self.note(&polled, Place::got_on);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
