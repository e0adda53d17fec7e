//! The git source of one project. It looks at the repository at intervals and when it is poked. It submits one change for each ref that
//! differs from the revision that the sink acknowledged last. A downtime, a refusal or a crash loses nothing, because a revision that was
//! not acknowledged still differs. At the first look, the module `sight` separates history from news. This module knows mirrors and
//! changes, and decides nothing about builds.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Fuse, FusedFuture as _, LocalBoxFuture};
use schema::values::{Refusal, RefusalCode, ShortRef};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::again::again_after;
pub use super::pattern::Patterns;
use super::poke::{LookRequest, Pokes, RefTips};
use super::sight::{FirstLook, Scope, Sight, chosen};
use super::sink::ChangeSink;
use super::tidying;
use super::unreadable::Unreadable;
use crate::decide::coordinator::record::{Head, RefScope};
use crate::keep::mirror::{Fetched, GitError, Mirror, RefusedRef};

const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The most refs that are fetched one by one. For more refs, one fetch of everything is cheaper.
const SINGLE_FETCHES_MAX: usize = 4;
const TOLD_MAX: usize = 1000;
/// The most refs in one call that reports refs as seen. Each such call is one commit, which must stay short.
const SEEN_AT_ONCE: usize = 1_000;
/// The number of refs that are compared before other tasks get the thread, so that 100,000 refs do not hold up the master.
const COMPARED_AT_ONCE: usize = 1_000;

/// A `GitSource` says what the git source of a project follows.
#[derive(Clone, Debug)]
pub struct GitSource {
    pub project: String,
    pub mirror: Rc<Mirror>,
    /// The time between two looks.
    pub poll: Duration,
    /// The refs that the project follows. No other ref is submitted.
    pub scope: RefScope,
}

/// A report about the repository, for the log and for people who ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowerReport {
    /// Whether the repository could be read. Reported after each round, and never logged.
    Looked(Result<(), String>),
    /// The time until the next round over all refs. Reported after each round, and never logged.
    Next(Duration),
    /// The refs that a round over all refs left out. Reported after each such round, and never logged.
    LeftOut(Vec<RefusedRef>),
    /// The repository cannot be read. Reported once until it recovers.
    Trouble(String),
    Recovered,
    /// A ref was refused. Reported once for each name.
    RefusedRef(RefusedRef),
    /// The sink refused this change for good. Reported once for each revision.
    RefusedChange {
        ref_name: String,
        revision: String,
        refusal: Refusal,
    },
}

/// The last revision that the sink acknowledged, by the full ref.
pub type Known = BTreeMap<String, Head>;

/// The refs that a round covered.
#[derive(Debug)]
enum Looked {
    AtSome,
    AtAll,
}

/// Follows the source until `shutdown`. `known` has the last revision of each ref that the sink acknowledged. `tell` gets the reports,
/// which are already logged if a person should read them.
pub async fn follow(
    source: GitSource,
    sink: impl ChangeSink,
    known: Known,
    mut pokes: Pokes,
    tell: impl Fn(FollowerReport),
    shutdown: CancellationToken,
) {
    let mut follower = Follower::new(source, sink, known, tell);
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = follower.run(&mut pokes) => {}
    }
}

struct Follower<S, T> {
    source: GitSource,
    scope: Scope,
    sink: S,
    tell: T,
    /// The refs that the sink acknowledged, or that are history.
    known: Known,
    /// The tips that the sink refused for good, by ref. They are not submitted again.
    refused: RefTips,
    unreadable: Unreadable,
    /// The refs that the last look at all refs left out.
    left_out: Vec<RefusedRef>,
    /// The names of the refs whose refusal was reported.
    told: BTreeSet<String>,
    /// Whether a look at all refs has ended, which separated history from news.
    is_sighted: bool,
    /// The refs of the mirror before the first fetch, which overwrites them. They are kept because a first look that fails is repeated.
    held: Option<RefTips>,
    /// The number of failed fetches since the last good one.
    failures: u32,
    /// The number of submissions in a row that found the sink unavailable.
    retries: u32,
}

/// The reason why a round ended early.
enum Stop {
    Repository(GitError),
    Sink(Refusal),
}

impl From<GitError> for Stop {
    fn from(error: GitError) -> Stop {
        Stop::Repository(error)
    }
}

impl<S: ChangeSink, T: Fn(FollowerReport)> Follower<S, T> {
    fn new(source: GitSource, sink: S, known: Known, tell: T) -> Self {
        let (refused, told, scope) = (RefTips::new(), BTreeSet::new(), Scope::new(&source.scope));
        let (unreadable, left_out) = (Unreadable::default(), Vec::new());
        Follower {
            source,
            scope,
            sink,
            tell,
            known,
            refused,
            unreadable,
            left_out,
            told,
            is_sighted: false,
            held: None,
            failures: 0,
            retries: 0,
        }
    }

    async fn run(&mut self, pokes: &mut Pokes) {
        let mut due = Instant::now();
        let mut tidy_at = due + tidying::first_after(&self.source.project);
        let mut under_way: Fuse<LocalBoxFuture<'static, ()>> = Fuse::terminated();
        loop {
            tokio::select! {
                () = sleep_until(due) => {
                    let polled = self.poll().await;
                    due = Instant::now() + self.settle(polled.as_ref().err());
                    self.tell_next(due);
                }
                Some(poke) = pokes.0.recv() => {
                    let outcome = self.answer(poke, pokes).await;
                    let next = Instant::now() + self.settle(outcome.as_ref().err());
                    // a poke of one ref says nothing about the others, so their next round stays as it is
                    due = if matches!(outcome, Ok(Looked::AtAll)) { next } else { due.min(next) };
                    self.tell_next(due);
                }
                () = sleep_until(tidy_at) => {
                    tidy_at = Instant::now() + tidying::EVERY;
                    // a mirror that still waits for its turn keeps its place
                    if under_way.is_terminated() {
                        under_way = tidying::tidy(self.source.mirror.clone()).boxed_local().fuse();
                    }
                }
                () = &mut under_way => {}
            }
        }
    }

    fn tell_next(&self, due: Instant) {
        (self.tell)(FollowerReport::Next(due.saturating_duration_since(Instant::now())));
    }

    /// Notes how a round went, and returns the time to the next one.
    fn settle(&mut self, stop: Option<&Stop>) -> Duration {
        let poll = self.source.poll;
        match stop {
            None => {
                (self.tell)(FollowerReport::Looked(Ok(())));
                if std::mem::take(&mut self.failures) > 0 {
                    tracing::info!(project = %self.source.project, "the repository can be read again");
                    (self.tell)(FollowerReport::Recovered);
                }
                self.retries = 0;
                poll
            }
            Some(Stop::Repository(error)) => {
                (self.tell)(FollowerReport::Looked(Err(error.to_string())));
                self.failures = self.failures.saturating_add(1);
                if self.failures == 1 {
                    tracing::warn!(project = %self.source.project, %error, "the repository cannot be read");
                    (self.tell)(FollowerReport::Trouble(error.to_string()));
                }
                again_after(poll, self.failures)
            }
            Some(Stop::Sink(_)) => {
                self.retries = self.retries.saturating_add(1);
                RETRY_FIRST.saturating_mul(2u32.saturating_pow(self.retries - 1)).min(poll)
            }
        }
    }

    /// Answers this poke and all that wait behind it with one look.
    async fn answer(&mut self, first: LookRequest, pokes: &mut Pokes) -> Result<Looked, Stop> {
        let mut waiting = vec![first];
        while let Ok(poke) = pokes.0.try_recv() {
            waiting.push(poke);
        }
        let names: Option<BTreeSet<String>> = waiting.iter().map(|poke| poke.ref_name.clone()).collect();
        let names = names.filter(|names| names.len() <= SINGLE_FETCHES_MAX && self.is_sighted);
        let at = if names.is_some() { Looked::AtSome } else { Looked::AtAll };
        let looked = match names {
            Some(names) => self.look(&names).await,
            None => self.poll().await,
        };
        for poke in waiting {
            let answer = match &looked {
                Ok(found) => self.part_of(found, poke.ref_name.as_deref()),
                Err(Stop::Sink(refusal)) => Err(refusal.clone()),
                Err(Stop::Repository(error)) => Err(Refusal::new(RefusalCode::Unavailable, error.to_string())),
            };
            // the caller may have left
            let _ = poke.answer.send(answer);
        }
        looked.map(|_| at)
    }

    /// Looks at all refs once, and submits the differences.
    async fn poll(&mut self) -> Result<RefTips, Stop> {
        if !self.is_sighted {
            return self.sight().await;
        }
        let found = self.fetch().await?;
        self.tell_all(&found).await?;
        self.tell_left_out(&found);
        Ok(found)
    }

    /// Looks at all refs for the first time, and separates history from news.
    async fn sight(&mut self) -> Result<RefTips, Stop> {
        let before = self.sink.begin().await.map_err(Stop::Sink)?;
        let held = if before.is_unnoted() { self.held().await? } else { RefTips::new() };
        let sight = Sight::new(&before, &self.source.mirror.remote().address, held);
        let found = self.fetch().await?;
        let history = self.history(&sight, &found).await?;
        if !history.is_empty() {
            let (project, count) = (&self.source.project, history.len());
            tracing::info!(
                project,
                count,
                "refs existed before this project followed them: each is built from its next push"
            );
        }
        self.see(history).await?;
        self.tell_all(&found).await?;
        self.tell_left_out(&found);
        self.sink.looked().await.map_err(Stop::Sink)?;
        (self.is_sighted, self.held) = (true, None);
        Ok(found)
    }

    /// Returns the refs that the mirror has from an older version of the master.
    async fn held(&mut self) -> Result<RefTips, Stop> {
        let held = match self.held.take() {
            Some(held) => held,
            None => self.source.mirror.refs().await?.refs,
        };
        Ok(self.held.insert(held).clone())
    }

    async fn fetch(&mut self) -> Result<RefTips, Stop> {
        let mirror = &self.source.mirror;
        let Fetched { refs, refused } = mirror.mended(|| Box::pin(mirror.fetch())).await?;
        self.left_out = refused.clone();
        refused.into_iter().for_each(|refused| self.refuse_ref(refused));
        Ok(refs)
    }

    fn tell_left_out(&mut self, found: &RefTips) {
        self.unreadable.keep(|name| found.contains_key(name));
        let left_out = self.left_out.iter().cloned().chain(self.unreadable.told()).collect();
        (self.tell)(FollowerReport::LeftOut(left_out));
    }

    /// Returns the refs that are history, without the one branch that is built all the same.
    async fn history(&self, sight: &Sight, found: &RefTips) -> Result<Vec<(String, String)>, Stop> {
        let followed = || found.iter().filter(|(name, _)| self.scope.has(name));
        let is_history = |(name, revision): &(&String, &String)| {
            sight.judge(name, revision, self.known.get(*name)) == FirstLook::History
        };
        let owned = |(name, revision): (&String, &String)| (name.clone(), revision.clone());
        let mut history: RefTips = followed().filter(is_history).map(owned).collect();
        if history.keys().any(|name| ShortRef::of(name).branch().is_some()) {
            let head = self.source.mirror.head().await?;
            if let Some(chosen) = chosen(head.as_deref(), followed().map(|(name, _)| name)) {
                history.remove(chosen);
            }
        }
        Ok(history.into_iter().collect())
    }

    /// Submits each ref that differs, deleted refs first.
    async fn tell_all(&mut self, found: &RefTips) -> Result<(), Stop> {
        let is_there = |(_, head): &(&String, &Head)| head.gone.is_none();
        let known = self.known.iter().filter(is_there).map(|(name, _)| name);
        let gone: Vec<String> = known.filter(|name| !found.contains_key(*name)).cloned().collect();
        for name in gone {
            self.submit(&name, None).await?;
        }
        let returned = found.iter().filter(|(name, revision)| self.is_back(name, revision));
        let returned = returned.map(|(name, revision)| (name.clone(), revision.clone())).collect();
        self.see(returned).await?;
        for (at, (name, revision)) in found.iter().enumerate() {
            if at % COMPARED_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
            self.submit(name, Some(revision)).await?;
        }
        Ok(())
    }

    /// Whether a ref was deleted and made again at the same commit, which is built already.
    fn is_back(&self, name: &str, revision: &str) -> bool {
        self.known.get(name).is_some_and(|head| head.gone.is_some() && head.revision == revision)
    }

    /// Reports refs to the sink as seen, so that they are not built.
    async fn see(&mut self, refs: Vec<(String, String)>) -> Result<(), Stop> {
        for some in refs.chunks(SEEN_AT_ONCE) {
            self.sink.see(some.to_vec()).await.map_err(Stop::Sink)?;
            for (name, revision) in some {
                let is_told = self.known.get(name).is_some_and(|head| head.is_told && head.revision == *revision);
                let head = Head { revision: revision.clone(), is_told, ..Head::default() };
                self.known.insert(name.clone(), head);
            }
        }
        Ok(())
    }

    /// Looks at a few refs, each with a fetch of its own.
    async fn look(&mut self, names: &BTreeSet<String>) -> Result<RefTips, Stop> {
        let mut found = RefTips::new();
        for name in names {
            let revision = self.source.mirror.fetch_ref(name).await?;
            self.submit(name, revision.as_ref()).await?;
            found.extend(revision.map(|revision| (name.clone(), revision)));
        }
        Ok(found)
    }

    /// Submits a ref if it differs. A refusal for good concerns this ref alone, so it does not end the round.
    async fn submit(&mut self, name: &str, revision: Option<&String>) -> Result<(), Stop> {
        let known = self.known.get(name).filter(|head| head.gone.is_none()).map(|head| &head.revision);
        let refused = self.refused.get(name);
        let empty = String::new();
        // a deleted branch is submitted even if no pattern matches it any more, because its waiting builds must be cancelled
        let is_wanted = self.scope.has(name) || revision.is_none() && ShortRef::of(name).branch().is_some();
        let wanted = revision.unwrap_or(&empty);
        if known == revision || refused == Some(wanted) || !is_wanted {
            return Ok(());
        }
        if !self.unreadable.may_try(name, wanted, Instant::now()) {
            return Ok(());
        }
        self.send(name, known.cloned(), revision).await
    }

    async fn send(&mut self, name: &str, before: Option<String>, revision: Option<&String>) -> Result<(), Stop> {
        let (before, after) = (before.as_deref(), revision.map(String::as_str));
        let change = match self.source.mirror.change(&self.source.project, name, before, after).await {
            Ok(change) => change,
            Err(error) if error.may_be_of_what_was_asked() => {
                let refused = self.unreadable.note(name, after.unwrap_or_default(), &error, Instant::now());
                self.refuse_ref(refused);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.unreadable.forget(name);
        match self.sink.submit(change).await {
            Ok(head) => {
                self.refused.remove(name);
                match head {
                    Some(head) => self.known.insert(name.to_string(), head),
                    None => self.known.remove(name),
                };
                Ok(())
            }
            Err(refusal) if refusal.code == RefusalCode::Unavailable => Err(Stop::Sink(refusal)),
            Err(refusal) => {
                self.refuse_change(name, revision.cloned().unwrap_or_default(), refusal);
                Ok(())
            }
        }
    }

    /// Returns the part of a look that answers a poke: one ref, or all refs if `name` is `None`.
    fn part_of(&self, found: &RefTips, name: Option<&str>) -> Result<RefTips, Refusal> {
        let Some(name) = name else { return Ok(found.clone()) };
        if let Some(why) = self.unreadable.why(name) {
            return Err(Refusal::new(RefusalCode::Unavailable, format!("{name}: {why}")));
        }
        Ok(found.get(name).map(|revision| (name.to_string(), revision.clone())).into_iter().collect())
    }

    fn refuse_ref(&mut self, refused: RefusedRef) {
        if self.told.len() < TOLD_MAX && self.told.insert(refused.name.clone()) {
            tracing::warn!(project = %self.source.project, name = ?refused.name, why = %refused.why, "a ref is left out");
            (self.tell)(FollowerReport::RefusedRef(refused));
        }
    }

    fn refuse_change(&mut self, name: &str, revision: String, refusal: Refusal) {
        tracing::warn!(project = %self.source.project, name, %revision, %refusal, "a change was refused");
        self.refused.insert(name.to_string(), revision.clone());
        (self.tell)(FollowerReport::RefusedChange { ref_name: name.to_string(), revision, refusal });
    }
}
