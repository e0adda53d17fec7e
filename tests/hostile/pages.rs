//! Tests of pages with hostile texts, and of requests that the pages must refuse.

use master::config::Config;
use schema::shown::{Face, face};
use schema::sturdy_ref::Token;
use schema::values::{Exit, Outcome};
use schema::wire;
use support::guild::{House, report, run};
use support::http::{ask, get};

const PIPELINE: &str = "version = 1\n[job.greet]\nrun = \"echo hello\"\n";
/// A text that would set a terminal's clipboard, forge a line, and reverse the direction of text.
const HOSTILE: &str = "\u{1b}]52;c;UFdO\u{7}\u{1b}[2J\nforged\u{9b}2J\u{202e}\u{2066}\u{200b}\u{2028}end";

fn public(config: &mut Config) {
    config.listen.web = Some("127.0.0.1:0".to_owned());
    config.projects.get_mut("demo").unwrap().public = true;
}

/// Escapes and invisible characters from a worker or a commit never reach a page as they are.
#[test]
fn a_page_shows_nothing_that_turns_or_hides_text() {
    run(async {
        let house = House::open_with(PIPELINE, public).await;
        let worker = house.worker("anvil").await;
        let (_, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        let step = report(&lease);
        step.started_request().send().promise.await.unwrap();
        let log = format!("{HOSTILE}\n");
        let mut request = step.log_request().send().pipeline.get_sink().write_request();
        request.get().set_bytes(log.as_bytes());
        request.send().promise.await.unwrap();
        let mut request = step.finished_request();
        request.get().set_outcome(wire::outcome_to_wire(Some(Outcome::Failed)));
        request.get().set_log_size(log.len() as u64);
        request.get().set_log_hash(blake3::hash(log.as_bytes()).as_bytes());
        wire::write_exit(request.get().init_exit(), &Exit::Lost(HOSTILE.to_owned()));
        request.send().promise.await.unwrap();
        let mut request = lease.complete_request();
        request.get().set_outcome(wire::outcome_to_wire(Some(Outcome::Failed)));
        request.get().set_reason(HOSTILE);
        request.send().promise.await.unwrap();
        house.guild.outcome("demo", 1).await.unwrap();
        house.repo.git(&["commit", "-q", "--allow-empty", "-m", HOSTILE]);
        house.guild.run("demo", "main", "").await.unwrap();
        for path in ["/", "/p/demo", "/p/demo/1", "/p/demo/2", "/p/demo/1/greet", "/p/demo/1/greet/1", "/queue"] {
            let page = get(&house.pages, path, &[]).await;
            let html = page.text();
            assert_eq!(page.status, 200, "{path}: {html}");
            let found = html.chars().find(|c| !matches!(c, '\n' | '\t') && face(*c) != Face::Itself);
            assert_eq!(found, None, "{path}: {html:?}");
        }
        let job = get(&house.pages, "/p/demo/1/greet", &[]).await.text();
        assert!(job.contains("lost:  ]52;c;UFdO  [2J forged 2J⟨U+202E⟩⟨U+2066⟩⟨U+200B⟩⟨U+2028⟩end"), "{job}");
        // the raw log has the bytes unchanged
        assert_eq!(get(&house.pages, "/p/demo/1/greet/1/raw", &[]).await.body, log.as_bytes());
    });
}

/// A page that was asked for with a cookie is never kept in a cache, because it may show what others must not see.
#[test]
fn what_somebody_sees_by_a_cookie_is_kept_nowhere() {
    run(async {
        let house = House::open_with(PIPELINE, public).await;
        let worker = house.worker("anvil").await;
        let (_, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        support::guild::work(&lease, b"hello\n", Outcome::Succeeded).await;
        house.guild.outcome("demo", 1).await.unwrap();
        let cookie = format!("Cookie: guild={}", Token::random().reveal());
        let paths = [
            "/",
            "/p/demo",
            "/p/demo/1/greet/1",
            "/p/demo/1/greet/1/raw",
            "/badge/demo/main.svg",
            "/p/none",
            "/workers",
        ];
        for path in paths {
            let mine = get(&house.pages, path, &[&cookie]).await;
            assert_eq!((mine.header("cache-control"), mine.header("etag")), ("private, no-store", ""), "{path}");
            let everyones = get(&house.pages, path, &[]).await;
            assert_ne!(everyones.header("cache-control"), "", "{path}");
            assert_eq!(everyones.status, mine.status, "{path}");
        }
        let home = get(&house.pages, "/", &[]).await;
        assert_eq!((home.header("cache-control"), home.header("vary")), ("no-cache", "cookie"));
        // the style sheet is the same for everybody, so caches may keep it
        let style = home.text().split("href=\"").find_map(|rest| rest.strip_prefix("/style-")).unwrap().to_owned();
        let style = format!("/style-{}", style.split('"').next().unwrap());
        assert!(get(&house.pages, &style, &[&cookie]).await.header("cache-control").starts_with("public"));
    });
}

/// The pages refuse a request with two `Host` headers or another host, and a form whose `Origin` is not the site.
#[test]
fn a_request_is_meant_for_one_site_and_a_form_comes_from_it() {
    run(async {
        let house = House::open_with(PIPELINE, public).await;
        let host = house.pages.strip_prefix("http://").unwrap();
        let (ours, evil) = (format!("Host: {host}"), "Host: evil.example".to_owned());
        for hosts in [[&ours, &ours], [&ours, &evil], [&evil, &ours]] {
            let answer = get(&house.pages, "/", &hosts.map(String::as_str)).await;
            assert_eq!(answer.status, 400, "{hosts:?}");
        }
        assert_eq!(get(&house.pages, "http://evil.example/", &[&ours]).await.status, 421);
        assert_eq!(get(&house.pages, "/", &[&ours]).await.status, 200);
        let cookie = format!("Cookie: guild={}", Token::random().reveal());
        for (origins, status) in [
            (vec![format!("Origin: http://{host}")], 303),
            (vec![format!("Origin: https://{host}")], 403),
            (vec![format!("Origin: ftp://{host}")], 403),
            (vec!["Origin: null".to_owned()], 403),
            (vec![format!("Origin: http://{host}"), "Origin: http://evil.example".to_owned()], 403),
            (vec![], 403),
        ] {
            let lines: Vec<&str> = origins.iter().map(String::as_str).chain([cookie.as_str()]).collect();
            let answer = ask(&house.pages, "POST", "/logout", &lines, b"").await;
            assert_eq!(answer.status, status, "{origins:?}");
        }
    });
}
