//! Senders of webhook deliveries that are not signed, or whose bodies never end.

use super::PIPELINE;
use master::config::{HookConfig, HookKind};
use std::time::{Duration, Instant};
use support::guild::{House, run};
use support::http::{Answer, ask, signed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SECRET: &[u8] = b"a secret that nobody knows";
/// The largest body that a hook takes, in bytes.
const BODY_MAX: usize = 25 << 20;
/// The bodies that the master reads at once.
const AT_ONCE: usize = 8;
/// The deliveries that may wait until one of these bodies has been read.
const WAITING: usize = 32;

/// Opens a master whose project `demo` has a webhook for GitHub.
async fn house_with_hook() -> House {
    House::open_with(PIPELINE, |config| {
        let secret = config.state.join("../secret");
        std::fs::write(&secret, SECRET).unwrap();
        config.listen.web = Some("127.0.0.1:0".to_owned());
        let project = config.projects.get_mut("demo").unwrap();
        project.hook = Some(HookConfig { kind: HookKind::GitHub, secret_file: secret });
    })
    .await
}

/// Whether the master reads the body of a delivery with this signature before it answers.
fn is_read(signature: &str) -> bool {
    !signature.is_empty() && !signature.ends_with("nonsense")
}

async fn deliver(house: &House, name: &str, headers: &[&str], body: &[u8]) -> Answer {
    ask(&house.pages, "POST", &format!("/hook/{name}"), headers, body).await
}

/// A delivery without a right signature gets the same answer whether or not the project exists and has a hook.
#[test]
fn a_project_with_a_hook_is_not_told_from_one_without() {
    run(async {
        let house = house_with_hook().await;
        let digits = "ab".repeat(32);
        let signatures = [
            String::new(),
            "X-Hub-Signature-256: nonsense".to_owned(),
            format!("X-Hub-Signature-256: sha256={digits}"),
            format!("X-Gitea-Signature: {digits}"),
            format!("X-Guild-Signature: sha256={digits}"),
            "X-Gitlab-Token: guessed".to_owned(),
        ];
        for signature in &signatures {
            let headers: Vec<&str> = [signature.as_str()].into_iter().filter(|line| !line.is_empty()).collect();
            // a large body that the master does not read could not be written to its end
            let sizes: &[usize] = if is_read(signature) { &[0, 10, 1_100_000, BODY_MAX] } else { &[0, 10] };
            for size in sizes.iter().copied() {
                let body = vec![b' '; size];
                let (with, without) =
                    (deliver(&house, "demo", &headers, &body).await, deliver(&house, "none", &headers, &body).await);
                assert_eq!((with.status, &with.body), (404, &without.body), "{signature} {size}");
                assert_eq!(without.status, 404);
            }
        }
        let headers = [signatures[2].as_str()];
        let body = vec![b' '; BODY_MAX + 1];
        let (with, without) =
            (deliver(&house, "demo", &headers, &body).await, deliver(&house, "none", &headers, &body).await);
        assert_eq!((with.status, without.status, with.body == without.body), (413, 413, true));
        // with or without a hook, a delivery is not answered before the end of its body
        for name in ["demo", "none"] {
            let mut half = half_delivery(&house, name).await;
            let answer = tokio::time::timeout(Duration::from_millis(300), half.read_u8()).await;
            assert!(answer.is_err(), "{name} is answered at once");
        }
        let body = b"{}";
        let signature = format!("X-Hub-Signature-256: sha256={}", signed(SECRET, body));
        assert_eq!(deliver(&house, "demo", &[&signature], body).await.status, 200);
    });
}

/// Many unsigned bodies that never end take few places, and a signed delivery still gets one.
#[test]
fn bodies_of_nobody_hold_up_no_delivery_for_long() {
    run(async {
        let house = house_with_hook().await;
        let mut halves = Vec::new();
        for _ in 0..AT_ONCE + WAITING + 20 {
            halves.push(half_delivery(&house, "demo").await);
        }
        let heads = halves.iter_mut().map(|half| async {
            let mut head = vec![0; 512];
            let read = tokio::time::timeout(Duration::from_millis(2_500), half.read(&mut head)).await;
            read.ok().map(|read| String::from_utf8_lossy(&head[..read.unwrap()]).to_ascii_lowercase())
        });
        let heads = futures::future::join_all(heads).await;
        let (turned_away, late): (Vec<&String>, Vec<&String>) =
            heads.iter().flatten().partition(|head| head.starts_with("http/1.1 503"));
        assert_eq!(turned_away.len(), 20, "as many as may wait do");
        assert!(turned_away.iter().all(|head| head.contains("retry-after: 10")));
        assert!(late.iter().all(|head| head.starts_with("http/1.1 408")));
        assert!(late.len() >= AT_ONCE, "who sends nothing gives its place to one who waits");
        let (began, body) = (Instant::now(), b"{}");
        let signature = format!("X-Hub-Signature-256: sha256={}", signed(SECRET, body));
        while deliver(&house, "demo", &[&signature], body).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(began.elapsed() < Duration::from_secs(30), "it is never taken in");
        }
        println!("beside {} half bodies: a delivery is taken in after {:?}", halves.len(), began.elapsed());
    });
}

/// Sends the head of a delivery, with a signature of the right form, and only the beginning of its body.
async fn half_delivery(house: &House, name: &str) -> TcpStream {
    let host = house.pages.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let signature = format!("X-Hub-Signature-256: sha256={}", "ab".repeat(32));
    let head =
        format!("POST /hook/{name} HTTP/1.1\r\nHost: {host}\r\n{signature}\r\nContent-Length: 1000000\r\n\r\n0123");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}
