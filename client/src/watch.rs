//! Subscriptions that survive a lost link. Then [`Watch`] takes a new snapshot, and [`Events`] goes on from its cursor. Both take one
//! batch at a time, so that a slow reader delays only its own next batch.

use crate::backoff;
use crate::error::Error;
use crate::guild::{Guild, OUTGROWN_MAX};
use crate::link::Link;
use crate::steer::done;
use crate::views::BuildView;
use crate::wire::{read_build, read_list};
use futures::StreamExt as _;
use futures::stream::LocalBoxStream;
use schema::event_capnp::{observer, subscription};
use schema::limits::{self, EVENTS, PAGE};
use schema::values::{Cursor, Event, Filter};
use schema::wire::{read_cursor, read_event, write_cursor, write_filter};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// A subscription that lasted this long ends the count of those that a too large message ended. A message that returns with each new
/// subscription would have come at once.
const OUTGROWN_APART: Duration = Duration::from_secs(600);

/// The news that a [`Watch`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The builds as they are now, which replace all that you knew. A snapshot comes first, and again after a lost link or a gap.
    Snapshot(Vec<BuildView>),
    /// The events after the last snapshot or the last batch of events, in order.
    Events(Vec<Event>),
}

/// A snapshot of the builds that a filter names, and then every event about them.
pub struct Watch {
    guild: Guild,
    filter: Filter,
    feed: Option<Feed>,
    outgrown: Outgrown,
}

/// The events that a filter names, from a cursor on, each exactly once.
pub struct Events {
    guild: Guild,
    filter: Filter,
    cursor: Cursor,
    feed: Option<Feed>,
    outgrown: Outgrown,
}

/// A message of a subscription to [`Events`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The next events have happened.
    Events {
        /// The events in order. There can be none, if the filter names none of them.
        events: Vec<Event>,
        /// The cursor after all events up to here, including those that the filter left out.
        cursor: Cursor,
    },
    /// Some events are no longer kept.
    Gap {
        /// The number of the first lost event.
        first: u64,
        /// The number of the last lost event.
        last: u64,
        /// The cursor after the lost events.
        cursor: Cursor,
    },
}

impl Watch {
    /// Makes a watch over the builds that `filter` names. It subscribes with the first call of [`Watch::next`].
    pub fn new(guild: &Guild, filter: Filter) -> Watch {
        Watch { guild: guild.clone(), filter, feed: None, outgrown: Outgrown::default() }
    }

    /// Waits for news. Do not drop the future while it waits, unless you give the watch up.
    ///
    /// # Errors
    /// [`Error::NotHeld`] without the right `view`; [`Error::TooLarge`] if a message cannot be read, twice in a row; otherwise as
    /// the calls of [`Guild`]. A lost link is not an error.
    pub async fn next(&mut self) -> Result<News, Error> {
        let Some(feed) = &mut self.feed else { return self.open().await };
        match feed.next().await {
            Some(Told::Events { events, .. }) => {
                self.outgrown.reset();
                return Ok(News::Events(events));
            }
            Some(Told::Gap { .. }) => self.outgrown.reset(),
            None => self.outgrown.note(feed)?,
        }
        self.feed = None;
        self.open().await
    }

    /// Returns the news as a stream, for a `select!`. A future of the stream may be dropped while it waits, and nothing is lost.
    pub fn into_stream(self) -> LocalBoxStream<'static, Result<News, Error>> {
        futures::stream::unfold(self, |mut watch| async {
            let news = watch.next().await;
            Some((news, watch))
        })
        .boxed_local()
    }

    async fn open(&mut self) -> Result<News, Error> {
        let filter = &self.filter;
        let (builds, feed) = self
            .guild
            .call_for_ever(async |link| {
                let (observer, told) = observer();
                let mut request = link.viewer().await?.watch_request();
                write_filter(request.get().init_filter(), filter);
                request.get().set_observer(observer);
                let answer = request.send().promise.await?;
                let answer = answer.get()?;
                done(answer.has_refusal(), answer.get_refusal())?;
                let builds = read_list(answer.get_builds(), &PAGE, read_build)?;
                Ok((builds, Feed { link, told, since: Instant::now(), _subscription: answer.get_subscription()? }))
            })
            .await?;
        self.feed = Some(feed);
        Ok(News::Snapshot(builds))
    }
}

impl Events {
    /// Makes a subscription to the events that `filter` names, after `cursor`. It subscribes with the first call of [`Events::next`].
    pub fn new(guild: &Guild, filter: Filter, cursor: Cursor) -> Events {
        Events { guild: guild.clone(), filter, cursor, feed: None, outgrown: Outgrown::default() }
    }

    /// Returns the cursor after the events that were delivered so far. A later program can continue from it.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Waits for news. Do not drop the future while it waits, unless you give the events up.
    ///
    /// # Errors
    /// [`Error::NotHeld`] without one of the rights `events` and `view`; otherwise as [`Watch::next`].
    pub async fn next(&mut self) -> Result<Told, Error> {
        loop {
            if let Some(told) = self.next_before(None).await? {
                return Ok(told);
            }
        }
    }

    /// Like [`Events::next`], but returns `None` if a connected master sends nothing for this long.
    ///
    /// # Errors
    /// Like [`Events::next`].
    pub async fn next_within(&mut self, silence: Duration) -> Result<Option<Told>, Error> {
        self.next_before(Some(silence)).await
    }

    async fn next_before(&mut self, silence: Option<Duration>) -> Result<Option<Told>, Error> {
        let mut subscribed_in_vain = 0;
        loop {
            let feed = match self.feed.take() {
                Some(feed) => self.feed.insert(feed),
                None => self.feed.insert(subscribe(&self.guild, &self.filter, self.cursor).await?),
            };
            // Only a live link can be silent, so the time in which a new link is made does not count.
            let next = match silence {
                None => feed.next().await,
                Some(silence) => match tokio::time::timeout(silence, feed.next()).await {
                    Ok(next) => next,
                    Err(_) => return Ok(None),
                },
            };
            if let Some(told) = next {
                self.cursor = told.cursor();
                self.outgrown.reset();
                return Ok(Some(told));
            }
            self.outgrown.note(feed)?;
            self.feed = None;
            tokio::time::sleep(backoff::jittered(subscribed_in_vain)).await;
            subscribed_in_vain += 1;
        }
    }
}

/// The number of messages in a row that were too large. A new subscription may only meet the same message again.
#[derive(Debug, Default)]
struct Outgrown(u32);

impl Outgrown {
    /// Notes that a message arrived. A message that is too large after it is not the one that was too large before.
    fn reset(&mut self) {
        self.0 = 0;
    }

    /// Counts a subscription that a too large message ended. Fails if that happened too often in a row.
    fn note(&mut self, feed: &Feed) -> Result<(), Error> {
        match feed.link.outgrown() {
            Some(error) if self.is_too_often(feed.since.elapsed()) => Err(error),
            Some(_) | None => Ok(()),
        }
    }

    /// Counts a subscription that lasted this long, and returns whether too many have ended in a row.
    fn is_too_often(&mut self, stood: Duration) -> bool {
        if stood >= OUTGROWN_APART {
            self.reset();
        }
        self.0 += 1;
        self.0 >= OUTGROWN_MAX
    }
}

impl Told {
    /// Returns the cursor after the events of this message.
    pub fn cursor(&self) -> Cursor {
        match self {
            Told::Events { cursor, .. } | Told::Gap { cursor, .. } => *cursor,
        }
    }
}

impl Guild {
    /// Returns the cursor after the newest event.
    pub async fn latest_event(&self) -> Result<Cursor, Error> {
        self.call(async |link| {
            let answer = link.events().await?.latest_request().send().promise.await?;
            Ok(read_cursor(answer.get()?.get_cursor()?))
        })
        .await
    }
}

async fn subscribe(guild: &Guild, filter: &Filter, cursor: Cursor) -> Result<Feed, Error> {
    guild
        .call_for_ever(async |link| {
            let (observer, told) = observer();
            let mut request = link.events().await?.subscribe_request();
            write_filter(request.get().init_filter(), filter);
            write_cursor(request.get().init_cursor(), cursor);
            request.get().set_observer(observer);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            Ok(Feed { link, told, since: Instant::now(), _subscription: answer.get_subscription()? })
        })
        .await
}

/// A live subscription on one link.
struct Feed {
    link: Rc<Link>,
    told: mpsc::Receiver<Told>,
    /// The moment at which the subscription was made.
    since: Instant,
    _subscription: subscription::Client,
}

impl Feed {
    /// Waits for the next message. `None` means that the subscription is over.
    async fn next(&mut self) -> Option<Told> {
        tokio::select! {
            biased;
            told = self.told.recv() => told,
            () = self.link.closed() => None,
        }
    }
}

/// The object that the master calls. It answers a batch when there is room for the next one.
struct Ear(mpsc::Sender<Told>);

fn observer() -> (observer::Client, mpsc::Receiver<Told>) {
    let (sender, receiver) = mpsc::channel(1);
    (capnp_rpc::new_client(Ear(sender)), receiver)
}

impl Ear {
    async fn tell(&self, told: Told) -> Result<(), capnp::Error> {
        self.0.send(told).await.map_err(|_| capnp::Error::disconnected("nobody listens any more".to_owned()))
    }
}

impl observer::Server for Ear {
    async fn observe(
        self: Rc<Self>,
        params: observer::ObserveParams,
        _: observer::ObserveResults,
    ) -> Result<(), capnp::Error> {
        let params = params.get()?;
        let events = limits::structs(params.get_events(), &EVENTS)?.map(read_event).collect::<Result<_, _>>()?;
        let cursor = read_cursor(params.get_cursor()?);
        self.tell(Told::Events { events, cursor }).await
    }

    async fn gap(self: Rc<Self>, params: observer::GapParams, _: observer::GapResults) -> Result<(), capnp::Error> {
        let params = params.get()?;
        let cursor = read_cursor(params.get_cursor()?);
        self.tell(Told::Gap { first: params.get_first(), last: params.get_last(), cursor }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::from_secs(1);

    #[test]
    fn a_message_that_is_met_again_at_once_is_once_too_often() {
        let mut outgrown = Outgrown::default();
        assert!(!outgrown.is_too_often(Duration::from_secs(86_400)), "the first may have been another's");
        assert!(outgrown.is_too_often(AT_ONCE));
    }

    #[test]
    fn messages_that_are_days_apart_end_nothing() {
        let mut outgrown = Outgrown::default();
        for _ in 0..10 {
            assert!(!outgrown.is_too_often(Duration::from_secs(86_400)));
        }
        outgrown.reset();
        assert!(!outgrown.is_too_often(AT_ONCE), "events came between");
    }
}
