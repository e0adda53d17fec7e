//! A guild as the holder of a credential sees it. There is one link at a time. It is replaced when it is lost, and calls survive that.
//! Mutating calls carry a request id, so that all calls may be repeated. The calls themselves are in `look`, `steer` and `operate`.

use crate::backoff;
use crate::error::Error;
use crate::link::Link;
use futures::future::LocalBoxFuture;
use schema::perspective_capnp::viewer;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Makes a new link, whenever [`Guild`] needs one.
pub type Dial = Box<dyn Fn() -> LocalBoxFuture<'static, Result<Link, Error>>>;

/// A change of the connection, for a person who waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkNews {
    /// The link was lost, for this reason, and a new one is being made.
    Lost(String),
    /// A message that was too large ended the link, as the text says. A new link is made once; what follows that message may be lost.
    Outgrown(String),
    /// The link to the master is back.
    Restored,
}

type Listener = Rc<dyn Fn(LinkNews)>;

/// The reconnecting client. It is cheap to clone, and lives on one thread, in a `LocalSet`.
///
/// If the link is lost during a call, the call is repeated on a new link, at most three times. The master still does it only once. Each
/// try has two minutes, which covers a fetch at the master. Calls that wait for something ([`Guild::outcome`], [`crate::Events`],
/// [`crate::Watch`], [`crate::Tail`], [`crate::Follow`]) have no such bounds.
///
/// # Errors
/// Each call can return [`Error::Lost`] or [`Error::Unreachable`] if the link does not come back, [`Error::NotHeld`] if the credential
/// lacks the right, [`Error::Refused`] with the master's reason, and [`Error::Protocol`] or [`Error::TooLarge`] if the master's answer
/// cannot be read.
#[derive(Clone)]
pub struct Guild(Rc<Inner>);

struct Inner {
    /// The way to make a new link. `None` means that a lost link cannot be replaced.
    dial: Option<Dial>,
    link: Mutex<Option<Rc<Link>>>,
    listener: RefCell<Option<Listener>>,
    call_deadline: Duration,
}

/// How long a call is repeated on new links: for a number of tries, or without a limit.
#[derive(Clone, Copy)]
enum Patience {
    Tries(u32),
    Unlimited,
}

const CALL_TRIES: u32 = 4;
/// The number of messages that are too large after which an operation fails. The first may belong to another call on the same link.
/// After the second, a new link would only meet the same message again.
pub(crate) const OUTGROWN_MAX: u32 = 2;
/// The limit for one try of a call. It is long, because asking for a build can make the master fetch a repository.
const CALL_DEADLINE: Duration = Duration::from_secs(120);

impl Guild {
    /// Makes the first link with `dial`, and another one whenever a link is lost.
    ///
    /// # Errors
    /// The errors of `dial`, if it cannot make the first link.
    pub async fn over(dial: Dial) -> Result<Guild, Error> {
        let link = dial().await?;
        Ok(Guild::new(Some(dial), link))
    }

    /// Like [`Guild::over`], but waits for at most `patience` if the master does not answer, for example while it restarts. Calls
    /// `waiting` once, with the reason, when that begins.
    ///
    /// # Errors
    /// The errors of `dial`, if it cannot make the first link in that time.
    pub async fn over_patiently(dial: Dial, patience: Duration, waiting: impl Fn(&Error)) -> Result<Guild, Error> {
        let until = tokio::time::Instant::now() + patience;
        for tries in 0.. {
            let error = match dial().await {
                Ok(link) => return Ok(Guild::new(Some(dial), link)),
                Err(error) => error,
            };
            let pause = backoff::jittered(tries);
            if !error.is_passing() || tokio::time::Instant::now() + pause > until {
                return Err(error);
            }
            if tries == 0 {
                waiting(&error);
            }
            tokio::time::sleep(pause).await;
        }
        Err(Error::Lost("no link could be made".to_owned()))
    }

    /// Makes a guild from a viewer that the caller already has, as the pages of a master do. A lost link is not replaced.
    pub fn of_viewer(viewer: viewer::Client) -> Guild {
        Guild::new(None, Link::of_viewer(viewer))
    }

    fn new(dial: Option<Dial>, link: Link) -> Guild {
        Guild(Rc::new(Inner {
            dial,
            link: Mutex::new(Some(Rc::new(link))),
            listener: RefCell::new(None),
            call_deadline: CALL_DEADLINE,
        }))
    }

    /// Calls `listener` when the link is lost and when it is back. There is one listener, and it must not call the guild.
    pub fn on_link_news(&self, listener: impl Fn(LinkNews) + 'static) {
        *self.0.listener.borrow_mut() = Some(Rc::new(listener));
    }

    /// Returns the present link, or a new one if the last is known to be lost.
    ///
    /// # Errors
    /// [`Error::Lost`] if a new link cannot be made; otherwise the errors of making one.
    pub async fn link(&self) -> Result<Rc<Link>, Error> {
        let mut slot = self.0.link.lock().await;
        if let Some(link) = slot.as_ref() {
            let Some(why) = link.why_closed() else { return Ok(link.clone()) };
            let news = link.outgrown().map_or(LinkNews::Lost(why), |error| LinkNews::Outgrown(error.to_string()));
            *slot = None;
            self.tell(news);
        }
        let dial = self.0.dial.as_ref().ok_or_else(|| Error::Lost("it cannot be replaced".to_owned()))?;
        let link = Rc::new(dial().await?);
        *slot = Some(link.clone());
        self.tell(LinkNews::Restored);
        Ok(link)
    }

    /// Runs `op`, which may be repeated. Repeats it on a new link if the link is lost, but only a few times.
    pub(crate) async fn call<T>(&self, op: impl AsyncFn(Rc<Link>) -> Result<T, Error>) -> Result<T, Error> {
        let deadline = self.0.call_deadline;
        let bounded = async |link| match tokio::time::timeout(deadline, op(link)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Lost(format!("no answer within {} s", deadline.as_secs()))),
        };
        self.repeat(bounded, Patience::Tries(CALL_TRIES)).await
    }

    /// Runs `op`, however often the link is lost, and however long it takes.
    pub(crate) async fn call_for_ever<T>(&self, op: impl AsyncFn(Rc<Link>) -> Result<T, Error>) -> Result<T, Error> {
        self.repeat(op, Patience::Unlimited).await
    }

    async fn repeat<T>(&self, op: impl AsyncFn(Rc<Link>) -> Result<T, Error>, patience: Patience) -> Result<T, Error> {
        let (mut tries, mut outgrown) = (0, 0);
        loop {
            let error = match self.link().await {
                Ok(link) => match op(link.clone()).await {
                    Ok(done) => return Ok(done),
                    Err(error) => {
                        let error = link.outgrown().unwrap_or(error);
                        if matches!(error, Error::Lost(_) | Error::TooLarge { .. }) {
                            self.discard(&link, &error).await;
                        }
                        error
                    }
                },
                Err(error) => error,
            };
            tries += 1;
            outgrown += u32::from(matches!(error, Error::TooLarge { .. }));
            let may_pass = error.is_passing() || (matches!(error, Error::TooLarge { .. }) && outgrown < OUTGROWN_MAX);
            if !may_pass || self.0.dial.is_none() || patience.is_over(tries) {
                return Err(error);
            }
            tokio::time::sleep(backoff::jittered(tries - 1)).await;
        }
    }

    /// Forgets a link that was lost during a call, unless another caller has already replaced it.
    async fn discard(&self, lost: &Rc<Link>, error: &Error) {
        let mut slot = self.0.link.lock().await;
        if slot.as_ref().is_some_and(|link| Rc::ptr_eq(link, lost)) && self.0.dial.is_some() {
            *slot = None;
            self.tell(match matches!(error, Error::TooLarge { .. }) {
                true => LinkNews::Outgrown(error.to_string()),
                false => LinkNews::Lost(error.to_string()),
            });
        }
    }

    fn tell(&self, news: LinkNews) {
        let listener = self.0.listener.borrow().clone();
        if let Some(listener) = listener {
            listener(news);
        }
    }
}

impl Patience {
    fn is_over(self, tries: u32) -> bool {
        match self {
            Patience::Tries(most) => tries >= most,
            Patience::Unlimited => false,
        }
    }
}

/// Returns a new id for one mutating call, so that the master does it once even if it is repeated.
pub(crate) fn new_request() -> [u8; 16] {
    system::chance::bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Dials a master that does not answer at first, and then refuses the credential.
    fn restarting(tries: &Rc<Cell<u32>>) -> Dial {
        let tries = tries.clone();
        Box::new(move || {
            tries.set(tries.get() + 1);
            let error = if tries.get() < 3 { Error::Unreachable("no".to_owned()) } else { Error::NoContext };
            Box::pin(async { Err(error) })
        })
    }

    /// F21: a client with patience waits for a master that restarts, and says so once.
    #[tokio::test]
    async fn a_master_that_restarts_is_waited_for_and_that_is_told_once() {
        let (tries, told) = (Rc::default(), Cell::new(0));
        let waiting = |_: &Error| told.set(told.get() + 1);
        let made = Guild::over_patiently(restarting(&tries), Duration::from_secs(3_600), waiting).await;
        assert!(matches!(made.err(), Some(Error::NoContext)), "what does not pass is not waited for");
        assert_eq!((tries.get(), told.get()), (3, 1));
    }

    /// A relative of F21: without patience, nothing waits.
    #[tokio::test]
    async fn without_patience_there_is_one_try() {
        let (tries, told) = (Rc::default(), Cell::new(0));
        let waiting = |_: &Error| told.set(told.get() + 1);
        let made = Guild::over_patiently(restarting(&tries), Duration::ZERO, waiting).await;
        assert!(matches!(made.err(), Some(Error::Unreachable(_))));
        assert_eq!((tries.get(), told.get()), (1, 0));
    }
}
