//! A whole master in this process: real store, real git, TLS on loopback; with an operator, and workers played by hand.

use capnp::capability::Promise;
use client::Guild;
use master::Master;
use master::config::{Config, ProjectConfig};
use schema::identity::Identity;
use schema::sturdy_ref::{SturdyRef, Token};
use schema::values::{Assignment, Description, GrantKind, Outcome, Resources, Time, What};
use schema::vat::{self, Limits, Vat};
use schema::wire;
use schema::worker_capnp::{lease, session, step_report, worker, worker_desk};
use schema::{gateway_capnp::gateway, perspective_capnp::perspective};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;
use tempfile::TempDir;

/// Runs a test on one thread, as the programs do. Its limit ends only what hangs: on a busy machine a flood takes minutes.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(300), test).await.expect("the test ends within five minutes");
    });
}

/// A git repository of one test.
pub struct Repo {
    pub path: PathBuf,
}

impl Repo {
    pub fn new(path: PathBuf, pipeline: &str) -> Repo {
        std::fs::create_dir_all(&path).unwrap();
        let repo = Repo { path };
        repo.git(&["init", "-q", "-b", "main"]);
        repo.commit("guild.toml", pipeline, "first");
        repo
    }

    /// Writes a file and commits it; answers the commit.
    pub fn commit(&self, file: &str, text: &str, subject: &str) -> String {
        std::fs::write(self.path.join(file), text).unwrap();
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", subject, "--allow-empty"]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(&self.path)
            .args(["-c", "user.name=Tester", "-c", "user.email=tester@example.org"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// A running master with one project, `demo`.
pub struct House {
    pub repo: Repo,
    pub guild: Guild,
    pub parts: Rc<master::MasterParts>,
    pub dir: Rc<TempDir>,
    state: PathBuf,
    /// The address of the pages that people get. Empty means that there are none.
    pub pages: String,
    /// Where they listen.
    pub web: String,
    address: String,
    operator: (SturdyRef, Rc<Identity>),
    serving: tokio::task::JoinHandle<()>,
}

/// The parts of a house that are left when its process is killed.
pub struct Ruins {
    dir: Rc<TempDir>,
    pub state: PathBuf,
    operator: (SturdyRef, Rc<Identity>),
}

impl House {
    pub async fn open(pipeline: &str) -> House {
        House::open_with(pipeline, |_| ()).await
    }

    pub async fn open_with(pipeline: &str, change: impl Fn(&mut Config)) -> House {
        let dir = Rc::new(tempfile::tempdir().unwrap());
        Repo::new(dir.path().join("demo"), pipeline);
        let listener = master::listen("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let identity = Rc::new(Identity::generate());
        let state = dir.path().join("state");
        let operator = first_operator(&state, &identity, &address).await;
        House::on(Ruins { dir, state, operator: (operator, identity) }, listener, change).await
    }

    /// Again, at another address, on a copy of what is left. Needs a `LocalSet` of its own, as the house before ended with its: it
    /// still holds its store, but nothing moves in it.
    pub async fn open_again(mut ruins: Ruins, change: impl Fn(&mut Config)) -> House {
        let copy = ruins.state.with_extension("again");
        let copied = Command::new("cp").arg("-r").args([&ruins.state, &copy]).status().unwrap();
        assert!(copied.success());
        ruins.state = copy;
        let listener = master::listen("127.0.0.1:0").await.unwrap();
        ruins.operator.0.addresses = vec![listener.local_addr().unwrap().to_string()];
        House::on(ruins, listener, change).await
    }

    async fn on(ruins: Ruins, listener: tokio::net::TcpListener, change: impl Fn(&mut Config)) -> House {
        let Ruins { dir, state, operator } = ruins;
        let repo = Repo { path: dir.path().join("demo") };
        let address = listener.local_addr().unwrap().to_string();
        let mut config = Config::standalone(&state, &address);
        let mut project = ProjectConfig::of(repo.path.to_string_lossy().into_owned());
        project.poll = Duration::from_millis(100);
        config.projects.insert("demo".to_owned(), project);
        change(&mut config);
        let master = master::open(config, listener).await.unwrap();
        let parts = master.parts.clone();
        let pages = master.pages().unwrap_or_default().to_owned();
        let web = master.web_address().map(|address| address.to_string()).unwrap_or_default();
        let serving = tokio::task::spawn_local(serve(master));
        let guild = Guild::connect(operator.0.clone(), operator.1.clone()).await.unwrap();
        House { repo, guild, parts, dir, state, pages, web, address, operator, serving }
    }

    pub fn ruins(&self) -> Ruins {
        Ruins { dir: self.dir.clone(), state: self.state.clone(), operator: self.operator.clone() }
    }

    /// A credential of a new grant below the operator's, redeemed by a fresh key.
    pub async fn enroll(&self, kind: GrantKind, name: &str, what: What) -> (SturdyRef, Identity) {
        let identity = Identity::generate();
        let (reference, _) = enroll(&self.guild, &self.operator.0, &identity, kind, name, what).await;
        (reference, identity)
    }

    /// A worker that is played by hand.
    pub async fn worker(&self, name: &str) -> Played {
        let credential = self.enroll(GrantKind::Worker, name, What::default()).await;
        Played::attach(credential, Vec::new()).await
    }

    /// Another client with the operator's credential.
    pub async fn another_guild(&self) -> Guild {
        Guild::connect(self.operator.0.clone(), self.operator.1.clone()).await.unwrap()
    }

    pub fn operator(&self) -> (&SturdyRef, &Identity) {
        (&self.operator.0, &self.operator.1)
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn state(&self) -> PathBuf {
        self.state.clone()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A new grant below that of `guild`, redeemed by this key: the credential, and the grant's number. `master`: any
/// credential of the same master.
pub async fn enroll(
    guild: &Guild,
    master: &SturdyRef,
    identity: &Identity,
    kind: GrantKind,
    name: &str,
    what: What,
) -> (SturdyRef, u64) {
    let join = Token::random();
    let order = client::NewGrant { kind, name: name.to_owned(), what, lifetime: None, join_hash: join.digest() };
    let grant = guild.issue(&order).await.unwrap().grant.id;
    let token = Token::random();
    let (vat, gateway) = dial(master, identity).await;
    let mut request = gateway.redeem_request();
    request.get().set_join(join.as_bytes());
    request.get().set_token(token.as_bytes());
    let answer = request.send().promise.await.unwrap();
    assert!(!answer.get().unwrap().has_refusal(), "a fresh join is redeemed");
    drop(vat);
    (SturdyRef { token, ..master.clone() }, grant)
}

/// A connection with this key, and the gateway behind it.
pub async fn dial(reference: &SturdyRef, identity: &Identity) -> (Vat, gateway::Client) {
    let secured = vat::dial(reference, Some(identity)).await.unwrap();
    let vat = vat::connect(secured.stream, Limits::known());
    let gateway = vat.bootstrap();
    (vat, gateway)
}

/// The capability that a credential stands for, or the text of the refusal.
pub async fn restore(gateway: &gateway::Client, token: &Token) -> Result<capnp::capability::Client, String> {
    let mut request = gateway.restore_request();
    request.get().set_token(token.as_bytes());
    let mut versions = request.get().init_versions();
    versions.set_min(1);
    versions.set_max(1);
    let answer = request.send().promise.await.map_err(|error| error.to_string())?;
    let answer = answer.get().map_err(|error| error.to_string())?;
    match wire::refusal(answer.has_refusal(), answer.get_refusal()).unwrap() {
        Some(refusal) => Err(refusal.text),
        None => answer.get_capability().get_as_capability().map_err(|error| error.to_string()),
    }
}

pub async fn perspective(reference: &SturdyRef, identity: &Identity) -> (Vat, perspective::Client) {
    let (vat, gateway) = dial(reference, identity).await;
    let capability = restore(&gateway, &reference.token).await.unwrap();
    (vat, capnp::capability::FromClientHook::new(capability.hook))
}

/// A worker whose every call a test makes itself.
pub struct Played {
    pub session: session::Client,
    pub said: Rc<RefCell<Vec<String>>>,
    pub credential: (SturdyRef, Identity),
    pub vat: Vat,
}

impl Played {
    pub async fn attach(credential: (SturdyRef, Identity), running: Vec<[u8; 16]>) -> Played {
        let total = Resources { slots: 4, cpus_milli: 4_000, memory: 1 << 32 };
        let description = Description { platform: "linux-x86_64".to_owned(), total, ..Description::default() };
        Played::attach_as(credential, running, &description).await
    }

    /// A worker that says this of itself.
    pub async fn attach_as(
        credential: (SturdyRef, Identity),
        running: Vec<[u8; 16]>,
        description: &Description,
    ) -> Played {
        Played::attach_at(credential, running, description, Time(0)).await
    }

    /// A worker whose wall clock shows this time.
    pub async fn attach_at(
        credential: (SturdyRef, Identity),
        running: Vec<[u8; 16]>,
        description: &Description,
        clock: Time,
    ) -> Played {
        let (vat, gateway) = dial(&credential.0, &credential.1).await;
        let desk = restore(&gateway, &credential.0.token).await.unwrap();
        let desk: worker_desk::Client = capnp::capability::FromClientHook::new(desk.hook);
        let said = Rc::new(RefCell::new(Vec::new()));
        let mut request = desk.attach_request();
        request.get().set_worker(capnp_rpc::new_client(Ear { said: said.clone() }));
        request.get().set_instance(&[7; 16]);
        request.get().set_clock(wire::time(clock));
        let mut tokens = request.get().init_running(wire::length(running.len()));
        (0..).zip(&running).for_each(|(index, token)| tokens.set(index, token));
        wire::write_description(request.get().init_description(), description);
        let answer = request.send().promise.await.unwrap();
        let answer = answer.get().unwrap();
        assert!(!answer.has_refusal(), "{:?}", wire::refusal(true, answer.get_refusal()));
        let session = answer.get_session().unwrap();
        Played { session, said, credential, vat }
    }

    /// Waits for an offer.
    pub async fn take(&self) -> (Assignment, lease::Client) {
        self.take_with(Resources { slots: 1, cpus_milli: 4_000, memory: 1 << 32 }).await
    }

    /// Waits for an offer with this much room.
    pub async fn take_with(&self, free: Resources) -> (Assignment, lease::Client) {
        // This is the call that a worker makes which is older than `most`.
        self.take_up_to(0, free).await.swap_remove(0)
    }

    /// Waits for offers that have this much room together.
    pub async fn take_up_to(&self, most: u16, free: Resources) -> Vec<(Assignment, lease::Client)> {
        let mut request = self.session.take_request();
        request.get().set_most(most);
        wire::write_resources(request.get().init_free(), &free);
        let answer = request.send().promise.await.unwrap();
        let answer = answer.get().unwrap();
        let read = |assignment| wire::read_assignment(assignment).unwrap();
        let first = (read(answer.get_assignment().unwrap()), answer.get_lease().unwrap());
        let more = answer.get_more().unwrap();
        let more = more.iter().map(|offer| (read(offer.get_assignment().unwrap()), offer.get_lease().unwrap()));
        std::iter::once(first).chain(more).collect()
    }
}

/// The report of the first step.
pub fn report(lease: &lease::Client) -> step_report::Client {
    let mut request = lease.step_request();
    request.get().set_index(0);
    request.send().pipeline.get_report()
}

/// Runs one step with this log; the whole attempt takes its outcome.
pub async fn work(lease: &lease::Client, log: &[u8], outcome: Outcome) {
    let report = report(lease);
    report.started_request().send().promise.await.unwrap();
    let sink = report.log_request().send().pipeline.get_sink();
    let mut request = sink.write_request();
    request.get().set_bytes(log);
    request.send().promise.await.unwrap();
    finish(lease, outcome, log.len() as u64, blake3::hash(log).as_bytes()).await;
}

/// Ends the first step and the attempt, with this word for its log.
pub async fn finish(lease: &lease::Client, outcome: Outcome, size: u64, hash: &[u8]) {
    let report = report(lease);
    let mut request = report.finished_request();
    request.get().set_outcome(wire::outcome_to_wire(Some(outcome)));
    request.get().set_log_size(size);
    request.get().set_log_hash(hash);
    request.send().promise.await.unwrap();
    let mut request = lease.complete_request();
    request.get().set_outcome(wire::outcome_to_wire(Some(outcome)));
    let answer = request.send().promise.await.unwrap();
    assert!(!answer.get().unwrap().has_refusal());
}

/// The receiver of the calls that the master makes to a played worker.
struct Ear {
    said: Rc<RefCell<Vec<String>>>,
}

impl worker::Server for Ear {
    async fn cancel(self: Rc<Self>, params: worker::CancelParams, _: worker::CancelResults) -> capnp::Result<()> {
        let reason = params.get()?.get_reason()?.to_string()?;
        self.said.borrow_mut().push(format!("cancel: {reason}"));
        Ok(())
    }

    async fn revoked(self: Rc<Self>, params: worker::RevokedParams, _: worker::RevokedResults) -> capnp::Result<()> {
        let reason = params.get()?.get_reason()?.to_string()?;
        self.said.borrow_mut().push(format!("revoked: {reason}"));
        Ok(())
    }

    async fn stale(self: Rc<Self>, _: worker::StaleParams, _: worker::StaleResults) -> capnp::Result<()> {
        self.said.borrow_mut().push("stale".to_owned());
        Ok(())
    }

    async fn ping(self: Rc<Self>, _: worker::PingParams, mut results: worker::PingResults) -> capnp::Result<()> {
        results.get().set_instance(&[7; 16]);
        Ok(())
    }
}

async fn serve(master: Master) {
    master.serve(std::future::pending()).await.unwrap();
}

/// A new store, and the credential of its first operator.
pub async fn first_operator(state: &Path, identity: &Identity, address: &str) -> SturdyRef {
    let master = master::keep::installation::identity(state).unwrap();
    let store = master::keep::store::Store::open(state).unwrap();
    let clock = master::config::clock::Clock::system();
    let key = identity.fingerprint();
    let (token, _) = master::keep::installation::first_credentials(&store, &clock, key).await.unwrap();
    SturdyRef { fingerprint: master.fingerprint(), addresses: vec![address.to_owned()], token }
}

/// Far more than anything takes that a test waits for: it ends what hangs, and not what is slow.
const PATIENCE: Duration = Duration::from_secs(240);
/// The time between two looks at what is waited for.
const LOOKS_APART: Duration = Duration::from_millis(25);

/// Waits until something holds; for what happens elsewhere in this process.
pub async fn until(what: &str, mut holds: impl FnMut() -> Promise<bool, capnp::Error>) {
    let waiting = async {
        while !holds().await.unwrap() {
            tokio::time::sleep(LOOKS_APART).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Like [`until`], for what can be seen at once.
pub async fn until_so(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || Promise::ok(holds())).await;
}

/// Waits until this holds, for as long as a loaded machine needs.
pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1_200 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never: {what}");
}
