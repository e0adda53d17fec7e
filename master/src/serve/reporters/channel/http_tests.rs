//! The addresses to which requests may go, and answers that are too large, too slow or broken.

use super::*;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

#[test]
fn private_addresses_are_told_from_public_ones() {
    let private = [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.31.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "198.18.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:a00:1::1",
        "2001:db8::1",
        "::127.0.0.1",
    ];
    let public = ["1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"];
    for (list, expected) in [(&private[..], true), (&public[..], false)] {
        list.iter().for_each(|text| assert_eq!(is_private(text.parse().unwrap()), expected, "{text}"));
    }
}

#[test]
fn a_name_leads_into_a_private_network_only_where_the_file_says_so() {
    let (inner, outer) = ("10.1.2.3:443".parse().unwrap(), "1.1.1.1:443".parse().unwrap());
    assert_eq!(allowed("chat.example", false, &[inner, outer]), Ok(vec![outer]));
    assert_eq!(allowed("chat.example", true, &[inner]), Ok(vec![inner]));
    assert_eq!(allowed("10.1.2.3", false, &[inner]), Ok(vec![inner]), "the file names it");
    let refused = allowed("chat.example", false, &[inner]).unwrap_err();
    assert!(refused.starts_with("chat.example leads to 10.1.2.3, a private address"), "{refused}");
    assert!(allowed("chat.example", false, &[]).is_err());
}

/// A look-up of a name must not use a blocking thread, because a runtime waits for those when it ends.
#[test]
fn a_name_is_looked_up_without_a_blocking_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || released.recv());
    let target = PostTarget { uri: "http://localhost:7/".parse().unwrap(), may_be_private: false };
    let found = runtime.block_on(async { tokio::time::timeout(DEADLINE, addresses(&target)).await });
    drop(release);
    assert!(found.expect("no thread is waited for").unwrap().iter().all(|address| address.port() == 7));
}

#[test]
fn an_address_without_a_path_is_sent_with_one() {
    let sent = |uri: &str| request(&uri.parse().unwrap(), &[], b"{}").map(|request| request.uri().to_string());
    assert_eq!(sent("https://chat.example.org?token=x"), Ok("/?token=x".to_owned()));
    assert_eq!(sent("https://chat.example.org"), Ok("/".to_owned()));
    assert_eq!(sent("https://chat.example.org/hooks?token=x"), Ok("/hooks?token=x".to_owned()));
}

fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn neither_family_waits_for_all_of_the_other() {
    let found = sockets(&["[2600::1]:1", "[2600::2]:1", "[2600::3]:1", "1.1.1.1:1", "1.1.1.2:1"]);
    let tried = sockets(&["[2600::1]:1", "1.1.1.1:1", "[2600::2]:1", "1.1.1.2:1", "[2600::3]:1"]);
    assert_eq!(alternating(found), tried);
    let found = sockets(&["1.1.1.1:1", "1.1.1.2:1", "[2600::1]:1"]);
    assert_eq!(alternating(found), sockets(&["1.1.1.1:1", "[2600::1]:1", "1.1.1.2:1"]));
    assert_eq!(alternating(Vec::new()), []);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_swallows_everything_leaves_time_for_the_next() {
    let connect = async |address: SocketAddr| match address.port() {
        1 => std::future::pending().await,
        2 => Err(io::Error::other("refused")),
        port => Ok(port),
    };
    let (all, begun) = (sockets(&["[2600::1]:1", "[2600::1]:2", "1.1.1.1:3"]), tokio::time::Instant::now());
    assert_eq!(first_that_answers(all.clone(), connect).await, Ok(3));
    assert!(begun.elapsed() < DEADLINE / 2);
    assert_eq!(first_that_answers(all[..2].to_vec(), connect).await, Err("refused".to_owned()));
    let swallowed = first_that_answers(all[..1].to_vec(), connect).await;
    assert_eq!(swallowed, Err("2600::1 gave no answer within 5 s".to_owned()));
}

/// Serves these bytes as the answer to one request. Returns the answer as the product reads it.
async fn answered(reply: impl Into<Vec<u8>>) -> Result<PostAnswer, String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/in?x=1", listener.local_addr().unwrap()).parse().unwrap();
    let reply = reply.into();
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut heard = [0; 4096];
        let count = stream.read(&mut heard).unwrap();
        // a client that has read enough closes early
        let _ = stream.write_all(&reply);
        String::from_utf8_lossy(&heard[..count]).into_owned()
    });
    let answer = post(&PostTarget { uri, may_be_private: false }, &[("webhook-id", "7".to_owned())], b"{}").await;
    let heard = server.join().unwrap();
    assert!(heard.starts_with("POST /in?x=1 HTTP/1.1\r\n") && heard.contains("webhook-id: 7\r\n"), "{heard}");
    answer
}

#[tokio::test]
async fn an_answer_is_bounded_and_no_redirect_is_followed() {
    let answer = answered("HTTP/1.1 500 No\r\ncontent-length: 4\r\n\r\nbusy").await.unwrap();
    assert_eq!((answer.status, answer.text.as_str()), (500, "busy"));
    let moved = answered("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(moved.unwrap().status, 302);
    let endless = format!("HTTP/1.1 500 No\r\n\r\n{}", "x".repeat(1 << 20));
    assert_eq!(answered(endless).await.unwrap().text.len(), BODY_BYTES_MAX);
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    assert!(answered(head).await.unwrap_err().starts_with("the connection failed: "));
    assert!(answered("").await.is_err());
}

/// Serves a head and a part of the body, and keeps the connection open until the client closes it. Returns the answer.
async fn answered_in_part(reply: &'static str) -> PostAnswer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        // the request must be read first, because an earlier answer would end the connection
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream.write_all(reply.as_bytes()).unwrap();
        // reads the rest of the request until the end of the connection
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let answer = post(&PostTarget { uri, may_be_private: false }, &[], b"{}").await.unwrap();
    server.join().unwrap();
    answer
}

#[tokio::test]
async fn a_status_counts_although_its_body_never_ends() {
    let taken = answered_in_part("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfine").await;
    assert_eq!((taken.status, taken.text.as_str()), (200, ""));
    let refused = answered_in_part("HTTP/1.1 503 No\r\ncontent-length: 9\r\n\r\nbusy").await;
    assert_eq!((refused.status, refused.text.as_str()), (503, "busy"));
}

#[tokio::test]
async fn whoever_cannot_prove_its_name_gets_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let server = std::thread::spawn(move || {
        listener.accept().map(|(mut stream, _)| stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"))
    });
    let refused = post(&PostTarget { uri, may_be_private: false }, &[], b"{}").await.unwrap_err();
    assert!(refused.starts_with("failed to set up TLS with 127.0.0.1: "), "{refused}");
    server.join().unwrap().unwrap().unwrap();
}
