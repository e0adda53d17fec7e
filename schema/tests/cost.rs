//! Prints the cost of a connection: `cargo nextest run -p schema --run-ignored only --no-capture --test cost`. It asserts nothing,
//! because figures depend on the machine and the profile.

#![expect(clippy::unwrap_used, reason = "what a test cannot do without ends it")]

use futures::future::join_all;
use schema::common_capnp::pulse;
use schema::identity::Identity;
use schema::sturdy_ref::{SturdyRef, Token};
use schema::vat::{self, Limits, Side, Vat};
use tokio::net::TcpListener;
use tokio::time::Instant;

const CONNECTIONS: usize = 400;
const CALLS: usize = 20_000;
const IN_FLIGHT: usize = 64;

fn resident_kib() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4
}

async fn meet(listener: &TcpListener, server: &Identity, client: &Identity) -> (Vat, Vat) {
    let reference = SturdyRef {
        fingerprint: server.fingerprint(),
        addresses: vec![listener.local_addr().unwrap().to_string()],
        token: Token::random(),
    };
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        vat::accept(stream, server).await.unwrap()
    };
    let (near, far) = tokio::join!(vat::dial(&reference, Some(client)), accept);
    (
        vat::connect(near.unwrap().stream, Limits::known()),
        vat::start(far.stream, Side::Server, vat::pulse(), Limits::known()),
    )
}

#[test]
#[ignore = "prints figures for a person"]
fn figures() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (server, client) = (Identity::generate(), Identity::generate());
        let mut held = Vec::new();
        let (mut before, mut start) = (0, Instant::now());
        for made in 0..2 * CONNECTIONS {
            if made == CONNECTIONS {
                (before, start) = (resident_kib(), Instant::now());
            }
            let pair = meet(&listener, &server, &client).await;
            pair.0.bootstrap::<pulse::Client>().ping_request().send().promise.await.unwrap();
            held.push(pair);
        }
        let kib = (resident_kib() - before) as f64 / CONNECTIONS as f64;
        println!("idle TLS connection, both ends together: {kib:.1} KiB");
        println!("connect, bootstrap and one call: {:?} each", start.elapsed() / CONNECTIONS as u32);

        let far: pulse::Client = held[0].0.bootstrap();
        let start = Instant::now();
        let caller = || async {
            for _ in 0..CALLS / IN_FLIGHT {
                far.ping_request().send().promise.await.unwrap();
            }
        };
        join_all((0..IN_FLIGHT).map(|_| caller())).await;
        let calls = CALLS as f64 / start.elapsed().as_secs_f64();
        println!("calls over TLS, {IN_FLIGHT} in flight, both ends on one thread: {calls:.0} /s");
    });
}
