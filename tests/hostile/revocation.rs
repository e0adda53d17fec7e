//! Tests of revocation, generated from the schema. Each capability that a master hands out has many calls in flight when its grant
//! is revoked. Once the revoke is answered, no call of any of its methods is dispatched. A new method that returns a capability,
//! or a new interface, fails a test here until a row says how to reach it.

use crate::schema_walk::{capabilities_of_the_schema, methods_of_the_schema};
use capnp::capability::{Client, FromClientHook, Promise};
use schema::common_capnp::byte_sink;
use schema::event_capnp::observer;
use schema::gateway_capnp::gateway;
use schema::identity::Identity;
use schema::perspective_capnp::{build, perspective, viewer};
use schema::sturdy_ref::SturdyRef;
use schema::values::{GrantKind, Outcome, Right, What};
use schema::vat::Vat;
use schema::wire;
use schema::worker_capnp::{lease, session, source_pack, worker, worker_desk};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use support::guild::{House, dial, enroll, report, restore, run, until};

const PIPELINE: &str = "version = 1\n[[job.a.step]]\nname = \"s\"\nrun = \"true\"\n";
/// The calls that are in flight on each capability when it is revoked. `SECURITY.md` promises the same for 1,000 calls.
const CALLS: usize = 1_000;

/// `Holder` is the kind of grant that a capability comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// An operator of everything. Its capabilities come from its perspective.
    Operator,
    /// A worker. Its capabilities come from its desk.
    Worker,
}

/// The ways to a capability: the result field of the schema that has it, the holder who gets it, and its interface.
const WAYS: [(&str, Holder, &str); 26] = [
    ("gateway.Gateway.restore -> capability", Holder::Operator, "perspective.Perspective"),
    ("perspective.Perspective.viewer -> viewer", Holder::Operator, "perspective.Viewer"),
    ("perspective.Perspective.submitter -> submitter", Holder::Operator, "perspective.Submitter"),
    ("perspective.Perspective.changes -> sink", Holder::Operator, "change.ChangeSink"),
    ("perspective.Perspective.events -> source", Holder::Operator, "event.EventSource"),
    ("perspective.Perspective.operator -> operator", Holder::Operator, "grant.Operator"),
    ("perspective.Viewer.build -> build", Holder::Operator, "perspective.Build"),
    ("perspective.Submitter.run -> build", Holder::Operator, "perspective.Build"),
    ("perspective.Submitter.retry -> build", Holder::Operator, "perspective.Build"),
    ("perspective.Submitter.beginTry -> pack", Holder::Operator, "common.ByteSink"),
    ("perspective.Submitter.runTry -> build", Holder::Operator, "perspective.Build"),
    ("perspective.Viewer.watch -> subscription", Holder::Operator, "event.Subscription"),
    ("event.EventSource.subscribe -> subscription", Holder::Operator, "event.Subscription"),
    ("perspective.Build.log -> reader", Holder::Operator, "log.LogReader"),
    ("perspective.Build.blob -> source", Holder::Operator, "common.ByteSource"),
    ("perspective.Build.reports -> source", Holder::Operator, "common.ByteSource"),
    ("worker.WorkerDesk.attach -> session", Holder::Worker, "worker.Session"),
    ("worker.WorkerDesk.attach -> leases", Holder::Worker, "worker.Lease"),
    ("worker.Session.take -> lease", Holder::Worker, "worker.Lease"),
    ("worker.Lease.source -> source", Holder::Worker, "worker.SourcePack"),
    ("worker.Lease.step -> report", Holder::Worker, "worker.StepReport"),
    ("worker.Lease.log -> sink", Holder::Worker, "log.LogSink"),
    ("worker.StepReport.log -> sink", Holder::Worker, "log.LogSink"),
    ("worker.Lease.artifact -> sink", Holder::Worker, "common.ByteSink"),
    ("worker.SourcePack.pack -> pack", Holder::Worker, "common.ByteSource"),
    // the schema has one field for this and the first row, because the type of the capability depends on the grant
    ("gateway.Gateway.restore -> capability, of a worker", Holder::Worker, "worker.WorkerDesk"),
];

/// The interfaces that no row of [`WAYS`] reaches, and why.
const ELSEWHERE: [(&str, &str); 4] = [
    (
        "gateway.Gateway",
        "a stranger's: it has no grant, and `a_revoked_credential_opens_nothing` shows what it answers",
    ),
    ("common.Pulse", "a sign of life of either side, without authority"),
    ("event.Observer", "the holder's own: `nobody_is_told_anything_after_a_revocation`"),
    ("worker.Worker", "the holder's own: `nobody_is_told_anything_after_a_revocation`"),
];

/// The fields that have the same capability as a row of [`WAYS`], and that row.
const SAME: [(&str, &str); 1] = [("worker.Offer.lease", "worker.Session.take -> lease")];

/// The calls that wait until something happens. A revocation must fail them, and not answer them.
const WAITING: [&str; 3] = ["perspective.Build.outcome", "worker.Session.take", "log.LogReader.wait"];

#[test]
fn each_capability_and_each_interface_has_a_row() {
    let ways: BTreeSet<&str> = WAYS.iter().map(|row| row.0).chain(SAME.map(|row| row.0)).collect();
    let given = capabilities_of_the_schema();
    let forgotten: Vec<&String> = given.iter().filter(|field| !ways.contains(field.as_str())).collect();
    assert!(forgotten.is_empty(), "nobody reaches these: {forgotten:?}");
    let reached: BTreeSet<&str> = WAYS.iter().map(|row| row.2).chain(ELSEWHERE.map(|row| row.0)).collect();
    let forgotten: Vec<String> =
        methods_of_the_schema().into_iter().map(|(of, ..)| of).filter(|of| !reached.contains(of.as_str())).collect();
    assert!(forgotten.is_empty(), "nobody reaches these interfaces: {forgotten:?}");
}

/// `Told` counts the calls that the master makes to objects of the holder: to observers, and to workers.
#[derive(Default)]
struct Told {
    events: Cell<u32>,
    orders: Cell<u32>,
}

struct Ear(Rc<Told>);

impl observer::Server for Ear {
    async fn observe(self: Rc<Self>, _: observer::ObserveParams, _: observer::ObserveResults) -> capnp::Result<()> {
        self.0.events.set(self.0.events.get() + 1);
        Ok(())
    }

    async fn gap(self: Rc<Self>, _: observer::GapParams, _: observer::GapResults) -> capnp::Result<()> {
        self.0.events.set(self.0.events.get() + 1);
        Ok(())
    }
}

/// As a worker, `Ear` never reports that its attempts have ended.
impl worker::Server for Ear {
    async fn cancel(self: Rc<Self>, _: worker::CancelParams, _: worker::CancelResults) -> capnp::Result<()> {
        self.0.orders.set(self.0.orders.get() + 1);
        Ok(())
    }

    async fn stale(self: Rc<Self>, _: worker::StaleParams, _: worker::StaleResults) -> capnp::Result<()> {
        self.0.orders.set(self.0.orders.get() + 1);
        Ok(())
    }

    async fn ping(self: Rc<Self>, _: worker::PingParams, _: worker::PingResults) -> capnp::Result<()> {
        self.0.orders.set(self.0.orders.get() + 1);
        Ok(())
    }
}

/// `Victim` is one connection with two grants. The second one is not revoked, so that the connection stays open.
struct Victim {
    grant: u64,
    token: SturdyRef,
    gateway: gateway::Client,
    top: Client,
    stays: perspective::Client,
    told: Rc<Told>,
    _vat: Vat,
}

impl Victim {
    async fn enter(house: &House, holder: Holder, number: usize) -> Victim {
        let (operator, _) = house.operator();
        let identity = Identity::generate();
        let (kind, what) = match holder {
            Holder::Operator => (GrantKind::Operator, What::everything()),
            Holder::Worker => (GrantKind::Worker, What::default()),
        };
        let (token, grant) = enroll(&house.guild, operator, &identity, kind, &format!("m{number}"), what).await;
        let looks = What { may: [Right::View].into(), projects: ["demo".to_owned()].into(), ..What::default() };
        let name = format!("stays{number}");
        let (other, _) = enroll(&house.guild, operator, &identity, GrantKind::User, &name, looks).await;
        let (vat, gateway) = dial(&token, &identity).await;
        let top = restore(&gateway, &token.token).await.unwrap();
        let stays = cast(restore(&gateway, &other.token).await.unwrap());
        Victim { grant, token, gateway, top, stays, told: Rc::default(), _vat: vat }
    }

    /// Makes a call with the second grant. When it returns, everything that the master sent before has arrived.
    async fn round_trip(&self) {
        self.stays.whoami_request().send().promise.await.expect("another grant of the connection goes on");
    }
}

fn cast<C: FromClientHook>(client: Client) -> C {
    C::new(client.hook)
}

/// Returns the capability without its interface.
fn plain<C: FromClientHook>(client: C) -> Client {
    Client::new(client.into_client_hook())
}

fn id() -> [u8; 16] {
    system::chance::bytes()
}

/// Obtains the capability of a row of [`WAYS`]. `blob` is the hash of a stored file.
async fn held(house: &House, victim: &Victim, way: &str, blob: &[u8; 32]) -> Client {
    match WAYS.iter().find(|row| row.0 == way).unwrap().1 {
        Holder::Operator => of_operator(victim, way, blob).await,
        Holder::Worker => of_worker(house, victim, way).await,
    }
}

async fn of_operator(victim: &Victim, way: &str, blob: &[u8; 32]) -> Client {
    let top: perspective::Client = cast(Client::new(victim.top.hook.add_ref()));
    let viewer = top.viewer_request().send().pipeline.get_viewer();
    let observer = || capnp_rpc::new_client(Ear(victim.told.clone()));
    match way {
        "gateway.Gateway.restore -> capability" => plain(top),
        "perspective.Perspective.viewer -> viewer" => plain(viewer),
        "perspective.Perspective.submitter -> submitter" => {
            plain(top.submitter_request().send().promise.await.unwrap().get().unwrap().get_submitter().unwrap())
        }
        "perspective.Perspective.changes -> sink" => {
            plain(top.changes_request().send().promise.await.unwrap().get().unwrap().get_sink().unwrap())
        }
        "perspective.Perspective.events -> source" => {
            plain(top.events_request().send().promise.await.unwrap().get().unwrap().get_source().unwrap())
        }
        "perspective.Perspective.operator -> operator" => {
            plain(top.operator_request().send().promise.await.unwrap().get().unwrap().get_operator().unwrap())
        }
        "perspective.Viewer.build -> build" => plain(first_build(&viewer).await),
        "perspective.Submitter.run -> build" => {
            let mut request = top.submitter_request().send().pipeline.get_submitter().run_request();
            request.get().set_request(&id());
            request.get().set_project("demo");
            request.get().set_ref("main");
            plain(request.send().promise.await.unwrap().get().unwrap().get_build().unwrap())
        }
        "perspective.Submitter.retry -> build" => {
            let mut request = top.submitter_request().send().pipeline.get_submitter().retry_request();
            request.get().set_request(&id());
            request.get().set_project("demo");
            request.get().set_number(1);
            plain(request.send().promise.await.unwrap().get().unwrap().get_build().unwrap())
        }
        "perspective.Submitter.beginTry -> pack" => plain(begin_try(&top, id()).await),
        "perspective.Submitter.runTry -> build" => {
            let request = id();
            let commit = first_revision(&viewer).await;
            // the master has the commit, so a pack without objects is enough
            let bytes = b"PACK\0\0\0\x02\0\0\0\0";
            let pack = begin_try(&top, request).await;
            let mut write = pack.write_request();
            write.get().set_bytes(bytes);
            write.send().promise.await.unwrap();
            let mut seal = pack.seal_request();
            seal.get().set_length(bytes.len() as u64);
            seal.get().set_blake3(blake3::hash(bytes).as_bytes());
            seal.send().promise.await.unwrap();
            let mut run = top.submitter_request().send().pipeline.get_submitter().run_try_request();
            run.get().set_request(&request);
            run.get().set_project("demo");
            run.get().set_commit(commit);
            plain(run.send().promise.await.unwrap().get().unwrap().get_build().unwrap())
        }
        "perspective.Viewer.watch -> subscription" => {
            let mut request = viewer.watch_request();
            request.get().set_observer(observer());
            plain(request.send().promise.await.unwrap().get().unwrap().get_subscription().unwrap())
        }
        "event.EventSource.subscribe -> subscription" => {
            let mut request = top.events_request().send().pipeline.get_source().subscribe_request();
            request.get().set_observer(observer());
            plain(request.send().promise.await.unwrap().get().unwrap().get_subscription().unwrap())
        }
        "perspective.Build.log -> reader" => {
            let mut request = first_build(&viewer).await.log_request();
            request.get().set_job("a");
            request.get().set_step(1);
            plain(request.send().promise.await.unwrap().get().unwrap().get_reader().unwrap())
        }
        "perspective.Build.blob -> source" => {
            let mut request = first_build(&viewer).await.blob_request();
            request.get().set_blake3(blob);
            plain(request.send().promise.await.unwrap().get().unwrap().get_source().unwrap())
        }
        "perspective.Build.reports -> source" => {
            let mut request = first_build(&viewer).await.reports_request();
            request.get().set_job("a");
            request.get().set_step(1);
            plain(request.send().promise.await.unwrap().get().unwrap().get_source().unwrap())
        }
        way => panic!("an operator is not given {way}"),
    }
}

/// Begins a try, and returns the sink for its pack.
async fn begin_try(top: &perspective::Client, request: [u8; 16]) -> byte_sink::Client {
    let mut begin = top.submitter_request().send().pipeline.get_submitter().begin_try_request();
    begin.get().set_request(&request);
    begin.get().set_project("demo");
    begin.send().promise.await.unwrap().get().unwrap().get_pack().unwrap()
}

async fn first_revision(viewer: &viewer::Client) -> String {
    let answer = first_build(viewer).await.view_request().send().promise.await.unwrap();
    answer.get().unwrap().get_view().unwrap().get_revision().unwrap().to_string().unwrap()
}

async fn first_build(viewer: &viewer::Client) -> build::Client {
    let mut request = viewer.build_request();
    request.get().set_project("demo");
    request.get().set_number(1);
    request.send().promise.await.unwrap().get().unwrap().get_build().unwrap()
}

async fn of_worker(house: &House, victim: &Victim, way: &str) -> Client {
    let desk: worker_desk::Client = cast(Client::new(victim.top.hook.add_ref()));
    if way.ends_with("of a worker") {
        return plain(desk);
    }
    let (session, _) = attach(&desk, victim, None).await;
    if way == "worker.WorkerDesk.attach -> session" {
        return plain(session);
    }
    house.guild.run("demo", "main", "").await.unwrap();
    let (lease, token) = take(&session).await;
    match way {
        "worker.WorkerDesk.attach -> leases" => plain(attach(&desk, victim, Some(token)).await.1.unwrap()),
        "worker.Session.take -> lease" => plain(lease),
        "worker.Lease.source -> source" => plain(pack_source(&lease).await),
        "worker.Lease.step -> report" => plain(report(&lease)),
        "worker.Lease.log -> sink" => {
            plain(lease.log_request().send().promise.await.unwrap().get().unwrap().get_sink().unwrap())
        }
        "worker.StepReport.log -> sink" => {
            plain(report(&lease).log_request().send().promise.await.unwrap().get().unwrap().get_sink().unwrap())
        }
        "worker.Lease.artifact -> sink" => {
            let mut request = lease.artifact_request();
            request.get().set_path("bundle");
            plain(request.send().promise.await.unwrap().get().unwrap().get_sink().unwrap())
        }
        "worker.SourcePack.pack -> pack" => {
            let request = pack_source(&lease).await.pack_request();
            plain(request.send().promise.await.unwrap().get().unwrap().get_pack().unwrap())
        }
        way => panic!("a worker is not given {way}"),
    }
}

async fn attach(
    desk: &worker_desk::Client,
    victim: &Victim,
    running: Option<Vec<u8>>,
) -> (session::Client, Option<lease::Client>) {
    let mut request = desk.attach_request();
    request.get().set_worker(capnp_rpc::new_client(Ear(victim.told.clone())));
    request.get().set_instance(&[9; 16]);
    if let Some(token) = running {
        request.get().init_running(1).set(0, &token);
    }
    let answer = request.send().promise.await.unwrap();
    let answer = answer.get().unwrap();
    assert!(!answer.has_refusal(), "{:?}", wire::refusal(true, answer.get_refusal()));
    let leases = answer.get_leases().unwrap();
    let lease = leases.iter().next().map(|lease| lease.unwrap());
    (answer.get_session().unwrap(), lease)
}

async fn take(session: &session::Client) -> (lease::Client, Vec<u8>) {
    let mut request = session.take_request();
    let mut free = request.get().init_free();
    free.set_slots(1);
    let answer = request.send().promise.await.unwrap();
    let answer = answer.get().unwrap();
    let lease = answer.get_lease().unwrap();
    lease.accept_request().send().promise.await.unwrap();
    (lease, answer.get_assignment().unwrap().get_token().unwrap().to_vec())
}

async fn pack_source(lease: &lease::Client) -> source_pack::Client {
    lease.source_request().send().promise.await.unwrap().get().unwrap().get_source().unwrap()
}

/// Makes a call without arguments. The promise is fulfilled if the call returns results, and else has the exception.
fn call(to: &Client, interface: u64, method: u16) -> Promise<(), capnp::Error> {
    let request = to.hook.new_call(interface, method, None);
    let sent = request.send().promise;
    Promise::from_future(async move { sent.await.map(|_| ()) })
}

/// Finishes the first build, with a log and a file. Returns the hash of the file.
async fn first_done(house: &House) -> [u8; 32] {
    let worker = house.worker("anvil").await;
    let (_, lease) = worker.take().await;
    lease.accept_request().send().promise.await.unwrap();
    let mut request = lease.artifact_request();
    request.get().set_path("tests/0/reports.tar.zst");
    let sink = request.send().pipeline.get_sink();
    let hash = *blake3::hash(b"bytes").as_bytes();
    let mut request = sink.write_request();
    request.get().set_bytes(b"bytes");
    request.send().promise.await.unwrap();
    let mut request = sink.seal_request();
    request.get().set_length(5);
    request.get().set_blake3(&hash);
    request.send().promise.await.unwrap();
    support::guild::work(&lease, b"log", Outcome::Succeeded).await;
    house.guild.outcome("demo", 1).await.unwrap();
    hash
}

/// Revokes the grant of each capability while 1,000 calls of it are in flight, and then calls each of its methods once more.
#[test]
fn no_call_is_dispatched_once_a_revoke_is_answered() {
    run(async {
        let house = House::open(PIPELINE).await;
        let blob = first_done(&house).await;
        let methods = methods_of_the_schema();
        for (number, (way, holder, interface)) in WAYS.into_iter().enumerate() {
            let victim = Victim::enter(&house, holder, number).await;
            let held = held(&house, &victim, way, &blob).await;
            let of: Vec<_> = methods.iter().filter(|(of, ..)| of == interface).collect();
            assert!(!of.is_empty(), "{interface} has methods");
            let mut flight = Vec::new();
            for at in 0..CALLS {
                let (_, id, method, name) = of[at % of.len()];
                flight.push((name, call(&held, *id, *method)));
            }
            house.guild.revoke(victim.grant, "for this test").await.unwrap();
            for (_, id, method, name) in &of {
                let after = call(&held, *id, *method).await;
                let error = after.expect_err("a call after the answer is not dispatched");
                assert!(error.extra.contains("revoked: "), "{way}, {interface}.{name} after the answer: {error}");
            }
            victim.round_trip().await;
            let (mut done, mut failed) = (0, 0);
            for (name, call) in flight {
                match call.await {
                    Ok(()) => {
                        let full = format!("{interface}.{name}");
                        // the first build is finished, so a call that waits for its outcome is answered at once
                        assert!(
                            !WAITING[..2].contains(&full.as_str()) || way.contains("Viewer.build"),
                            "{full} was answered"
                        );
                        done += 1;
                    }
                    Err(_) => failed += 1,
                }
            }
            println!("{way}: {} methods, {done} calls were answered before, {failed} failed", of.len());
        }
    });
}

/// Once a revoke is answered, the master makes no more calls to observers and workers of the holder. Calls that it sent before
/// the answer, for example the order to a worker to stop, do not count.
#[test]
fn nobody_is_told_anything_after_a_revocation() {
    run(async {
        let house = House::open(PIPELINE).await;
        let blob = first_done(&house).await;
        let ways = [
            "perspective.Viewer.watch -> subscription",
            "event.EventSource.subscribe -> subscription",
            "worker.Session.take -> lease",
        ];
        for (number, way) in ways.into_iter().enumerate() {
            let holder = if way.starts_with("worker") { Holder::Worker } else { Holder::Operator };
            let victim = Victim::enter(&house, holder, number).await;
            let _held = held(&house, &victim, way, &blob).await;
            house.guild.revoke(victim.grant, "for this test").await.unwrap();
            victim.round_trip().await;
            let before = (victim.told.events.get(), victim.told.orders.get());
            let build = house.guild.run("demo", "main", "").await.unwrap();
            house.guild.cancel("demo", build, "", "no").await.unwrap();
            until("the build ends", || {
                let guild = house.guild.clone();
                Promise::from_future(async move { Ok(guild.build("demo", build).await.unwrap().is_finished()) })
            })
            .await;
            victim.round_trip().await;
            assert_eq!((victim.told.events.get(), victim.told.orders.get()), before, "{way}");
        }
    });
}

/// The token of a revoked grant is refused, also on a connection that is still open.
#[test]
fn a_revoked_credential_opens_nothing() {
    run(async {
        let house = House::open(PIPELINE).await;
        for (number, holder) in [Holder::Operator, Holder::Worker].into_iter().enumerate() {
            let victim = Victim::enter(&house, holder, number).await;
            house.guild.revoke(victim.grant, "for this test").await.unwrap();
            let refused = restore(&victim.gateway, &victim.token.token).await.err().unwrap();
            assert!(refused.contains("revoked"), "{refused}");
            victim.round_trip().await;
        }
    });
}
