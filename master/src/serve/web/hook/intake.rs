//! Reads the bodies of deliveries: few at once, and only the start of each is kept. A signature can be checked only at the end of a body.
//! So these limits bound what strangers can make the master hold: 8 MiB in all.

use super::super::reply::{Reply, status};
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use futures::StreamExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use schema::limits::borders::{HOOK_BODIES, HOOK_BODY, HOOK_KEPT};
use sha2::Sha256;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, interval_at, timeout};

/// The most bytes of a delivery's body. GitHub sends at most this many (docs.github.com, "Webhook events and payloads").
const BODY_MAX: usize = HOOK_BODY.count();
/// The bytes of a body that are kept from its start. Forges name the ref within the first few.
const KEPT_MAX: usize = HOOK_KEPT.count();
/// The most bodies that are read at once. Further ones wait.
const BODIES_MAX: usize = HOOK_BODIES.count();
/// The most bodies that wait. Further ones are refused at once, because a connection that waits holds up to 64 KiB.
const WAITING_MAX: usize = 32;
/// The longest wait of a body for its place. Forges give up after 10 s. GitHub does not repeat a refused delivery by itself, but the next
/// poll finds the push.
const PATIENCE: Duration = Duration::from_secs(4);
/// The time in which a body must arrive once it has its place. It is short, because a slow sender holds a place for which others wait.
const BODY_TIME: Duration = Duration::from_secs(10);
/// The time between two checks of a body while others wait. The longest round trip on Earth fits into it three times.
const LOOK: Duration = Duration::from_secs(1);
/// The bytes of a body that must arrive between two checks while others wait; otherwise it loses its place. A forge sends most deliveries
/// whole in that time. To hold all eight places, strangers must send eight times as much each second.
const MOVE_MIN: usize = 16 << 10;
/// The seconds after which the sender of a refused delivery may try again.
const RETRY_AFTER: &str = "10";

/// An `Intake` holds the few places for bodies of hooks.
pub(super) struct Intake {
    places: Semaphore,
    waiting: Semaphore,
}

impl Default for Intake {
    fn default() -> Intake {
        Intake { places: Semaphore::new(BODIES_MAX), waiting: Semaphore::new(WAITING_MAX) }
    }
}

/// A `Taken` is what is kept of a body while it arrives: the state of its signature, its size and its start.
pub(super) struct Taken {
    mac: Hmac<Sha256>,
    size: usize,
    start: Vec<u8>,
}

/// The reason why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untaken {
    TooLong,
    Broken,
    Late,
    Busy,
}

impl Intake {
    /// Reads a body, and computes its signature with this secret.
    pub(super) async fn take(&self, secret: &[u8], body: Body) -> Result<Taken, Untaken> {
        let waiting = self.waiting.try_acquire().map_err(|_| Untaken::Busy)?;
        let place = timeout(PATIENCE, self.places.acquire()).await;
        let _place = place.map_err(|_| Untaken::Busy)?.map_err(|_| Untaken::Busy)?;
        drop(waiting);
        timeout(BODY_TIME, self.read(secret, body)).await.unwrap_or(Err(Untaken::Late))
    }

    async fn read(&self, secret: &[u8], body: Body) -> Result<Taken, Untaken> {
        let mut taken = Taken::new(secret);
        let mut parts = body.into_data_stream();
        let (mut look, mut seen) = (interval_at(Instant::now() + LOOK, LOOK), 0);
        loop {
            let part = tokio::select! {
                biased;
                part = parts.next() => part,
                _ = look.tick() => {
                    if self.has_waiting() && taken.size < seen + MOVE_MIN {
                        return Err(Untaken::Late);
                    }
                    seen = taken.size;
                    continue;
                }
            };
            let Some(part) = part else { return Ok(taken) };
            if !taken.add(&part.map_err(|_| Untaken::Broken)?) {
                return Err(Untaken::TooLong);
            }
        }
    }

    fn has_waiting(&self) -> bool {
        self.waiting.available_permits() < WAITING_MAX
    }
}

impl Taken {
    /// Makes the state of a body before its first byte.
    pub(super) fn new(secret: &[u8]) -> Taken {
        let mac = Hmac::<Sha256>::new_from_slice(secret).expect("a secret of any length is a key");
        Taken { mac, size: 0, start: Vec::new() }
    }

    /// Adds a part of the body. `false` means that the body is too long.
    pub(super) fn add(&mut self, bytes: &[u8]) -> bool {
        self.size += bytes.len();
        self.mac.update(bytes);
        let room = KEPT_MAX - self.start.len();
        self.start.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.size <= BODY_MAX
    }

    /// Takes out the first bytes of the body, which works once.
    pub(super) fn take_start(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.start)
    }

    pub(super) fn verify(self, signature: &[u8]) -> bool {
        self.mac.verify_slice(signature).is_ok()
    }
}

impl Untaken {
    pub(super) fn reply(self) -> Reply {
        match self {
            Untaken::TooLong => status(StatusCode::PAYLOAD_TOO_LARGE, "A delivery must have at most 25 MiB.\n"),
            Untaken::Broken => {
                status(StatusCode::BAD_REQUEST, "The connection broke before the end of the delivery.\n")
            }
            Untaken::Late => status(StatusCode::REQUEST_TIMEOUT, "The delivery did not arrive in time.\n"),
            Untaken::Busy => {
                let mut reply =
                    status(StatusCode::SERVICE_UNAVAILABLE, "Too many deliveries arrive at once. Try again later.\n");
                reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
                reply
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    const SECRET: &[u8] = b"It's a Secret to Everybody";

    #[test]
    fn only_the_start_of_a_body_is_kept() {
        let mut taken = Taken::new(SECRET);
        let part = vec![b' '; 1 << 20];
        for _ in 0..25 {
            assert!(taken.add(&part));
        }
        assert_eq!((taken.start.len(), taken.size), (KEPT_MAX, BODY_MAX));
        assert!(!taken.add(b" "));
    }

    fn endless() -> Body {
        Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>())
    }

    #[tokio::test]
    async fn eight_bodies_are_taken_in_at_once() {
        let intake = Intake::default();
        let mut taking: Vec<_> = (0..BODIES_MAX).map(|_| Box::pin(intake.take(SECRET, endless()))).collect();
        assert!(taking.iter_mut().all(|taking| taking.now_or_never().is_none()));
        let mut next = Box::pin(intake.take(SECRET, Body::from("{}")));
        assert!((&mut next).now_or_never().is_none(), "it waits");
        taking.pop();
        assert!(next.await.is_ok_and(|taken| taken.size == 2));
    }

    /// Makes a body that sends one byte every 0.9 s.
    fn trickling() -> Body {
        let bytes = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(900)).await;
            Some((Ok::<_, std::io::Error>(b" ".to_vec()), ()))
        });
        Body::from_stream(bytes)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_trickles_gives_its_place_to_one_who_waits() {
        let intake = Intake::default();
        let mut crowd: Vec<_> = (0..BODIES_MAX).map(|_| Box::pin(intake.take(SECRET, trickling()))).collect();
        assert!(crowd.iter_mut().all(|taking| taking.now_or_never().is_none()));
        let began = Instant::now();
        let (ended, honest) = futures::join!(futures::future::join_all(crowd), async {
            let taken = intake.take(SECRET, Body::from("{}")).await;
            (taken.is_ok(), began.elapsed() <= 2 * LOOK)
        });
        assert_eq!(honest, (true, true));
        assert!(ended.iter().all(|ended| matches!(ended, Err(Untaken::Late))));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_slow_keeps_its_place_where_nobody_waits() {
        let intake = Intake::default();
        let few = futures::stream::unfold(0, |sent| async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            (sent < 3).then(|| (Ok::<_, std::io::Error>(b" ".to_vec()), sent + 1))
        });
        assert!(intake.take(SECRET, Body::from_stream(few)).await.is_ok_and(|taken| taken.size == 3));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_sends_nothing_holds_no_place_for_long() {
        let intake = Intake::default();
        let taking = || intake.take(SECRET, endless()).map(|taken| taken.err());
        let crowd: Vec<_> = (0..BODIES_MAX + WAITING_MAX).map(|_| Box::pin(taking())).collect();
        let mut crowd = futures::future::join_all(crowd);
        assert!((&mut crowd).now_or_never().is_none());
        assert_eq!(taking().await, Some(Untaken::Busy), "as many wait as may");
        let ended = crowd.await;
        assert_eq!(ended.len(), BODIES_MAX + WAITING_MAX);
        let late = ended.iter().filter(|ended| **ended == Some(Untaken::Late)).count();
        // each second eight senders lose their places to senders that wait, until the rest have waited too long
        assert!(late >= 4 * BODIES_MAX, "{late}");
        assert!(intake.take(SECRET, Body::from("{}")).await.is_ok());
        let refused = Untaken::Busy.reply();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["retry-after"]),
            (503, &HeaderValue::from_static("10"))
        );
    }
}
