//! The time of each page with many builds in the store, and how much longer calls of RPC take while others read pages.

use super::Bench;
use super::history::{REAL, multiply};
use crate::figures::{at, sorted};
use crate::lab::{Lab, PROJECT, one_job};
use client::BuildQuery;
use serde_json::json;
use std::net::TcpListener;
use std::time::{Duration, Instant};
use support::http::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ASKED: usize = 60;
/// The number of readers of a log who take 1 KiB every 50 ms.
const SLOW_READERS: usize = 100;
const CALLS: usize = 1_000;

pub async fn measure(bench: &Bench<'_>) {
    let sizes = if bench.quick { &[REAL, 20_000][..] } else { &[REAL, 100_000, 1_000_000] };
    let mut lab = Lab::open(bench.bin, &one_job("seq 300000"), &[4]).await;
    lab.burst(REAL).await;
    lab.stop_all();
    let site = publish(&lab);
    for size in sizes.iter().copied() {
        let builds = multiply(&lab.path("m/guild.db"), size / REAL);
        lab.start_master().await;
        first_bytes(bench, &site, builds).await;
        if size == sizes[sizes.len() - 1] {
            beside_readers(bench, &lab, &site, builds).await;
        }
        lab.stop_all();
    }
}

/// Makes the project's pages public from the master's next start on. Returns the address of the pages.
fn publish(lab: &Lab) -> String {
    change_file(lab, |text| text.replace("branches = []\n", "branches = []\npublic = true\n"));
    serve_pages(lab)
}

/// Makes the master serve pages from its next start on. Returns their address.
pub fn serve_pages(lab: &Lab) -> String {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    change_file(lab, |text| text.replace("[listen]\n", &format!("[listen]\nweb = \"127.0.0.1:{port}\"\n")));
    format!("http://127.0.0.1:{port}")
}

fn change_file(lab: &Lab, change: impl Fn(&str) -> String) {
    let file = lab.path("m/master.toml");
    let text = std::fs::read_to_string(&file).expect("the master file");
    std::fs::write(&file, change(&text)).expect("the master file");
}

async fn first_bytes(bench: &Bench<'_>, site: &str, builds: usize) {
    let middle = builds / 2;
    let pages = [
        ("home", "/".to_owned()),
        ("project", format!("/p/{PROJECT}")),
        ("older", format!("/p/{PROJECT}?before={middle}")),
        ("build", format!("/p/{PROJECT}/{middle}")),
        ("job", format!("/p/{PROJECT}/{middle}/run")),
        ("step", format!("/p/{PROJECT}/1/run/1?first=150000")),
        ("queue", "/queue".to_owned()),
    ];
    for (name, path) in pages {
        let mut times = Vec::new();
        for _ in 0..ASKED {
            let began = Instant::now();
            let answer = get(site, &path, &[]).await;
            times.push(began.elapsed().as_secs_f64());
            assert_eq!(answer.status, 200, "{path}");
        }
        bench.figures.tell_ms(&format!("page_{name}"), &times, &json!({"builds": builds}));
    }
}

/// Times the same calls twice: alone, and while a crawler and slow readers are busy.
async fn beside_readers(bench: &Bench<'_>, lab: &Lab, site: &str, builds: usize) {
    let alone = calls(lab).await;
    let crawler = tokio::task::spawn_local(crawl(site.to_owned(), builds));
    let slow: Vec<_> = (0..SLOW_READERS).map(|_| tokio::task::spawn_local(read_slowly(site.to_owned()))).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let beside = calls(lab).await;
    crawler.abort();
    slow.iter().for_each(tokio::task::JoinHandle::abort);
    let p99 = |times: &[f64]| at(&sorted(times.to_vec()), 0.99) * 1e3;
    let detail =
        json!({"alone_ms": p99(&alone), "beside_ms": p99(&beside), "slow_readers": SLOW_READERS, "builds": builds});
    bench.figures.tell("pages_rpc_p99_moved", p99(&beside) - p99(&alone), "ms", CALLS, detail);
}

async fn calls(lab: &Lab) -> Vec<f64> {
    let newest = BuildQuery { project: PROJECT.to_owned(), limit: 10, ..BuildQuery::default() };
    let mut times = Vec::new();
    for _ in 0..CALLS {
        let began = Instant::now();
        lab.guild.builds(&newest).await.expect("a list");
        times.push(began.elapsed().as_secs_f64());
        // the pause keeps these calls from being a load of their own
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    times
}

/// Reads one page after the other without a pause.
async fn crawl(site: String, builds: usize) {
    for number in (1..=builds).rev().cycle() {
        for path in [format!("/p/{PROJECT}/{number}"), format!("/p/{PROJECT}?before={number}"), "/".to_owned()] {
            drop(get(&site, &path, &[]).await);
        }
    }
}

async fn read_slowly(site: String) {
    let host = site.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&host).await.expect("a connection");
    let request = format!("GET /p/{PROJECT}/1/run/1/raw HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut some = [0; 1024];
    while stream.read(&mut some).await.is_ok_and(|count| count > 0) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
