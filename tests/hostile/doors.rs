//! Strangers that keep places for connections, and holders of a grant that open too many connections.

use capnp::capability::Promise;
use master::config::Config;
use schema::identity::Identity;
use schema::perspective_capnp::{build, perspective};
use schema::sturdy_ref::{SturdyRef, Token};
use schema::values::{GrantKind, Right, What};
use schema::vat::{self, Vat};
use std::time::{Duration, Instant};
use support::guild::{House, dial, perspective, restore, run, until};
use support::http;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const PIPELINE: &str = "version = 1\n[job.greet]\nsource = \"none\"\nrun = [\"true\"]\n";

/// `Stranger` is what a peer without a credential does with a connection before it stays silent.
#[derive(Clone, Copy, Debug)]
enum Stranger {
    Silent,
    HalfHandshake,
    NoCredential,
}

/// `Siege` runs strangers who come back whenever the master closes their connection, until it is dropped.
struct Siege(Vec<JoinHandle<()>>);

impl Siege {
    async fn lay(house: &House, what: Stranger, count: usize) -> Siege {
        let master = SturdyRef { token: Token::random(), ..house.operator().0.clone() };
        let strangers = (0..count).map(|_| tokio::task::spawn_local(stand(master.clone(), what)));
        let siege = Siege(strangers.collect());
        // this is long enough for all of them to connect
        tokio::time::sleep(Duration::from_millis(300)).await;
        siege
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// The pause of a stranger before it connects again. The strangers shall exhaust the places for connections, not the processor,
/// which both sides of this test share. Without a pause, honest peers would miss the time limit of a handshake on a loaded
/// machine.
const AWAY: Duration = Duration::from_millis(250);

async fn stand(master: SturdyRef, what: Stranger) {
    let address = master.addresses[0].clone();
    loop {
        stand_once(&master, &address, what).await;
        tokio::time::sleep(AWAY).await;
    }
}

async fn stand_once(master: &SturdyRef, address: &str, what: Stranger) {
    let mut buffer = [0; 512];
    match what {
        Stranger::Silent | Stranger::HalfHandshake => {
            let Ok(mut stream) = TcpStream::connect(address).await else { return };
            if let Stranger::HalfHandshake = what {
                // the header of a TLS record with a ClientHello, and the first bytes of that
                let _ = stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).await;
            }
            while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        }
        Stranger::NoCredential => {
            let Ok(mut secured) = vat::dial(master, None).await else { return };
            while secured.stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        }
    }
}

/// Strangers that take all places for connections keep nobody with a credential from logging in: their connections go first.
#[test]
fn who_has_a_credential_never_waits_behind_who_has_none() {
    many_files();
    for what in [Stranger::Silent, Stranger::HalfHandshake, Stranger::NoCredential] {
        for count in [64, 130, 500] {
            run(async {
                let house = House::open(PIPELINE).await;
                let siege = Siege::lay(&house, what, count).await;
                let begun = Instant::now();
                for _ in 0..3 {
                    let another = house.another_guild().await;
                    assert_eq!(another.projects().await.unwrap().len(), 1);
                }
                let logins = begun.elapsed() / 3;
                let begun = Instant::now();
                assert_eq!(house.guild.projects().await.unwrap().len(), 1, "who is in is not touched");
                println!("{count} {what:?}: a login {logins:?}, a call {:?}", begun.elapsed());
                drop(siege);
            });
        }
    }
}

#[test]
fn a_crowd_of_honest_peers_is_served_whole() {
    many_files();
    run(async {
        let house = House::open_with(PIPELINE, |config| config.limits.connections = 1000).await;
        let begun = Instant::now();
        let crowd = futures::future::join_all((0..200).map(|_| house.another_guild())).await;
        println!("200 logins at once: {:?}", begun.elapsed());
        for guild in &crowd {
            assert_eq!(guild.projects().await.unwrap().len(), 1);
        }
    });
}

/// 700 connections with a half-sent HTTP request do not delay the pages for others.
#[test]
fn pages_do_not_wait_behind_half_requests() {
    many_files();
    run(async {
        let house = House::open_with(PIPELINE, with_pages).await;
        let web = house.web.clone();
        let mut held = Vec::new();
        for _ in 0..700 {
            let mut stream = TcpStream::connect(&web).await.unwrap();
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: ").await;
            held.push(stream);
        }
        let begun = Instant::now();
        let page = http::get(&format!("http://{web}"), "/", &[]).await;
        println!("700 half requests: a page {:?}", begun.elapsed());
        assert_eq!(page.status, 200, "{}", page.text());
    });
}

/// A grant cannot have more open connections than the limit, so that its holder cannot use up the master's descriptors.
#[test]
fn a_grant_has_so_many_connections() {
    run(async {
        let house = House::open_with(PIPELINE, |config| config.limits.connections = 3).await;
        let looks = What { may: [Right::View].into(), projects: ["demo".to_owned()].into(), ..What::default() };
        let mallory = house.enroll(GrantKind::User, "mallory", looks.clone()).await;
        let mut held: Vec<Vat> = Vec::new();
        for _ in 0..3 {
            held.push(enter(&mallory).await.unwrap());
        }
        let refused = enter(&mallory).await.err().unwrap();
        assert!(refused.contains("3 open connections, and may have at most 3"), "{refused}");
        // a fourth connection with this credential is refused, until one of the three has closed
        let (vat, gateway) = dial(&mallory.0, &mallory.1).await;
        assert!(restore(&gateway, &mallory.0.token).await.is_err());
        held.pop();
        let begun = Instant::now();
        while let Err(refused) = restore(&gateway, &mallory.0.token).await {
            assert!(begun.elapsed() < Duration::from_secs(20), "{refused}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // the same credential once more, on a connection that has it, does not count as another connection
        restore(&gateway, &mallory.0.token).await.unwrap();
        drop(vat);
        // the limit of this grant does not touch others
        let ada = house.enroll(GrantKind::User, "ada", looks).await;
        assert!(enter(&ada).await.is_ok());
        assert_eq!(house.guild.projects().await.unwrap().len(), 1);
    });
}

/// The capabilities that a holder keeps count against one budget of its grant, together with the calls and answers of all its
/// connections. Each connection may hold 4,000, but four such connections exceed the budget.
#[test]
fn what_the_connections_of_a_grant_hold_is_counted_together() {
    run(async {
        let house = House::open(PIPELINE).await;
        until("the first build", || {
            let guild = house.guild.clone();
            Promise::from_future(async move { Ok(guild.build("demo", 1).await.is_ok()) })
        })
        .await;
        let looks = What { may: [Right::View].into(), projects: ["demo".to_owned()].into(), ..What::default() };
        let mallory = house.enroll(GrantKind::User, "mallory", looks.clone()).await;
        let mut held = Vec::new();
        for connection in 1..=4 {
            let (vat, mine) = perspective(&mallory.0, &mallory.1).await;
            held.push((vat, hold_builds(&mine, 4_000).await));
            let ended = held.iter().filter_map(|(vat, _)| vat.why_closed()).next();
            println!("{connection} connections of 4,000 capabilities each: {ended:?}");
            assert!(connection == 4 || ended.is_none(), "three of them are within the budget: {ended:?}");
        }
        let ended = futures::future::select_all(held.iter().map(|(vat, _)| Box::pin(vat.closed()))).await.0;
        assert!(ended.to_string().contains("of a budget that is spent"), "{ended}");
        let ada = house.enroll(GrantKind::User, "ada", looks).await;
        assert!(enter(&ada).await.is_ok(), "others are not touched");
    });
}

/// Asks for the first build `count` times, and returns the capabilities. There are fewer if the connection ends.
async fn hold_builds(of: &perspective::Client, count: usize) -> Vec<build::Client> {
    let viewer = of.viewer_request().send().pipeline.get_viewer();
    let mut held = Vec::new();
    while held.len() < count {
        let asked = (0..500).map(|_| {
            let mut request = viewer.build_request();
            request.get().set_project("demo");
            request.get().set_number(1);
            request.send().promise
        });
        let before = held.len();
        let answers = futures::future::join_all(asked).await;
        held.extend(answers.into_iter().flatten().filter_map(|answer| answer.get().ok()?.get_build().ok()));
        if held.len() == before {
            break;
        }
    }
    held
}

/// Connects and shows a credential. Returns the connection, or the text of the refusal.
async fn enter(credential: &(SturdyRef, Identity)) -> Result<Vat, String> {
    let (vat, gateway) = dial(&credential.0, &credential.1).await;
    restore(&gateway, &credential.0.token).await.map(|_| vat)
}

fn with_pages(config: &mut Config) {
    config.listen.web = Some("127.0.0.1:0".to_owned());
}

/// Raises the limit of open files, because both ends of each connection are in this process.
fn many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}
