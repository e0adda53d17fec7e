//! The pages, as strangers, logged-in browsers and build monitors get them, and with hostile texts. `tests/flows/pages` looks at
//! them in a real browser.

use client::{BuildQuery, Error, NewGrant};
use master::config::{Config, HookConfig, HookKind};
use schema::sturdy_ref::Token;
use schema::values::{GrantKind, Outcome, Right, What};
use std::time::Duration;
use support::guild::{House, dial, run, work};
use support::http::{Answer, ask, get, press, signed};

const PIPELINE: &str = "version = 1\n[job.greet]\n[[job.greet.step]]\nname = \"<i>hello</i>\"\nrun = \"echo hello\"\n";
/// A hostile text, which the test puts into a subject, an author's name, a branch and a log.
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";

fn with_pages(config: &mut Config) {
    config.listen.web = Some("127.0.0.1:0".to_owned());
}

fn public(config: &mut Config) {
    with_pages(config);
    config.projects.get_mut("demo").unwrap().public = true;
}

/// Finishes the first build with this log and this outcome.
async fn built(house: &House, log: &[u8], outcome: Outcome) {
    let worker = house.worker("anvil").await;
    let (_, lease) = worker.take().await;
    lease.accept_request().send().promise.await.unwrap();
    work(&lease, log, outcome).await;
    house.guild.outcome("demo", 1).await.unwrap();
}

fn assert_guarded(answer: &Answer) {
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("script-src"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[test]
fn everyone_sees_what_is_public_and_nothing_else() {
    run(async {
        let house = House::open_with(PIPELINE, with_pages).await;
        built(&house, b"hello\n", Outcome::Succeeded).await;
        let home = get(&house.pages, "/", &[]).await;
        assert_eq!(home.status, 200);
        assert!(!home.text().contains("demo") && home.text().contains("guild open --login"));
        // nobody can tell a hidden page from one that does not exist
        let unseen = [
            "/p/demo",
            "/p/demo/1",
            "/p/demo/1/greet",
            "/p/demo/1/greet/1",
            "/p/demo/1/greet/1/raw",
            "/badge/demo/main.svg",
        ];
        for path in unseen.into_iter().chain(["/workers"]) {
            let (seen, none) =
                (get(&house.pages, path, &[]).await, get(&house.pages, &path.replace("demo", "none"), &[]).await);
            assert_eq!((seen.status, &seen.body), (404, &none.body), "{path}");
            assert_guarded(&seen);
        }

        let house = House::open_with(PIPELINE, public).await;
        built(&house, b"hello\n", Outcome::Succeeded).await;
        for path in unseen.into_iter().chain(["/", "/queue", "/healthz", "/readyz", "/metrics", "/icon.svg"]) {
            let page = get(&house.pages, path, &[]).await;
            assert_eq!(page.status, 200, "{path}: {}", page.text());
            assert_guarded(&page);
        }
        assert_eq!(get(&house.pages, "/workers", &[]).await.status, 404, "workers belong to no project");
    });
}

/// `/metrics` has every metric that `docs/metrics.md` lists, and names projects only if the master file asks for that.
#[test]
fn the_metrics_are_those_of_their_page() {
    run(async {
        let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
        let list = document.split("## All metrics").nth(1).unwrap();
        let listed: Vec<&str> = list.split('`').filter(|word| word.starts_with("guild_")).collect();
        assert!(listed.len() > 30, "{listed:?}");
        for is_named in [false, true] {
            let open: fn(&mut Config) = if is_named { named } else { public };
            let house = House::open_with(PIPELINE, open).await;
            built(&house, b"hello\n", Outcome::Failed).await;
            // a connected worker, because the metrics count the slots of those
            let _connected = house.worker("bellows").await;
            assert_eq!(get(&house.pages, "/login/nothing", &[]).await.status, 404);
            assert_eq!(ask(&house.pages, "POST", "/hook/demo", &[], b"{}").await.status, 404);
            let (mut stranger, key) = house.enroll(GrantKind::Changes, "hook", view_of("demo")).await;
            stranger.token = Token::random();
            client::Guild::connect(stranger, key.into()).await.err().expect("nobody has this credential");
            let text = get(&house.pages, "/metrics", &[]).await.text();
            for name in &listed {
                let is_told = text.lines().any(|line| line.starts_with(name) || line.contains(&format!(" {name} ")));
                let is_of_names = *name == "guild_repository_look_age_seconds";
                // a metric without any value has only its help line
                let has_help = text.contains(&format!("# HELP {} ", name.trim_end_matches("_total")));
                assert!(is_told || has_help || (is_of_names && !is_named), "{name} is not told:\n{text}");
            }
            let finished = text.lines().find(|line| line.starts_with("guild_jobs_finished_total{")).unwrap();
            assert!(finished.contains("outcome=\"failed\"") && finished.ends_with(" 1"), "{finished}");
            assert_eq!(text.contains("demo"), is_named, "{text}");
            // the name of a pool can reveal a project
            assert_eq!(text.contains("pool="), is_named, "{text}");
            assert!(text.contains("guild_rpc_logins_refused_total 1"), "{text}");
            assert!(text.contains("guild_job_run_seconds_count 1") && text.ends_with("# EOF\n"), "{text}");
        }
    });
}

fn named(config: &mut Config) {
    public(config);
    config.listen.metrics_name_projects = true;
}

#[test]
fn what_others_wrote_is_text() {
    run(async {
        let house = House::open_with(PIPELINE, public).await;
        let worker = house.worker("anvil").await;
        let log = format!("{HOSTILE}\n\x1b[31m{HOSTILE}\x1b[0m\x1b]8;;javascript:alert(3)\x07link\x1b]8;;\x07\n");
        let (_, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        work(&lease, log.as_bytes(), Outcome::Failed).await;
        let branch = "<b>&'";
        house.repo.git(&["-c", &format!("user.name={HOSTILE}"), "commit", "-q", "--allow-empty", "-m", HOSTILE]);
        house.repo.git(&["branch", branch]);
        house.guild.run("demo", branch, "").await.unwrap();
        let (_, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        work(&lease, log.as_bytes(), Outcome::Failed).await;
        for path in [
            "/",
            "/p/demo",
            "/p/demo?branch=%3Cb%3E%26%27",
            "/p/demo/2",
            "/p/demo/2/greet",
            "/p/demo/2/greet/1",
            "/badge/demo/%3Cb%3E%26%27.svg",
        ] {
            let page = get(&house.pages, path, &[]).await;
            let html = page.text();
            assert_eq!(page.status, 200, "{path}: {html}");
            let found = ["<script", "<img src=x", "<b>&", "<i>hello", "javascript:"]
                .into_iter()
                .find(|word| html.contains(word));
            assert_eq!(found, None, "{path}: {html}");
        }
        let job = get(&house.pages, "/p/demo/2/greet", &[]).await.text();
        assert!(job.contains("&lt;script&gt;alert(1)"), "the log is there: {job}");
        let raw = get(&house.pages, "/p/demo/2/greet/1/raw", &[]).await;
        assert_eq!((raw.body.as_slice(), raw.header("content-type")), (log.as_bytes(), "text/plain; charset=utf-8"));
    });
}

/// The title of a build's page shows its state, so that a person sees it in another tab. The commit is a link to the forge (S4.7 and
/// S4.8 in `tests/cases.tsv`).
#[test]
fn a_build_shows_its_state_in_the_tab_and_links_to_its_commit() {
    run(async {
        let with_forge = |config: &mut Config| {
            public(config);
            let demo = config.projects.get_mut("demo").expect("the project of the house");
            demo.commit_url = Some("https://git.example.org/demo/commit/{commit}".to_owned());
        };
        let house = House::open_with(PIPELINE, with_forge).await;
        let worker = house.worker("anvil").await;
        let (_, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        let running = get(&house.pages, "/p/demo/1", &[]).await.text();
        assert!(running.contains("<title>◐ demo/1 running · Guild</title>"), "{running}");
        assert!(running.contains("/icon/running.svg") && running.contains("Running for"), "{running}");

        work(&lease, b"hello\n", Outcome::Failed).await;
        house.guild.outcome("demo", 1).await.unwrap();
        let finished = house.guild.build("demo", 1).await.unwrap();
        let page = get(&house.pages, "/p/demo/1", &[]).await.text();
        assert!(page.contains("<title>✗ demo/1 failed · Guild</title>") && page.contains("/icon/bad.svg"), "{page}");
        let link = format!("href=\"https://git.example.org/demo/commit/{}\"", finished.revision);
        assert!(page.contains(&link) && page.contains("<dt>Took</dt>"), "{page}");
        for (path, status) in [("/icon/bad.svg", 200), ("/icon/none.svg", 404), ("/icon/bad", 404)] {
            assert_eq!(get(&house.pages, path, &[]).await.status, status, "{path}");
        }
    });
}

/// The page of a job shows the end of its log first. Earlier lines are folded, and are still in the page (S4.4 in `tests/cases.tsv`).
#[test]
fn the_page_of_a_job_shows_the_end_of_its_log_first() {
    run(async {
        let house = House::open_with(PIPELINE, public).await;
        let log: Vec<u8> = (1..=150).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
        built(&house, &log, Outcome::Failed).await;
        let page = get(&house.pages, "/p/demo/1/greet", &[]).await.text();
        let folded = page.find("<details class=\"folded\">").expect("a fold");
        let end = folded + page[folded..].find("</details>").expect("its end");
        let at = |line: &str| page.find(&format!("<span>{line}</span>")).unwrap_or_else(|| panic!("{line} in {page}"));
        assert!((folded..end).contains(&at("line 1")) && (folded..end).contains(&at("line 110")), "{page}");
        assert!(at("line 111") > end && at("line 150") > end, "{page}");
    });
}

/// The page of a waiting job says how to get it placed. The page of a job with several attempts lists them (T5.3 and T7.5 in
/// `tests/cases.tsv`).
#[test]
fn the_page_of_a_job_says_what_to_do_and_lists_its_attempts() {
    run(async {
        let house = House::open_with(PIPELINE, public).await;
        let page = async || get(&house.pages, "/p/demo/1/greet", &[]).await.text();
        let waits = async || page().await.contains("<h2>How to get it placed</h2>");
        while !waits().await {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let shown = page().await;
        assert!(shown.contains("<code>guild grant issue --kind worker"), "{shown}");
        assert!(!shown.contains("<h2>Attempts</h2>"), "{shown}");
        // the second attempt runs on another worker
        for (worker, outcome) in [("anvil", Outcome::Errored), ("bellows", Outcome::Succeeded)] {
            let worker = house.worker(worker).await;
            let (_, lease) = worker.take().await;
            lease.accept_request().send().promise.await.unwrap();
            work(&lease, b"hello\n", outcome).await;
        }
        let home = get(&house.pages, "/", &[]).await.text();
        assert!(home.contains("Latest builds, the newest first"), "S4.2, as the columns of the project's page: {home}");
        let shown = page().await;
        assert!(!shown.contains("How to get it placed"), "{shown}");
        let list = shown.split("<h2>Attempts</h2>").nth(1).expect("a list of attempts");
        for word in ["anvil", "errored", "bellows", "succeeded", "guild logs demo/1/greet --attempt 1"] {
            assert!(list.contains(word), "{word} is not in {list}");
        }
    });
}

#[test]
fn a_raw_log_comes_in_parts() {
    run(async {
        let house = House::open_with(PIPELINE, public).await;
        let log: Vec<u8> = (0..90_000).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
        built(&house, &log, Outcome::Succeeded).await;
        let path = "/p/demo/1/greet/1/raw";
        let whole = get(&house.pages, path, &[]).await;
        assert_eq!((whole.status, whole.header("accept-ranges")), (200, "bytes"));
        assert!(whole.body == log, "every byte");
        let part = get(&house.pages, path, &["Range: bytes=300000-899999"]).await;
        assert_eq!(part.status, 206);
        assert!(part.body == log[300_000..900_000]);
        assert_eq!(part.header("content-range"), format!("bytes 300000-899999/{}", log.len()));
        let end = get(&house.pages, path, &["Range: bytes=-5"]).await;
        assert_eq!(end.body, log[log.len() - 5..]);
        let none = get(&house.pages, path, &[&format!("Range: bytes={}-", log.len())]).await;
        assert_eq!((none.status, none.header("content-range").to_owned()), (416, format!("bytes */{}", log.len())));
        // a page shows lines from a given number on, or else the last lines
        let lines = get(&house.pages, "/p/demo/1/greet/1?first=50000", &[]).await.text();
        assert!(lines.contains("id=\"L50000\"") && lines.contains("line 49999<") && lines.contains("id=\"L50499\""));
        assert!(!lines.contains("id=\"L49999\"") && !lines.contains("id=\"L50500\""));
        let last = get(&house.pages, "/p/demo/1/greet/1", &[]).await.text();
        assert!(last.contains("id=\"L90000\"") && last.contains("line 89999<") && !last.contains("id=\"L89500\""));
    });
}

#[test]
fn a_browser_logs_in_once_and_its_login_dies_with_its_grant() {
    run(async {
        let house = House::open_with(PIPELINE, with_pages).await;
        built(&house, b"hello\n", Outcome::Succeeded).await;
        let address = house.guild.browse().await.unwrap();
        let path = address.strip_prefix(&house.pages).expect("an address of the pages");
        let shown = get(&house.pages, path, &[]).await;
        assert!(shown.status == 200 && shown.text().contains("Log this browser in"), "{}", shown.text());
        assert_guarded(&shown);
        let logged_in = press(&house.pages, path).await;
        assert_eq!((logged_in.status, logged_in.header("location")), (303, "/"));
        let cookie = logged_in.header("set-cookie").to_owned();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        assert_eq!(press(&house.pages, path).await.status, 404, "once");
        let cookie = format!("Cookie: other=1; {}", cookie.split(';').next().unwrap());
        for path in ["/p/demo/1/greet", "/workers", "/queue"] {
            assert_eq!(get(&house.pages, path, &[&cookie]).await.status, 200, "{path}");
        }
        assert_eq!(get(&house.pages, "/p/demo", &["Cookie: guild=nonsense"]).await.status, 404);

        // the token of a cookie is not a credential for RPC, whatever key a peer has
        let token: Token = cookie.split("guild=").nth(1).unwrap().parse().unwrap();
        let (reference, identity) = house.enroll(GrantKind::User, "ada", view_of("other")).await;
        let (_vat, gateway) = dial(&reference, &identity).await;
        assert!(support::guild::restore(&gateway, &token).await.is_err());

        // a person can log out on our pages; a form of another site cannot log anybody out
        let host = house.pages.strip_prefix("http://").unwrap();
        let foreign = ask(&house.pages, "POST", "/logout", &[&cookie, "Origin: http://evil.example"], b"").await;
        assert_eq!(foreign.status, 403);
        assert_eq!(get(&house.pages, "/workers", &[&cookie]).await.status, 200);
        let ours = ask(&house.pages, "POST", "/logout", &[&cookie, &format!("Origin: http://{host}")], b"").await;
        assert_eq!(ours.status, 303);
        assert_eq!(get(&house.pages, "/workers", &[&cookie]).await.status, 404);

        // a login sees what its grant sees, and ends when the grant is revoked
        let guild = client::Guild::connect(reference, identity.into()).await.unwrap();
        let address = guild.browse().await.unwrap();
        let logged_in = press(&house.pages, address.strip_prefix(&house.pages).unwrap()).await;
        let cookie = format!("Cookie: {}", logged_in.header("set-cookie").split(';').next().unwrap());
        assert_eq!(get(&house.pages, "/p/demo", &[&cookie]).await.status, 404, "another project");
        assert_eq!(get(&house.pages, "/workers", &[&cookie]).await.status, 200);
        let grants = house.guild.grants().await.unwrap();
        let grant = grants.iter().find(|grant| grant.name == "ada").unwrap();
        assert!(grants.iter().any(|child| child.parent == grant.id && child.name == "ada.browser"));
        house.guild.revoke(grant.id, "left").await.unwrap();
        assert_eq!(get(&house.pages, "/workers", &[&cookie]).await.status, 404);
    });
}

fn view_of(project: &str) -> What {
    What { may: [Right::View].into(), projects: [project.to_owned()].into(), ..What::default() }
}

/// A person who opens a link without a login gets to that page after the login. The pages then show whose login it is (T4.8 and S4.8
/// in `tests/cases.tsv`).
#[test]
fn a_login_comes_back_to_the_page_that_asked_for_it() {
    run(async {
        let house = House::open_with(PIPELINE, with_pages).await;
        let (reference, identity) = house.enroll(GrantKind::User, "ada", view_of("demo")).await;
        let ada = client::Guild::connect(reference, identity.into()).await.unwrap();
        let address = ada.browse().await.unwrap();
        let path = address.strip_prefix(&house.pages).unwrap();
        // a page that does not exist is remembered too, so that nobody can tell the two apart
        for wanted in ["/p/demo?branch=main", "/p/secret/7"] {
            let missed = get(&house.pages, wanted, &[]).await;
            let back = missed.header("set-cookie").to_owned();
            assert_eq!(missed.status, 404);
            assert!(back.starts_with(&format!("guild_back={wanted}; Path=/login; ")), "{back}");
        }
        assert_eq!(get(&house.pages, "/", &[]).await.header("set-cookie"), "");
        let shown = get(&house.pages, path, &[]).await.text();
        assert!(shown.contains("as <b>ada</b>"), "{shown}");
        let origin = format!("Origin: {}", house.pages);
        let cookie = "Cookie: guild_back=/p/demo?branch=main";
        let logged_in = ask(&house.pages, "POST", path, &[&origin, cookie], b"").await;
        assert_eq!((logged_in.status, logged_in.header("location")), (303, "/p/demo?branch=main"));
        let elsewhere = ada.browse().await.unwrap();
        let path = elsewhere.strip_prefix(&house.pages).unwrap();
        let cookie = "Cookie: guild_back=//evil.example/p/x";
        let logged_in = ask(&house.pages, "POST", path, &[&origin, cookie], b"").await;
        assert_eq!((logged_in.status, logged_in.header("location")), (303, "/"));
    });
}

#[test]
fn who_may_not_look_cannot_log_in() {
    run(async {
        let house = House::open_with(PIPELINE, with_pages).await;
        let what = What { may: [Right::Changes].into(), ..view_of("demo") };
        let (reference, identity) = house.enroll(GrantKind::Changes, "hook", what).await;
        let guild = client::Guild::connect(reference, identity.into()).await.unwrap();
        assert!(matches!(guild.browse().await, Err(Error::Refused(_))));
        // the join of a worker's grant is not a login, because it would bind the grant to a browser
        let join = Token::random();
        let order = NewGrant {
            kind: GrantKind::Worker,
            name: "w".to_owned(),
            what: What::default(),
            lifetime: None,
            join_hash: join.digest(),
        };
        house.guild.issue(&order).await.unwrap();
        let path = format!("/login/{}", join.reveal());
        assert_eq!(get(&house.pages, &path, &[]).await.status, 404);
        assert_eq!(press(&house.pages, &path).await.status, 404);
    });
}

#[test]
fn a_site_is_called_by_its_own_names_only() {
    run(async {
        let change = |config: &mut Config| {
            public(config);
            config.url = "https://ci.example.org".to_owned();
        };
        let house = House::open_with(PIPELINE, change).await;
        assert_eq!(house.pages, "https://ci.example.org");
        let site = format!("http://{}", house.web);
        for (host, status) in [
            ("ci.example.org", 200),
            ("CI.example.org:443", 200),
            ("localhost:1", 200),
            ("127.0.0.1", 200),
            ("[::1]:8080", 200),
            ("evil.example", 421),
            ("ci.example.org.evil.example", 421),
            ("", 421),
        ] {
            let answer = get(&site, "/", &[&format!("Host: {host}")]).await;
            assert_eq!(answer.status, status, "{host}");
        }
        // a container may ask for these pages by the name that its network has for this machine (C27 in `tests/cases.tsv`)
        for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/p/demo", 421)] {
            assert_eq!(get(&site, path, &["Host: guild:8080"]).await.status, status, "{path}");
        }
        assert_eq!(ask(&site, "POST", "/hook/demo", &["Host: guild:8080"], b"{}").await.status, 404);
        let address = house.guild.browse().await.unwrap();
        let logged_in = press(&site, address.strip_prefix("https://ci.example.org").unwrap()).await;
        assert!(logged_in.header("set-cookie").contains("; Secure"));
    });
}

#[test]
fn a_branch_has_its_short_name_in_an_address() {
    run(async {
        let house = House::open_with(PIPELINE, public).await;
        built(&house, b"hello\n", Outcome::Succeeded).await;
        for branch in ["main", "refs/heads/main"] {
            let page = get(&house.pages, &format!("/p/demo?branch={branch}"), &[]).await;
            assert!(page.status == 200 && page.text().contains("/p/demo/1"), "{branch}");
        }
        let page = get(&house.pages, "/p/demo?branch=other", &[]).await;
        assert!(!page.text().contains("/p/demo/1\""), "{}", page.text());
    });
}

/// Build monitors get the main branches of the projects that their cookie allows them to see.
#[test]
fn a_build_monitor_reads_the_main_branches() {
    run(async {
        let house = House::open_with(PIPELINE, with_pages).await;
        built(&house, b"hello\n", Outcome::Succeeded).await;
        let unseen = get(&house.pages, "/cctray.xml", &[]).await;
        assert_eq!((unseen.status, unseen.header("content-type")), (200, "application/xml; charset=utf-8"));
        assert!(unseen.text().ends_with("<Projects>\n</Projects>\n"), "{}", unseen.text());
        assert_guarded(&unseen);

        let house = House::open_with(PIPELINE, |config| {
            public(config);
            config.url = "https://ci.example.org".to_owned();
        })
        .await;
        let site = format!("http://{}", house.web);
        let monitor = async || get(&site, "/cctray.xml", &["Host: ci.example.org"]).await.text();
        assert!(!monitor().await.contains("<Project "), "nothing is finished yet");
        built(&house, b"hello\n", Outcome::Failed).await;
        let line = "<Project name=\"demo\" activity=\"Sleeping\" lastBuildStatus=\"Failure\" lastBuildLabel=\"1\" lastBuildTime=\"";
        let seen = monitor().await;
        let rest = seen.split_once(line).unwrap_or_else(|| panic!("{seen}")).1;
        assert!(rest.contains("Z\" webUrl=\"https://ci.example.org/p/demo\"/>"), "{seen}");
        house.repo.commit("README", "more", "more");
        house.guild.run("demo", "main", "").await.unwrap();
        let seen = monitor().await;
        assert!(seen.contains("activity=\"Building\" lastBuildStatus=\"Failure\" lastBuildLabel=\"1\""), "{seen}");
    });
}

#[test]
fn a_page_that_did_not_change_is_not_sent_again() {
    run(async {
        let house = House::open_with(PIPELINE, public).await;
        built(&house, b"hello\n", Outcome::Succeeded).await;
        let raw = get(&house.pages, "/icon.svg", &[]).await;
        let again = get(&house.pages, "/icon.svg", &[&format!("If-None-Match: {}", raw.header("etag"))]).await;
        assert_eq!((again.status, again.body.len()), (304, 0));
        let badge = get(&house.pages, "/badge/demo/main.svg", &[]).await;
        assert!(badge.text().contains("passing"));
        assert_eq!(badge.header("cross-origin-resource-policy"), "cross-origin");
        let style = get(&house.pages, "/", &[]).await.text();
        let style = style.split("href=\"").find_map(|rest| rest.strip_prefix("/style-")).unwrap();
        let style = get(&house.pages, &format!("/style-{}", style.split('"').next().unwrap()), &[]).await;
        assert_eq!((style.status, style.header("content-type")), (200, "text/css; charset=utf-8"));
        assert!(style.header("cache-control").contains("immutable"));
    });
}

#[test]
fn a_signed_delivery_is_built_and_its_repetition_is_not() {
    run(async {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "It's a Secret to Everybody\n").unwrap();
        let change = |config: &mut Config| {
            with_pages(config);
            let project = config.projects.get_mut("demo").unwrap();
            // the project is polled so rarely that only a hook makes the master look at it
            project.poll = Duration::from_secs(3_600);
            project.hook = Some(HookConfig { kind: HookKind::GitHub, secret_file: secret.path().to_owned() });
        };
        let house = House::open_with(PIPELINE, change).await;
        until_builds(&house, 1).await;
        house.repo.commit("file", "text", "second");
        let body = br#"{"ref":"refs/heads/main"}"#;
        let secret = b"It's a Secret to Everybody";
        let sign = |body: &[u8]| format!("X-Hub-Signature-256: sha256={}", signed(secret, body));
        let push = async |signature: &str, delivery: &str, body: &[u8]| {
            let delivery = format!("X-GitHub-Delivery: {delivery}");
            ask(&house.pages, "POST", "/hook/demo", &[signature, &delivery], body).await
        };
        let signature = sign(body);
        // a delivery without the right signature learns nothing
        let none = ask(&house.pages, "POST", "/hook/none", &[&signature], body).await;
        for forged in ["X-Hub-Signature-256: sha256=00", "X-Nothing: 1", &sign(b"other")] {
            let answer = push(forged, "d-0", body).await;
            assert_eq!((answer.status, &answer.body), (404, &none.body), "{forged}");
        }
        assert_eq!(until_builds(&house, 1).await.len(), 1);

        // a delivery may be repeated if the master could not look at the repository
        let away = house.repo.path.with_extension("away");
        std::fs::rename(&house.repo.path, &away).unwrap();
        assert_eq!(push(&signature, "d-2", body).await.status, 502);
        std::fs::rename(&away, &house.repo.path).unwrap();

        // the build must exist when the delivery is answered
        let answer = push(&signature, "d-2", body).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "looked\n"));
        let builds = house.guild.builds(&BuildQuery { limit: 10, ..BuildQuery::default() }).await.unwrap();
        assert_eq!((builds.len(), builds[0].subject.as_str()), (2, "second"));
        house.repo.commit("file", "more", "third");
        assert_eq!(push(&signature, "d-2", body).await.text(), "known already\n");
        assert_eq!(until_builds(&house, 2).await.len(), 2);
        // a body without a ref makes the master look at all refs
        assert_eq!(push(&sign(b"{}"), "d-3", b"{}").await.text(), "looked\n");
        assert_eq!(until_builds(&house, 3).await.len(), 3);
        // a body with very many commits is not too long
        house.repo.commit("file", "again", "fourth");
        let giant = format!("{{\"ref\":\"refs/heads/main\",\"commits\":\"{}\"}}", "x".repeat(2 << 20));
        assert_eq!(push(&sign(giant.as_bytes()), "d-4", giant.as_bytes()).await.text(), "looked\n");
        assert_eq!(until_builds(&house, 4).await.len(), 4);
    });
}

#[test]
fn a_look_that_failed_is_made_again_in_seconds() {
    run(async {
        let seldom = |config: &mut Config| {
            with_pages(config);
            config.projects.get_mut("demo").unwrap().poll = Duration::from_secs(6 * 3_600);
        };
        let house = House::open_with(PIPELINE, seldom).await;
        until_builds(&house, 1).await;
        house.repo.commit("file", "text", "second");
        let away = house.repo.path.with_extension("away");
        std::fs::rename(&house.repo.path, &away).unwrap();
        let repository = house.parts.repositories.get("demo").unwrap();
        repository.look("refs/heads/main").await.unwrap_err();
        std::fs::rename(&away, &house.repo.path).unwrap();
        let looked = tokio::time::timeout(Duration::from_secs(60), until_builds(&house, 2)).await;
        assert_eq!(looked.expect("within seconds, not hours").len(), 2);
    });
}

/// A notice without a ref makes the master look at all refs, as a hook does that has too many to name (C18 in `tests/cases.tsv`).
#[test]
fn a_notice_without_a_ref_looks_at_all_of_them() {
    run(async {
        let change = |config: &mut Config| {
            with_pages(config);
            config.projects.get_mut("demo").unwrap().poll = Duration::from_secs(3_600);
        };
        let house = House::open_with(PIPELINE, change).await;
        until_builds(&house, 1).await;
        house.repo.commit("file", "text", "second");
        assert_eq!(house.guild.notify("demo", "").await.unwrap(), 0);
        // the build must exist when the notice is answered
        let builds = house.guild.builds(&BuildQuery { limit: 10, ..BuildQuery::default() }).await.unwrap();
        assert_eq!((builds.len(), builds[0].subject.as_str()), (2, "second"));
        let refused = house.guild.notify("demo", "refs/notes/commits").await.unwrap_err();
        assert_eq!(refused.exit_code(), 2);
    });
}

/// Waits until there are this many builds, and returns them.
async fn until_builds(house: &House, count: usize) -> Vec<client::views::BuildView> {
    loop {
        let builds = house.guild.builds(&BuildQuery { limit: 10, ..BuildQuery::default() }).await.unwrap();
        if builds.len() >= count {
            return builds;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
