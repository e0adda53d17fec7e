//! Blobs over the wire: what an attempt stores can be read by its hash, even if links are lost or the master restarts. Retention
//! removes a blob with the last build that refers to it.

use master::config::Retain;
use master::keep::store::DATABASE_FILE;
use master::keep::turns::PROGRAM;
use master::program::retention::{Passed, Retention};
use schema::common_capnp::{byte_sink, byte_source};
use schema::perspective_capnp::build;
use schema::values::{GrantKind, Outcome, Refusal, RefusalCode, What};
use schema::vat::Vat;
use schema::wire;
use schema::worker_capnp::{lease, session, worker, worker_desk};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use support::guild::{House, Played, dial, perspective, restore, run, until, work};

const PIPELINE: &str = "version = 1\n[job.only]\nrun = \"true\"\n";

#[test]
fn what_an_attempt_stores_is_read_by_its_hash() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        let (_, lease) = accepted(&worker).await;
        let bytes: Vec<u8> = (0..600_000_u32).map(|at| at as u8).collect();
        let sink = artifact(&lease, "target/bundle.tar").await.unwrap();
        assert_eq!(write(&sink, 0, &bytes[..250_000]).await, Ok(250_000));
        assert_eq!(write(&sink, 250_001, &bytes[..10]).await.unwrap_err().code, RefusalCode::Offset);
        assert_eq!(write(&sink, 200_000, &bytes[200_000..]).await, Ok(600_000), "what overlaps is dropped");
        let wrong = seal(&sink, &bytes[..1]).await.unwrap_err();
        assert!(wrong.code == RefusalCode::Invalid && wrong.text.starts_with("the length is wrong: "), "{wrong}");
        assert_eq!(size(&sink).await, Ok((0, false)), "all of it is sent again");
        assert_eq!(write(&sink, 0, &bytes).await, Ok(600_000));
        // a worker that lost the answer asks again, with a new sink
        seal(&sink, &bytes).await.unwrap();
        let again = artifact(&lease, "target/bundle.tar").await.unwrap();
        assert_eq!(size(&again).await, Ok((600_000, true)));
        seal(&again, &bytes).await.unwrap();
        assert_eq!(seal(&again, b"other").await.unwrap_err().code, RefusalCode::Conflict);
        assert_eq!(artifact(&lease, "").await.err().unwrap().code, RefusalCode::Invalid);

        let (_link, build) = build_of(&house, 1).await;
        let source = blob(&build, &bytes).await.unwrap();
        assert_eq!(whole(&source).await.unwrap(), bytes, "it is read while its attempt goes on");
        assert_eq!(blob(&build, b"nobody stored this").await.err().unwrap().code, RefusalCode::NotFound);
        work(&lease, b"", Outcome::Succeeded).await;
        assert_eq!(artifact(&lease, "late").await.err().unwrap().code, RefusalCode::Stale);
        assert_eq!(whole(&source).await.unwrap(), bytes);
    });
}

#[test]
fn an_upload_goes_on_after_a_lost_link_and_a_restart() {
    let left = RefCell::new(None);
    let bytes: Vec<u8> = (0..500_000_u32).map(|at| (at / 7) as u8).collect();
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        let (token, lease) = accepted(&worker).await;
        write(&artifact(&lease, "a").await.unwrap(), 0, &bytes[..200_000]).await.unwrap();
        let credential = worker.credential;
        drop((lease, worker.session, worker.vat));
        let (_vat, _session, lease) = attach_again(&credential.0, &credential.1, token).await;
        let sink = artifact(&lease, "a").await.unwrap();
        assert_eq!(size(&sink).await, Ok((200_000, false)));
        write(&sink, 200_000, &bytes[200_000..300_000]).await.unwrap();
        *left.borrow_mut() = Some((house.ruins(), credential, token));
    });
    let (ruins, mut credential, token) = left.take().unwrap();
    run(async {
        let house = House::open_again(ruins, |_| ()).await;
        credential.0.addresses = vec![house.address().to_owned()];
        let (_vat, _session, lease) = attach_again(&credential.0, &credential.1, token).await;
        let sink = artifact(&lease, "a").await.unwrap();
        assert_eq!(size(&sink).await, Ok((300_000, false)));
        write(&sink, 300_000, &bytes[300_000..]).await.unwrap();
        seal(&sink, &bytes).await.unwrap();
        let (_link, build) = build_of(&house, 1).await;
        assert_eq!(whole(&blob(&build, &bytes).await.unwrap()).await.unwrap(), bytes);
    });
}

#[test]
fn what_a_lost_attempt_did_not_seal_goes() {
    run(async {
        let house = House::open_with(PIPELINE, |config| config.limits.lease = Duration::from_secs(12)).await;
        let worker = house.worker("anvil").await;
        let (_, lease) = accepted(&worker).await;
        let (half, done) = (artifact(&lease, "half").await.unwrap(), artifact(&lease, "done").await.unwrap());
        write(&half, 0, b"half").await.unwrap();
        write(&done, 0, b"done").await.unwrap();
        seal(&done, b"done").await.unwrap();
        let folder = house.state().join("blobs/partial");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        // nobody renews the lease, so the job is placed again
        let other = house.worker("other").await;
        accepted(&other).await;
        until("the partial file to go", || {
            let count = std::fs::read_dir(&folder).unwrap().count();
            capnp::capability::Promise::ok(count == 0)
        })
        .await;
        assert!(write(&half, 4, b"more").await.is_err());
        let (_link, build) = build_of(&house, 1).await;
        assert_eq!(whole(&blob(&build, b"done").await.unwrap()).await.unwrap(), b"done", "what was sealed stays");
    });
}

#[test]
fn retention_takes_a_blob_with_the_last_build_that_refers_to_it() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        let own: [&[u8]; 3] = [b"one", b"two", b"three"];
        for (at, own) in own.into_iter().enumerate() {
            if at > 0 {
                house.guild.run("demo", "main", "").await.unwrap();
            }
            let (_, lease) = accepted(&worker).await;
            for bytes in [own, if at == 2 { b"last" } else { b"shared" }] {
                let sink = artifact(&lease, &String::from_utf8_lossy(bytes)).await.unwrap();
                write(&sink, 0, bytes).await.unwrap();
                seal(&sink, bytes).await.unwrap();
            }
            work(&lease, b"", Outcome::Succeeded).await;
        }
        let (_link, first) = build_of(&house, 1).await;
        let source = blob(&first, b"one").await.unwrap();
        assert_eq!(stored(&house.state()), hashes(&[b"one", b"two", b"three", b"shared", b"last"]));
        age(&house);
        keep(&house, 2).await;
        assert_eq!(stored(&house.state()), hashes(&[b"two", b"three", b"shared", b"last"]));
        assert_eq!(blob(&first, b"one").await.err().unwrap().code, RefusalCode::NotFound);
        let gone = whole(&source).await.unwrap_err();
        assert!(gone.extra.contains("notFound: the blob was removed by retention, with its build"), "{gone}");
        keep(&house, 1).await;
        assert_eq!(stored(&house.state()), hashes(&[b"three", b"last"]));
    });
}

async fn accepted(worker: &Played) -> ([u8; 16], lease::Client) {
    let (assignment, lease) = worker.take().await;
    lease.accept_request().send().promise.await.unwrap();
    (assignment.token, lease)
}

/// `Mute` is a worker that implements no method.
struct Mute;
impl worker::Server for Mute {}

/// Connects a worker again that still runs its attempt. Returns its connection, its session and its lease.
async fn attach_again(
    reference: &schema::sturdy_ref::SturdyRef,
    identity: &schema::identity::Identity,
    token: [u8; 16],
) -> (Vat, session::Client, lease::Client) {
    let (vat, gateway) = dial(reference, identity).await;
    let desk = restore(&gateway, &reference.token).await.unwrap();
    let desk: worker_desk::Client = capnp::capability::FromClientHook::new(desk.hook);
    let mut request = desk.attach_request();
    request.get().set_worker(capnp_rpc::new_client(Mute));
    request.get().set_instance(&[7; 16]);
    request.get().init_running(1).set(0, &token);
    let answer = request.send().promise.await.unwrap();
    let answer = answer.get().unwrap();
    let lease = answer.get_leases().unwrap().get(0).unwrap();
    (vat, answer.get_session().unwrap(), lease)
}

fn or_refusal<T>(
    has: bool,
    refusal: capnp::Result<schema::common_capnp::refusal::Reader<'_>>,
    value: T,
) -> Result<T, Refusal> {
    wire::refusal(has, refusal).unwrap().map_or(Ok(value), Err)
}

async fn artifact(lease: &lease::Client, path: &str) -> Result<byte_sink::Client, Refusal> {
    let mut request = lease.artifact_request();
    request.get().set_path(path);
    let answer = request.send();
    let sink = answer.pipeline.get_sink();
    let answer = answer.promise.await.unwrap();
    let answer = answer.get().unwrap();
    or_refusal(answer.has_refusal(), answer.get_refusal(), sink)
}

/// Writes bytes to a blob. Returns the number of received bytes, or the refusal; a lost link counts as one.
async fn write(sink: &byte_sink::Client, offset: u64, bytes: &[u8]) -> Result<u64, Refusal> {
    let mut request = sink.write_request();
    request.get().set_offset(offset);
    request.get().set_bytes(bytes);
    let answer = request.send().promise.await;
    let answer = answer.map_err(|error| Refusal::new(RefusalCode::Internal, error.extra))?;
    let answer = answer.get().unwrap();
    or_refusal(answer.has_refusal(), answer.get_refusal(), answer.get_received())
}

async fn size(sink: &byte_sink::Client) -> Result<(u64, bool), Refusal> {
    let answer = sink.size_request().send().promise.await.unwrap();
    let answer = answer.get().unwrap();
    or_refusal(answer.has_refusal(), answer.get_refusal(), (answer.get_received(), answer.get_sealed()))
}

async fn seal(sink: &byte_sink::Client, bytes: &[u8]) -> Result<(), Refusal> {
    let mut request = sink.seal_request();
    request.get().set_length(bytes.len() as u64);
    request.get().set_blake3(blake3::hash(bytes).as_bytes());
    let answer = request.send().promise.await.unwrap();
    let answer = answer.get().unwrap();
    or_refusal(answer.has_refusal(), answer.get_refusal(), ())
}

/// Connects as a person who may only look. Returns the connection and a build.
async fn build_of(house: &House, number: u32) -> (Vat, build::Client) {
    let may = What { may: [schema::values::Right::View].into(), ..What::everything() };
    let name = format!("reader{}", system::chance::bytes::<1>()[0]);
    let (reference, identity) = house.enroll(GrantKind::User, &name, may).await;
    let (link, perspective) = perspective(&reference, &identity).await;
    let mut request = perspective.viewer_request().send().pipeline.get_viewer().build_request();
    request.get().set_project("demo");
    request.get().set_number(number);
    (link, request.send().pipeline.get_build())
}

async fn blob(build: &build::Client, bytes: &[u8]) -> Result<byte_source::Client, Refusal> {
    let mut request = build.blob_request();
    request.get().set_blake3(blake3::hash(bytes).as_bytes());
    let answer = request.send();
    let source = answer.pipeline.get_source();
    let answer = answer.promise.await.unwrap();
    let answer = answer.get().unwrap();
    or_refusal(answer.has_refusal(), answer.get_refusal(), source)
}

async fn whole(source: &byte_source::Client) -> capnp::Result<Vec<u8>> {
    let size = source.size_request().send().promise.await?.get()?.get_size();
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        let mut request = source.read_request();
        request.get().set_offset(bytes.len() as u64);
        request.get().set_count(u32::MAX);
        let part = request.send().promise.await?;
        let part = part.get()?.get_bytes()?;
        assert!(!part.is_empty() && part.len() <= 256 << 10);
        bytes.extend(part);
    }
    Ok(bytes)
}

fn hashes(contents: &[&[u8]]) -> BTreeSet<String> {
    contents.iter().map(|bytes| blake3::hash(bytes).to_hex().to_string()).collect()
}

/// Returns the names of all sealed files.
fn stored(state: &Path) -> BTreeSet<String> {
    let shards = std::fs::read_dir(state.join("blobs/sealed")).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

/// Makes all builds two days older.
fn age(house: &House) {
    let database = rusqlite::Connection::open(house.state().join(DATABASE_FILE)).unwrap();
    database.busy_timeout(Duration::from_secs(5)).unwrap();
    database.execute("update builds set created = created - ?1, finished = finished - ?1", [172_800_000]).unwrap();
}

/// Runs retention until nothing is left to do. It keeps the newest `builds` builds.
async fn keep(house: &House, builds: u32) {
    let parts = &house.parts;
    let (driver, readers) = (parts.driver.clone(), parts.readers.of(PROGRAM));
    let retain = Retain { builds, ..Retain::default() };
    let mut retention = Retention::new(retain, driver, readers, parts.logs.clone(), parts.blobs.clone());
    while retention.pass().await.unwrap() != Passed::Done {}
}
