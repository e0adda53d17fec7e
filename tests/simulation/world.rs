//! A whole simulated guild on one thread: a master with its store in memory, workers on machines of their own, and a network
//! between them. Master and workers run the product's code. [`crate::faults`] disturbs them, [`crate::promises`] checks them.

use crate::history::Commits;
use crate::machine::Host;
use crate::net::{Cable, Net};
use crate::record::Record;
use client::Guild;
use client::link::Link;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use master::Base;
use master::MasterParts;
use master::commit::driver::Driver;
use master::config::clock::Clock;
use master::config::{Config, PoolConfig, ProjectConfig};
use master::decide::coordinator::record::{Record as Row, RefScope};
use master::decide::coordinator::{Coordinator, Effect, PoolTerms, ProjectTerms, Terms};
use master::intake::sources::{Repositories, Repository};
use master::keep::installation;
use master::keep::logs::Logs;
use master::keep::mirror::GitGate;
use master::keep::store::{Store, Weather};
use schema::identity::Identity;
use schema::sturdy_ref::{Fingerprint, SturdyRef, Token};
use schema::values::{GrantKind, Resources, Time, What};
use schema::vat::{self, Limits, VatError};
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{Instant, sleep, timeout};
use worker::supervisor::Moment;
use worker::world::{BlockingWork, Stream};

pub const PROJECT: &str = "sim";
/// The settings of leases between which the master file changes, in seconds: the general one, and the pool's own.
const LEASES: [(u64, Option<u64>); 4] = [(60, None), (180, Some(60)), (120, None), (60, Some(180))];
/// The shortest of [`LEASES`]; [`LONGEST`] is the longest.
pub const LEASE: Duration = Duration::from_secs(60);
pub const LONGEST: Duration = Duration::from_secs(180);
pub const WORKERS: usize = 3;
/// The number of worker credentials that are made at the beginning. There are more than workers, because a revoked worker is replaced.
const CREDENTIALS: usize = 12;
const ORPHAN_GRACE: Duration = Duration::from_secs(30);
/// The longest time that a master which is told to stop waits for its last commit.
const SETTLE: Duration = Duration::from_secs(8);
/// The time of the wall clock at which every simulation begins.
const BEGIN: Time = Time(1_800_000_000_000);

/// The number of worlds that this process has made.
static WORLDS: AtomicU64 = AtomicU64::new(0);

pub struct World {
    pub record: Record,
    pub net: Net,
    pub disk: Rc<Disk>,
    pub workers: Vec<WorkerHost>,
    pub operator: Credential,
    /// The workers that run from a copy of another worker's state directory, with the index of that worker.
    clones: Vec<(usize, JoinHandle<()>)>,
    clone_count: u64,
    /// The index in [`LEASES`] of the setting in force.
    leases: usize,
    seed: u64,
    dir: TempDir,
    began: Instant,
    master: Option<JoinHandle<()>>,
    master_starts: u64,
    parts: Rc<RefCell<Weak<MasterParts>>>,
    /// A handle of the store. It keeps the database in memory alive while no master runs.
    _keeper: Store,
    store_name: String,
    fresh: Vec<Credential>,
}

/// `Credential` is the key and the grant of a worker or a client.
#[derive(Clone)]
pub struct Credential {
    pub name: String,
    pub grant: u64,
    pub reference: SturdyRef,
    pub identity: Rc<Identity>,
    key_file: PathBuf,
}

/// `WorkerHost` is a machine, with a worker that may or may not run at the moment.
pub struct WorkerHost {
    pub credential: Credential,
    pub host: Host,
    pub cable: Rc<Cable>,
    pub state: PathBuf,
    pub task: Option<JoinHandle<()>>,
    pub revoked_at: Option<Instant>,
}

/// `Disk` is the simulated disk of the store.
#[derive(Default)]
pub struct Disk {
    pub full: Cell<bool>,
    pub slow: Cell<Duration>,
    /// The time that the store waits with the answer to the next commit after it is written.
    pub mute: Cell<Duration>,
    pub commits: Cell<u64>,
}

struct OverDisk(Rc<Disk>);

impl Weather for OverDisk {
    fn before(&self) -> LocalBoxFuture<'_, bool> {
        Box::pin(async {
            sleep(self.0.slow.get()).await;
            self.0.full.get()
        })
    }

    fn after(&self) -> LocalBoxFuture<'_, ()> {
        self.0.commits.set(self.0.commits.get() + 1);
        Box::pin(sleep(self.0.mute.take()))
    }
}

impl World {
    pub async fn new(seed: u64) -> World {
        system::chance::seed(seed);
        let record = Record::default();
        let dir = scratch();
        // the store gets a new name, because a killed master may hold its store for ever, and no other world may open that
        let store_name = format!("sim-{}", WORLDS.fetch_add(1, Ordering::Relaxed));
        let keeper = Store::in_memory(&store_name).unwrap();
        let master_key = Identity::generate().fingerprint();
        let mut enrolment = Enrolment::begin(&keeper, seed, master_key, dir.path().join("keys")).await;
        let operator = enrolment.enrol(GrantKind::Operator, "operator", What::everything());
        let mut fresh: Vec<Credential> =
            (0..CREDENTIALS).map(|at| enrolment.enrol(GrantKind::Worker, &format!("w{at}"), What::default())).collect();
        enrolment.commit(&keeper).await;
        fresh.reverse();
        let mut world = World {
            net: Net::new(),
            disk: Rc::default(),
            workers: Vec::new(),
            operator,
            clones: Vec::new(),
            clone_count: 0,
            leases: 0,
            seed,
            dir,
            began: Instant::now(),
            master: None,
            master_starts: 0,
            parts: Rc::default(),
            _keeper: keeper,
            store_name,
            fresh,
            record,
        };
        world.start_master();
        for _ in 0..WORKERS {
            world.add_worker();
        }
        world
    }

    // the functions below are about the master

    pub fn is_master_up(&self) -> bool {
        self.master.is_some()
    }

    pub fn start_master(&mut self) {
        assert!(self.master.is_none());
        self.master_starts += 1;
        self.record.tell("the master starts");
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&self.master_starts.to_le_bytes());
        let config = self.config();
        let store = Store::in_memory(&self.store_name).unwrap().under(OverDisk(self.disk.clone()));
        let clock = Clock::anchored(BEGIN.after(self.began.elapsed()));
        let base = Base {
            fingerprint: self.operator.reference.fingerprint,
            store,
            clock,
            seed: key,
            open_logs: Logs::open_inline,
        };
        let (net, parts_slot, seed, record) = (self.net.clone(), self.parts.clone(), self.seed, self.record.clone());
        self.master = Some(tokio::task::spawn_local(LocalSet::new().into_host(async move {
            let established =
                master::establish(&config, base, |_| Ok(Repositories::new(GitGate::default(), [repository(seed)])))
                    .await;
            let parts = established.unwrap_or_else(|error| panic!("the master does not start: {error}"));
            *parts_slot.borrow_mut() = Rc::downgrade(&parts);
            let (door, mut callers) = mpsc::unbounded_channel();
            net.open_door(door);
            let failed = parts.driver.clone();
            let serving = async {
                while let Some((stream, peer)) = callers.recv().await {
                    tokio::task::spawn_local(master::serve::api::attend(parts.api.clone(), stream, peer));
                }
            };
            tokio::select! {
                biased;
                why = Driver::failure(&failed) => record.violated(format!("P12: the master gives up: {why}")),
                () = serving => {}
            }
        })));
    }

    /// Kills the master as `kill -9` does: none of its tasks runs on, and its connections are closed.
    pub async fn kill_master(&mut self) {
        let Some(task) = self.master.take() else { return };
        self.record.tell("the master is killed");
        self.net.close_door();
        self.disk.mute.take();
        task.abort();
        let _ = task.await;
    }

    /// Checks the invariants of the coordinator. Panics if one does not hold.
    pub fn check_coordinator(&self) {
        let parts = self.parts.borrow().upgrade();
        if let Some(parts) = parts.filter(|_| self.is_master_up()) {
            parts.driver.peek(|coordinator, _| coordinator.check());
        }
    }

    /// Stops the master as SIGTERM does: it tells its peers that it leaves, and writes what it has decided.
    pub async fn stop_master(&mut self) {
        let parts = self.parts.borrow().upgrade();
        if let Some(parts) = parts.filter(|_| self.is_master_up()) {
            self.record.tell("the master is told to stop");
            self.net.close_door();
            parts.api.leave().await;
            let _ = timeout(SETTLE, parts.driver.settled()).await;
        }
        self.kill_master().await;
    }

    fn config(&self) -> Config {
        let mut config = Config::standalone(&self.dir.path().join("master"), "sim:1");
        std::fs::create_dir_all(&config.state).unwrap();
        let (lease, of_pool) = LEASES[self.leases];
        config.limits.lease = Duration::from_secs(lease);
        let pool = PoolConfig { matches: Vec::new(), lease: of_pool.map(Duration::from_secs), isolation: None };
        config.pools.insert("default".to_owned(), pool);
        config.projects.insert(PROJECT.to_owned(), ProjectConfig::of(PROJECT.to_owned()));
        config
    }

    /// Changes the setting of leases in the master file. If a master runs, it takes the change at once.
    pub fn reload(&mut self, leases: usize) {
        self.leases = leases % LEASES.len();
        let (lease, of_pool) = LEASES[self.leases];
        self.record.tell(&format!("leases of {lease} s, in the pool of {of_pool:?}"));
        let pool = PoolTerms { lease: of_pool.map(Duration::from_secs), ..PoolTerms::default() };
        let terms = Terms {
            lease: Duration::from_secs(lease),
            projects: [(PROJECT.to_owned(), ProjectTerms::default())].into(),
            pools: [("default".to_owned(), pool)].into(),
            ..Terms::default()
        };
        let parts = self.parts.borrow().upgrade();
        if let Some(parts) = parts.filter(|_| self.is_master_up()) {
            parts.driver.note(|it, now| it.set_terms(now, terms));
        }
    }

    // the functions below are about workers

    /// Adds a machine with a new credential, and starts its worker. Returns false if no credential is left.
    pub fn add_worker(&mut self) -> bool {
        let Some(credential) = self.fresh.pop() else { return false };
        let state = self.dir.path().join(&credential.name);
        std::fs::create_dir_all(&state).unwrap();
        credential.reference.save(&state.join(worker::CREDENTIAL_FILE)).unwrap();
        std::fs::copy(&credential.key_file, state.join("identity.key")).unwrap();
        let at = self.seed.wrapping_mul(97).wrapping_add(self.workers.len() as u64);
        let host = Host::new(&credential.name, self.record.clone(), at);
        let cable = Cable::new(at ^ 0xcab1e);
        self.workers.push(WorkerHost { credential, host, cable, state, task: None, revoked_at: None });
        self.start_worker(self.workers.len() - 1);
        true
    }

    pub fn start_worker(&mut self, index: usize) {
        let (net, record, began) = (self.net.clone(), self.record.clone(), self.began);
        let worker = &mut self.workers[index];
        assert!(worker.task.is_none());
        record.tell(&format!("{} starts", worker.credential.name));
        let (state, host, cable) = (worker.state.clone(), worker.host.clone(), worker.cable.clone());
        worker.task = Some(spawn_worker(&worker.credential.name, state, host, cable, net, record, began));
    }

    /// Starts a clone: a worker with the same key, from a copy of the state directory, on a machine and a cable of its own.
    pub fn start_clone(&mut self, index: usize) {
        self.clone_count += 1;
        let worker = &self.workers[index];
        let name = format!("{}-clone-{}", worker.credential.name, self.clone_count);
        let copy = self.dir.path().join(&name);
        copy_tree(&worker.state, &copy);
        self.record.tell(&format!("{name} starts"));
        let at = self.seed.wrapping_mul(89).wrapping_add(self.clone_count);
        let (host, cable) = (Host::new(&name, self.record.clone(), at), Cable::new(at));
        let clone = spawn_worker(&name, copy, host, cable, self.net.clone(), self.record.clone(), self.began);
        self.clones.push((index, clone));
    }

    /// Kills all clones as `kill -9` does.
    pub async fn kill_clones(&mut self) {
        for (index, clone) in std::mem::take(&mut self.clones) {
            self.record.tell(&format!("a clone of {} is killed", self.workers[index].credential.name));
            clone.abort();
            let _ = clone.await;
        }
    }

    pub fn has_clone(&self, index: usize) -> bool {
        self.clones.iter().any(|(of, _)| *of == index)
    }

    pub async fn kill_worker(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        let Some(task) = worker.task.take() else { return };
        self.record.tell(&format!("{} is killed", worker.credential.name));
        task.abort();
        let _ = task.await;
    }

    /// Returns the indices of the workers that are not revoked.
    pub fn good_workers(&self) -> Vec<usize> {
        (0..self.workers.len()).filter(|index| self.workers[*index].revoked_at.is_none()).collect()
    }

    // the functions below are about clients

    /// Makes a client of the operator on a cable of its own.
    pub fn client(&self, seed: u64) -> Client {
        Client {
            cable: Cable::new(seed),
            net: self.net.clone(),
            credential: self.operator.clone(),
            guild: Rc::default(),
        }
    }

    pub async fn end(mut self) {
        self.kill_clones().await;
        self.kill_master().await;
        for index in 0..self.workers.len() {
            self.kill_worker(index).await;
        }
    }
}

/// Turns a `LocalSet` into one future, so that everything that was spawned in it ends when that future is dropped.
trait IntoHost {
    fn into_host<F: Future<Output = ()> + 'static>(self, main: F) -> LocalBoxFuture<'static, ()>;
}

impl IntoHost for LocalSet {
    fn into_host<F: Future<Output = ()> + 'static>(self, main: F) -> LocalBoxFuture<'static, ()> {
        async move { self.run_until(main).await }.boxed_local()
    }
}

/// Copies a directory with everything below it, except for sockets and for files that are removed meanwhile.
fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => copy_tree(&entry.path(), &target),
            Ok(kind) if kind.is_file() => drop(std::fs::copy(entry.path(), target)),
            Ok(_) | Err(_) => {}
        }
    }
}

fn spawn_worker(
    name: &str,
    state: PathBuf,
    host: Host,
    cable: Rc<Cable>,
    net: Net,
    record: Record,
    began: Instant,
) -> JoinHandle<()> {
    let name = name.to_owned();
    let config = worker::Config {
        workspaces: state.join("workspaces"),
        state,
        program: PathBuf::new(),
        total: Resources { slots: 2, cpus_milli: 2_000, memory: 1 << 30 },
        pass: Vec::new(),
        labels: Vec::new(),
        reserve: 0,
        orphan_grace: ORPHAN_GRACE,
        isolation: schema::values::Tier::Guard,
        bounds: schema::values::StepBounds::default(),
        output_max: 1 << 30,
    };
    let world = worker::world::World {
        clock: Box::new(SimClock { began }),
        net: Box::new(Line { net, cable }),
        machine: Arc::new(host),
        blocking: BlockingWork::Inline,
    };
    tokio::task::spawn_local(LocalSet::new().into_host(async move {
        let (_shutdown, told) = tokio::sync::watch::channel(worker::Shutdown::No);
        let ended = worker::run_in(world, config, told).await;
        record.tell(&format!("{name} ends: {ended:?}"));
    }))
}

struct SimClock {
    began: Instant,
}

impl worker::world::Clock for SimClock {
    fn now(&self) -> Moment {
        Moment(1_000_000 + self.began.elapsed().as_millis() as u64)
    }

    fn boot(&self) -> String {
        String::new()
    }

    fn wall(&self) -> Time {
        BEGIN.after(self.began.elapsed())
    }
}

struct Line {
    net: Net,
    cable: Rc<Cable>,
}

impl worker::world::Net for Line {
    fn dial<'a>(
        &'a self,
        _: &'a SturdyRef,
        identity: &'a Identity,
    ) -> LocalBoxFuture<'a, Result<Box<dyn Stream>, VatError>> {
        Box::pin(async move {
            let stream = self.net.dial(&self.cable, identity.fingerprint()).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

/// `Client` is a program of a user, with the product's own client library.
#[derive(Clone)]
pub struct Client {
    pub cable: Rc<Cable>,
    net: Net,
    credential: Credential,
    guild: Rc<RefCell<Option<Guild>>>,
}

impl Client {
    /// Returns a connection to the master. Waits until there is one.
    pub async fn guild(&self) -> Guild {
        loop {
            let known = self.guild.borrow().clone();
            if let Some(guild) = known {
                return guild;
            }
            let this = self.clone();
            let dial = Box::new(move || {
                let this = this.clone();
                async move { this.link().await }.boxed_local()
            });
            match Guild::over(dial).await {
                Ok(guild) => *self.guild.borrow_mut() = Some(guild),
                Err(_) => sleep(Duration::from_secs(1)).await,
            }
        }
    }

    async fn link(&self) -> Result<Link, client::Error> {
        let stream = self.net.dial(&self.cable, self.credential.identity.fingerprint()).await?;
        let vat = vat::connect(stream, Limits::known());
        let gateway: schema::gateway_capnp::gateway::Client = vat.bootstrap();
        let perspective = client::dial::restore(&gateway, &self.credential.reference.token);
        let perspective = tokio::time::timeout(Duration::from_secs(30), perspective).await;
        let perspective = perspective.map_err(|_| client::Error::Lost("no answer".to_owned()))??;
        let closed = vat.closed();
        Ok(Link::new(perspective, async { closed.await.to_string() }, vat))
    }
}

/// `Enrolment` issues grants and makes credentials before the first master starts.
struct Enrolment {
    keys: PathBuf,
    coordinator: Coordinator,
    clock: Clock,
    key: Fingerprint,
}

impl Enrolment {
    async fn begin(store: &Store, seed: u64, key: Fingerprint, keys: PathBuf) -> Enrolment {
        std::fs::create_dir_all(&keys).unwrap();
        let clock = Clock::anchored(BEGIN);
        let mut lease_key = [7; 32];
        lease_key[..8].copy_from_slice(&seed.to_le_bytes());
        let coordinator = installation::load(store, Default::default(), &clock, lease_key).await.unwrap();
        Enrolment { keys, coordinator, clock, key }
    }

    fn enrol(&mut self, kind: GrantKind, name: &str, what: What) -> Credential {
        let key_file = self.keys.join(name);
        let identity = Rc::new(Identity::load_or_create(&key_file).unwrap());
        let join = installation::issue(&mut self.coordinator, &self.clock, kind, name, what).unwrap();
        let token = Token::random();
        let now = self.clock.now();
        let row = self.coordinator.redeem(now, join.digest(), token.digest(), identity.fingerprint()).unwrap();
        let reference = SturdyRef { fingerprint: self.key, addresses: vec!["sim:1".to_owned()], token };
        Credential { name: name.to_owned(), grant: row.id.0, reference, identity, key_file }
    }

    async fn commit(mut self, store: &Store) {
        let mut rows: Vec<Row> = Vec::new();
        while let Some(effect) = self.coordinator.poll_effect() {
            if let Effect::Record(row) = effect {
                rows.push(row);
            }
        }
        store.commit(rows).await.unwrap();
    }
}

fn repository(seed: u64) -> Rc<Repository> {
    let (poke, _) = master::intake::sources::pokes();
    Rc::new(Repository {
        project: PROJECT.to_owned(),
        address: PROJECT.to_owned(),
        aliases: Vec::new(),
        mirror: Rc::new(Commits { seed }),
        scope: RefScope { branches: vec!["*".to_owned()], tags: Vec::new() },
        inferred: None,
        commit_url: None,
        poke,
        health: Rc::default(),
    })
}

/// Makes a temporary directory, in memory if the machine has `/dev/shm`, because logs are synced often.
fn scratch() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}
