//! Strangers, and peers with too many connections, at the door.

use master::config::Config;
use schema::identity::Identity;
use schema::sturdy_ref::{SturdyRef, Token};
use schema::values::{GrantKind, Right, What};
use schema::vat::{self, Vat};
use std::time::{Duration, Instant};
use support::guild::{House, dial, restore, run};
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

async fn stand(master: SturdyRef, what: Stranger) {
    let address = master.addresses[0].clone();
    loop {
        let mut buffer = [0; 512];
        match what {
            Stranger::Silent | Stranger::HalfHandshake => {
                let Ok(mut stream) = TcpStream::connect(&address).await else { continue };
                if let Stranger::HalfHandshake = what {
                    // the head of a record that holds a ClientHello, and a little of that
                    let _ = stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).await;
                }
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
            }
            Stranger::NoCredential => {
                let Ok(mut secured) = vat::dial(&master, None).await else { continue };
                while secured.stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
            }
        }
    }
}

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
        assert!(refused.contains("3 connections open already, and 3 are allowed"), "{refused}");
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
