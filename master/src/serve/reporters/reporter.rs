//! One reporter. It reads events from its cursor, and starts rounds through the branches that they name. Each project has rounds of its
//! own, so a notice that cannot be sent does not hold back other projects.

use super::telling::{Round, Teller};
use super::{LATER, ProjectRef, ReporterAccess};
use crate::commit::events::Batch;
use crate::config::NoticeConfig;
use crate::decide::coordinator::record::ReporterRow;
use crate::intake::sources::git::Patterns;
use crate::keep::health::DeliveryHealth;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use schema::values::{Cursor, Fact, ShortRef, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The newest builds of a project whose branches are looked at when the reporter starts.
const RECENT: u32 = 500;
/// The most events that are read at once.
const EVENTS: usize = 1_000;
/// The pause between an event and the look, so that one look covers everything that happens together.
const BREATH: Duration = Duration::from_millis(200);
/// The pause before a project that is held back after a restore is checked again, because no event says when that ends.
const HELD: Duration = Duration::from_secs(1);
/// The limits for saving the cursor, in events and in time. Saving may lag, because the cursor only says where to look.
const SAVE_EVENTS: u64 = 1_000;
const SAVE_AFTER: Duration = Duration::from_secs(60);

pub(super) struct Reporter {
    config: NoticeConfig,
    projects: Patterns,
    branches: Patterns,
    access: Rc<ReporterAccess>,
    health: Rc<DeliveryHealth>,
    row: ReporterRow,
    /// The cursor in the store, and when it was saved.
    saved: (Cursor, Instant),
    /// The times at which to look at branches.
    looks: BTreeMap<ProjectRef, Time>,
    has_told: bool,
    /// The projects for which a round is under way.
    busy: BTreeSet<String>,
    rounds: FuturesUnordered<LocalBoxFuture<'static, Round>>,
    /// The notices that count as reported but have not reached all their receivers yet.
    partly: FuturesUnordered<LocalBoxFuture<'static, ()>>,
    /// The time until which the feed is not read, because reading it failed.
    deaf_until: Instant,
}

impl Reporter {
    pub(super) fn new(
        name: String,
        config: NoticeConfig,
        health: Rc<DeliveryHealth>,
        access: Rc<ReporterAccess>,
    ) -> Reporter {
        Reporter {
            projects: Patterns::new(config.projects.iter().cloned()),
            branches: Patterns::new(config.branches.iter().cloned()),
            config,
            health,
            row: ReporterRow { name, cursor: Cursor::default(), born: Time(0) },
            saved: (Cursor::default(), Instant::now()),
            looks: BTreeMap::new(),
            has_told: false,
            busy: BTreeSet::new(),
            rounds: FuturesUnordered::new(),
            partly: FuturesUnordered::new(),
            deaf_until: Instant::now(),
            access,
        }
    }

    pub(super) async fn report(mut self) {
        while let Err(why) = self.begin().await {
            self.complain(&why);
            tokio::time::sleep(LATER).await;
        }
        self.health.is_well("");
        let (to_late, mut late) = mpsc::unbounded_channel();
        let me = (self.row.name.clone(), self.row.born);
        let teller = Rc::new(Teller::new(me, self.config.clone(), self.access.clone(), self.health.clone(), to_late));
        loop {
            self.start_rounds(&teller);
            self.go_on(&mut late).await;
        }
    }

    fn complain(&self, why: &str) {
        tracing::warn!("a reporter by {} waits: {why}", self.health.by.shown());
        self.health.fails("", self.access.clock.now(), why);
    }

    /// Goes on where this reporter was. A new reporter begins with what ends from now on.
    async fn begin(&mut self) -> Result<(), String> {
        let name = self.row.name.clone();
        match self.access.reads.reporter(&name).await? {
            Some(row) => self.row = row,
            None => {
                self.row.cursor = self.access.events.newest();
                self.row.born = self.access.clock.now();
                self.access.deliveries.save(self.row.clone()).await?;
            }
        }
        self.saved = (self.row.cursor, Instant::now());
        self.look_everywhere().await
    }

    /// Starts one round for each project that has a branch due and no round under way.
    fn start_rounds(&mut self, teller: &Rc<Teller>) {
        let now = self.access.clock.now();
        let mut due: BTreeMap<String, Vec<ProjectRef>> = BTreeMap::new();
        for place in self.waiting().filter(|(_, time)| *time <= now).map(|(place, _)| place.clone()) {
            due.entry(place.0.clone()).or_default().push(place);
        }
        for (project, places) in due {
            if self.access.reads.is_held(&project) {
                self.looks.extend(places.into_iter().map(|place| (place, now.after(HELD))));
                continue;
            }
            self.looks.retain(|place, _| !places.contains(place));
            self.busy.insert(project.clone());
            self.rounds.push(teller.clone().round(project, places).boxed_local());
        }
    }

    /// Returns the branches that may be looked at, and when.
    fn waiting(&self) -> impl Iterator<Item = (&ProjectRef, Time)> {
        self.looks.iter().filter(|(place, _)| !self.busy.contains(&place.0)).map(|(place, time)| (place, *time))
    }

    /// Waits for events, for the end of a round, or for the time of the next look.
    async fn go_on(&mut self, late: &mut mpsc::UnboundedReceiver<LocalBoxFuture<'static, ()>>) {
        let access = self.access.clone();
        let now = access.clock.now();
        let next = self.waiting().map(|(_, time)| time.since(now)).min();
        let is_deaf = self.deaf_until > Instant::now();
        tokio::select! {
            batch = access.events.next(self.row.cursor, EVENTS), if !is_deaf => {
                if let Err(why) = self.hear(batch.map_err(words)).await {
                    self.complain(&why);
                    self.deaf_until = Instant::now() + LATER;
                }
            }
            Some(round) = self.rounds.next(), if !self.rounds.is_empty() => self.end_round(round).await,
            Some(()) = self.partly.next(), if !self.partly.is_empty() => {}
            Some(rest) = late.recv() => self.partly.push(rest),
            () = tokio::time::sleep(next.unwrap_or(Duration::MAX)), if next.is_some() => {}
            () = tokio::time::sleep_until(self.deaf_until), if is_deaf => {}
        }
    }

    async fn hear(&mut self, batch: Result<Batch, String>) -> Result<(), String> {
        self.note(batch?).await?;
        tokio::time::sleep(BREATH).await;
        // this reads what came during the pause
        let more = self.access.events.next(self.row.cursor, EVENTS).now_or_never();
        if let Some(batch) = more {
            self.note(batch.map_err(words)?).await?;
        }
        self.health.is_well("");
        self.save().await;
        Ok(())
    }

    /// Notes which branches the events name.
    async fn note(&mut self, batch: Batch) -> Result<(), String> {
        match &batch {
            Batch::Gap { .. } => self.look_everywhere().await?,
            Batch::Events(events) => {
                let ends = |fact: &Fact| matches!(fact, Fact::JobFinished { .. } | Fact::BuildFinished { .. });
                let ended = events.iter().filter(|event| ends(&event.fact));
                let builds: BTreeSet<(String, u32)> = ended.map(|event| (event.project.clone(), event.build)).collect();
                if !builds.is_empty() {
                    let found = self.access.reads.refs(builds).await?;
                    self.look_at(found);
                }
            }
        }
        self.row.cursor = self.access.events.end(&batch);
        Ok(())
    }

    /// Looks at all branches: after a start, and when events were missed.
    async fn look_everywhere(&mut self) -> Result<(), String> {
        for project in self.access.reads.projects() {
            let mut refs = self.access.reads.recent_refs(&project, RECENT).await?;
            if self.config.remind.is_some() {
                // people are reminded of a branch that is red for long, however many builds other branches have had
                refs.extend(self.access.reads.told_refs(&self.row.name, &project).await?);
            }
            self.look_at(refs.into_iter().map(|ref_name| (project.clone(), ref_name)));
        }
        Ok(())
    }

    fn look_at(&mut self, places: impl IntoIterator<Item = ProjectRef>) {
        let now = self.access.clock.now();
        for (project, ref_name) in places {
            let is_branch = ShortRef::of(&ref_name).branch().is_some_and(|name| self.branches.matches(name));
            if is_branch && self.projects.matches(&project) {
                self.looks.insert((project, ref_name), now);
            }
        }
    }

    async fn end_round(&mut self, round: Round) {
        self.busy.remove(&round.project);
        for (place, again) in round.again {
            // an event meanwhile may ask for an earlier look
            let time = self.looks.get(&place).map_or(again, |time| again.min(*time));
            self.looks.insert(place, time);
        }
        self.has_told |= round.has_told;
        self.save().await;
    }

    /// Saves the cursor if that is worth a commit, and if all news before the cursor was reported.
    async fn save(&mut self) {
        let now = self.access.clock.now();
        if !self.busy.is_empty() || self.waiting().any(|(_, time)| time <= now) {
            return;
        }
        let (cursor, since) = self.saved;
        let is_far = self.row.cursor.after.saturating_sub(cursor.after) >= SAVE_EVENTS;
        let is_due = self.has_told || is_far || since.elapsed() >= SAVE_AFTER;
        if self.row.cursor == cursor || !is_due {
            return;
        }
        match self.access.deliveries.save(self.row.clone()).await {
            Ok(()) => (self.saved, self.has_told) = ((self.row.cursor, Instant::now()), false),
            Err(why) => tracing::debug!("a cursor is saved later: {why}"),
        }
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
