//! A process that plays one attack on a master until its standard input ends. Each attack is a row of [`ATTACKS`].

use super::crowd::{input_ends, on_one_thread, say};
use futures::future::{FutureExt as _, LocalBoxFuture};
use schema::event_capnp::observer;
use schema::gateway_capnp::gateway;
use schema::identity::Identity;
use schema::perspective_capnp::{build, perspective, viewer};
use schema::sturdy_ref::SturdyRef;
use schema::vat::Vat;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use support::raw::{FREE, READER, READER_TYPE, RawPeer, Target, call_on, restore};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The calls that one holder has in flight at once: a little fewer than the 4,096 that a known peer may have.
const IN_FLIGHT: usize = 4_000;
/// The time that a caller waits for an answer before it gives the call up and makes another.
const WAIT: Duration = Duration::from_secs(5);
/// The number of sockets of strangers that send nothing.
const SILENT: usize = 64;
/// The number of sockets of strangers that begin a TLS handshake and do not end it.
const HALF: usize = 500;

/// `Attacker` is a client that attacks the master of its credential.
struct Attacker {
    credential: SturdyRef,
    identity: Identity,
    /// The number of answered calls, by the name of the call.
    answered: RefCell<BTreeMap<&'static str, u64>>,
}

type Attack = fn(Rc<Attacker>) -> LocalBoxFuture<'static, ()>;

/// The attacks by their names. Each goes on until it is aborted.
const ATTACKS: [(&str, Attack); 6] = [
    ("everything", |it| everything(it).boxed_local()),
    ("lists", |it| lists(it).boxed_local()),
    ("redirected-reads", |it| redirected_reads(it).boxed_local()),
    ("half-messages", |it| half_messages(it).boxed_local()),
    ("silent-sockets", |it| open_sockets(it, SILENT, false).boxed_local()),
    ("half-handshakes", |it| open_sockets(it, HALF, true).boxed_local()),
];

/// Returns the names of all attacks.
pub fn names() -> impl Iterator<Item = &'static str> {
    ATTACKS.into_iter().map(|(name, _)| name)
}

/// Plays an attack with the credential and the key in these files, until standard input ends. Then prints the counts as JSON.
pub fn attack(name: &str, cap: &Path, key: &Path) {
    let (_, attack) = ATTACKS.into_iter().find(|(known, _)| *known == name).expect("an attack of this name");
    let credential = SturdyRef::load(cap).expect("a credential");
    let identity = Identity::load(key).expect("its key");
    let it = Rc::new(Attacker { credential, identity, answered: RefCell::default() });
    let attacker = it.clone();
    on_one_thread(async move {
        let playing = tokio::task::spawn_local(attack(attacker));
        say("ready");
        input_ends().await;
        playing.abort();
    });
    say(&serde_json::to_string(&*it.answered.borrow()).expect("counts are JSON"));
}

impl Attacker {
    fn note(&self, name: &'static str) {
        *self.answered.borrow_mut().entry(name).or_default() += 1;
    }

    async fn connect(&self) -> Option<(Vat, perspective::Client)> {
        let secured = schema::vat::dial(&self.credential, Some(&self.identity)).await.ok()?;
        let vat = schema::vat::connect(secured.stream, schema::vat::Limits::known());
        let gateway: gateway::Client = vat.bootstrap();
        let mut request = gateway.restore_request();
        request.get().set_token(self.credential.token.as_bytes());
        let mut versions = request.get().init_versions();
        versions.set_min(1);
        versions.set_max(1);
        let answer = request.send().promise.await.ok()?;
        let perspective = answer.get().ok()?.get_capability().get_as_capability().ok()?;
        Some((vat, perspective))
    }
}

/// Makes all calls that the right `view` allows, in turn, with about as many in flight as a connection may have.
async fn everything(it: Rc<Attacker>) {
    keep_busy(it, |it, top, at| async move { ask(&it, &top, at).await }.boxed_local()).await;
}

/// Asks for the longest list of builds again and again, which would hold up all other readers if grants did not take turns.
async fn lists(it: Rc<Attacker>) {
    keep_busy(it, |it, top, _| async move { ask(&it, &top, LISTS).await }.boxed_local()).await;
}

type Ask = fn(Rc<Attacker>, perspective::Client, usize) -> LocalBoxFuture<'static, ()>;

/// Runs [`IN_FLIGHT`] tasks on one connection, each of which calls `ask` again and again. If the connection ends, opens another
/// for them.
async fn keep_busy(it: Rc<Attacker>, ask: Ask) {
    loop {
        let Some((vat, top)) = it.connect().await else {
            it.note("refused connections");
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let asking: Vec<_> = (0..IN_FLIGHT)
            .map(|first| {
                let (it, top) = (it.clone(), top.clone());
                tokio::task::spawn_local(async move {
                    for at in first.. {
                        ask(it.clone(), top.clone(), at).await;
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        let why = vat.closed().await;
        eprintln!("the connection ended: {why}");
        it.note("ended connections");
        asking.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// The number of the call in [`ask`] that asks for the longest list.
const LISTS: usize = 1;

/// Makes the call with the number `at % 20`, and drops the answer.
async fn ask(it: &Rc<Attacker>, top: &perspective::Client, at: usize) {
    let viewer = || top.viewer_request().send().pipeline.get_viewer();
    macro_rules! call {
        ($name:literal, $request:expr) => {
            ($name, timeout(WAIT, $request.send().promise).await.map(|answer| answer.is_ok()))
        };
    }
    let (name, ended) = match at % 20 {
        0 => call!("whoami", top.whoami_request()),
        LISTS => call!("builds", builds(&viewer())),
        2 => call!("build.view", build(&viewer(), 1).view_request()),
        3 => call!("log.read", read(&viewer())),
        4 => call!("log.lines", lines(&viewer())),
        5 => call!("log.lastLines", last_lines(&viewer())),
        6 => call!("build.explain", build(&viewer(), 1).explain_request()),
        7 => call!("queue", viewer().queue_request()),
        8 => call!("workers", viewer().workers_request()),
        9 => call!("projects", viewer().projects_request()),
        10 => call!("branch", branch(&viewer())),
        11 => call!("crons", crons(&viewer())),
        12 => call!("watch", watch(&viewer())),
        13 => call!("events.subscribe", subscribe(top)),
        14 => call!("events.latest", top.events_request().send().pipeline.get_source().latest_request()),
        15 => call!("browse", browse(top)),
        16 => call!("build.blob", build(&viewer(), 1).blob_request()),
        17 => call!("build.outcome", build(&viewer(), 2).outcome_request()),
        18 => call!("log.wait", wait(&viewer())),
        _ => call!("log.size", log(&viewer()).size_request()),
    };
    match ended {
        Ok(_) => it.note(name),
        Err(_) => it.note("given up"),
    }
}

type Request<T, R> = capnp::capability::Request<T, R>;

fn builds(viewer: &viewer::Client) -> Request<viewer::builds_params::Owned, viewer::builds_results::Owned> {
    let mut request = viewer.builds_request();
    request.get().set_limit(1_000);
    request
}

fn build(viewer: &viewer::Client, number: u32) -> build::Client {
    let mut request = viewer.build_request();
    request.get().set_project(crate::lab::PROJECT);
    request.get().set_number(number);
    request.send().pipeline.get_build()
}

fn log(viewer: &viewer::Client) -> schema::log_capnp::log_reader::Client {
    let mut request = build(viewer, 1).log_request();
    request.get().set_job("run");
    request.get().set_step(1);
    request.send().pipeline.get_reader()
}

mod log_calls {
    pub use schema::log_capnp::log_reader::*;
}

fn read(viewer: &viewer::Client) -> Request<log_calls::read_params::Owned, log_calls::read_results::Owned> {
    let mut request = log(viewer).read_request();
    request.get().set_count(256 << 10);
    request
}

fn lines(viewer: &viewer::Client) -> Request<log_calls::lines_params::Owned, log_calls::lines_results::Owned> {
    let mut request = log(viewer).lines_request();
    request.get().set_first(1);
    request.get().set_count(10_000);
    request
}

fn last_lines(
    viewer: &viewer::Client,
) -> Request<log_calls::last_lines_params::Owned, log_calls::last_lines_results::Owned> {
    let mut request = log(viewer).last_lines_request();
    request.get().set_count(10_000);
    request
}

fn wait(viewer: &viewer::Client) -> Request<log_calls::wait_params::Owned, log_calls::wait_results::Owned> {
    let mut request = log(viewer).wait_request();
    request.get().set_offset(u64::MAX);
    request
}

fn branch(viewer: &viewer::Client) -> Request<viewer::branch_params::Owned, viewer::branch_results::Owned> {
    let mut request = viewer.branch_request();
    request.get().set_project(crate::lab::PROJECT);
    request.get().set_ref("refs/heads/main");
    request
}

fn crons(viewer: &viewer::Client) -> Request<viewer::crons_params::Owned, viewer::crons_results::Owned> {
    let mut request = viewer.crons_request();
    request.get().set_project(crate::lab::PROJECT);
    request
}

fn watch(viewer: &viewer::Client) -> Request<viewer::watch_params::Owned, viewer::watch_results::Owned> {
    let mut request = viewer.watch_request();
    request.get().set_observer(capnp_rpc::new_client(Deaf));
    request
}

fn subscribe(
    top: &perspective::Client,
) -> Request<
    schema::event_capnp::event_source::subscribe_params::Owned,
    schema::event_capnp::event_source::subscribe_results::Owned,
> {
    let mut request = top.events_request().send().pipeline.get_source().subscribe_request();
    request.get().set_observer(capnp_rpc::new_client(Deaf));
    request
}

fn browse(top: &perspective::Client) -> Request<perspective::browse_params::Owned, perspective::browse_results::Owned> {
    let mut request = top.browse_request();
    request.get().set_request(&schema::sturdy_ref::Token::random().as_bytes()[..16]);
    request.get().set_join_hash(schema::sturdy_ref::Token::random().as_bytes());
    request
}

/// `Deaf` is an observer that acknowledges each batch of events and ignores it.
struct Deaf;

impl observer::Server for Deaf {
    async fn observe(
        self: Rc<Self>,
        _: observer::ObserveParams,
        _: observer::ObserveResults,
    ) -> Result<(), capnp::Error> {
        Ok(())
    }

    async fn gap(self: Rc<Self>, _: observer::GapParams, _: observer::GapResults) -> Result<(), capnp::Error> {
        Ok(())
    }
}

/// Reads a log with `sendResultsTo = yourself`, so that the master would hold the answers, and makes calls on these answers. The
/// master's memory would grow with each, if it did not refuse them.
async fn redirected_reads(it: Rc<Attacker>) {
    loop {
        let mut peer = RawPeer::dial(&it.credential, &it.identity).await;
        peer.log_in_to(&it.credential, crate::lab::PROJECT, "run").await;
        let messages: Vec<u8> = (10..10 + IN_FLIGHT as u32).flat_map(held_read).collect();
        let _ = timeout(WAIT, peer.drown(&messages)).await;
        it.note("connections");
    }
}

fn held_read(question: u32) -> Vec<u8> {
    let read = call_on(READER, 2 * question, READER_TYPE, 1, |mut call| {
        call.reborrow().get_send_results_to().set_yourself(());
        let mut params: log_calls::read_params::Builder<'_> = call.init_params().init_content().init_as();
        params.set_count(256 << 10);
    });
    [read, call_on(Target::First(2 * question), 2 * question + 1, READER_TYPE, 0, |_| ())].concat()
}

/// Plays 60 strangers, of the 64 that a master takes at once. Each sends calls whose answers it does not read, and then most of a
/// message of 511 KiB, of the 512 that a stranger may send.
async fn half_messages(it: Rc<Attacker>) {
    loop {
        let mut held = Vec::new();
        for _ in 0..60 {
            let identity = Identity::generate();
            if let Ok(Ok(secured)) = timeout(WAIT, schema::vat::dial(&it.credential, Some(&identity))).await {
                let mut peer = RawPeer::over(secured.stream);
                peer.bootstrap().await;
                let tries: Vec<u8> = (FREE..120).flat_map(|question| restore(question, &it.credential)).collect();
                let mut half = vec![0; 510 << 10];
                half[4..8].copy_from_slice(&((511_u32 << 10) / 8).to_le_bytes());
                peer.say(&[tries, half].concat()).await;
                held.push(peer);
            }
        }
        it.note("rounds");
        sleep(WAIT).await;
    }
}

/// Opens `count` connections that send nothing or, with `begins`, the first bytes of a handshake. Opens each again when the
/// master closes it.
async fn open_sockets(it: Rc<Attacker>, count: usize, begins: bool) {
    let opening = (0..count).map(|_| tokio::task::spawn_local(keep_open(it.clone(), begins)));
    futures::future::join_all(opening).await;
}

async fn keep_open(it: Rc<Attacker>, begins: bool) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    loop {
        if let Ok(mut stream) = TcpStream::connect(&it.credential.addresses[0]).await {
            if begins {
                let _ = stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await;
            }
            let _ = stream.read(&mut [0; 64]).await;
            it.note("connections");
        }
        sleep(Duration::from_millis(10)).await;
    }
}
