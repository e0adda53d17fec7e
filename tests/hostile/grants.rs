//! Holders of a grant that try to do more than it allows, or to have more grants than one person needs.

use client::{Error, Guild, NewGrant};
use futures::StreamExt as _;
use master::config::Config;
use schema::identity::Identity;
use schema::sturdy_ref::{SturdyRef, Token};
use schema::values::{Cursor, Description, Filter, GrantKind, NewProject, RefusalCode, Resources, Right, What};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use support::guild::{House, Played, dial, perspective, restore, run};
use support::http::{ask, get, press};

const PIPELINE: &str = "version = 1\n[job.greet]\nrun = \"echo hello\"\n";

fn with_pages(config: &mut Config) {
    config.listen.web = Some("127.0.0.1:0".to_owned());
}

/// Makes the master run from a master file, to which projects can be added.
fn from_file(config: &mut Config) {
    let dir = config.state.parent().unwrap().to_owned();
    let (state, rpc, repo) = (config.state.display(), &config.listen.rpc, &config.projects["demo"].repo);
    let text = format!(
        "version = 1\nstate = '{state}'\ninclude = ['projects/*.toml']\n[listen]\nrpc = '{rpc}'\nadvertise = ['{rpc}']\n\
         web = '127.0.0.1:0'\n[defaults.project]\npoll = '100ms'\n[project.demo]\nrepo = '{repo}'\n\
         [role.watcher]\nmay = ['view']\nprojects = ['demo']\n[role.chief]\nmay = ['view', 'operate']\nprojects = ['*']\n"
    );
    std::fs::write(dir.join("master.toml"), text).unwrap();
    *config = Config::load(&dir.join("master.toml")).unwrap();
}

fn names(names: &[&str]) -> schema::values::Scope {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn view_of(project: &str) -> What {
    What { may: [Right::View].into(), projects: names(&[project]), ..What::default() }
}

fn operator_of(project: &str) -> What {
    What { may: [Right::View, Right::Run, Right::Operate].into(), ..view_of(project) }
}

async fn guild(house: &House, kind: GrantKind, name: &str, what: What) -> Guild {
    let (reference, identity) = house.enroll(kind, name, what).await;
    Guild::connect(reference, identity.into()).await.unwrap()
}

fn order(kind: GrantKind, name: &str, what: What) -> NewGrant {
    NewGrant { kind, name: name.to_owned(), what, lifetime: None, join_hash: Token::random().digest() }
}

/// Reads one number from the database file of the master's store.
fn count(house: &House, sql: &str) -> i64 {
    let store = rusqlite::Connection::open(house.state().join("guild.db")).unwrap();
    store.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> (RefusalCode, String) {
    match result {
        Err(Error::Refused(refusal)) => (refusal.code, format!("{}; {}", refusal.text, refusal.help)),
        other => panic!("{other:?}"),
    }
}

fn not_permitted<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let (code, text) = refused(result);
    assert_eq!(code, RefusalCode::NotPermitted, "{text}");
    text
}

/// 3,000 logins of browsers by one holder leave ten grants, so that operators can still read the list of grants.
#[test]
fn logins_of_browsers_do_not_fill_the_list_of_grants() {
    run(async {
        let house = House::open_with(PIPELINE, with_pages).await;
        let (reference, identity) = house.enroll(GrantKind::User, "ada", view_of("demo")).await;
        let (_vat, ada) = perspective(&reference, &identity).await;
        let tables = ["grants", "audit", "events where fact like '%grant%'", "requests"];
        let before = tables.map(|table| count(&house, &format!("select count(*) from {table}")));
        const CALLS: usize = 3_000;
        let calls = futures::stream::iter(0..CALLS).map(|_| {
            let mut request = ada.browse_request();
            request.get().set_request(&Token::random().as_bytes()[..16]);
            request.get().set_join_hash(&Token::random().digest());
            async { request.send().promise.await.unwrap().get().unwrap().has_refusal() }
        });
        let refusals = calls.buffer_unordered(200).filter(|refused| std::future::ready(*refused)).count().await;
        assert_eq!(refusals, 0);
        let after = tables.map(|table| count(&house, &format!("select count(*) from {table}")));
        let grown: Vec<i64> = before.iter().zip(&after).map(|(before, after)| after - before).collect();
        println!("{CALLS} logins of one holder: rows in {tables:?} grew by {grown:?}");
        assert_eq!(grown[0], 10, "ten logins live at once");
        assert_eq!(grown[1..], [0, 0, 0], "what nobody used is told to nobody");
        let listed = house.guild.grants().await.unwrap();
        assert_eq!(listed.iter().filter(|grant| grant.name == "ada.browser").count(), 10);
    });
}

/// A viewer whose browsers log in and out again and again, and who shows their cookies over RPC, leaves only a few rows.
#[test]
fn browsers_that_come_and_go_leave_nothing() {
    run(async {
        let house = House::open_with(PIPELINE, with_pages).await;
        let (reference, identity) = house.enroll(GrantKind::User, "ada", view_of("demo")).await;
        let identity = Rc::new(identity);
        let ada = Guild::connect(reference.clone(), identity.clone()).await.unwrap();
        let tables = ["grants", "audit", "events where fact like '%grant%' or fact like '%alarm%'", "requests"];
        let before = tables.map(|table| count(&house, &format!("select count(*) from {table}")));
        let (_vat, gateway) = dial(&reference, &identity).await;
        for number in 0..40 {
            let address = ada.browse().await.unwrap();
            let logged_in = press(&house.pages, address.strip_prefix(&house.pages).unwrap()).await;
            let cookie = logged_in.header("set-cookie").split(';').next().unwrap().to_owned();
            let token: Token = cookie.strip_prefix("guild=").unwrap().parse().unwrap();
            assert!(restore(&gateway, &token).await.is_err());
            if number % 2 == 0 {
                let headers = [format!("Cookie: {cookie}"), format!("Origin: {}", house.pages)];
                let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
                assert_eq!(ask(&house.pages, "POST", "/logout", &headers, b"").await.status, 303);
            }
        }
        let after = tables.map(|table| count(&house, &format!("select count(*) from {table}")));
        let grown: Vec<i64> = before.iter().zip(&after).map(|(before, after)| after - before).collect();
        println!("40 browsers came and 20 went: rows in {tables:?} grew by {grown:?}");
        // in the audit: one row for the logins of this hour, and one for the cookies that were shown, which are also one event
        assert_eq!(grown, [10, 2, 1, 0]);
    });
}

/// An operator of one project gets no events about the grants and keys of others. An operator of everything gets them all.
#[test]
fn an_operator_of_one_project_hears_of_its_own_grants() {
    run(async {
        let house = House::open(PIPELINE).await;
        let deputy = guild(&house, GrantKind::Operator, "deputy", operator_of("demo")).await;
        let began = deputy.latest_event().await.unwrap();
        let (reference, _) = house.enroll(GrantKind::User, "stranger", view_of("other")).await;
        let (_vat, gateway) = dial(&reference, &Identity::generate()).await;
        assert!(restore(&gateway, &reference.token).await.is_err(), "an alarm");
        deputy.issue(&order(GrantKind::User, "own", view_of("demo"))).await.unwrap();
        let seen = told(&deputy, began).await;
        assert!(seen.contains("own") && !seen.contains("stranger"), "{seen}");
        let seen = told(&house.guild, began).await;
        assert!(seen.contains("own") && seen.contains("stranger") && seen.contains("another key"), "{seen}");
    });
}

/// An operator of one project can do nothing that concerns the whole master: issue workers, add projects, reload, or hold workers.
#[test]
fn an_operator_of_one_project_has_nothing_of_the_whole() {
    run(async {
        let house = House::open_with(PIPELINE, from_file).await;
        let worker = house.worker("anvil").await;
        let deputy = guild(&house, GrantKind::Operator, "deputy", operator_of("demo")).await;
        // it may issue no grant for a worker, whatever pools and labels that names
        for (pools, labels) in [(vec![], vec![]), (vec!["default"], vec![]), (vec!["pb"], vec![("gpu", "yes")])] {
            let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let what = What { pools: names(&pools), labels, ..What::default() };
            let text = not_permitted(deputy.issue(&order(GrantKind::Worker, "spy", what)).await);
            assert!(text.contains("pool"), "{text}");
        }
        // it may not read or change the master file, or have the master open an address
        let project = NewProject { name: "other".to_owned(), repository: "/etc".to_owned(), ..NewProject::default() };
        let told = [
            not_permitted(deputy.add_project(&project).await),
            not_permitted(deputy.differences().await),
            not_permitted(deputy.reload().await),
            not_permitted(deputy.hold("anvil", "mine").await),
            not_permitted(deputy.drain("anvil", true).await),
            not_permitted(deputy.forget("anvil", true).await),
        ];
        for text in &told {
            assert!(text.contains("`operate`") && text.contains("deputy"), "{text}");
            assert!(!text.contains("/etc"), "{text}");
        }
        let roles: Vec<String> = deputy.roles().await.unwrap().into_keys().collect();
        assert_eq!(roles, ["watcher"], "the role `chief` has more than the deputy");
        // what its grant is for still works: it looks at its project, runs builds, and issues grants for the project
        deputy.run("demo", "main", "").await.unwrap();
        assert_eq!(deputy.all_workers().await.unwrap().len(), 1);
        deputy.issue(&order(GrantKind::User, "eve", view_of("demo"))).await.unwrap();
        deputy.issue(&order(GrantKind::Operator, "second", operator_of("demo"))).await.unwrap();
        not_permitted(deputy.issue(&order(GrantKind::User, "mallory", view_of("*"))).await);
        drop(worker);
    });
}

#[test]
fn an_operator_on_everything_still_has_the_whole() {
    run(async {
        let house = House::open_with(PIPELINE, from_file).await;
        // this grant has no pools, as the grants of operators did before they could name some
        let what = What { may: Right::ALL.into(), projects: names(&["*"]), ..What::default() };
        let chief = guild(&house, GrantKind::Operator, "chief", what).await;
        let labels = vec![("gpu".to_owned(), "yes".to_owned()), ("trusted".to_owned(), "*".to_owned())];
        let what = What { pools: names(&["pb", "default"]), labels, ..What::default() };
        let credential = house.enroll(GrantKind::Worker, "anvil", What::default()).await;
        drop(Played::attach(credential, Vec::new()).await);
        chief.issue(&order(GrantKind::Worker, "bellows", what)).await.unwrap();
        assert_eq!(chief.roles().await.unwrap().len(), 2);
        assert_eq!(chief.differences().await.unwrap(), []);
        assert_eq!(chief.reload().await.unwrap(), []);
        let repository = house.repo.path.display().to_string();
        let project = NewProject { name: "other".to_owned(), repository, ..NewProject::default() };
        chief.add_project(&project).await.unwrap();
        chief.hold("anvil", "its disk").await.unwrap();
        chief.drain("anvil", true).await.unwrap();
        until_gone(&house, "anvil").await;
        chief.forget("anvil", true).await.unwrap();
    });
}

/// The store of an earlier master may have tens of thousands of logins that are over or were never used. They are not listed, and
/// their rows are soon removed.
#[test]
fn logins_that_an_earlier_master_kept_are_gone_soon() {
    let ruins = RefCell::new(None);
    run(async {
        let house = House::open_with(PIPELINE, with_pages).await;
        house.enroll(GrantKind::User, "ada", view_of("demo")).await;
        let mut store = rusqlite::Connection::open(house.state().join("guild.db")).unwrap();
        let parent: i64 = store.query_row("select id from grants where name = 'ada'", [], |row| row.get(0)).unwrap();
        let change = store.transaction().unwrap();
        let older = "alter table grants drop column browser; drop table crons; drop table claims; alter table jobs drop column isolation; drop table blobs; drop table blob_refs; \
                     drop table blob_projects; alter table steps drop column tests; drop table tests_unread; drop table test_projects; \
                     drop table tests; drop table test_runs; drop table test_lanes; delete from counters where name = 'blob-bytes'; \
                     pragma user_version = 8";
        change.execute_batch(older).unwrap();
        let sql = "with recursive n(value) as (select 1 union all select value + 1 from n where value < 44000) \
                   insert into grants (id, parent, kind, name, what, created, expires, revoked, reason, join_hash, holder) \
                   select 1000 + value, ?1, 'user', 'ada.browser', '{\"may\":[\"view\"],\"projects\":[\"demo\"]}', 1000, \
                   4000000000000, iif(value % 2, 2000, null), 'logged out', randomblob(32), null from n";
        assert_eq!(change.execute(sql, [parent]).unwrap(), 44_000);
        change.execute("update counters set value = 50000 where name = 'grant'", []).unwrap();
        change.commit().unwrap();
        ruins.replace(Some(house.ruins()));
    });
    run(async {
        let began = std::time::Instant::now();
        let house = House::open_again(ruins.take().unwrap(), with_pages).await;
        println!("a store with 44,000 dead logins opens in {:?}", began.elapsed());
        let names: Vec<String> = house.guild.all_grants(true).await.unwrap().into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["operator", "local", "ada"]);
        let ada = house.guild.find_grants("ada").await.unwrap();
        assert_eq!(ada.len(), 1);
        while count(&house, "select count(*) from grants") > 4 {
            // the master answers others while it removes the rows
            house.guild.whoami().await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("their rows are gone after {:?}", began.elapsed());
        house.guild.revoke(ada[0].id, "left").await.unwrap();
        assert!(house.guild.browse().await.is_ok());
    });
}

/// A list of grants that is larger than a message comes in pages, each of which any client can read.
#[test]
fn a_long_list_of_grants_comes_in_pages() {
    run(async {
        let house = House::open(PIPELINE).await;
        let long = |number: usize| format!("{number:04}{}", "x".repeat(250));
        let labels: Vec<(String, String)> = (0..100).map(|number| (long(number), long(number))).collect();
        let what = What { labels, ..What::default() };
        let (reference, identity) = house.enroll(GrantKind::Operator, "chief", What::everything()).await;
        let identity = Rc::new(identity);
        let chief = Guild::connect(reference.clone(), identity.clone()).await.unwrap();
        for number in 0..120 {
            chief.issue(&order(GrantKind::Worker, &format!("w{number}"), what.clone())).await.unwrap();
        }
        let all = chief.grants().await.unwrap();
        assert_eq!(all.iter().filter(|grant| grant.kind == GrantKind::Worker).count(), 120);
        // an old client, which knows no pages, asks for the list
        let (_vat, holder) = perspective(&reference, &identity).await;
        let desk = holder.operator_request().send().pipeline.get_operator();
        let answer = house_page(&desk).await;
        println!("the first page has {} bytes", answer);
        assert!(answer < 2 << 20, "{answer}");
        // a grant that has ended is listed only if the caller asks for all
        let ended = all.iter().find(|grant| grant.name == "w7").unwrap().id;
        chief.revoke(ended, "over").await.unwrap();
        let has = |grants: &[client::views::GrantView]| grants.iter().any(|grant| grant.id == ended);
        assert!(!has(&chief.grants().await.unwrap()));
        assert!(has(&chief.all_grants(true).await.unwrap()));
        assert_eq!(chief.find_grants("w7").await.unwrap(), []);
        assert_eq!(chief.find_grants(&ended.to_string()).await.unwrap()[0].reason, "over");
        // more labels than a grant may have are refused, and the text names the limit
        let many = What { labels: vec![("a".to_owned(), "b".to_owned()); 101], ..What::default() };
        let (code, text) = refused(chief.issue(&order(GrantKind::Worker, "w", many)).await);
        assert!(code == RefusalCode::Invalid && text.contains("at most 100"), "{text}");
    });
}

/// Returns the text of all events after `from` that this holder gets.
async fn told(guild: &Guild, from: Cursor) -> String {
    let end = guild.latest_event().await.unwrap();
    let mut events = client::Events::new(guild, Filter::default(), from);
    let (mut seen, mut after) = (String::new(), from.after);
    while after < end.after {
        let told = events.next().await.unwrap();
        seen += &format!("{told:?}\n");
        let (client::Told::Events { cursor, .. } | client::Told::Gap { cursor, .. }) = told;
        after = cursor.after;
    }
    seen
}

async fn house_page(desk: &schema::grant_capnp::operator::Client) -> u64 {
    let answer = desk.grants_request().send().promise.await.unwrap();
    let grants = answer.get().unwrap();
    assert!(grants.get_next() > 0);
    grants.total_size().unwrap().word_count * 8
}

async fn until_gone(house: &House, worker: &str) {
    loop {
        let workers = house.guild.workers().await.unwrap();
        if workers.iter().all(|it| it.name != worker || !it.connected) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An operator whose grant names a pool and a label may issue and hold workers of that pool with that label, and no others.
#[test]
fn an_operator_with_a_pool_has_the_workers_of_that_pool() {
    run(async {
        let house = House::open(PIPELINE).await;
        let gpu = |value: &str| vec![("gpu".to_owned(), value.to_owned())];
        let what = What { pools: names(&["pb"]), labels: gpu("yes"), ..operator_of("demo") };
        let deputy = guild(&house, GrantKind::Operator, "deputy", what).await;
        let worker = |pools: &[&str], labels| What { pools: names(pools), labels, ..What::default() };
        for (what, refused) in [
            (worker(&[], vec![]), "default"),
            (worker(&["pb", "pa"], vec![]), "pa"),
            (worker(&["pb"], gpu("*")), "gpu=*"),
            (worker(&["pb"], gpu("no")), "gpu=no"),
        ] {
            let text = not_permitted(deputy.issue(&order(GrantKind::Worker, "spy", what)).await);
            assert!(text.contains(refused), "{text}");
        }
        deputy.issue(&order(GrantKind::Worker, "own", worker(&["pb"], gpu("yes")))).await.unwrap();
        // it may hold a worker of its own pool only, and not one that is also in another
        let in_pool =
            Played::attach(house.enroll(GrantKind::Worker, "in", worker(&["pb"], vec![])).await, vec![]).await;
        let beside =
            Played::attach(house.enroll(GrantKind::Worker, "beside", worker(&["pb", "pa"], vec![])).await, vec![])
                .await;
        deputy.hold("in", "tests").await.unwrap();
        assert!(not_permitted(deputy.hold("beside", "tests").await).contains("pa"));
        drop((in_pool, beside));
    });
}

/// The join in the address of a browser's login cannot be redeemed for a credential over RPC.
#[test]
fn a_browsers_join_makes_no_credential() {
    run(async {
        let house = House::open_with(PIPELINE, with_pages).await;
        let join: Token = house.guild.browse().await.unwrap().rsplit('/').next().unwrap().parse().unwrap();
        let (reference, identity) = house.enroll(GrantKind::User, "ada", view_of("demo")).await;
        let (_vat, gateway) = dial(&reference, &identity).await;
        let mut request = gateway.redeem_request();
        request.get().set_join(join.as_bytes());
        request.get().set_token(Token::random().as_bytes());
        let answer = request.send().promise.await.unwrap();
        let refusal = schema::wire::refusal(answer.get().unwrap().has_refusal(), answer.get().unwrap().get_refusal());
        let refusal = refusal.unwrap().expect("it is refused");
        assert_eq!(refusal.code, RefusalCode::NotPermitted, "{refusal}");
        assert!(refusal.text.contains("browser"), "{refusal}");
        let path = format!("/login/{}", join.reveal());
        assert_eq!(press(&house.pages, &path).await.status, 303, "the browser itself still gets in");
    });
}

/// Only the button on the login page uses up the address of a login. A look at the page, or a form of another site, does not.
#[test]
fn a_login_address_is_used_up_by_its_button_only() {
    run(async {
        let house = House::open_with(PIPELINE, with_pages).await;
        let address = house.guild.browse().await.unwrap();
        let path = address.strip_prefix(&house.pages).unwrap();
        for method in ["HEAD", "GET", "HEAD", "GET"] {
            let seen = ask(&house.pages, method, path, &[], b"").await;
            assert_eq!((seen.status, seen.header("set-cookie"), seen.header("cache-control")), (200, "", "no-store"));
            assert!(method == "HEAD" || seen.text().contains("method=\"post\""), "{}", seen.text());
        }
        for foreign in ["Origin: http://evil.example", "Origin: null", "X-Nothing: 1"] {
            let answer = ask(&house.pages, "POST", path, &[foreign], b"").await;
            assert_eq!((answer.status, answer.header("set-cookie")), (403, ""), "{foreign}");
        }
        let logged_in = press(&house.pages, path).await;
        assert_eq!((logged_in.status, logged_in.header("location")), (303, "/"));
        let cookie = format!("Cookie: {}", logged_in.header("set-cookie").split(';').next().unwrap());
        assert_eq!(get(&house.pages, "/p/demo", &[&cookie]).await.status, 200);
        // the address works only once
        let again = press(&house.pages, path).await;
        assert_eq!((again.status, again.header("set-cookie")), (404, ""));
        assert_eq!(get(&house.pages, path, &[]).await.status, 404);
        assert_eq!(get(&house.pages, "/p/demo", &[&cookie]).await.status, 200, "the first stays logged in");
    });
}

#[test]
fn a_forgotten_worker_has_no_credential() {
    run(async {
        let house = House::open(PIPELINE).await;
        let credential = house.enroll(GrantKind::Worker, "anvil", What::default()).await;
        let Played { credential: (reference, identity), vat, session, .. } =
            Played::attach(credential, Vec::new()).await;
        drop((vat, session));
        until_gone(&house, "anvil").await;
        // the operator that forgets the worker is not the one that issued its grant
        let chief = guild(&house, GrantKind::Operator, "chief", What::everything()).await;
        chief.forget("anvil", false).await.unwrap();
        let (_vat, gateway) = dial(&reference, &identity).await;
        let refused = restore(&gateway, &reference.token).await.err().expect("the credential is over");
        assert!(refused.contains("revoked") && refused.contains("forgotten"), "{refused}");
    });
}

/// A join cannot be issued twice, and a request id cannot be used again with another kind, authority or lifetime.
#[test]
fn a_join_is_issued_once_and_a_request_is_what_it_says() {
    run(async {
        let house = House::open(PIPELINE).await;
        let first = order(GrantKind::User, "ada", view_of("demo"));
        house.guild.issue(&first).await.unwrap();
        let again = NewGrant { kind: GrantKind::Operator, what: What::everything(), ..first.clone() };
        let (code, text) = refused(house.guild.issue(&again).await);
        assert_eq!((code, text.contains("join")), (RefusalCode::Conflict, true), "{text}");
        // a request id that is used again with another kind, authority or lifetime is a conflict
        let (reference, identity) = house.enroll(GrantKind::Operator, "chief", What::everything()).await;
        let (_vat, chief) = perspective(&reference, &identity).await;
        let desk = chief.operator_request().send().pipeline.get_operator();
        let fresh = order(GrantKind::User, "eve", view_of("demo"));
        let issue = async |kind, what: &What, lifetime| {
            let mut request = desk.issue_request();
            let mut to = request.get();
            to.set_request(&[9; 16]);
            to.set_kind(schema::wire::kind_to_enum(kind));
            to.set_name("eve");
            to.set_lifetime(lifetime);
            to.set_join_hash(&fresh.join_hash);
            schema::wire::write_what(to.init_what(), what);
            let answer = request.send().promise.await.unwrap();
            let answer = answer.get().unwrap();
            schema::wire::refusal(answer.has_refusal(), answer.get_refusal()).unwrap().map(|refusal| refusal.code)
        };
        assert_eq!(issue(GrantKind::User, &view_of("demo"), 1_000_000).await, None);
        assert_eq!(issue(GrantKind::User, &view_of("demo"), 1_000_000).await, None, "the same may be repeated");
        let conflict = Some(RefusalCode::Conflict);
        assert_eq!(issue(GrantKind::Changes, &view_of("demo"), 1_000_000).await, conflict);
        assert_eq!(issue(GrantKind::User, &view_of("*"), 1_000_000).await, conflict);
        assert_eq!(issue(GrantKind::User, &view_of("demo"), 0).await, conflict);
    });
}

/// Thieves who show a stolen credential again and again cause one alarm per key and hour, so they cannot fill the audit.
#[test]
fn stolen_credentials_are_told_by_the_hour() {
    run(async {
        let house = House::open(PIPELINE).await;
        let join = Token::random();
        let issued = NewGrant { join_hash: join.digest(), ..order(GrantKind::User, "bob", view_of("demo")) };
        house.guild.issue(&issued).await.unwrap();
        let (reference, identity) = house.enroll(GrantKind::User, "ada", view_of("demo")).await;
        redeem(&reference, &identity, &join).await.unwrap();
        let tables = ["audit", "events"];
        let before = tables.map(|table| count(&house, &format!("select count(*) from {table}")));
        for _ in 0..60 {
            let thief = Identity::generate();
            let (_vat, gateway) = dial(&reference, &thief).await;
            for _ in 0..20 {
                assert!(restore(&gateway, &reference.token).await.is_err());
            }
            redeem(&reference, &thief, &join).await.unwrap_err();
        }
        house.guild.run("demo", "main", "").await.unwrap();
        let after = tables.map(|table| count(&house, &format!("select count(*) from {table}")));
        let grown: Vec<i64> = before.iter().zip(&after).map(|(before, after)| after - before).collect();
        println!("60 thieves, 1,260 refusals: rows in {tables:?} grew by {grown:?}");
        // for each of the two grants: one row for each of the first 16 keys, and one for all others
        assert!(grown[0] <= 34 + 4, "{grown:?}");
    });
}

async fn redeem(reference: &SturdyRef, identity: &Identity, join: &Token) -> Result<(), String> {
    let (_vat, gateway) = dial(reference, identity).await;
    let mut request = gateway.redeem_request();
    request.get().set_join(join.as_bytes());
    request.get().set_token(&[7; 32]);
    let answer = request.send().promise.await.unwrap();
    let answer = answer.get().unwrap();
    match schema::wire::refusal(answer.has_refusal(), answer.get_refusal()).unwrap() {
        None => Ok(()),
        Some(refusal) => Err(refusal.text),
    }
}

/// A label that a worker claims counts only if its grant allows it. Claims are shown as claims.
#[test]
fn what_a_worker_claims_is_no_label_of_its() {
    run(async {
        let house = House::open(PIPELINE).await;
        let labels = vec![("arch".to_owned(), "*".to_owned()), ("site".to_owned(), "lab".to_owned())];
        let credential = house.enroll(GrantKind::Worker, "anvil", What { labels, ..What::default() }).await;
        let total = Resources { slots: 4, cpus_milli: 4_000, memory: 1 << 32 };
        let claims = [("gpu", "yes"), ("arch", "arm"), ("site", "bank"), ("platform", "windows")];
        let labels = claims.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let about = Description { platform: "linux-x86_64".to_owned(), total, labels, ..Description::default() };
        let worker = Played::attach_as(credential, Vec::new(), &about).await;
        let seen = house.guild.workers().await.unwrap().swap_remove(0);
        assert_eq!(seen.description.labels, about.labels, "claims are told as claims");
        let counts: Vec<String> = seen.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(counts, ["arch=arm", "platform=linux-x86_64", "site=lab"]);
        drop(worker);
    });
}
