//! Subscriptions. Each gets the events after its cursor in batches, first the past ones and then the new ones.

use super::viewer_access::ViewerAccess;
use super::{Holder, no_project, refuse};
use crate::commit::events::Batch;
use crate::decide::coordinator::authority::Authority;
use crate::decide::coordinator::record::GrantId;
use schema::event_capnp::{event_source, observer, subscription};
use schema::gate::Gate;
use schema::limits::{self, BATCH_BYTES, BATCH_EVENTS};
use schema::values::{Cursor, Event, Fact, Filter, Right};
use schema::wire;
use std::rc::Rc;
use tokio::task::AbortHandle;

pub(super) struct Events {
    pub(super) access: Rc<ViewerAccess>,
    pub(super) holder: Holder,
}

impl event_source::Server for Events {
    async fn subscribe(
        self: Rc<Self>,
        params: event_source::SubscribeParams,
        mut results: event_source::SubscribeResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let filter = wire::read_filter(params.get_filter()?)?;
        let cursor = wire::read_cursor(params.get_cursor()?);
        if let Some(project) = filter.projects.iter().find(|project| !self.holder.what.sees(project)) {
            refuse!(results, no_project(project));
        }
        let subscriber = Subscriber::new(&self.access, &self.holder, filter);
        let subscription = subscriber.follow(cursor, params.get_observer()?);
        results.get().set_subscription(subscription);
        Ok(())
    }

    async fn latest(
        self: Rc<Self>,
        _: event_source::LatestParams,
        mut results: event_source::LatestResults,
    ) -> capnp::Result<()> {
        wire::write_cursor(results.get().init_cursor(), self.access.events(&self.holder).newest());
        Ok(())
    }
}

/// A `Subscriber` selects the events that one holder may see and asked for.
pub(super) struct Subscriber {
    access: Rc<ViewerAccess>,
    holder: Holder,
    /// Whether the holder may see facts that belong to no project.
    is_whole: bool,
    filter: Filter,
}

impl Subscriber {
    pub(super) fn new(access: &Rc<ViewerAccess>, holder: &Holder, filter: Filter) -> Subscriber {
        let is_whole = Authority::of(holder.kind, &holder.what, None).is_whole();
        Subscriber { access: access.clone(), holder: holder.clone(), is_whole, filter }
    }

    /// Sends the observer all events after `cursor`, until the returned capability is dropped or the observer is gone.
    pub(super) fn follow(self, cursor: Cursor, observer: observer::Client) -> subscription::Client {
        let gate = self.access.open_gate(&self.holder);
        // The observer is called directly, which costs half as much, while its gate is watched.
        let direct = gate.as_ref().and_then(|gate| gate.behind(&observer));
        let task = tokio::task::spawn_local(async move {
            let ended = tokio::select! {
                biased;
                error = closed(gate) => Err(error),
                ended = self.tell(cursor, direct.unwrap_or(observer)) => ended,
            };
            if let Err(error) = ended {
                tracing::debug!("a subscription ended: {error}");
            }
        });
        capnp_rpc::new_client(SubscriptionCapability { task: task.abort_handle() })
    }

    async fn tell(&self, mut cursor: Cursor, observer: observer::Client) -> capnp::Result<()> {
        // Once the observer has caught up with the events of its start, it is called, even if no event was for it.
        let events = self.access.events(&self.holder);
        let mut behind = Some(events.newest().after);
        let mut turns = events.seat();
        loop {
            turns.come().await;
            let batch = events.next(cursor, BATCH_EVENTS).await.map_err(super::broken)?;
            let request = match batch {
                Batch::Gap { first, last } => {
                    cursor = self.access.cursor(last);
                    let mut request = observer.gap_request();
                    request.get().set_first(first);
                    request.get().set_last(last);
                    wire::write_cursor(request.get().init_cursor(), cursor);
                    request.send().promise.await?;
                    continue;
                }
                Batch::Events(events) => {
                    let after = events.last().map_or(cursor.after, |event| event.sequence);
                    cursor = self.access.cursor(after);
                    let wanted: Vec<&Event> =
                        events.iter().map(|event| &**event).filter(|event| self.wants(event)).collect();
                    let caught_up = behind.take_if(|behind| *behind <= after).is_some();
                    if wanted.is_empty() && !caught_up {
                        continue;
                    }
                    // A subscriber that catches up is not slowed down, because another batch follows a full or nearly full one.
                    let bytes: usize = events.iter().map(|event| limits::event_bytes(event)).sum();
                    if events.len() < BATCH_EVENTS && bytes < BATCH_BYTES / 2 {
                        turns.spend();
                    }
                    let mut request = observer.observe_request();
                    let mut list = request.get().init_events(wire::length(wanted.len()));
                    for (index, event) in (0..).zip(wanted) {
                        wire::write_event(list.reborrow().get(index), event, self.access.origin());
                    }
                    wire::write_cursor(request.get().init_cursor(), cursor);
                    request
                }
            };
            request.send().promise.await?;
        }
    }

    fn wants(&self, event: &Event) -> bool {
        self.sees(event) && self.filter.matches(event)
    }

    /// Whether the holder may see an event. Only operators see events without a project: facts about workers, and about grants that they
    /// list. Alarms go to operators of everything.
    fn sees(&self, event: &Event) -> bool {
        if !event.project.is_empty() {
            return self.holder.what.sees(&event.project);
        }
        if let Fact::GrantIssued { grant, .. } | Fact::GrantRedeemed { grant, .. } | Fact::GrantRevoked { grant, .. } =
            &event.fact
        {
            return self.is_whole || (self.operates() && self.lists(GrantId(*grant)));
        }
        let is_of_worker = matches!(event.fact, Fact::WorkerAttached { .. } | Fact::WorkerLost { .. });
        self.is_whole || (is_of_worker && self.operates())
    }

    fn operates(&self) -> bool {
        self.holder.what.may.contains(&Right::Operate)
    }

    fn lists(&self, grant: GrantId) -> bool {
        self.access.state().peek(|it, _| it.grants().lists(self.holder.grant, grant))
    }
}

async fn closed(gate: Option<Gate>) -> capnp::Error {
    match gate {
        Some(gate) => gate.closed().await,
        None => std::future::pending().await,
    }
}

struct SubscriptionCapability {
    task: AbortHandle,
}

impl subscription::Server for SubscriptionCapability {
    async fn ping(self: Rc<Self>, _: subscription::PingParams, _: subscription::PingResults) -> capnp::Result<()> {
        Ok(())
    }
}

impl Drop for SubscriptionCapability {
    fn drop(&mut self) {
        self.task.abort();
    }
}
