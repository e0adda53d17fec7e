//! Simulated users: they ask for builds and repeat each request until it is acknowledged, cancel, retry, and watch events. What
//! the master told them is kept and compared with what it tells them later.

use crate::record::Record;
use crate::world::{Client, PROJECT, World};
use client::{Again, Error, Events, Told};
use schema::values::{Cursor, Event, Fact, Filter, Outcome, RefusalCode};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use support::seed::Random;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

pub struct Users {
    random: Random,
    developer: Client,
    watcher: Client,
    pub told: Rc<RefCell<Acknowledged>>,
    pub seen: Rc<RefCell<Seen>>,
    /// The tasks of requests that the master has not answered yet.
    tasks: JoinSet<()>,
    /// The task that watches events. It is aborted when the users are dropped.
    _watching: JoinSet<()>,
    asked: u64,
}

/// `Acknowledged` is what users asked for, and what the master acknowledged.
#[derive(Default)]
pub struct Acknowledged {
    /// The number of the build of each acknowledged request.
    pub builds: BTreeMap<[u8; 16], u32>,
    /// The ids of all requests that users made, answered or not.
    pub asked: BTreeSet<[u8; 16]>,
    /// The builds whose cancel the master acknowledged.
    pub cancelled: BTreeSet<u32>,
    /// The number of retries that users asked for. There are at most this many builds that are retries.
    pub retries: u32,
    /// The view of each finished build when a user first saw it finished.
    pub finished: BTreeMap<u32, String>,
    pub revoked: Vec<(String, Instant)>,
}

/// `Seen` is what a subscriber learned from events.
#[derive(Default)]
pub struct Seen {
    pub last: u64,
    pub builds: BTreeMap<u32, Outcome>,
    pub jobs: BTreeMap<(u32, String), Outcome>,
    pub lost: BTreeMap<(u32, String), Vec<String>>,
    /// The events of steps: build, job, attempt, step, and whether the step ended.
    pub steps: BTreeSet<(u32, String, u16, u16, bool)>,
}

impl Users {
    pub fn new(world: &World, seed: u64) -> Users {
        let mut random = Random::new(seed ^ 0x05e4);
        let (developer, watcher) = (world.client(random.draw()), world.client(random.draw()));
        let (told, seen) = (Rc::default(), Rc::default());
        let mut watching = JoinSet::new();
        watching.spawn_local(watch(watcher.clone(), world.record.clone(), Rc::clone(&seen)));
        Users { random, developer, watcher, told, seen, tasks: JoinSet::new(), _watching: watching, asked: 0 }
    }

    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        [&self.developer, &self.watcher].into_iter()
    }

    pub fn developer(&self) -> Client {
        self.developer.clone()
    }

    /// Waits until all requests are answered. Call it before you look for unfinished builds: a request from a time without a master can
    /// become a build after all others have ended.
    pub async fn answered(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    pub fn act(&mut self, world: &World) {
        let known: Vec<u32> = self.told.borrow().builds.values().copied().collect();
        let chosen = self.random.pick(&known).copied();
        let (client, record, told) = (self.developer.clone(), world.record.clone(), self.told.clone());
        match (self.random.below(100), chosen) {
            (0..60, _) | (_, None) => {
                self.asked += 1;
                let mut id = [0; 16];
                id[..8].copy_from_slice(&self.asked.to_le_bytes());
                self.tasks.spawn_local(submit(client, record, told, id));
            }
            (60..75, _) => {
                let asked: Vec<[u8; 16]> = self.told.borrow().asked.iter().copied().collect();
                let Some(id) = self.random.pick(&asked).copied() else { return };
                self.tasks.spawn_local(submit(client, record, told, id));
            }
            (75..82, Some(number)) => {
                self.tasks.spawn_local(async move {
                    let done = client.guild().await.cancel(PROJECT, number, "", "simulated").await;
                    record.tell(&format!("cancel of {number}: {:?}", done.is_ok()));
                    if done.is_ok() {
                        told.borrow_mut().cancelled.insert(number);
                    }
                });
            }
            (82..90, Some(number)) => {
                self.told.borrow_mut().retries += 1;
                self.tasks.spawn_local(async move {
                    let done = client.guild().await.retry(PROJECT, number, &Again::All).await;
                    record.tell(&format!("retry of {number}: {done:?}"));
                });
            }
            (_, Some(number)) => {
                self.tasks.spawn_local(look(client, record, told, number));
            }
        }
    }

    pub fn revoke(&mut self, world: &World, index: usize) {
        let (client, record, told) = (self.developer.clone(), world.record.clone(), self.told.clone());
        let credential = &world.workers[index].credential;
        let (grant, name) = (credential.grant, credential.name.clone());
        self.tasks.spawn_local(async move {
            loop {
                match client.guild().await.revoke(grant, "simulated").await {
                    Ok(_) => break,
                    // an earlier attempt has revoked it, and the answer was lost
                    Err(Error::Refused(refusal)) if refusal.code == RefusalCode::Conflict => break,
                    Err(_) => sleep(Duration::from_secs(1)).await,
                }
            }
            record.tell(&format!("{name} is revoked"));
            told.borrow_mut().revoked.push((name, Instant::now()));
        });
    }
}

/// Asks for a build again and again until there is an answer. The id of the request determines the commit.
async fn submit(client: Client, record: Record, told: Rc<RefCell<Acknowledged>>, id: [u8; 16]) {
    told.borrow_mut().asked.insert(id);
    loop {
        match timeout(Duration::from_secs(60), ask(&client, id)).await {
            Ok(Ok(number)) => {
                record.tell(&format!("request {} is build {number}", id[0]));
                let before = told.borrow_mut().builds.insert(id, number);
                if before.is_some_and(|before| before != number) {
                    record.violated(format!("P1: a request was build {before:?}, and is {number} now"));
                }
                return;
            }
            Ok(Err(Error::Refused(refusal))) if refusal.code != RefusalCode::Unavailable => {
                return record.violated(format!("P1: a good request is refused: {refusal}"));
            }
            Ok(Err(_)) | Err(_) => sleep(Duration::from_secs(1)).await,
        }
    }
}

async fn ask(client: &Client, id: [u8; 16]) -> Result<u32, Error> {
    let link = client.guild().await.link().await?;
    let submitter = link.perspective()?.submitter_request().send().pipeline.get_submitter();
    let mut request = submitter.run_request();
    let mut ask = request.get();
    ask.set_request(&id);
    ask.set_project(PROJECT);
    ask.set_ref("refs/heads/main");
    ask.set_revision(crate::history::revision(u64::from_le_bytes([id[0], id[1], id[2], id[3], 0, 0, 0, 0])));
    let answer = request.send().promise.await?;
    let answer = answer.get()?;
    match schema::wire::refusal(answer.has_refusal(), answer.get_refusal())? {
        Some(refusal) => Err(Error::Refused(refusal)),
        None => Ok(answer.get_number()),
    }
}

/// Keeps how a build looks if it has finished, because it must never look different.
async fn look(client: Client, record: Record, told: Rc<RefCell<Acknowledged>>, number: u32) {
    let Ok(build) = client.guild().await.build(PROJECT, number).await else { return };
    if !build.is_finished() {
        return;
    }
    let text = format!("{build:?}");
    let before = told.borrow_mut().finished.insert(number, text.clone());
    if before.is_some_and(|before| before != text) {
        record.violated(format!("P2: the finished build {number} has changed: {text}"));
    }
}

async fn watch(client: Client, record: Record, seen: Rc<RefCell<Seen>>) {
    let mut events = Events::new(&client.guild().await, Filter::default(), Cursor::default());
    loop {
        match events.next().await {
            Ok(Told::Events { events, .. }) => {
                events.iter().for_each(|event| note(&record, &mut seen.borrow_mut(), event))
            }
            Ok(Told::Gap { first, last, .. }) => record.violated(format!("P10: events {first} to {last} are not kept")),
            Err(error) => {
                record.tell(&format!("the watcher is told: {error}"));
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn note(record: &Record, seen: &mut Seen, event: &Event) {
    if event.sequence != seen.last + 1 {
        record.violated(format!("P10: event {} comes after {}", event.sequence, seen.last));
    }
    seen.last = event.sequence;
    let twice = match &event.fact {
        Fact::JobFinished { job, outcome, .. } => seen.jobs.insert((event.build, job.clone()), *outcome).is_some(),
        Fact::BuildFinished { outcome } => seen.builds.insert(event.build, *outcome).is_some(),
        Fact::StepStarted { job, attempt, step, .. } => {
            !seen.steps.insert((event.build, job.clone(), *attempt, *step, false))
        }
        Fact::StepFinished { job, attempt, step, .. } => {
            !seen.steps.insert((event.build, job.clone(), *attempt, *step, true))
        }
        Fact::AttemptLost { job, reason, .. } => {
            seen.lost.entry((event.build, job.clone())).or_default().push(reason.clone());
            false
        }
        _ => false,
    };
    if twice {
        record.violated(format!("P10: told twice: {event:?}"));
    }
}
