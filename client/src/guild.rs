//! A guild as the holder of a credential sees it. There is one link at a time, made anew when it is lost, and calls survive that.
//! Mutating calls carry a request id, so that all calls may be repeated. The calls themselves are in `look`, `steer` and
//! `operate`.

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

/// News of the connection, for a person who waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkNews {
    /// The link was lost, for this reason, and is being made anew.
    Lost(String),
    /// A message that was too large ended it, as the text says. It is made anew once; what follows that message may be lost.
    Outgrown(String),
    /// The link to the master is back.
    Restored,
}

type Listener = Rc<dyn Fn(LinkNews)>;

/// The reconnecting client. It is cheap to clone, and lives on one thread, in a `LocalSet`.
///
/// A call is repeated on a new link when its link is lost, at most three times; the master does it once all the same. Each try has
/// two minutes, which covers a fetch at the master. What waits for something ([`Guild::outcome`], [`crate::Events`],
/// [`crate::Watch`], [`crate::Tail`], [`crate::Follow`]) has no such bounds.
///
/// # Errors
/// Each call can answer [`Error::Lost`] or [`Error::Unreachable`] if the link does not come back, [`Error::NotHeld`] if the
/// credential lacks the right, [`Error::Refused`] with the master's reason, and [`Error::Protocol`] or [`Error::TooLarge`] if the
/// master's answer cannot be read.
#[derive(Clone)]
pub struct Guild(Rc<Inner>);

struct Inner {
    /// `None` means that there is no way back once the link is lost.
    dial: Option<Dial>,
    link: Mutex<Option<Rc<Link>>>,
    listener: RefCell<Option<Listener>>,
    call_deadline: Duration,
}

/// How often a call is tried on new links before its error is given to the caller.
#[derive(Clone, Copy)]
enum Patience {
    Tries(u32),
    Unlimited,
}

const CALL_TRIES: u32 = 4;
/// How often an operation may meet a message that is too large. The first may have been another's on the same link; after the
/// second, a new link would only meet the same message again.
pub(crate) const OUTGROWN_MAX: u32 = 2;
/// Long, since asking for a build costs a fetch at the master.
const CALL_DEADLINE: Duration = Duration::from_secs(120);

impl Guild {
    /// Makes the first link with `dial`, and another one whenever it was lost.
    ///
    /// # Errors
    /// Those of `dial`, if it makes no first link.
    pub async fn over(dial: Dial) -> Result<Guild, Error> {
        let link = dial().await?;
        Ok(Guild::new(Some(dial), link))
    }

    /// Like [`Guild::over`], and waits for a master that does not answer, as while it restarts, for at most `patience`. `waiting`
    /// is told once, with the reason, when that begins.
    ///
    /// # Errors
    /// Those of `dial`, if it makes no first link in that time.
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

    /// Looks through a viewer that the caller already has, as the pages of a master do. It is not made anew when it is lost.
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

    /// Tells `listener` when the link is lost and when it is back. There is one listener, and it must not call the guild.
    pub fn on_link_news(&self, listener: impl Fn(LinkNews) + 'static) {
        *self.0.listener.borrow_mut() = Some(Rc::new(listener));
    }

    /// The present link, or a new one if the last is known to be lost.
    ///
    /// # Errors
    /// [`Error::Lost`] if there is no way to make a new link; otherwise the errors of making one.
    pub async fn link(&self) -> Result<Rc<Link>, Error> {
        let mut slot = self.0.link.lock().await;
        if let Some(link) = slot.as_ref() {
            let Some(why) = link.why_closed() else { return Ok(link.clone()) };
            let news = link.outgrown().map_or(LinkNews::Lost(why), |error| LinkNews::Outgrown(error.to_string()));
            *slot = None;
            self.tell(news);
        }
        let dial = self.0.dial.as_ref().ok_or_else(|| Error::Lost("it cannot be made anew".to_owned()))?;
        let link = Rc::new(dial().await?);
        *slot = Some(link.clone());
        self.tell(LinkNews::Restored);
        Ok(link)
    }

    /// Does `op`, which may be repeated, on new links where the link is lost; at most a few times.
    pub(crate) async fn call<T>(&self, op: impl AsyncFn(Rc<Link>) -> Result<T, Error>) -> Result<T, Error> {
        let deadline = self.0.call_deadline;
        let bounded = async |link| match tokio::time::timeout(deadline, op(link)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Lost(format!("no answer within {} s", deadline.as_secs()))),
        };
        self.repeat(bounded, Patience::Tries(CALL_TRIES)).await
    }

    /// Does `op`, however often the link is lost, and for however long it takes.
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

    /// Forgets a link on which a call was lost, unless another caller did so before.
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

/// Names one mutating call, so that repeating it does it once.
pub(crate) fn new_request() -> [u8; 16] {
    system::chance::bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A master that does not answer at first, and then takes no credential.
    fn restarting(tries: &Rc<Cell<u32>>) -> Dial {
        let tries = tries.clone();
        Box::new(move || {
            tries.set(tries.get() + 1);
            let error = if tries.get() < 3 { Error::Unreachable("no".to_owned()) } else { Error::NoContext };
            Box::pin(async { Err(error) })
        })
    }

    /// F21.
    #[tokio::test]
    async fn a_master_that_restarts_is_waited_for_and_that_is_told_once() {
        let (tries, told) = (Rc::default(), Cell::new(0));
        let waiting = |_: &Error| told.set(told.get() + 1);
        let made = Guild::over_patiently(restarting(&tries), Duration::from_secs(3_600), waiting).await;
        assert!(matches!(made.err(), Some(Error::NoContext)), "what does not pass is not waited for");
        assert_eq!((tries.get(), told.get()), (3, 1));
    }

    /// A relative: nobody who did not ask for it waits.
    #[tokio::test]
    async fn without_patience_there_is_one_try() {
        let (tries, told) = (Rc::default(), Cell::new(0));
        let waiting = |_: &Error| told.set(told.get() + 1);
        let made = Guild::over_patiently(restarting(&tries), Duration::ZERO, waiting).await;
        assert!(matches!(made.err(), Some(Error::Unreachable(_))));
        assert_eq!((tries.get(), told.get()), (1, 0));
    }
}
