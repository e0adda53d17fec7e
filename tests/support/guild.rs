//! A whole master in this process, with a real store, real git and TLS on loopback. A test is its operator, and plays its workers.

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

/// Runs a test on one thread, as the programs run. The limit of five minutes only ends tests that hang: a flood can take
/// minutes on a busy machine.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(300), test).await.expect("the test ends within five minutes");
    });
}

/// `Repo` is a git repository of one test.
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

    /// Writes a file and commits everything. Returns the id of the commit.
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

/// `House` is a running master with one project, `demo`.
pub struct House {
    pub repo: Repo,
    pub guild: Guild,
    pub parts: Rc<master::MasterParts>,
    pub dir: Rc<TempDir>,
    state: PathBuf,
    /// The URL of the pages, as the master tells it to people. Empty means that the master serves no pages.
    pub pages: String,
    /// The address on which the pages listen, as `HOST:PORT`. Empty means that the master serves no pages.
    pub web: String,
    address: String,
    operator: (SturdyRef, Rc<Identity>),
    serving: tokio::task::JoinHandle<()>,
}

/// `Ruins` are the parts of a house that are left when its process is killed.
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

    /// Opens a house on a copy of the state of an earlier one, at another address. Call it in a new [`run`]: the earlier house ended
    /// with its `LocalSet`. It still holds its store, but none of its tasks runs.
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

    /// Issues a grant below the operator's and redeems it with a new key. Returns the credential and the key.
    pub async fn enroll(&self, kind: GrantKind, name: &str, what: What) -> (SturdyRef, Identity) {
        let identity = Identity::generate();
        let (reference, _) = enroll(&self.guild, &self.operator.0, &identity, kind, name, what).await;
        (reference, identity)
    }

    /// Enrolls and attaches a worker that the test plays.
    pub async fn worker(&self, name: &str) -> Played {
        let credential = self.enroll(GrantKind::Worker, name, What::default()).await;
        Played::attach(credential, Vec::new()).await
    }

    /// Connects another client with the operator's credential.
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

/// Issues a grant below the one of `guild` and redeems it with the key `identity`. `master` is any credential of the same
/// master. Returns the new credential and the number of the grant.
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

/// Connects with this key. Returns the connection and the gateway of the master.
pub async fn dial(reference: &SturdyRef, identity: &Identity) -> (Vat, gateway::Client) {
    let secured = vat::dial(reference, Some(identity)).await.unwrap();
    let vat = vat::connect(secured.stream, Limits::known());
    let gateway = vat.bootstrap();
    (vat, gateway)
}

/// Shows the token of a credential. Returns the capability that it stands for, or the text of the refusal.
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

/// `Played` is a worker that a test plays: the test makes each of its calls.
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

    /// Attaches a worker with this description.
    pub async fn attach_as(
        credential: (SturdyRef, Identity),
        running: Vec<[u8; 16]>,
        description: &Description,
    ) -> Played {
        Played::attach_at(credential, running, description, Time(0)).await
    }

    /// Attaches a worker with this description, whose wall clock shows this time.
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

    /// Asks for a job with the room of one slot, and waits for an offer.
    pub async fn take(&self) -> (Assignment, lease::Client) {
        self.take_with(Resources { slots: 1, cpus_milli: 4_000, memory: 1 << 32 }).await
    }

    /// Asks for a job with this much room, and waits for an offer.
    pub async fn take_with(&self, free: Resources) -> (Assignment, lease::Client) {
        // 0 is what an old worker sends, because it does not know the field `most`
        self.take_up_to(0, free).await.swap_remove(0)
    }

    /// Asks for jobs with this much room, and waits for at most `most` offers, which together fit into it.
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

/// Returns the report of the first step.
pub fn report(lease: &lease::Client) -> step_report::Client {
    let mut request = lease.step_request();
    request.get().set_index(0);
    request.send().pipeline.get_report()
}

/// Reports that the first step ran with this log, and ends the attempt with the same outcome.
pub async fn work(lease: &lease::Client, log: &[u8], outcome: Outcome) {
    let report = report(lease);
    report.started_request().send().promise.await.unwrap();
    let sink = report.log_request().send().pipeline.get_sink();
    let mut request = sink.write_request();
    request.get().set_bytes(log);
    request.send().promise.await.unwrap();
    finish(lease, outcome, log.len() as u64, blake3::hash(log).as_bytes()).await;
}

/// Ends the first step and the attempt with this outcome. `size` and `hash` are those of the step's log.
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

/// `Ear` receives the calls that the master makes to a played worker.
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

/// Makes a new store in a state directory, and returns the credential of its first operator.
pub async fn first_operator(state: &Path, identity: &Identity, address: &str) -> SturdyRef {
    let master = master::keep::installation::identity(state).unwrap();
    let store = master::keep::store::Store::open(state).unwrap();
    let clock = master::config::clock::Clock::system();
    let key = identity.fingerprint();
    let (token, _) = master::keep::installation::first_credentials(&store, &clock, key).await.unwrap();
    SturdyRef { fingerprint: master.fingerprint(), addresses: vec![address.to_owned()], token }
}

/// The longest wait of a test for one condition. It is far more than a slow machine needs, so only a test that hangs reaches it.
const PATIENCE: Duration = Duration::from_secs(240);
/// The pause between two checks of the condition that a test waits for.
const LOOKS_APART: Duration = Duration::from_millis(25);

/// Waits until a condition holds that other tasks of this process bring about. `what` names it in the panic if it never holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> Promise<bool, capnp::Error>) {
    let waiting = async {
        while !holds().await.unwrap() {
            tokio::time::sleep(LOOKS_APART).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Like [`until`], with a condition that is not asynchronous.
pub async fn until_so(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || Promise::ok(holds())).await;
}

/// Waits until a condition holds, for at most 30 seconds, which a loaded machine may need.
pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1_200 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never: {what}");
}
