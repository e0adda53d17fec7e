//! Tests of connections whose peer is slow, silent, greedy or hostile. The connections are pipes in this process, and most tests have
//! a clock that jumps.

#![expect(clippy::unwrap_used, reason = "what a test cannot do without ends it")]

mod common;
#[expect(unreachable_pub, dead_code, reason = "shared with another package")]
#[path = "common/raw.rs"]
mod raw;
#[expect(unreachable_pub, dead_code, reason = "generated")]
mod echo_capnp {
    include!(concat!(env!("OUT_DIR"), "/echo_capnp.rs"));
}

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use capnp::capability::Client;
use common::{Counts, Echo, child, name, pair, run, settle};
use echo_capnp::echo;
use futures::future::join_all;
use raw::Dice;
use schema::common_capnp::pulse;
use schema::gate::Gate;
use schema::vat::{self, Budget, CloseReason, Limits, Side, Vat};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};
use tokio::time::{Instant, sleep, timeout};

const ECHO: u64 = <echo::Client as capnp::traits::HasTypeId>::TYPE_ID;
const NAME: u16 = 0;
const NEVER: u16 = 2;
const SECOND: Duration = Duration::from_secs(1);

/// Starts a server in this process, and returns the plain stream to it.
fn bare(mine: Client, limits: Limits) -> (DuplexStream, Vat) {
    let (near, far) = tokio::io::duplex(64 << 10);
    (near, vat::start(far, Side::Server, mine, limits))
}

fn echo(counts: &Rc<Counts>) -> Client {
    Echo::client("root", counts).client
}

/// Carries bytes in one direction, `step` of them per second.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, step: usize) {
    let mut buffer = vec![0; step];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        sleep(SECOND).await;
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[test]
fn a_message_too_large_is_not_read() {
    run(true, async {
        for (limits, bytes) in [(Limits::stranger(), 513 << 10), (Limits::known(), (4 << 20) + 8)] {
            let (mut near, server) = bare(vat::pulse(), limits);
            let mut table = vec![0; 4];
            table.extend_from_slice(&(bytes as u32 / 8).to_le_bytes());
            near.write_all(&table).await.unwrap();
            let limit = limits.message_bytes;
            let bytes = bytes as u64;
            assert_eq!(server.closed().await, CloseReason::TooLarge { bytes, limit });
        }
    });
}

#[test]
fn admission_lifts_the_limits_and_keeps_the_times() {
    run(false, async {
        let counts = Rc::<Counts>::default();
        let (client, server) = pair(echo(&counts), Limits::stranger());
        server.admit();
        let mut request = client.bootstrap::<echo::Client>().bytes_request();
        request.get().set_params(&vec![0; 1 << 20]);
        request.send().promise.await.unwrap();
    });
}

#[test]
fn half_a_message_is_waited_for_30_s() {
    run(true, async {
        let start = Instant::now();
        let (mut near, server) = bare(vat::pulse(), Limits::stranger());
        let half = raw::bootstrap(0);
        near.write_all(&half[..half.len() - 8]).await.unwrap();
        assert_eq!(server.closed().await, CloseReason::MessageLate);
        assert_eq!(start.elapsed(), 30 * SECOND);
    });
}

#[test]
fn one_byte_a_second_is_too_slow_for_a_stranger() {
    run(true, async {
        let (mut near, server) = bare(vat::pulse(), Limits::stranger());
        let bytes = raw::bootstrap(0);
        let slow = async {
            for byte in bytes {
                let _ = near.write_all(&[byte]).await;
                sleep(2 * SECOND).await;
            }
        };
        let (_, reason) = tokio::join!(slow, server.closed());
        assert_eq!(reason, CloseReason::MessageLate);
    });
}

#[test]
fn a_stream_that_swallows_everything_is_closed_after_45_s() {
    run(true, async {
        let start = Instant::now();
        let (mut near, server) = bare(vat::pulse(), Limits::known());
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 1024];
            while near.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
            std::future::pending::<()>().await;
        });
        assert_eq!(server.closed().await, CloseReason::Silent(45 * SECOND));
        assert_eq!(start.elapsed(), 45 * SECOND);
        assert_eq!(server.last_heard(), start);
    });
}

/// Events are calls of the server. If a peer does not read them, their bytes count against the budget of its grant.
#[test]
fn calls_that_a_peer_leaves_unread_are_counted_with_its_grant() {
    run(true, async {
        let budget = Budget::new(64 << 10);
        let (deaf, server) = bare(vat::pulse(), Limits::known());
        let (_near, other) = bare(vat::pulse(), Limits::known());
        [&server, &other].iter().for_each(|vat| vat.share(&budget));
        let theirs: pulse::Client = server.bootstrap();
        let calls: Vec<_> = (0..5_000).map(|_| theirs.ping_request().send().promise).collect();
        let calls = tokio::task::spawn_local(join_all(calls));
        let why = server.closed().await.to_string();
        assert!(why.contains("bytes of calls wait to be read, of a budget that is spent"), "{why}");
        assert!(calls.await.unwrap().iter().all(Result::is_err));
        assert_eq!((budget.used(), other.why_closed()), (0, None), "the other connection of the grant goes on");
        drop(deaf);
    });
}

#[test]
fn traffic_of_ours_into_a_dead_link_proves_nothing() {
    run(true, async {
        let start = Instant::now();
        let (near, server) = bare(vat::pulse(), Limits::known());
        let theirs: pulse::Client = server.bootstrap();
        let talk = async {
            loop {
                drop(theirs.ping_request().send());
                sleep(SECOND).await;
            }
        };
        tokio::select! {
            () = talk => (),
            reason = server.closed() => assert_eq!(reason, CloseReason::Silent(45 * SECOND)),
        }
        assert_eq!(start.elapsed(), 45 * SECOND);
        drop(near);
    });
}

#[test]
fn heartbeats_keep_an_idle_connection_for_an_hour() {
    run(true, async {
        let counts = Rc::<Counts>::default();
        // the second server has no Pulse, but its exceptions are signs of life too
        for mine in [vat::pulse(), echo(&counts)] {
            let (client, server) = pair(mine, Limits::stranger());
            sleep(3600 * SECOND).await;
            for vat in [&client, &server] {
                assert!(vat.last_heard().elapsed() <= 25 * SECOND);
            }
            drop(client);
            assert!(matches!(server.closed().await, CloseReason::Aborted(_)));
        }
    });
}

/// `Asked` is a Pulse that counts its pings.
struct Asked(Cell<u32>);

impl pulse::Server for Asked {
    async fn ping(self: Rc<Self>, _: pulse::PingParams, _: pulse::PingResults) -> capnp::Result<()> {
        self.0.set(self.0.get() + 1);
        Ok(())
    }
}

#[test]
fn of_two_idle_sides_the_client_asks() {
    run(true, async {
        let asked = [Rc::new(Asked(Cell::new(0))), Rc::new(Asked(Cell::new(0)))];
        let pulse = |side: usize| capnp_rpc::new_client_from_rc::<pulse::Client, _>(asked[side].clone()).client;
        let (near, far) = tokio::io::duplex(64 << 10);
        let _client = vat::start(near, Side::Client, pulse(0), Limits::stranger());
        let _server = vat::start(far, Side::Server, pulse(1), Limits::stranger());
        sleep(601 * SECOND).await;
        assert_eq!(asked.each_ref().map(|asked| asked.0.get()), [0, 600 / 25]);
    });
}

#[test]
fn a_slow_link_is_not_a_dead_one() {
    run(true, async {
        let counts = Rc::<Counts>::default();
        let (near, left) = tokio::io::duplex(4 << 10);
        let (right, far) = tokio::io::duplex(4 << 10);
        let (left_read, left_write) = tokio::io::split(left);
        let (right_read, right_write) = tokio::io::split(right);
        tokio::task::spawn_local(carry(left_read, right_write, 4 << 10));
        tokio::task::spawn_local(carry(right_read, left_write, 4 << 10));
        let client = vat::connect(near, Limits::known());
        let _server = vat::start(far, Side::Server, echo(&counts), Limits::known());
        let start = Instant::now();
        let mut request = client.bootstrap::<echo::Client>().bytes_request();
        request.get().set_params(&vec![0; 1 << 20]);
        request.send().promise.await.unwrap();
        assert!(start.elapsed() > 200 * SECOND);
    });
}

#[test]
fn a_peer_that_never_reads_its_answers_is_read_no_more() {
    run(true, async {
        let counts = Rc::<Counts>::default();
        let (mut near, server) = bare(echo(&counts), Limits::known());
        near.write_all(&raw::bootstrap(0)).await.unwrap();
        let mut sent = 0;
        for question in 1..100_000 {
            let call = raw::call(question, ECHO, NAME);
            match timeout(SECOND, near.write_all(&call)).await {
                Ok(Ok(())) => sent = question,
                Ok(Err(_)) | Err(_) => break,
            }
        }
        assert!(sent < 4096 + 2 * (64 << 10) / 100, "{sent} calls were taken");
        assert!(matches!(server.closed().await, CloseReason::Overload(_)));
    });
}

#[test]
fn calls_that_never_end_are_bounded() {
    run(true, async {
        let counts = Rc::<Counts>::default();
        let (mut near, server) = bare(echo(&counts), Limits::known());
        near.write_all(&raw::bootstrap(0)).await.unwrap();
        let start = Instant::now();
        let mut most = 0;
        for question in 1..200_000 {
            if near.write_all(&raw::call(question, ECHO, NEVER)).await.is_err() {
                break;
            }
            most = most.max(counts.waiting.get());
        }
        assert!((4000..=4096).contains(&most), "{most} calls waited");
        assert!(matches!(server.closed().await, CloseReason::Overload(_)));
        assert!(start.elapsed() <= 31 * SECOND);
        assert_eq!(counts.waiting.get(), 0);
    });
}

#[test]
fn a_burst_of_many_calls_only_waits() {
    run(false, async {
        let counts = Rc::<Counts>::default();
        let (client, _server) = pair(echo(&counts), Limits::stranger());
        let far: echo::Client = client.bootstrap();
        let calls = (0..3000).map(|_| name(&far));
        assert!(join_all(calls).await.iter().all(Result::is_ok));
    });
}

#[test]
fn bootstraps_that_are_never_let_go_of_are_bounded() {
    run(true, async {
        let (near, server) = bare(vat::pulse(), Limits::stranger());
        let (mut read, mut write) = tokio::io::split(near);
        let reading = tokio::task::spawn_local(async move {
            let mut buffer = [0; 4096];
            while read.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        });
        for question in 0.. {
            assert!(question < 5000, "nobody stopped it");
            if write.write_all(&raw::bootstrap(question)).await.is_err() {
                break;
            }
        }
        assert!(matches!(server.closed().await, CloseReason::Overload(_)));
        reading.await.unwrap();
    });
}

#[test]
fn capabilities_that_are_never_let_go_of_are_bounded() {
    run(false, async {
        let counts = Rc::<Counts>::default();
        let (client, server) = pair(echo(&counts), Limits::stranger());
        let far: echo::Client = client.bootstrap();
        let mut held = Vec::new();
        loop {
            let Ok(made) = far.child_request().send().promise.await else {
                break;
            };
            held.push(made.get().unwrap().get_child().unwrap());
        }
        let most = Limits::stranger().exports;
        assert!((most - 1..=most + 1).contains(&held.len()), "{} are held", held.len());
        assert!(matches!(server.closed().await, CloseReason::Overload(_)));
    });
}

#[test]
fn a_server_that_leaves_is_told_from_one_that_is_lost() {
    run(true, async {
        let counts = Rc::<Counts>::default();
        let (client, server) = pair(echo(&counts), Limits::known());
        let far: echo::Client = client.bootstrap();
        let never = tokio::task::spawn_local(far.never_request().send().promise);
        server.leave().await.unwrap();
        assert_eq!(name(&far).await.unwrap(), "root", "until it closes, it answers");
        drop(server);
        assert_eq!(client.closed().await, CloseReason::Leaving);
        let error = never.await.unwrap().err().unwrap();
        assert_eq!(error.kind, capnp::ErrorKind::Disconnected);
        assert!(error.to_string().contains("expects to be back"), "{error}");
    });
}

#[test]
fn dropping_either_vat_fails_the_calls_of_both() {
    for drop_client in [true, false] {
        run(true, async {
            let counts = Rc::<Counts>::default();
            let (client, server) = pair(echo(&counts), Limits::known());
            let far: echo::Client = client.bootstrap();
            let mut keep = far.keep_request();
            keep.get().set_other(Echo::client("callback", &counts));
            keep.send().promise.await.unwrap();
            let kept = far.kept_request().send().promise.await.unwrap();
            drop(kept);
            let at_server: Client = server.bootstrap();
            let never = tokio::task::spawn_local(far.never_request().send().promise);
            settle().await;
            let (closed, other) = match drop_client {
                true => (server.closed(), drop_and_keep(client, server)),
                false => (client.closed(), drop_and_keep(server, client)),
            };
            let error = never.await.unwrap().err().unwrap();
            assert_eq!(error.kind, capnp::ErrorKind::Disconnected, "{error}");
            assert!(matches!(closed.await, CloseReason::Aborted(_)));
            assert!(name(&far).await.is_err(), "new calls fail too");
            let ping = at_server.cast::<pulse::Client>().ping_request();
            assert!(ping.send().promise.await.is_err());
            assert_eq!(counts.waiting.get(), 0);
            drop(other);
        });
    }
}

/// Drops the first vat, and returns the second.
fn drop_and_keep(first: Vat, second: Vat) -> Vat {
    drop(first);
    second
}

trait Cast {
    fn cast<C: capnp::capability::FromClientHook>(&self) -> C;
}

impl Cast for Client {
    fn cast<C: capnp::capability::FromClientHook>(&self) -> C {
        C::new(self.hook.add_ref())
    }
}

#[test]
fn a_crashed_host_leaves_nobody_waiting() {
    run(false, async {
        let counts = Rc::<Counts>::default();
        let host = tokio::task::LocalSet::new();
        let (near, far) = tokio::io::duplex(64 << 10);
        let mine = echo(&counts);
        let server = host.run_until(async { vat::start(far, Side::Server, mine, Limits::known()) });
        let server = server.await;
        let client = vat::connect(near, Limits::known());
        let far: echo::Client = client.bootstrap();
        host.run_until(name(&far)).await.unwrap();
        let at_server: pulse::Client = server.bootstrap();
        let never = far.never_request().send().promise;
        let ping = at_server.ping_request().send().promise;
        drop(host);
        assert!(never.await.is_err());
        assert!(ping.await.is_err());
        assert_eq!(server.closed().await, CloseReason::Closed);
    });
}

#[test]
fn what_was_sent_before_closing_arrives() {
    run(true, async {
        let counts = Rc::<Counts>::default();
        let (client, server) = pair(echo(&counts), Limits::known());
        let mut request = client.bootstrap::<echo::Client>().note_request();
        request.get().set_number(42);
        drop(request.send());
        client.flush().await;
        drop(client);
        assert!(matches!(server.closed().await, CloseReason::Aborted(_)));
    });
}

/// `Counting` is a stream that counts the writes that pass it.
struct Counting<S>(S, Rc<Cell<usize>>);

impl<S: AsyncRead + Unpin> AsyncRead for Counting<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counting<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.1.set(self.1.get() + 1);
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[test]
fn the_answers_of_a_turn_leave_in_one_write() {
    run(false, async {
        let counts = Rc::<Counts>::default();
        let writes = Rc::<Cell<usize>>::default();
        let (near, far) = tokio::io::duplex(64 << 10);
        let far = Counting(far, writes.clone());
        let client = vat::connect(near, Limits::known());
        let _server = vat::start(far, Side::Server, echo(&counts), Limits::known());
        let far: echo::Client = client.bootstrap();
        name(&far).await.unwrap();
        writes.set(0);
        join_all((0..64).map(|_| name(&far))).await;
        assert!(writes.get() <= 3, "{} writes for 64 answers", writes.get());
    });
}

/// Returns the messages that a well-behaved client sends.
async fn conversation() -> Vec<Vec<u8>> {
    let counts = Rc::<Counts>::default();
    let (near, tap) = tokio::io::duplex(1 << 20);
    let (out, far) = tokio::io::duplex(1 << 20);
    let (mut tap_read, mut tap_write) = tokio::io::split(tap);
    let (mut out_read, mut out_write) = tokio::io::split(out);
    let said = tokio::task::spawn_local(async move {
        let (mut said, mut buffer) = (Vec::new(), vec![0; 4096]);
        while let Ok(count @ 1..) = tap_read.read(&mut buffer).await {
            said.extend_from_slice(&buffer[..count]);
            let _ = out_write.write_all(&buffer[..count]).await;
        }
        said
    });
    tokio::task::spawn_local(async move { tokio::io::copy(&mut out_read, &mut tap_write).await });
    let client = vat::connect(near, Limits::known());
    let _server = vat::start(far, Side::Server, echo(&counts), Limits::known());
    let far: echo::Client = client.bootstrap();
    let deep = child(&child(&far, "a"), "b");
    name(&deep).await.unwrap();
    let mut request = far.call_back_request();
    request.get().set_other(Echo::client("callback", &counts));
    request.send().promise.await.unwrap();
    let mut request = far.keep_request();
    request.get().set_other(child(&deep, "promised"));
    request.send().promise.await.unwrap();
    let kept = far.kept_request().send().promise.await.unwrap();
    name(&kept.get().unwrap().get_other().unwrap()).await.unwrap();
    drop((kept, deep));
    let early = far.early_request().send();
    name(&early.pipeline.get_child()).await.unwrap();
    drop(early);
    settle().await;
    drop((client, far));
    raw::split(&said.await.unwrap())
}

fn mutate(dice: &mut Dice, message: &mut [u8]) {
    let spare_table = dice.below(20) != 0;
    let start = if spare_table { 8 } else { 0 };
    if message.len() <= start {
        return;
    }
    for _ in 0..dice.below(5) {
        let at = start + dice.below(message.len() - start);
        match dice.below(4) {
            0 => message[at] ^= 1 << dice.below(8),
            1 => message[at] = dice.below(6) as u8,
            2 => message[at / 8 * 8..].iter_mut().take(8).for_each(|byte| *byte = 0),
            _ => message[at] = dice.below(256) as u8,
        }
    }
}

#[test]
fn mutated_bytes_neither_panic_nor_hang() {
    let said = run(false, conversation());
    for seed in 0..400 {
        let reason = run(true, async {
            let mut dice = Dice(seed);
            let counts = Rc::<Counts>::default();
            let gate = Gate::new(1, "mallory");
            let mine = gate.wrap(Echo::client("root", &counts));
            let (near, server) = bare(mine.client, Limits::stranger());
            let (mut read, mut write) = tokio::io::split(near);
            tokio::task::spawn_local(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
            for turn in 0..1 + dice.below(20) {
                let in_order = dice.below(2) == 0 && turn < said.len();
                let pick = if in_order { turn } else { dice.below(said.len()) };
                let mut message = said[pick].clone();
                mutate(&mut dice, &mut message);
                if write.write_all(&message).await.is_err() {
                    break;
                }
            }
            let _ = timeout(SECOND, server.closed()).await;
            let _ = write.shutdown().await;
            timeout(60 * SECOND, server.closed()).await
        });
        let reason = reason.unwrap_or_else(|_| panic!("seed {seed} hangs"));
        assert_ne!(reason, CloseReason::Panicked, "seed {seed}");
    }
}
