//! The connections of browsers. Their number is bounded, and an idle connection does not keep its place.

use super::attended::Attended;
use crate::serve::places::{Capacity, Doorkeeper, Patience, Place, Watched};
use axum::Router;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use schema::limits::borders::{WEB_CONNECTIONS, WEB_HEAD};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

/// The most open connections. Beyond it, connections that neither send nor read are closed. There is no limit for an address, because a
/// proxy before the pages is one address.
const CONNECTIONS: Capacity = Capacity { all: WEB_CONNECTIONS.count(), per_address: usize::MAX };
/// The time for which a visitor may neither send nor read while the master works on nothing for it.
const SILENCE: Patience = Patience { calm: STALL_TIME, crowded: Duration::from_secs(3) };
/// The time in which the head of a request must arrive, which is also the longest pause between two requests.
const HEAD_TIME: Duration = Duration::from_secs(20);
/// The time in which a reader must take some of what is written to it.
const STALL_TIME: Duration = Duration::from_secs(30);
/// The time after which a connection is closed, whatever it does.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The most bytes of a request's head, and the most bytes that are written at once.
const BUFFER: usize = WEB_HEAD.count();

pub(super) async fn accept(listener: TcpListener, router: Router, ended: CancellationToken) {
    let doorkeeper = Doorkeeper::new(CONNECTIONS);
    loop {
        let accepted = tokio::select! {
            biased;
            () = ended.cancelled() => return,
            accepted = admit(&listener, &doorkeeper) => accepted,
        };
        let (stream, place) = match accepted {
            Ok((stream, Some(place))) => (stream, Arc::new(place)),
            Ok((_, None)) => continue,
            Err(error) => {
                tracing::warn!(%error, "a browser's connection was not accepted");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let router = router.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = attend(stream, router, &place) => (),
                _ = place.sent_away() => (),
                () = sleep(LIFETIME) => (),
            }
        });
    }
}

async fn admit(listener: &TcpListener, doorkeeper: &Arc<Doorkeeper>) -> io::Result<(TcpStream, Option<Place>)> {
    let (stream, from) = listener.accept().await?;
    Ok((stream, doorkeeper.admit(from.ip()).await))
}

async fn attend(stream: TcpStream, router: Router, place: &Arc<Place>) {
    let _ = stream.set_nodelay(true);
    place.want(SILENCE);
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(BUFFER);
    let stream = TokioIo::new(Watched::of_a_reader(Patient { stream, stall: None }, place));
    let pages = TowerToHyperService::new(router);
    let service = service_fn(|request| {
        let (work, answer, place) = (place.work(), pages.call(request), place.clone());
        async move {
            let answer = answer.await;
            // from here on the body itself says when it is worked on
            drop(work);
            answer.map(|reply| reply.map(|body| Attended::new(body, place)))
        }
    });
    // an error here concerns only the browser, which sees it itself
    let _ = http.serve_connection(stream, service).await;
}

/// A `Patient` stream gives up on a reader that takes nothing.
struct Patient {
    stream: TcpStream,
    stall: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn bounded<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL_TIME)));
        ready!(stall.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
