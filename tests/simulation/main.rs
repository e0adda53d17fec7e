//! Simulates whole guilds under random faults, half an hour each within seconds. The coordinator, driver, store, API, sessions,
//! runner and client are the product's; links, machines and clock are simulated. `tests/README.md` tells how to make long runs.

mod faults;
mod history;
mod machine;
mod net;
mod promises;
mod record;
mod users;
mod world;

use faults::Faults;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use support::seed::with_seeds;
use tokio::task::LocalSet;
use tokio::time::Instant;
use users::Users;
use world::World;

/// The simulated time for which faults go on in each simulation.
const LASTS: Duration = Duration::from_secs(25 * 60);

/// The number of seeds if `GUILD_SEEDS` is not set. Each takes some seconds, or a minute without optimization.
const SEEDS: u64 = if cfg!(debug_assertions) { 3 } else { 20 };

struct Told {
    violations: Vec<String>,
    #[cfg_attr(not(tokio_unstable), expect(dead_code, reason = "runs are not exact"))]
    fingerprint: String,
    faults: BTreeMap<&'static str, u64>,
    builds: usize,
    processes: usize,
    simulated: Duration,
}

fn simulate(seed: u64, tells: bool) -> Told {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // without this seed, tasks that wait for the same thing wake in a random order
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let began = Instant::now();
        let mut world = World::new(seed).await;
        world.record.facts().tells = tells;
        let mut users = Users::new(&world, seed);
        let mut faults = Faults::new(seed);
        while began.elapsed() < LASTS && world.record.facts().violations.is_empty() {
            faults.next_move(&mut world, &mut users).await;
            promises::meanwhile(&world, &users);
        }
        faults.calm(&mut world, &mut users).await;
        promises::at_the_end(&world, &mut users).await;
        promises::no_process_left(&world);
        let record = world.record.clone();
        let builds = users.told.borrow().builds.len();
        drop(users);
        world.end().await;
        let mut facts = record.facts();
        let processes = facts.processes.values().map(Vec::len).sum();
        let violations = std::mem::take(&mut facts.violations);
        drop(facts);
        Told {
            violations,
            fingerprint: record.fingerprint(),
            faults: faults.counts,
            builds,
            processes,
            simulated: began.elapsed(),
        }
    })
}

/// Each run simulates 25 minutes of faults, and then the time until everything has settled.
#[test]
fn half_hours_of_faults_break_no_promise() {
    let total = Mutex::new(Total::default());
    with_seeds("--release --test simulation half_hours_of_faults_break_no_promise", SEEDS, |seed| {
        let is_again = std::env::var("GUILD_SEED").is_ok();
        if is_again {
            // a run that is repeated prints what happens in the simulation, between the warnings of the product
            let filter = tracing_subscriber::EnvFilter::try_from_env("GUILD_LOG");
            let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("simulation,warn"));
            tracing_subscriber::fmt().with_env_filter(filter).without_time().with_ansi(false).init();
        }
        let told = simulate(seed, is_again);
        assert!(told.violations.is_empty(), "{}", told.violations.join("\n"));
        total.lock().unwrap_or_else(PoisonError::into_inner).add(&told);
    });
    println!("{}", total.lock().unwrap_or_else(PoisonError::into_inner));
}

/// `Total` has the sums over all seeds.
#[derive(Default)]
struct Total {
    seeds: u32,
    simulated: Duration,
    builds: usize,
    processes: usize,
    faults: BTreeMap<&'static str, u64>,
}

impl Total {
    fn add(&mut self, told: &Told) {
        self.seeds += 1;
        self.simulated += told.simulated;
        self.builds += told.builds;
        self.processes += told.processes;
        for (fault, count) in &told.faults {
            *self.faults.entry(fault).or_default() += count;
        }
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.simulated.as_secs_f64() / 3600.0;
        let Total { seeds, builds, processes, faults, .. } = self;
        write!(f, "{seeds} seeds, {hours:.1} simulated hours, {builds} builds, {processes} steps, faults: {faults:?}")
    }
}

/// Two runs with one seed are equal. This holds only with `RUSTFLAGS="--cfg tokio_unstable"`, because otherwise tasks that wait
/// for the same thing wake in a random order.
#[cfg(tokio_unstable)]
#[test]
fn a_seed_can_be_played_again() {
    assert_eq!(simulate(3, false).fingerprint, simulate(3, false).fingerprint);
}
