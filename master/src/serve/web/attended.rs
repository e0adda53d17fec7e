//! The body of an answer, which tells the doorkeeper when the browser waits for the master.

use crate::serve::places::{OpenRequest, Place};
use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// An `Attended` body may take a while for its next part, for example for the next part of a log. Meanwhile it counts as work, so the
/// browser is not called silent. When the part is ready, it is the browser's turn to take it.
pub(super) struct Attended {
    body: Body,
    place: Arc<Place>,
    /// The mark that work is under way, while the reader waits for a part.
    work: Option<OpenRequest>,
}

impl Attended {
    pub(super) fn new(body: Body, place: Arc<Place>) -> Attended {
        Attended { body, place, work: None }
    }
}

impl HttpBody for Attended {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            self.work = None;
        } else if self.work.is_none() {
            let work = self.place.work();
            self.work = Some(work);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::places::{Capacity, Doorkeeper, Patience};
    use futures::FutureExt as _;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_browser_that_waits_for_a_part_is_not_silent() {
        let doorkeeper = Doorkeeper::new(Capacity { all: 4, per_address: 4 });
        let place = Arc::new(doorkeeper.admit(IpAddr::V4(Ipv4Addr::LOCALHOST)).await.expect("a place"));
        place.want(Patience { calm: SECOND, crowded: SECOND });
        let (parts, come) = futures::channel::mpsc::unbounded::<Result<Vec<u8>, std::io::Error>>();
        let mut body = Attended::new(Body::from_stream(come), place.clone());
        assert!(next(&mut body).is_none(), "we have no part yet");
        tokio::time::sleep(10 * SECOND).await;
        assert!(place.sent_away().now_or_never().is_none(), "it waits for us");
        parts.unbounded_send(Ok(b"a part".to_vec())).unwrap();
        assert!(next(&mut body).is_some());
        assert!(place.sent_away().now_or_never().is_none(), "its time begins when the part is there");
        tokio::time::sleep(2 * SECOND).await;
        assert!(place.sent_away().now_or_never().is_some(), "now we wait for it");
        // when the body is dropped, its work ends and the browser counts as silent again
        assert!(next(&mut body).is_none());
        drop(body);
        tokio::time::sleep(2 * SECOND).await;
        assert!(place.sent_away().now_or_never().is_some());
    }

    /// Polls the body once. `None` means that no part is ready yet.
    fn next(body: &mut Attended) -> Option<Option<Result<Frame<Bytes>, axum::Error>>> {
        std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).now_or_never()
    }
}
