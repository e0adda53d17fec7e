//! `kill-loops COUNT [SEED]` kills a real master and a real worker with -9, at random moments or at each fail point. Meanwhile they
//! run a matrix, a job that needs it, a job with side effects, and one with a log of 5 MB. After each loop the result is compared
//! with what the steps themselves wrote. `GUILD_BIN` is the directory of programs that were built with the feature `fail-points`.
//!
//! `GUILD_PROGRESS=FILE` keeps the next seed and the counts in a file, so a campaign that was stopped goes on there.

mod house;
mod tally;

use client::views::BuildView;
use client::{Events, Guild, LogAddress, Tail, Told, Until};
use house::{House, PROJECT, Who};
use schema::values::{Cursor, Filter, Outcome};
use std::process::ExitCode;
use std::time::Duration;
use support::seed::Random;
use system::fail_point::FAIL_POINTS;
use tally::Tally;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

/// The longest time that a build of some seconds may take with all kills.
const PATIENCE: Duration = Duration::from_secs(90);
/// The loops after which a new house is opened. Until then its store grows, and then the campaign also sees a new store.
const LOOPS_PER_HOUSE: u64 = 25;

fn main() -> ExitCode {
    let arguments: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let Some(count) = arguments.first().copied() else {
        eprintln!("usage: kill-loops COUNT [SEED]");
        return ExitCode::from(2);
    };
    let mut tally = Tally::load(arguments.get(1).copied());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let is_well = LocalSet::new().block_on(&runtime, campaign(&mut tally, count));
    println!("{tally}");
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn campaign(tally: &mut Tally, count: u64) -> bool {
    let last = tally.next + count;
    while tally.next < last {
        let mut house = House::open().await;
        let until = last.min(tally.next + LOOPS_PER_HOUSE);
        while tally.next < until {
            let seed = tally.next;
            if let Err(wrong) = one_loop(&mut house, tally, seed).await {
                println!("loop {seed}: {wrong}\nagain: kill-loops 1 {seed}; kept: {}", house.keep().display());
                tally.violations += 1;
                return false;
            }
            tally.done();
        }
        if let Err(wrong) = no_event_is_missing(&house).await {
            println!("before loop {}: {wrong}; kept: {}", tally.next, house.keep().display());
            return false;
        }
    }
    true
}

/// `Plan` is what one loop does to the master and the worker.
enum Plan {
    /// The kills, one after the other: the pause before each, and the processes to kill.
    Kills(Vec<(Duration, Vec<Who>)>),
    FailPoint(&'static str, u32),
}

fn plan(seed: u64) -> Plan {
    let mut random = Random::new(seed);
    if seed % 2 == 1 {
        let point = FAIL_POINTS[(seed / 2) as usize % FAIL_POINTS.len()];
        let most = match point {
            // on a busy machine more records share a commit, so a build has fewer commits
            _ if point.ends_with("commit") => 12,
            // each supervisor is a process of its own, which reaches the fail point once
            _ if point.starts_with("supervisor") => 1,
            _ => 3,
        };
        return Plan::FailPoint(point, 1 + random.below(most) as u32);
    }
    let kills = (0..1 + random.below(4)).map(|_| {
        let after = Duration::from_millis(5 + random.below(496) as u64);
        let whom = match random.below(3) {
            0 => vec![Who::Master],
            1 => vec![Who::Worker],
            _ => vec![Who::Master, Who::Worker],
        };
        (after, whom)
    });
    Plan::Kills(kills.collect())
}

async fn one_loop(house: &mut House, tally: &mut Tally, seed: u64) -> Result<(), String> {
    let id = [&seed.to_le_bytes()[..], &[7; 8]].concat();
    let is_supervisors = match plan(seed) {
        Plan::Kills(kills) => {
            let asked = tokio::task::spawn_local(house::submit(house.credential(), id.clone()));
            for (after, whom) in kills {
                sleep(after).await;
                for who in &whom {
                    house.kill(*who);
                    tally.kills[*who as usize] += 1;
                }
                sleep(Duration::from_millis(20)).await;
                whom.iter().for_each(|who| house.start(*who, None));
            }
            drop(asked);
            false
        }
        Plan::FailPoint(point, count) => {
            let who = if point.starts_with("master") { Who::Master } else { Who::Worker };
            house.kill(who);
            house.start(who, Some((point, count)));
            let asked = tokio::task::spawn_local(house::submit(house.credential(), id.clone()));
            let hit = house.await_fail_point(point, &asked).await;
            if hit {
                *tally.points.entry(point.to_owned()).or_default() += 1;
            }
            let is_supervisor = point.starts_with("supervisor");
            if !(hit && is_supervisor) {
                house.kill(who);
                house.start(who, None);
            }
            is_supervisor && hit && point != "supervisor-journalled"
        }
    };
    // the same request again makes no second build
    let number = house::submit(house.credential(), id.clone()).await;
    let guild = house.guild().await;
    let ended = timeout(PATIENCE, guild.outcome(PROJECT, number)).await;
    let ended = ended.map_err(|_| format!("build {number} has not ended after {PATIENCE:?}"))?;
    ended.map_err(|error| format!("build {number}: {error}"))?;
    let build = guild.build(PROJECT, number).await.map_err(|error| error.to_string())?;
    let again = house::submit(house.credential(), id).await;
    if again != number {
        return Err(format!("one request is build {number} and build {again}"));
    }
    check(house, &guild, &build, is_supervisors).await?;
    house.nothing_runs_on().await
}

async fn check(house: &House, guild: &Guild, build: &BuildView, is_supervisors: bool) -> Result<(), String> {
    let count = |file: &str, line: &str| house.lines(file).iter().filter(|known| *known == line).count();
    for job in &build.jobs {
        let (name, began) = (format!("{} {}", build.number, job.name), usize::from(job.attempt));
        let times = count("began", &name);
        // a supervisor that died ended its step, so there may be one more attempt, except for a job with side effects
        let most = if is_supervisors { 2 } else { 1 };
        if began > most || times > most {
            return Err(format!("{name}: {began} attempts, {times} beginnings ({:?}: {})", job.outcome, job.reason));
        }
        let may_fail = is_supervisors && job.name == "effect";
        if job.outcome != Some(Outcome::Succeeded) && !may_fail {
            return Err(format!("{name} is {:?}: {}", job.outcome, job.reason));
        }
    }
    let effects = count("effects", &build.number.to_string());
    if effects > 1 || effects == 0 && !is_supervisors {
        return Err(format!("the side effect of build {} happened {effects} times", build.number));
    }
    if let Some(double) = house.lines("double").first() {
        return Err(format!("two processes of one job ran at once: {double}"));
    }
    let log = read_log(guild, build.number).await?;
    match log == house::big_log() {
        true => Ok(()),
        false => Err(format!("the long log of build {} has {} bytes that are not as written", build.number, log.len())),
    }
}

async fn read_log(guild: &Guild, build: u32) -> Result<Vec<u8>, String> {
    let address = LogAddress { project: PROJECT.to_owned(), build, job: "big".to_owned(), attempt: 0, step: 1 };
    let mut tail = Tail::new(guild, address, 0, Until::Offset(u64::MAX));
    let mut read = Vec::new();
    while let Some(bytes) = tail.next().await.map_err(|error| error.to_string())? {
        read.extend(bytes);
    }
    Ok(read)
}

/// Checks that each event of this house comes once, and in order.
async fn no_event_is_missing(house: &House) -> Result<(), String> {
    let guild = house.guild().await;
    let latest = guild.latest_event().await.map_err(|error| error.to_string())?;
    let mut events = Events::new(&guild, Filter::default(), Cursor::default());
    let (mut last, began) = (0, Instant::now());
    while last < latest.after {
        let told = timeout(PATIENCE, events.next()).await.map_err(|_| format!("no event after {last}"))?;
        let Ok(Told::Events { events, .. }) = told else { return Err(format!("after event {last}: {told:?}")) };
        for event in events {
            if event.sequence != last + 1 {
                return Err(format!("event {} comes after {last}", event.sequence));
            }
            last = event.sequence;
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("only {last} of {} events", latest.after));
        }
    }
    Ok(())
}
