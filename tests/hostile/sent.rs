//! Tries each field that a *master* sends and that has a row in the table of limits, with the real client over a real connection.
//! A played master answers with a value at its limit, which is read whole, and with a larger one, which is cut or refused. The
//! fields come from the table and the schema, so a field that no call here reads fails the test.

use crate::schema_walk::{Half, Route, routes};
use capnp::capability::{Client, FromClientHook, FromServer, Promise, Server};
use capnp::{any_pointer, dynamic_list, dynamic_struct, dynamic_value};
use client::{BuildQuery, Events, Guild, Told, Watch};
use schema::event_capnp::{event_source, observer};
use schema::gateway_capnp::gateway;
use schema::grant_capnp::operator;
use schema::identity::Identity;
use schema::limits::{Beyond, DIAGNOSIS, Limit, Unit, rows};
use schema::perspective_capnp::{build, perspective, submitter, viewer};
use schema::sturdy_ref::{SturdyRef, Token};
use schema::values::{Cursor, Filter};
use schema::vat::{self, Limits, Side};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;
use support::guild::run;
use tokio::net::TcpListener;

/// The fields that masters send and that no call here reads, and why.
const ELSEWHERE: [(&str, &str); 10] = [
    ("common.ByteSource.read -> bytes", "data beyond its limit is refused: the tests of `schema::limits`"),
    ("log.LogReader.read -> bytes", "as the bytes of a source"),
    ("log.LogReader.lines -> bytes", "as the bytes of a source"),
    ("log.LogReader.lastLines -> bytes", "as the bytes of a source"),
    ("log.LogReader.size -> hash", "as the bytes of a source"),
    ("gateway.Gateway.redeem -> name", "a login, whose answer is not shown"),
    ("gateway.Gateway.redeem -> kind", "a login, whose answer is not shown"),
    ("event.Event.origin", "it is a key of exactly 32 bytes"),
    ("common.Refusal.text", "a refusal is an error of its call: `a_refusal_is_cut`"),
    ("common.Refusal.help", "as its text"),
];

/// The interfaces of the master that only workers call. Tests of `schema::wire` and of the worker's session read their answers.
const BY_WORKERS: [&str; 5] =
    ["worker.WorkerDesk", "worker.Session", "worker.Lease", "worker.SourcePack", "worker.StepReport"];

/// `Script` is what the played master sends next: a value of size `count` at one place in the answer of one method.
#[derive(Clone)]
struct Script {
    route: Route,
    count: usize,
}

/// `Played` is a master that plays every object itself. Its answers are empty except for the value of its script.
struct Played {
    script: RefCell<Option<Script>>,
}

/// `Untyped` is a capability of the played master, for any interface.
struct Untyped(Box<dyn capnp::private::capability::ClientHook>);

impl FromClientHook for Untyped {
    fn new(hook: Box<dyn capnp::private::capability::ClientHook>) -> Untyped {
        Untyped(hook)
    }

    fn into_client_hook(self) -> Box<dyn capnp::private::capability::ClientHook> {
        self.0
    }

    fn as_client_hook(&self) -> &dyn capnp::private::capability::ClientHook {
        &*self.0
    }
}

impl FromServer<Played> for Untyped {
    type Dispatch = Dispatch;

    fn from_server(played: Rc<Played>) -> Dispatch {
        Dispatch(played)
    }
}

#[derive(Clone)]
struct Dispatch(Rc<Played>);

impl std::ops::Deref for Dispatch {
    type Target = Played;

    fn deref(&self) -> &Played {
        &self.0
    }
}

impl Server for Dispatch {
    fn dispatch_call(
        self,
        interface: u64,
        method: u16,
        params: capnp::capability::Params<any_pointer::Owned>,
        mut results: capnp::capability::Results<any_pointer::Owned>,
    ) -> capnp::capability::DispatchCallResult {
        let name = method_name(interface, method);
        if name == "event.EventSource.subscribe" {
            let params = params.get().unwrap().get_as::<event_source::subscribe_params::Reader<'_>>().unwrap();
            self.0.tell(params.get_observer().unwrap());
        }
        let me = || capnp_rpc::new_client_from_rc::<Untyped, Played>(self.0.clone());
        if let Some(answer) = answer(results.get(), &name, &me) {
            self.0.play(&name, answer);
        }
        capnp::capability::DispatchCallResult::new(Promise::ok(()), false)
    }

    fn as_ptr(&self) -> usize {
        Rc::as_ptr(&self.0) as usize
    }
}

impl Played {
    /// Writes the value of the script into an answer, if the script is for this method.
    fn play(&self, method: &str, to: dynamic_struct::Builder<'_>) {
        if let Some(script) = self.script.borrow().as_ref().filter(|script| script.route.method == method) {
            fill(to, &script.route.path, script.count);
        }
    }

    /// Sends one batch of events to a subscriber.
    fn tell(&self, to: observer::Client) {
        let mut request = to.observe_request();
        self.play("event.Observer.observe", struct_of(request.get().into()));
        let promise = request.send().promise;
        tokio::task::spawn_local(async move {
            let _ = promise.await;
            // the observer is held for ever, because a subscriber whose observer is dropped subscribes again
            let _held = to;
            std::future::pending::<()>().await;
        });
    }
}

fn method_name(interface: u64, method: u16) -> String {
    let all = crate::schema_walk::methods_of_the_schema();
    let found = all.into_iter().find(|(_, of, number, _)| (*of, *number) == (interface, method));
    found.map(|(interface, .., name)| format!("{interface}.{name}")).unwrap_or_default()
}

/// Initializes the answer of a method, with the capabilities that its caller needs. `None` means that no test here calls it.
fn answer<'a>(
    to: any_pointer::Builder<'a>,
    method: &str,
    me: &dyn Fn() -> Untyped,
) -> Option<dynamic_struct::Builder<'a>> {
    fn cast<C: FromClientHook>(me: Untyped) -> C {
        C::new(me.0)
    }
    macro_rules! plain {
        ($of:ident::$results:ident) => {
            to.init_as::<$of::$results::Builder<'_>>().into()
        };
    }
    macro_rules! given {
        ($of:ident::$results:ident, $set:ident) => {{
            let mut to = to.init_as::<$of::$results::Builder<'_>>();
            to.$set(cast(me()));
            to.into()
        }};
    }
    Some(struct_of(match method {
        "gateway.Gateway.restore" => {
            let mut to = to.init_as::<gateway::restore_results::Builder<'_>>();
            to.set_version(2);
            to.reborrow().init_capability().set_as_capability(me().0);
            to.into()
        }
        "perspective.Perspective.viewer" => given!(perspective::viewer_results, set_viewer),
        "perspective.Perspective.events" => given!(perspective::events_results, set_source),
        "perspective.Perspective.operator" => given!(perspective::operator_results, set_operator),
        "perspective.Perspective.submitter" => given!(perspective::submitter_results, set_submitter),
        "perspective.Perspective.whoami" => plain!(perspective::whoami_results),
        "perspective.Perspective.browse" => plain!(perspective::browse_results),
        "perspective.Viewer.build" => given!(viewer::build_results, set_build),
        "perspective.Viewer.watch" => given!(viewer::watch_results, set_subscription),
        "perspective.Viewer.projects" => plain!(viewer::projects_results),
        "perspective.Viewer.builds" => plain!(viewer::builds_results),
        "perspective.Viewer.workers" => plain!(viewer::workers_results),
        "perspective.Viewer.queue" => plain!(viewer::queue_results),
        "perspective.Viewer.crons" => plain!(viewer::crons_results),
        "perspective.Viewer.branch" => plain!(viewer::branch_results),
        "perspective.Viewer.tests" => plain!(viewer::tests_results),
        "perspective.Viewer.test" => plain!(viewer::test_results),
        "perspective.Viewer.suspects" => plain!(viewer::suspects_results),
        "perspective.Build.tests" => plain!(build::tests_results),
        "perspective.Submitter.beginTry" => plain!(submitter::begin_try_results),
        "perspective.Build.view" => plain!(build::view_results),
        "perspective.Build.change" => plain!(build::change_results),
        "perspective.Build.explain" => plain!(build::explain_results),
        "event.EventSource.subscribe" => given!(event_source::subscribe_results, set_subscription),
        "grant.Operator.issue" => plain!(operator::issue_results),
        "grant.Operator.grants" => plain!(operator::grants_results),
        "grant.Operator.findGrants" => plain!(operator::find_grants_results),
        "grant.Operator.revoke" => plain!(operator::revoke_results),
        "grant.Operator.workers" => plain!(operator::workers_results),
        "grant.Operator.roles" => plain!(operator::roles_results),
        "grant.Operator.differences" => plain!(operator::differences_results),
        "grant.Operator.reload" => plain!(operator::reload_results),
        "grant.Operator.addProject" => plain!(operator::add_project_results),
        "grant.Operator.examine" => plain!(operator::examine_results),
        _ => return None,
    }))
}

fn struct_of(value: dynamic_value::Builder<'_>) -> dynamic_struct::Builder<'_> {
    match value {
        dynamic_value::Builder::Struct(of) => of,
        _ => panic!("no struct"),
    }
}

/// Writes a value of size `count` at the end of the path.
fn fill(mut to: dynamic_struct::Builder<'_>, path: &[String], count: usize) {
    let (first, rest) = path.split_first().unwrap();
    if matches!(first.as_str(), "stepFinished" | "jobFinished") {
        return fill_finished(struct_of(to.init_named(first).unwrap()), rest, count);
    }
    match rest {
        [] => match to.get_schema().get_field_by_name(first).unwrap().get_type().which() {
            capnp::introspect::TypeVariant::Text => {
                let text = "x".repeat(count);
                to.set_named(first, text_of(&text)).unwrap();
            }
            capnp::introspect::TypeVariant::Data => {
                to.set_named(first, dynamic_value::Reader::Data(&vec![b'x'; count])).unwrap()
            }
            _ => spread(list_of(to.initn_named(first, elements(count)).unwrap())),
        },
        [element] if element == "[]" => {
            let mut list = list_of(to.initn_named(first, 1).unwrap());
            list.set(0, text_of(&"x".repeat(count))).unwrap();
        }
        [element, rest @ ..] if element == "[]" => {
            let list = list_of(to.initn_named(first, 1).unwrap());
            fill(struct_of(list.get(0).unwrap()), rest, count);
        }
        // `init_named` also selects the group if it is part of a union
        rest => fill(struct_of(to.init_named(first).unwrap()), rest, count),
    }
}

/// Fills a group that says how a step or job ended, which is invalid without an outcome.
fn fill_finished(mut to: dynamic_struct::Builder<'_>, rest: &[String], count: usize) {
    to.set_named("outcome", schema::common_capnp::Outcome::Succeeded.into()).unwrap();
    fill(to, rest, count);
}

fn text_of(text: &str) -> dynamic_value::Reader<'_> {
    dynamic_value::Reader::Text(text.into())
}

/// Gives the elements of a list different names, because some lists become maps with the names as keys.
fn spread(mut list: dynamic_list::Builder<'_>) {
    for index in 0..list.len() {
        match list.reborrow().get(index) {
            Ok(dynamic_value::Builder::Text(_)) => list.set(index, text_of(&format!("e{index}"))).unwrap(),
            Ok(dynamic_value::Builder::Struct(mut of)) => {
                let _ = of.set_named("name", text_of(&format!("e{index}")));
            }
            _ => (),
        }
    }
}

fn list_of(value: dynamic_value::Builder<'_>) -> dynamic_list::Builder<'_> {
    match value {
        dynamic_value::Builder::List(of) => of,
        _ => panic!("no list"),
    }
}

fn elements(count: usize) -> u32 {
    u32::try_from(count).unwrap()
}

/// Makes the client's call of this method. Returns what the client read, as JSON, or the text of the error. `None` means that the
/// client has no such call.
async fn read(guild: &Guild, method: &str) -> Option<Result<Value, String>> {
    fn told<T: serde::Serialize>(value: Result<T, client::Error>) -> Result<Value, String> {
        value.map(|value| serde_json::to_value(value).unwrap()).map_err(|error| error.to_string())
    }
    let order = client::NewGrant {
        kind: schema::values::GrantKind::User,
        name: "n".to_owned(),
        what: schema::values::What::default(),
        lifetime: None,
        join_hash: [1; 32],
    };
    Some(match method {
        "perspective.Perspective.whoami" => told(guild.whoami().await),
        "perspective.Perspective.browse" => {
            told(guild.browse().await.map(|it| it.split("/login/").next().unwrap().to_owned()))
        }
        "perspective.Viewer.projects" => told(guild.projects().await),
        "perspective.Viewer.builds" => told(guild.builds(&BuildQuery::default()).await),
        "perspective.Viewer.workers" => told(guild.workers().await),
        "perspective.Viewer.queue" => told(guild.queue().await),
        "perspective.Viewer.crons" => told(guild.crons("demo").await),
        "perspective.Viewer.branch" => told(guild.branch("demo", "").await),
        "perspective.Viewer.watch" => told(snapshot(guild).await),
        "perspective.Viewer.tests" => told(guild.tests(&client::TestQuery::default()).await.map(|page| page.tests)),
        "perspective.Viewer.test" => told(guild.test("demo", 1).await),
        "perspective.Viewer.suspects" => {
            told(guild.suspects(&client::SuspectQuery::default()).await.map(|(ranges, _)| ranges))
        }
        "perspective.Build.tests" => told(guild.failed_tests("demo", 1, "a", 0).await.map(|(tests, _)| tests)),
        "perspective.Submitter.beginTry" => told(guild.new_try("demo", Vec::new()).base().await),
        "perspective.Build.view" => told(guild.build("demo", 1).await),
        "perspective.Build.change" => told(guild.change("demo", 1).await),
        "perspective.Build.explain" => told(guild.explain("demo", 1, "a").await),
        "event.Observer.observe" => told(batch(guild).await),
        "grant.Operator.issue" => told(guild.issue(&order).await.map(|it| (it.grant, it.advertise, it.fingerprint))),
        "grant.Operator.grants" => told(guild.grants().await),
        "grant.Operator.findGrants" => told(guild.find_grants("n").await),
        "grant.Operator.revoke" => told(guild.revoke(1, "").await),
        "grant.Operator.workers" => told(guild.all_workers().await),
        "grant.Operator.roles" => told(guild.roles().await.map(|it| it.into_iter().collect::<Vec<_>>())),
        "grant.Operator.differences" => told(guild.differences().await),
        "grant.Operator.reload" => told(guild.reload().await),
        "grant.Operator.addProject" => {
            told(guild.add_project(&schema::values::NewProject::default()).await.map(|it| (it.address, it.secret)))
        }
        "grant.Operator.examine" => told(guild.examine().await),
        _ => return None,
    })
}

async fn snapshot(guild: &Guild) -> Result<Vec<client::views::BuildView>, client::Error> {
    match Watch::new(guild, Filter::default()).next().await? {
        client::News::Snapshot(builds) => Ok(builds),
        client::News::Events(_) => panic!("the snapshot comes first"),
    }
}

/// Returns the events of the next batch. There are none if the subscriber refused the batch, because then none arrives.
async fn batch(guild: &Guild) -> Result<Vec<schema::values::Event>, client::Error> {
    let mut events = Events::new(guild, Filter::default(), Cursor::default());
    match events.next_within(std::time::Duration::from_secs(2)).await? {
        Some(Told::Events { events, .. }) => Ok(events),
        Some(Told::Gap { .. }) | None => Ok(Vec::new()),
    }
}

/// Returns the length of the longest text that begins with `x`, as the texts of scripts do, and of the longest list.
fn longest(value: &Value) -> (usize, usize) {
    let parts: Vec<&Value> = match value {
        Value::String(text) if text.starts_with('x') => return (text.len(), 0),
        Value::Array(list) => list.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    };
    let own = value.as_array().map_or(0, Vec::len);
    parts.into_iter().map(longest).fold((0, own), |(text, list), (other, also)| (text.max(other), list.max(also)))
}

async fn open() -> (Guild, Rc<Played>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let identity = Identity::generate();
    let addresses = vec![listener.local_addr().unwrap().to_string()];
    let reference = SturdyRef { fingerprint: identity.fingerprint(), addresses, token: Token::random() };
    let played = Rc::new(Played { script: RefCell::default() });
    let serves = played.clone();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(secured) = vat::accept(stream, &identity).await else { continue };
            let first = capnp_rpc::new_client_from_rc::<Untyped, Played>(serves.clone());
            let vat = vat::start(secured.stream, Side::Server, Client::new(first.0), Limits::known());
            vat.admit();
            tokio::task::spawn_local(async move { vat.closed().await });
        }
    });
    (Guild::connect(reference, Rc::new(Identity::generate())).await.unwrap(), played)
}

/// Returns the routes of all values that a master sends, without those that peers also send to a master.
fn sent_by_masters() -> Vec<Route> {
    let is_of_peers = |of: &str| ["event.Observer", "worker.Worker"].contains(&of);
    let taken = routes(Half::Params, |of| !is_of_peers(of));
    let sent = routes(Half::Results, |of| !is_of_peers(of) && !BY_WORKERS.contains(&of));
    let told = routes(Half::Params, |of| of == "event.Observer");
    let is_told = |route: &Route| taken.iter().all(|other| other.place != route.place);
    told.into_iter().chain(sent).filter(|route| is_told(route)).collect()
}

fn row_of(place: &str) -> &'static Limit {
    rows().find(|limit| limit.fields.contains(&place)).unwrap_or_else(|| panic!("{place} has no row"))
}

/// Each field that a master sends is read whole at its limit, and cut or refused beyond it.
#[test]
fn what_a_master_sends_is_read_up_to_its_limit() {
    run(async {
        let (guild, played) = open().await;
        let all = sent_by_masters();
        let mut places: Vec<&str> = all.iter().map(|route| route.place.as_str()).collect();
        places.sort_unstable();
        places.dedup();
        let mut tried = 0;
        for place in places {
            if place.starts_with("plan.") || ELSEWHERE.iter().any(|(of, _)| *of == place) {
                continue;
            }
            let limit = row_of(place);
            println!("{place}");
            let mut is_read = false;
            for route in all.iter().filter(|route| route.place == place) {
                let play = |count| *played.script.borrow_mut() = Some(Script { route: route.clone(), count });
                play(limit.most);
                let Some(at) = read(&guild, &route.method).await else { continue };
                let seen = |value: &Value| {
                    let (text, list) = longest(value);
                    if route.is_list { list } else { text }
                };
                let at = at.unwrap_or_else(|error| panic!("{place} at its limit, by {}: {error}", route.method));
                assert_eq!(seen(&at), limit.most, "{place} at its limit, by {}", route.method);
                play(limit.most + 1);
                match read(&guild, &route.method).await.unwrap() {
                    Ok(beyond) => assert!(seen(&beyond) <= limit.most, "{place} beyond its limit: {}", seen(&beyond)),
                    Err(error) => assert!(limit.beyond == Beyond::Refused, "{place} beyond its limit: {error}"),
                }
                is_read = true;
                tried += 1;
                break;
            }
            assert!(is_read, "nobody reads {place} ({})", json!(limit.unit == Unit::Bytes));
        }
        println!("{tried} fields were read");
        assert!(tried > 80);
    });
}

/// The text and the help of a refusal, which the client returns as an error, are cut at their limits.
#[test]
fn a_refusal_is_cut() {
    run(async {
        let (guild, played) = open().await;
        for field in ["text", "help"] {
            let path = ["refusal", field].map(str::to_owned).to_vec();
            let method = "perspective.Viewer.branch".to_owned();
            let route = Route { place: format!("common.Refusal.{field}"), method, path, is_list: false };
            for (count, is_whole) in [(DIAGNOSIS.most, true), (DIAGNOSIS.most + 1, false)] {
                *played.script.borrow_mut() = Some(Script { route: route.clone(), count });
                let error = guild.branch("demo", "").await.unwrap_err();
                let client::Error::Refused(refusal) = error else { panic!("{field}: {error}") };
                let text = if field == "text" { refusal.text } else { refusal.help };
                assert!(text.len() <= DIAGNOSIS.most && (text.len() == count) == is_whole, "{field}: {}", text.len());
            }
        }
    });
}
