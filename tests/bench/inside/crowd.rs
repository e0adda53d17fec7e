//! Many clients in one process: subscribers to events, followers of logs, and workers that have nothing to do.

use client::context::Contexts;
use client::{Events, Guild, LogAddress, Tail, Told, Until};
use schema::values::{Event, Fact, Filter};
use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::rc::Rc;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use worker::world::World;
use worker::{Config, Shutdown, run_in};

/// Plays `count` subscribers to all events, each on a connection of its own, until standard input ends. Then prints how many
/// events they received in all.
pub fn subscribers(contexts: &str, count: u64) {
    let told = Rc::new(Cell::new(0_u64));
    let all = told.clone();
    on_one_thread(async move {
        for _ in 0..count {
            let guild = connected(contexts).await;
            let cursor = guild.latest_event().await.expect("the events have a place");
            let (mut events, told) = (Events::new(&guild, Filter::default(), cursor), told.clone());
            tokio::task::spawn_local(async move {
                while let Ok(more) = events.next().await {
                    told.set(told.get() + length(&more));
                }
            });
            // the task has asked for its subscription now: the answer to this call comes after the answer to that
            tokio::task::yield_now().await;
            guild.latest_event().await.expect("the events have a place");
        }
        say("ready");
        input_ends().await;
    });
    say(&all.get().to_string());
}

fn length(told: &Told) -> u64 {
    match told {
        Told::Events { events, .. } => events.len() as u64,
        Told::Gap { .. } => panic!("a live subscriber has no gap"),
    }
}

/// Plays `count` connections that follow the logs of steps from their start. With `all` each connection follows each log, else
/// each log is followed by one of them in turn. When standard input ends, reads the followed logs to their ends and prints how
/// many bytes were read in all.
pub fn followers(contexts: &str, count: u64, all: bool) {
    let read = Rc::new(Cell::new(0_u64));
    let total = read.clone();
    let contexts = contexts.to_owned();
    on_one_thread(async move {
        let guild = connected(&contexts).await;
        let (mut given, mut following) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (give, steps) = mpsc::unbounded_channel();
            given.push(give);
            following.push(tokio::task::spawn_local(follow(connected(&contexts).await, steps, read.clone())));
        }
        let cursor = guild.latest_event().await.expect("the events have a place");
        let started = Filter { kinds: vec!["stepStarted".to_owned()], ..Filter::default() };
        let mut events = Events::new(&guild, started, cursor);
        let giving = tokio::task::spawn_local(async move {
            let mut turn = 0;
            while let Ok(Told::Events { events, .. }) = events.next().await {
                for address in events.iter().filter_map(log_of) {
                    turn += 1;
                    let chosen = if all { &given[..] } else { &given[turn % given.len()..][..1] };
                    chosen.iter().for_each(|give| drop(give.send(address.clone())));
                }
            }
        });
        say("ready");
        input_ends().await;
        giving.abort();
        for follower in following {
            follower.await.expect("it follows to the end");
        }
    });
    say(&total.get().to_string());
}

async fn follow(guild: Guild, mut steps: mpsc::UnboundedReceiver<LogAddress>, read: Rc<Cell<u64>>) {
    while let Some(address) = steps.recv().await {
        let (_never, ended) = watch::channel(false);
        let mut tail = Tail::new(&guild, address, 0, Until::Ended(ended));
        while let Some(bytes) = tail.next().await.expect("the log is there") {
            read.set(read.get() + bytes.len() as u64);
        }
    }
}

fn log_of(event: &Event) -> Option<LogAddress> {
    let Fact::StepStarted { job, attempt, step, .. } = &event.fact else { return None };
    let (project, job) = (event.project.clone(), job.clone());
    Some(LogAddress { project, build: event.build, job, attempt: *attempt, step: *step })
}

async fn connected(contexts: &str) -> Guild {
    let credential = Contexts::at(contexts.into()).load("operator").and_then(|context| context.open());
    let (reference, identity) = credential.expect("the credential is stored");
    Guild::connect(reference, identity).await.expect("the master answers")
}

/// Runs `count` real workers, whose states are `DIR/0` to `DIR/COUNT-1`, until standard input ends.
pub fn workers(dir: &Path, count: u64) {
    on_one_thread(async move {
        let (_shutdown, told) = watch::channel(Shutdown::default());
        for number in 0..count {
            let config = Config::load(&dir.join(number.to_string())).expect("the worker's state");
            let told = told.clone();
            tokio::task::spawn_local(async move {
                let ended = run_in(World::real(config.program.clone()), config, told).await;
                eprintln!("worker {number}: {ended:?}");
            });
        }
        say("ready");
        input_ends().await;
    });
}

pub(super) fn on_one_thread(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, work);
    // the runtime must not wait for a thread that reads standard input: that ends with the process
    runtime.shutdown_background();
}

pub(super) async fn input_ends() {
    let ends = tokio::task::spawn_blocking(|| std::io::stdin().lock().read_to_end(&mut Vec::new()));
    let _ = ends.await;
}

pub(super) fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("the output is read");
}
