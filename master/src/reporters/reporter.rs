//! One reporter: reads events from its cursor, looks at the branches they name, tells what is due, and remembers that it did.

use super::ancestry::Dag;
use super::branch::Branch;
use super::compose::{self, Lane};
use super::lanes::{self, Transition};
use super::notice::{self, Notice};
use super::{BRANCHES, LATER, Reach, Standing, command, mail::Letter};
use crate::config::{Means, NotifyConfig};
use crate::coordinator::record::{Record, ReporterRow, ToldRow, Turn};
use crate::events::Batch;
use crate::sources::git::Patterns;
use crate::store::{StoreError, reporters as rows};
use futures::FutureExt as _;
use schema::values::{Cursor, Fact, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// Builds of a branch that are looked at.
const WINDOW: u32 = 200;
/// Builds of a project whose branches are looked at in the beginning.
const RECENT: u32 = 500;
/// Events read at once.
const EVENTS: usize = 1_000;
/// Between an event and the look: what happens together is looked at together.
const BREATH: Duration = Duration::from_millis(200);
/// Between looks whether a project is still held back after a restore, of which no event tells.
const HELD: Duration = Duration::from_secs(1);
/// Between tries to tell something; each twice the one before.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(5 * 60);
/// The cursor is saved after so many events or so long, as it only says where to look.
const SAVE_EVENTS: u64 = 1_000;
const SAVE_AFTER: Duration = Duration::from_secs(60);
/// Commits of a project that are remembered.
const COMMITS_MAX: usize = 50_000;

/// A project and a ref.
type Place = (String, String);

pub(super) struct Reporter {
    config: NotifyConfig,
    projects: Patterns,
    branches: Patterns,
    reach: Rc<Reach>,
    standing: Rc<Standing>,
    row: ReporterRow,
    /// The cursor in the store, and since when.
    saved: (Cursor, Instant),
    /// When to look where.
    looks: BTreeMap<Place, Time>,
    /// By project.
    history: BTreeMap<String, Dag>,
}

impl Reporter {
    pub(super) fn new(name: String, config: NotifyConfig, standing: Rc<Standing>, reach: Rc<Reach>) -> Reporter {
        Reporter {
            projects: Patterns::new(config.projects.iter().cloned()),
            branches: Patterns::new(config.branches.iter().cloned()),
            config,
            standing,
            row: ReporterRow { name, cursor: Cursor::default(), born: Time(0) },
            saved: (Cursor::default(), Instant::now()),
            looks: BTreeMap::new(),
            history: BTreeMap::new(),
            reach,
        }
    }

    pub(super) async fn report(mut self) {
        while let Err(why) = self.begin().await {
            self.complain(&why).await;
        }
        loop {
            match self.look_where_due().await {
                Ok(()) => self.standing.is_well(),
                Err(why) => self.standing.fails(self.reach.driver.now(), &why),
            }
            if let Err(why) = self.listen().await {
                self.complain(&why).await;
            }
        }
    }

    async fn complain(&self, why: &str) {
        tracing::warn!("a reporter by {} waits: {why}", self.means());
        self.standing.fails(self.reach.driver.now(), why);
        tokio::time::sleep(LATER).await;
    }

    /// Goes on where it was; one that is new begins with what ends from now on.
    async fn begin(&mut self) -> Result<(), String> {
        let name = self.row.name.clone();
        let known = self.reach.readers.query(move |store| rows::reporter(store, &name)).await;
        match known.map_err(words)? {
            Some(row) => self.row = row,
            None => {
                self.row.cursor = Cursor { incarnation: self.reach.incarnation, after: self.reach.feed.last() };
                self.row.born = self.reach.driver.now();
                self.commit(vec![Record::Reporter(self.row.clone())]).await?;
            }
        }
        self.saved = (self.row.cursor, Instant::now());
        self.look_everywhere().await
    }

    /// Waits for events, or for the time of the next look.
    async fn listen(&mut self) -> Result<(), String> {
        let reach = self.reach.clone();
        let now = reach.driver.now();
        let next = self.looks.values().min().map(|time| time.since(now));
        tokio::select! {
            batch = reach.feed.next(self.row.cursor, EVENTS) => {
                self.note(batch.map_err(words)?).await?;
                tokio::time::sleep(BREATH).await;
                // and what came meanwhile
                if let Some(batch) = reach.feed.next(self.row.cursor, EVENTS).now_or_never() {
                    self.note(batch.map_err(words)?).await?;
                }
            }
            () = tokio::time::sleep(next.unwrap_or(Duration::MAX)), if next.is_some() => {}
        }
        Ok(())
    }

    /// What events say of where to look.
    async fn note(&mut self, batch: Batch) -> Result<(), String> {
        match &batch {
            Batch::Gap { .. } => self.look_everywhere().await?,
            Batch::Events(events) => {
                let ends = |fact: &Fact| matches!(fact, Fact::JobFinished { .. } | Fact::BuildFinished { .. });
                let ended = events.iter().filter(|event| ends(&event.fact));
                let builds: BTreeSet<(String, u32)> = ended.map(|event| (event.project.clone(), event.build)).collect();
                if !builds.is_empty() {
                    let found = self.reach.readers.query(move |store| rows::refs(store, &builds)).await;
                    self.look_at(found.map_err(words)?);
                }
            }
        }
        self.row.cursor = batch.end(self.reach.incarnation);
        Ok(())
    }

    /// After a start, and where it is not known what happened.
    async fn look_everywhere(&mut self) -> Result<(), String> {
        let projects: Vec<String> = self.reach.repositories.all().iter().map(|it| it.project.clone()).collect();
        for project in projects {
            let name = project.clone();
            let refs = self.reach.readers.query(move |store| rows::recent_refs(store, &name, RECENT)).await;
            self.look_at(refs.map_err(words)?.into_iter().map(|ref_name| (project.clone(), ref_name)));
        }
        Ok(())
    }

    fn look_at(&mut self, places: impl IntoIterator<Item = Place>) {
        let now = self.reach.driver.now();
        for (project, ref_name) in places {
            let is_branch = ref_name.strip_prefix(BRANCHES).is_some_and(|name| self.branches.matches(name));
            if is_branch && self.projects.matches(&project) {
                self.looks.insert((project, ref_name), now);
            }
        }
    }

    /// Why one of the looks failed, where one did; it is made again.
    async fn look_where_due(&mut self) -> Result<(), String> {
        let now = self.reach.driver.now();
        let due: Vec<Place> =
            self.looks.iter().filter(|(_, time)| **time <= now).map(|(place, _)| place.clone()).collect();
        let (mut has_told, mut looked) = (false, Ok(()));
        for place in due {
            self.looks.remove(&place);
            if self.reach.driver.peek(|it, _| it.is_held(&place.0)) {
                self.looks.insert(place, now.after(HELD));
                continue;
            }
            let again = match self.look(&place, &mut has_told).await {
                Ok(again) => again,
                Err(why) => {
                    let why = format!("failed to look at {} of {}: {why}", place.1, place.0);
                    tracing::warn!("{why}");
                    looked = Err(why);
                    Some(self.reach.driver.now().after(LATER))
                }
            };
            self.looks.extend(again.map(|again| (place, again)));
        }
        self.save(has_told).await;
        looked
    }

    /// Tells what is due of the lanes of a branch; answers when to look again, whatever happens.
    async fn look(&mut self, place: &Place, has_told: &mut bool) -> Result<Option<Time>, String> {
        let (project, ref_name) = place;
        let (branch, mut told) = self.read(place).await.map_err(words)?;
        self.learn(project, &branch.commits).await?;
        let Some(history) = self.history.get(project) else { return Ok(None) };
        let ancestry = history.ancestry(&branch.commits);
        let mut again: Option<Time> = None;
        for job in branch.lanes() {
            let lane = lanes::Lane { ancestry: &ancestry, runs: &branch.runs(job), is_whole: branch.is_whole };
            let due = lanes::due(&lane, &branch.said(job, &told), self.row.born, self.reach.driver.now());
            again = again.into_iter().chain(due.again).min();
            for transition in due.transitions {
                let lane = Lane { project, ref_name, branch: &branch, job };
                told.push(self.tell(&lane, &transition, &told).await?);
                *has_told = true;
            }
        }
        Ok(again)
    }

    async fn read(&self, (project, ref_name): &Place) -> Result<(Branch, Vec<ToldRow>), StoreError> {
        let (name, project, ref_name) = (self.row.name.clone(), project.clone(), ref_name.clone());
        let read = self.reach.readers.query(move |store| {
            let window = rows::window(store, &project, &ref_name, WINDOW)?;
            Ok((window, rows::told(store, &name, &project, &ref_name)?))
        });
        let (window, told) = read.await?;
        Ok((Branch::of(window), told))
    }

    /// Asks the mirror for the parents of commits that are new.
    async fn learn(&mut self, project: &str, commits: &[String]) -> Result<(), String> {
        let Some(repository) = self.reach.repositories.get(project) else { return Ok(()) };
        let history = self.history.entry(project.to_owned()).or_default();
        if history.len() > COMMITS_MAX {
            *history = Dag::default();
        }
        let (known, new): (Vec<String>, Vec<String>) = commits.iter().cloned().partition(|it| history.knows(it));
        if new.is_empty() {
            return Ok(());
        }
        let found = repository.mirror.parents(&new, &known).await;
        for (commit, parents) in found.map_err(|error| format!("failed to read the history of {project}: {error}"))? {
            history.learn(&commit, parents.iter().map(String::as_str));
        }
        for lost in new {
            // it is not there, or too far back
            if !history.knows(&lost) {
                history.learn(&lost, []);
            }
        }
        Ok(())
    }

    /// Tells one change of a lane, however long that takes, and commits that it did.
    async fn tell(&self, lane: &Lane<'_>, transition: &Transition, told: &[ToldRow]) -> Result<ToldRow, String> {
        let failure = failure(lane, transition, told);
        let is_wanted = self.config.events.contains(&transition.turn);
        let notice = match is_wanted {
            true => compose::compose(&self.reach, lane, transition, failure).await?,
            false => None,
        };
        if let Some(notice) = notice {
            self.deliver(&notice).await?;
        }
        let row = self.row_of(lane, transition);
        while let Err(why) = self.commit(vec![Record::Told(row.clone())]).await {
            self.complain(&why).await;
        }
        Ok(row)
    }

    fn row_of(&self, lane: &Lane<'_>, transition: &Transition) -> ToldRow {
        let revision = lane.branch.commits[transition.at].clone();
        ToldRow {
            reporter: self.row.name.clone(),
            project: lane.project.to_owned(),
            ref_name: lane.ref_name.to_owned(),
            job: lane.job.to_owned(),
            turn: transition.turn,
            build: lane.branch.result(lane.job, transition.at).map_or(0, |result| result.build.number),
            notice: notice::id(lane.project, lane.ref_name, lane.job, transition.turn, &revision),
            revision,
            time: self.reach.driver.now(),
        }
    }

    /// Until it is handed over.
    async fn deliver(&self, notice: &Notice) -> Result<(), String> {
        let Some(mut parcel) = self.pack(notice)? else {
            tracing::warn!("a notice of {} by {} has nobody to go to", notice.selector, self.means());
            return Ok(());
        };
        let mut pause = PAUSE_MIN;
        while let Err(why) = self.hand_over(&mut parcel).await {
            tracing::warn!("a notice of {} by {} waits {} s: {why}", notice.selector, self.means(), pause.as_secs());
            self.standing.fails(self.reach.driver.now(), &why);
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
        self.standing.is_well();
        tracing::info!(id = notice.id, "told by {}: {}", self.means(), notice.subject());
        Ok(())
    }

    fn pack(&self, notice: &Notice) -> Result<Option<Parcel>, String> {
        Ok(match (&self.config.by, &self.reach.mail) {
            (Means::Command(_), _) => {
                Some(Parcel::Json(serde_json::to_vec(notice).map_err(|error| error.to_string())?))
            }
            (Means::Mail(to), Some(mail)) => {
                Letter::write(mail, to, notice, self.reach.driver.now())?.map(Parcel::Letter)
            }
            // the master file was refused without it
            (Means::Mail(_), None) => None,
        })
    }

    async fn hand_over(&self, parcel: &mut Parcel) -> Result<(), String> {
        match (parcel, &self.config.by, &self.reach.mail) {
            (Parcel::Json(json), Means::Command(argv), _) => command::run(argv, &self.reach.state, json).await,
            (Parcel::Letter(letter), _, Some(mail)) => letter.hand_over(mail).await,
            (Parcel::Json(_) | Parcel::Letter(_), _, _) => Ok(()),
        }
    }

    /// Where it is worth a commit.
    async fn save(&mut self, has_told: bool) {
        let (cursor, since) = self.saved;
        let is_far = self.row.cursor.after.saturating_sub(cursor.after) >= SAVE_EVENTS;
        let is_due = has_told || is_far || since.elapsed() >= SAVE_AFTER;
        if self.row.cursor == cursor || !is_due {
            return;
        }
        match self.commit(vec![Record::Reporter(self.row.clone())]).await {
            Ok(()) => self.saved = (self.row.cursor, Instant::now()),
            Err(why) => tracing::debug!("a cursor is saved later: {why}"),
        }
    }

    async fn commit(&self, records: Vec<Record>) -> Result<(), String> {
        self.reach.driver.call_with(|_, _| ((), records)).await.map_err(|refusal| refusal.to_string())
    }

    fn means(&self) -> &str {
        &self.standing.means
    }
}

/// A notice on its way.
enum Parcel {
    Json(Vec<u8>),
    Letter(Letter),
}

/// What was told of the failure that this fixes; at least the newest that was told.
fn failure<'t>(lane: &Lane<'_>, transition: &Transition, told: &'t [ToldRow]) -> Option<&'t ToldRow> {
    if transition.turn == Turn::NewlyFailing {
        return None;
    }
    let failures = || told.iter().rev().filter(|row| row.job == lane.job && row.turn == Turn::NewlyFailing);
    let commit = transition.failure.map(|place| lane.branch.commits[place].as_str());
    failures().find(|row| commit == Some(row.revision.as_str())).or_else(|| failures().next())
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
