//! The git source of one project: looks at the repository now and then, or when poked, and submits one Change per ref
//! that differs from what the sink acknowledged last. So nothing is lost over a downtime, a refusal or a crash: what was not
//! acknowledged still differs. Knows mirrors and changes; decides nothing about builds.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Fuse, LocalBoxFuture};
use schema::values::{Change, Refusal, RefusalCode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub use super::pattern::Patterns;
use crate::mirror::{GitError, Mirror, RefusedRef, short_name};

/// A lost repository is looked for this much more rarely than a good one, at the rarest.
const BACKOFF_FACTOR_MAX: u32 = 4;
const RETRY_FIRST: Duration = Duration::from_millis(250);
const POKES_MAX: usize = 64;
/// Above that one whole fetch is cheaper.
const SINGLE_FETCHES_MAX: usize = 4;
const TOLD_MAX: usize = 1000;
const TIDY_EVERY: Duration = Duration::from_secs(6 * 3600);

/// What is followed.
#[derive(Clone, Debug)]
pub struct GitSource {
    pub project: String,
    pub mirror: Rc<Mirror>,
    /// Between two looks.
    pub poll: Duration,
    /// Of short names; a ref that neither matches is never submitted.
    pub branches: Patterns,
    /// Tags that are older than the first look at the repository are history: they are submitted when they move.
    pub tags: Patterns,
}

/// What a person should hear of, or may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Whether the repository could be read; told after each round, and never logged.
    Looked(Result<(), String>),
    /// What a round over all refs left out; as above.
    LeftOut(Vec<RefusedRef>),
    /// The repository cannot be read; told once until it recovers.
    Trouble(String),
    Recovered,
    /// Told once per name.
    RefusedRef(RefusedRef),
    /// The sink refused this change for good; told once per revision.
    RefusedChange {
        ref_name: String,
        revision: String,
        refusal: Refusal,
    },
}

/// Makes a source look at once.
#[derive(Clone, Debug)]
pub struct Poke(mpsc::Sender<Question>);

/// The other end of a [`Poke`]: the source's.
#[derive(Debug)]
pub struct Pokes(mpsc::Receiver<Question>);

/// Full ref -> revision.
type Found = BTreeMap<String, String>;

/// Which refs a round was about.
#[derive(Debug)]
enum Looked {
    AtSome,
    AtAll,
}

#[derive(Debug)]
struct Question {
    /// None: all.
    ref_name: Option<String>,
    answer: oneshot::Sender<Result<Found, Refusal>>,
}

pub fn pokes() -> (Poke, Pokes) {
    let (sender, receiver) = mpsc::channel(POKES_MAX);
    (Poke(sender), Pokes(receiver))
}

impl Poke {
    /// Looks at one ref, by its full name; answers with its tip, if there is one, after the sink acknowledged what is new.
    pub async fn look(&self, ref_name: &str) -> Result<Option<String>, Refusal> {
        crate::mirror::check_ref(ref_name)
            .map_err(|why| Refusal::new(RefusalCode::Invalid, format!("ref `{ref_name}`: {why}")))?;
        let mut found = self.ask(Some(ref_name.to_string())).await?;
        Ok(found.remove(ref_name))
    }

    /// Looks at all refs; answers with every ref and its tip, wanted or not.
    pub async fn look_at_all(&self) -> Result<BTreeMap<String, String>, Refusal> {
        self.ask(None).await
    }

    async fn ask(&self, ref_name: Option<String>) -> Result<Found, Refusal> {
        let gone = || Refusal::new(RefusalCode::Unavailable, "the project's repository is not followed any more");
        let (answer, answered) = oneshot::channel();
        self.0.send(Question { ref_name, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// Follows the source until `shutdown`. `known`: the last acknowledged revision of each ref. `tell` hears what a
/// person should; it is already logged.
pub async fn follow<F: Future<Output = Result<(), Refusal>>>(
    source: GitSource,
    sink: impl Fn(Change) -> F,
    known: BTreeMap<String, String>,
    mut pokes: Pokes,
    tell: impl Fn(Notice),
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
    sink: S,
    tell: T,
    /// Acknowledged, or history.
    known: Found,
    /// Not to be submitted again.
    refused: Found,
    /// Names of refs of which it was told.
    told: BTreeSet<String>,
    /// Whether the tags that are history were sorted out.
    adopted: bool,
    /// Fetches that failed since the last good one.
    failures: u32,
    /// Submissions in a row that found the sink unavailable.
    retries: u32,
}

/// Why a round ended early.
enum Stop {
    Repository(GitError),
    Sink(Refusal),
}

impl From<GitError> for Stop {
    fn from(error: GitError) -> Stop {
        Stop::Repository(error)
    }
}

impl<S, T, F> Follower<S, T>
where
    S: Fn(Change) -> F,
    F: Future<Output = Result<(), Refusal>>,
    T: Fn(Notice),
{
    fn new(source: GitSource, sink: S, known: Found, tell: T) -> Self {
        let (refused, told) = (Found::new(), BTreeSet::new());
        Follower { source, sink, tell, known, refused, told, adopted: false, failures: 0, retries: 0 }
    }

    async fn run(&mut self, pokes: &mut Pokes) {
        let mut due = Instant::now();
        let mut tidy_at = due + TIDY_EVERY / 6;
        let mut tidying: Fuse<LocalBoxFuture<'static, ()>> = Fuse::terminated();
        loop {
            tokio::select! {
                () = sleep_until(due) => {
                    let polled = self.poll().await;
                    due = Instant::now() + self.settle(polled.as_ref().err());
                }
                Some(poke) = pokes.0.recv() => {
                    let outcome = self.answer(poke, pokes).await;
                    let next = Instant::now() + self.settle(outcome.as_ref().err());
                    // a poke of one ref says nothing of the others: their turn stays
                    due = if matches!(outcome, Ok(Looked::AtAll)) { next } else { due.min(next) };
                }
                () = sleep_until(tidy_at) => {
                    tidy_at = Instant::now() + TIDY_EVERY;
                    tidying = tidy(self.source.mirror.clone()).boxed_local().fuse();
                }
                () = &mut tidying => {}
            }
        }
    }

    /// Notes how a round went; how long to the next one.
    fn settle(&mut self, stop: Option<&Stop>) -> Duration {
        let poll = self.source.poll;
        match stop {
            None => {
                (self.tell)(Notice::Looked(Ok(())));
                if std::mem::take(&mut self.failures) > 0 {
                    tracing::info!(project = %self.source.project, "the repository can be read again");
                    (self.tell)(Notice::Recovered);
                }
                self.retries = 0;
                poll
            }
            Some(Stop::Repository(error)) => {
                (self.tell)(Notice::Looked(Err(error.to_string())));
                self.failures = self.failures.saturating_add(1);
                if self.failures == 1 {
                    tracing::warn!(project = %self.source.project, %error, "the repository cannot be read");
                    (self.tell)(Notice::Trouble(error.to_string()));
                }
                poll.saturating_mul(2u32.saturating_pow(self.failures - 1).min(BACKOFF_FACTOR_MAX))
            }
            Some(Stop::Sink(_)) => {
                self.retries = self.retries.saturating_add(1);
                RETRY_FIRST.saturating_mul(2u32.saturating_pow(self.retries - 1)).min(poll)
            }
        }
    }

    /// Answers this poke and all that wait behind it: they want to know the same.
    async fn answer(&mut self, first: Question, pokes: &mut Pokes) -> Result<Looked, Stop> {
        let mut waiting = vec![first];
        while let Ok(poke) = pokes.0.try_recv() {
            waiting.push(poke);
        }
        let names: Option<BTreeSet<String>> = waiting.iter().map(|poke| poke.ref_name.clone()).collect();
        let names = names.filter(|names| names.len() <= SINGLE_FETCHES_MAX && self.adopted);
        let at = if names.is_some() { Looked::AtSome } else { Looked::AtAll };
        let looked = match names {
            Some(names) => self.look(&names).await,
            None => self.poll().await,
        };
        for poke in waiting {
            let answer = match &looked {
                Ok(found) => Ok(part_of(found, poke.ref_name.as_deref())),
                Err(Stop::Sink(refusal)) => Err(refusal.clone()),
                Err(Stop::Repository(error)) => Err(Refusal::new(RefusalCode::Unavailable, error.to_string())),
            };
            // whoever asked may have left
            let _ = poke.answer.send(answer);
        }
        looked.map(|_| at)
    }

    /// One round over all refs.
    async fn poll(&mut self) -> Result<Found, Stop> {
        let fetched = self.source.mirror.fetch().await?;
        (self.tell)(Notice::LeftOut(fetched.refused.clone()));
        fetched.refused.into_iter().for_each(|refused| self.refuse_ref(refused));
        self.adopt(&fetched.refs)?;
        let gone: Vec<String> = self.known.keys().filter(|name| !fetched.refs.contains_key(*name)).cloned().collect();
        for name in gone {
            self.submit(&name, None).await?;
        }
        for (name, revision) in &fetched.refs {
            self.submit(name, Some(revision)).await?;
        }
        Ok(fetched.refs)
    }

    /// One round over a few refs.
    async fn look(&mut self, names: &BTreeSet<String>) -> Result<Found, Stop> {
        let mut found = Found::new();
        for name in names {
            let revision = self.source.mirror.fetch_ref(name).await?;
            self.submit(name, revision.as_ref()).await?;
            found.extend(revision.map(|revision| (name.clone(), revision)));
        }
        Ok(found)
    }

    /// Submits what differs. A refusal for good is no reason to stop: it concerns this ref alone.
    async fn submit(&mut self, name: &str, revision: Option<&String>) -> Result<(), Stop> {
        let (known, refused) = (self.known.get(name), self.refused.get(name));
        let empty = String::new();
        // what waits for a branch is cancelled with it, whatever the patterns say by now
        let is_wanted = self.is_wanted(name) || revision.is_none() && name.starts_with("refs/heads/");
        if known == revision || refused == Some(revision.unwrap_or(&empty)) || !is_wanted {
            return Ok(());
        }
        let before = known.map(String::as_str);
        let change =
            self.source.mirror.change(&self.source.project, name, before, revision.map(String::as_str)).await?;
        match (self.sink)(change).await {
            Ok(()) => {
                self.refused.remove(name);
                match revision {
                    Some(revision) => self.known.insert(name.to_string(), revision.clone()),
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

    fn is_wanted(&self, name: &str) -> bool {
        let short = short_name(name).unwrap_or_default();
        let patterns = if name.starts_with("refs/tags/") { &self.source.tags } else { &self.source.branches };
        patterns.matches(short)
    }

    fn refuse_ref(&mut self, refused: RefusedRef) {
        if self.told.len() < TOLD_MAX && self.told.insert(refused.name.clone()) {
            tracing::warn!(project = %self.source.project, name = ?refused.name, why = %refused.why, "a ref is left out");
            (self.tell)(Notice::RefusedRef(refused));
        }
    }

    fn refuse_change(&mut self, name: &str, revision: String, refusal: Refusal) {
        tracing::warn!(project = %self.source.project, name, %revision, %refusal, "a change was refused");
        self.refused.insert(name.to_string(), revision.clone());
        (self.tell)(Notice::RefusedChange { ref_name: name.to_string(), revision, refusal });
    }

    /// At the first look ever, writes down which tags are history; at the first of this process, reads it.
    fn adopt(&mut self, refs: &Found) -> Result<(), GitError> {
        if self.adopted {
            return Ok(());
        }
        let file = self.history_file();
        let failed = |cause| GitError::Io { place: file.display().to_string(), cause: Arc::new(cause) };
        let history = match std::fs::read_to_string(&file) {
            Ok(text) => history_of(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let tags = refs.iter().filter(|(name, _)| name.starts_with("refs/tags/"));
                let tags: Found = tags.map(|(name, revision)| (name.clone(), revision.clone())).collect();
                let text: String = tags.iter().map(|(name, revision)| format!("{revision} {name}\n")).collect();
                let next = file.with_extension("next");
                std::fs::write(&next, text).and_then(|()| std::fs::rename(next, &file)).map_err(failed)?;
                tags
            }
            Err(error) => return Err(failed(error)),
        };
        for (name, revision) in history.into_iter().filter(|(name, _)| refs.contains_key(name)) {
            self.known.entry(name).or_insert(revision);
        }
        self.adopted = true;
        Ok(())
    }

    /// In the mirror, so that it is gone with it.
    fn history_file(&self) -> PathBuf {
        self.source.mirror.dir().join(format!("guild.history.{}.tags", self.source.project))
    }
}

fn history_of(text: &str) -> Found {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(revision, name)| (name.into(), revision.into()))
        .collect()
}

fn part_of(found: &Found, name: Option<&str>) -> Found {
    match name {
        None => found.clone(),
        Some(name) => found.get(name).map(|revision| (name.to_string(), revision.clone())).into_iter().collect(),
    }
}

async fn tidy(mirror: Rc<Mirror>) {
    if let Err(error) = mirror.tidy().await {
        tracing::warn!(address = %mirror.remote().address, %error, "a mirror could not be tidied");
    }
}
