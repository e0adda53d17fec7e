//! A laboratory: one master and its workers as processes of their own, over TLS on loopback, in a temporary directory.

use crate::proc::{Cpu, machine_busy};
use client::{Events, Guild, Told};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use schema::values::{Fact, Filter, Outcome};
use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::programs::{Credential, Programs, connected, git, repository};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

pub const PROJECT: &str = "bench";
/// The calls that a client has in flight at once when it asks for many builds.
const ASKS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(300);

/// Returns a pipeline of one job that runs this command and needs no source.
pub fn one_job(run: &str) -> String {
    format!("version = 1\n[trigger]\npush = []\n[defaults]\nsource = \"none\"\n[job.run]\nrun = {run:?}\n")
}

pub struct Lab {
    pub dir: TempDir,
    pub programs: Programs,
    pub credential: Credential,
    pub guild: Guild,
    /// The commit that the builds are of, as a full id.
    pub revision: String,
    master: Option<Child>,
    workers: Vec<Child>,
}

/// `Burst` is the cost of many builds that are asked for at once: of their submission, and of their execution.
pub struct Burst {
    pub submit: Spent,
    pub drain: Spent,
}

/// `Spent` is the time that passed and the CPU that was used, in seconds of one core.
pub struct Spent {
    pub seconds: f64,
    pub master: Cpu,
    pub workers: Cpu,
    /// The CPU of the whole machine. It includes supervisors and steps, and unrelated processes too.
    pub machine: f64,
}

type Point = (Instant, (Cpu, Cpu), f64);

impl Lab {
    /// Starts a master and one worker for each element of `slots`, which is the worker's number of slots. Waits until all are attached.
    pub async fn open(bin: &Path, pipeline: &str, slots: &[u16]) -> Lab {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let programs = Programs::new(bin, dir.path().join("home"));
        let repo = dir.path().join("repo");
        repository(&repo, pipeline);
        let limits = "\n[limits]\nlog_bytes = \"2GiB\"\nconnections = 1000000\nretain = { builds = 1000000 }\n";
        let project = format!("\n[project.{PROJECT}]\nrepo = \"{}\"\npoll = \"1h\"\nbranches = []\n", repo.display());
        programs.init(&dir.path().join("m"), &format!("{limits}{project}"));
        let master = start_master(&programs, dir.path());
        let credential = programs.log_in(&dir.path().join("m/operator.cap")).await;
        let guild = connected(&credential).await;
        let revision = git(&repo, &["rev-parse", "HEAD"]);
        let mut lab = Lab { dir, programs, credential, guild, revision, master: Some(master), workers: Vec::new() };
        for (number, slots) in slots.iter().enumerate() {
            let name = format!("w{number}");
            let settings = format!("slots = {slots}\ncpus = {slots}\nreserve = 0\noutput = \"2GiB\"\n");
            lab.programs.enroll_worker(&name, &lab.path(&name), &settings);
        }
        lab.start_workers();
        lab.until_attached(slots.len()).await;
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn master(&self) -> u32 {
        self.master.as_ref().expect("it runs").id()
    }

    pub fn stop_all(&mut self) {
        self.workers.drain(..).for_each(|mut worker| end(&mut worker));
        if let Some(mut master) = self.master.take() {
            end(&mut master);
        }
    }

    /// Kills the master with `kill -9` and starts it again. Returns when it serves.
    pub async fn restart_master(&mut self) {
        self.master.iter_mut().for_each(kill);
        self.start_master().await;
    }

    /// Kills all workers with `kill -9` and starts them again. Does not wait for them to attach.
    pub fn restart_workers(&mut self) {
        self.workers.iter_mut().for_each(kill);
        self.start_workers();
    }

    pub fn start_workers(&mut self) {
        let states = (0..).map(|number| self.path(&format!("w{number}"))).take_while(|state| state.exists());
        self.workers = states.map(|state| start_worker(&self.programs, &state)).collect();
    }

    /// Starts the master and waits until it serves. Returns the number of seconds that this took.
    pub async fn start_master(&mut self) -> f64 {
        let began = Instant::now();
        self.master = Some(start_master(&self.programs, self.dir.path()));
        loop {
            if let Ok(guild) = Guild::connect(self.credential.0.clone(), self.credential.1.clone()).await {
                self.guild = guild;
                return began.elapsed().as_secs_f64();
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    pub async fn until_attached(&self, count: usize) {
        let attached = async {
            while self.attached().await < count {
                // the longer the list of workers, the more a look at it costs the master, so looks are rarer then
                sleep(Duration::from_millis(2 + count as u64 / 20)).await;
            }
        };
        timeout(PATIENCE, attached).await.expect("the workers attach");
    }

    async fn attached(&self) -> usize {
        let workers = self.guild.workers().await.unwrap_or_default();
        workers.iter().filter(|worker| worker.connected).count()
    }

    pub async fn run(&self) -> u32 {
        self.guild.run(PROJECT, "", &self.revision).await.expect("a build is asked for")
    }

    /// The CPU that the master has used so far, and that all workers together have used.
    pub fn cpu(&self) -> (Cpu, Cpu) {
        let mut workers = Cpu::default();
        for worker in &self.workers {
            let cpu = Cpu::of(worker.id());
            workers.own += cpu.own;
            workers.children += cpu.children;
        }
        (Cpu::of(self.master()), workers)
    }

    pub fn workers(&self) -> impl Iterator<Item = u32> + '_ {
        self.workers.iter().map(Child::id)
    }

    /// Asks for `count` builds while all workers are drained, then lets the workers take them and waits until all have finished.
    pub async fn burst(&self, count: usize) -> Burst {
        let mut finished = self.finished().await;
        self.drain(true).await;
        let begin = (Instant::now(), self.cpu(), machine_busy());
        let asked = self.ask(count).await;
        let queued = (Instant::now(), self.cpu(), machine_busy());
        self.drain(false).await;
        finished.all_of(asked.into_iter().collect()).await;
        let done = (Instant::now(), self.cpu(), machine_busy());
        Burst { submit: spent(begin, queued), drain: spent(queued, done) }
    }

    /// Drains all workers and asks for `count` builds, which stay queued.
    pub async fn queue_up(&self, count: usize) {
        self.drain(true).await;
        self.ask(count).await;
    }

    async fn ask(&self, count: usize) -> Vec<u32> {
        let asking = stream::iter(0..count).map(|_| self.guild.run(PROJECT, "", &self.revision));
        asking.buffer_unordered(ASKS).try_collect().await.expect("builds are asked for")
    }

    async fn drain(&self, on: bool) {
        for number in 0..self.workers.len() {
            self.guild.drain(&format!("w{number}"), on).await.expect("a worker is drained");
        }
    }

    /// Subscribes to the ends of builds from now on.
    pub async fn finished(&self) -> Finished {
        Finished(self.events(&["buildFinished"]).await)
    }

    pub async fn events(&self, kinds: &[&str]) -> Events {
        let cursor = self.guild.latest_event().await.expect("the events have a place");
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        Events::new(&self.guild, Filter { kinds, ..Filter::default() }, cursor)
    }
}

fn spent(begin: Point, end: Point) -> Spent {
    let ((from, before, busy_before), (to, after, busy_after)) = (begin, end);
    Spent {
        seconds: to.duration_since(from).as_secs_f64(),
        master: after.0.since(before.0),
        workers: after.1.since(before.1),
        machine: busy_after - busy_before,
    }
}

pub struct Finished(Events);

impl Finished {
    pub async fn all_of(&mut self, mut waiting: HashSet<u32>) {
        while !waiting.is_empty() {
            for number in self.next().await {
                waiting.remove(&number);
            }
        }
    }

    /// Waits for the next batch of ends and returns the numbers of the builds. Panics if one did not succeed, because it measures nothing.
    async fn next(&mut self) -> Vec<u32> {
        let told = timeout(PATIENCE, self.0.next()).await.expect("builds finish").expect("events go on");
        let Told::Events { events, .. } = told else { panic!("events were lost") };
        let succeeded = events.iter().map(|event| match event.fact {
            Fact::BuildFinished { outcome: Outcome::Succeeded } => event.build,
            ref other => panic!("build {}: {other:?}", event.build),
        });
        succeeded.collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop_all();
        if std::env::var_os("KEEP").is_some() {
            self.dir.disable_cleanup(true);
            eprintln!("kept {}", self.dir.path().display());
        }
    }
}

fn start_master(programs: &Programs, dir: &Path) -> Child {
    start(programs.command("guild-master").arg("run").arg("--config").arg(dir.join("m/master.toml")), dir, "master")
}

fn start_worker(programs: &Programs, state: &Path) -> Child {
    start(programs.command("guild-worker").arg("run").arg("--state").arg(state), state, "worker")
}

fn start(command: &mut Command, dir: &Path, name: &str) -> Child {
    let log = File::options().append(true).create(true).open(dir.join(format!("{name}.log"))).expect("a log");
    command.env("GUILD_LOG", "warn,worker::attempt::runner=debug").stdout(Stdio::null()).stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Ends a process as a service manager does: with TERM first, and with KILL if it still runs after 5 seconds.
fn end(child: &mut Child) {
    if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    for _ in 0..500 {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    kill(child);
}
