//! Strangers, and peers with too many connections, at the door.

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

/// What a stranger does with a connection, before it says nothing more.
#[derive(Clone, Copy, Debug)]
enum Stranger {
    Silent,
    HalfHandshake,
    NoCredential,
}

/// Strangers who come back when they are sent away, until this is dropped.
struct Siege(Vec<JoinHandle<()>>);

impl Siege {
    async fn lay(house: &House, what: Stranger, count: usize) -> Siege {
        let master = SturdyRef { token: Token::random(), ..house.operator().0.clone() };
        let strangers = (0..count).map(|_| tokio::task::spawn_local(stand(master.clone(), what)));
        let siege = Siege(strangers.collect());
        // until all have come
        tokio::time::sleep(Duration::from_millis(300)).await;
        siege
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// How long a stranger that was sent away stays away. The siege is one of places, which stay taken and waited for meanwhile.
/// Without a pause it would be one of the processor that both sides of this test share, and whoever comes would miss the time of
/// a handshake on a loaded machine.
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
                // the head of a record that holds a ClientHello, and a little of that
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

/// Case H6 of the hostile peers.
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

/// Case M14 of the hostile peers.
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

/// Case M9 of the hostile peers.
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
        // the same credential again on a connection that has it is no further one
        let (vat, gateway) = dial(&mallory.0, &mallory.1).await;
        assert!(restore(&gateway, &mallory.0.token).await.is_err());
        held.pop();
        let begun = Instant::now();
        while let Err(refused) = restore(&gateway, &mallory.0.token).await {
            assert!(begun.elapsed() < Duration::from_secs(20), "{refused}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        restore(&gateway, &mallory.0.token).await.unwrap();
        drop(vat);
        // others are not touched
        let ada = house.enroll(GrantKind::User, "ada", looks).await;
        assert!(enter(&ada).await.is_ok());
        assert_eq!(house.guild.projects().await.unwrap().len(), 1);
    });
}

/// Point 3 of the hostile peers, a relative: capabilities, as those of open logs, are counted with the calls and answers of all
/// connections of a grant. 4,000 of a connection are allowed, and of four connections they are more than a grant may keep.
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

/// The first build, this many times, or fewer if the connection ends.
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

/// A connection on which a credential was shown, or the refusal's words.
async fn enter(credential: &(SturdyRef, Identity)) -> Result<Vat, String> {
    let (vat, gateway) = dial(&credential.0, &credential.1).await;
    restore(&gateway, &credential.0.token).await.map(|_| vat)
}

fn with_pages(config: &mut Config) {
    config.listen.web = Some("127.0.0.1:0".to_owned());
}

/// Both ends of each connection are of this process.
fn many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}
