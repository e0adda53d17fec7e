//! Messages written by hand: what they make the master keep, and what becomes of the connection. One attack is one row.

use schema::identity::Identity;
use schema::sturdy_ref::{SturdyRef, Token};
use schema::values::{GrantKind, Outcome, Right, What};
use std::path::Path;
use std::time::Duration;
use support::apart::Apart;
use support::guild::{House, Played, run, work};
use support::raw::{
    BUILD, BUILD_TYPE, FREE, GATEWAY, GATEWAY_TYPE, Heard, READER, READER_TYPE, RawPeer, Target, aliased, answer,
    bytes, call_on, emptied, finish, point, restore,
};

/// The log of the only job is longer than one read.
const PIPELINE: &str = "version = 1\n[job.greet]\nsource = \"none\"\nrun = [\"true\"]\n";

/// Who attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Stranger,
    /// May look at the one project.
    Viewer,
}

/// What is seen of it.
enum Seen {
    /// These answers, in any order; then the connection goes on.
    Answers(Vec<Expected>),
    /// The connection ends, and this is said of it.
    Closed(&'static str),
}

type Expected = (u32, Option<&'static str>);

struct Attack {
    name: &'static str,
    who: Who,
    messages: Vec<Vec<u8>>,
    seen: Seen,
}

const ELSEWHERE: &str = "`sendResultsTo` must be `caller`";

fn yourself(target: Target, question: u32, interface: u64, method: u16) -> Vec<u8> {
    call_on(target, question, interface, method, |call| call.get_send_results_to().set_yourself(()))
}

fn third_party(target: Target, question: u32, interface: u64, method: u16) -> Vec<u8> {
    call_on(target, question, interface, method, |call| {
        let _ = call.get_send_results_to().init_third_party();
    })
}

/// A call on the capability to which this many steps lead in the answer to a question.
fn deep(into: u32, steps: usize, question: u32) -> Vec<u8> {
    bytes(|root| {
        let mut call = root.init_call();
        call.set_question_id(question);
        call.set_interface_id(BUILD_TYPE);
        point(call.init_target().init_promised_answer(), into, &vec![0; steps]);
    })
}

/// A call with one datum, to which this many other pointers lead too.
fn folded(target: Target, question: u32, interface: u64, method: u16) -> Vec<u8> {
    let honest = call_on(target, question, interface, method, |call| {
        let mut list: capnp::data_list::Builder<'_> = call.init_params().init_content().initn_as(60);
        list.set(0, &[1; 1000]);
    });
    aliased(honest, 1000, 59)
}

/// An answer to no question of the master's.
fn unasked() -> Vec<u8> {
    answer(77, |mut answer| answer.set_take_from_other_question(FREE))
}

/// Each call is made on the answer of the one before.
fn chain(calls: u32) -> Vec<Vec<u8>> {
    let next = |at| call_on(Target::First(FIRST + at - 1), FIRST + at, BUILD_TYPE, 1, |_| ());
    [open_build(), pending(FIRST)].into_iter().chain((1..calls).map(next)).collect()
}

fn attacks(credential: &SturdyRef) -> Vec<Attack> {
    use Who::{Stranger, Viewer};
    let row = |name, who, messages, seen| Attack { name, who, messages, seen };
    let refused = |questions: &[u32]| Seen::Answers(questions.iter().map(|&it| (it, Some(ELSEWHERE))).collect());
    let closed = Seen::Closed;
    let redirected_login = {
        let mut pipelined = vec![yourself(GATEWAY, FREE, GATEWAY_TYPE, 0)];
        pipelined.extend((1..100).map(|at| call_on(Target::First(FREE), FREE + at, BUILD_TYPE, 0, |_| ())));
        pipelined
    };
    let no_way =
        Seen::Answers([(FREE, Some(ELSEWHERE))].into_iter().chain((1..100).map(|at| (FREE + at, Some("")))).collect());
    vec![
        row("results held for the caller", Stranger, vec![yourself(GATEWAY, FREE, GATEWAY_TYPE, 0)], refused(&[FREE])),
        row("results for a third", Stranger, vec![third_party(GATEWAY, FREE, GATEWAY_TYPE, 0)], refused(&[FREE])),
        row("calls on results that are held", Stranger, redirected_login, no_way),
        row(
            "results held, let go of, held again",
            Stranger,
            vec![
                yourself(GATEWAY, FREE, GATEWAY_TYPE, 0),
                finish(FREE),
                yourself(GATEWAY, FREE, GATEWAY_TYPE, 0),
                restore(FREE + 1, credential),
            ],
            Seen::Answers(vec![(FREE, Some(ELSEWHERE)), (FREE, Some(ELSEWHERE)), (FREE + 1, None)]),
        ),
        row(
            "reads of a log that are held, and calls on them",
            Viewer,
            vec![
                yourself(READER, FREE, READER_TYPE, 1),
                call_on(Target::First(FREE), FREE + 1, READER_TYPE, 0, |_| ()),
                finish(FREE + 1),
            ],
            Seen::Answers(vec![(FREE, Some(ELSEWHERE)), (FREE + 1, Some(""))]),
        ),
        row(
            "a number that is in use",
            Viewer,
            vec![open_build(), pending(FIRST), yourself(OPEN_BUILD, FIRST, BUILD_TYPE, 1)],
            closed("is in use"),
        ),
        row("many steps into an answer", Stranger, vec![deep(0, 17, FREE)], closed("17 steps into an answer")),
        row("16 steps", Stranger, vec![deep(0, 16, FREE)], Seen::Answers(vec![(FREE, Some(""))])),
        row(
            "100 steps without a size",
            Stranger,
            vec![emptied(deep(0, 1, FREE), 1, 100)],
            closed("100 steps into an answer"),
        ),
        row(
            "8,000 of them",
            Stranger,
            vec![emptied(deep(0, 1, FREE), 1, 8000)],
            closed("refers to more than it holds"),
        ),
        row("one datum sixty times", Stranger, vec![folded(GATEWAY, FREE, GATEWAY_TYPE, 0)], closed("refers to more")),
        row("the same by a viewer", Viewer, vec![folded(BUILD, FREE, BUILD_TYPE, 1)], closed("refers to more")),
        row("calls that wait one for the other", Viewer, chain(33), closed("33 calls that wait one for the other")),
        row("an answer that nobody waits for", Stranger, vec![unasked()], closed("Invalid question ID")),
    ]
}

/// What is left of a house: who may look at it.
async fn house() -> (House, (SturdyRef, Identity)) {
    let house = House::open(PIPELINE).await;
    built(&house.worker("anvil").await).await;
    house.repo.commit("file", "text", "second");
    while house.guild.build("demo", 2).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let credential = house.enroll(GrantKind::User, "mallory", looks()).await;
    (house, credential)
}

fn looks() -> What {
    What { may: [Right::View].into(), projects: ["demo".to_owned()].into(), ..What::default() }
}

/// One build with a log of 256 KiB.
async fn built(worker: &Played) {
    let (_, lease) = worker.take().await;
    lease.accept_request().send().promise.await.unwrap();
    work(&lease, &vec![b'x'; 256 << 10], Outcome::Succeeded).await;
}

async fn plays(attack: &Attack, credential: &(SturdyRef, Identity)) {
    let mut peer = RawPeer::dial(&credential.0, &credential.1).await;
    match attack.who {
        Who::Stranger => peer.bootstrap().await,
        Who::Viewer => peer.log_in(&credential.0).await,
    }
    assert!(peer.say(&attack.messages.concat()).await, "{}", attack.name);
    match &attack.seen {
        Seen::Answers(expected) => {
            answers(attack.name, &mut peer, expected.clone()).await;
            goes_on(attack, &mut peer, credential).await;
        }
        Seen::Closed(reason) => assert!(ends_with(&mut peer).await.contains(reason), "{}: {reason}", attack.name),
    }
}

async fn answers(name: &str, peer: &mut RawPeer, mut expected: Vec<Expected>) {
    while !expected.is_empty() {
        let heard = peer.hear().await;
        let position = expected.iter().position(|(question, why)| match (&heard, why) {
            (Some(Heard::Results(of, _)), None) => of == question,
            (Some(Heard::Exception(of, text)), Some(why)) => of == question && text.contains(why),
            _ => false,
        });
        let position = position.unwrap_or_else(|| panic!("{name}: {heard:?} is none of {expected:?}"));
        expected.swap_remove(position);
    }
}

/// The connection serves an honest call.
async fn goes_on(attack: &Attack, peer: &mut RawPeer, credential: &(SturdyRef, Identity)) {
    assert!(peer.say(&restore(999, &credential.0)).await);
    assert!(matches!(peer.answer(999).await, Heard::Results(999, _)), "{}", attack.name);
}

/// What the master says before it closes.
async fn ends_with(peer: &mut RawPeer) -> String {
    let mut last = String::new();
    while let Some(heard) = peer.hear().await {
        if let Heard::GaveUp(why) = heard {
            last = why;
        }
    }
    last
}

/// What a peer sends again and again, of one question each.
type Flood = fn(u32) -> Vec<u8>;

/// A read of a log whose answer shall be held, and a call on that.
fn held_read(question: u32) -> Vec<u8> {
    let read = call_on(READER, 2 * question, READER_TYPE, 1, |mut call| {
        call.reborrow().get_send_results_to().set_yourself(());
        let mut params: schema::log_capnp::log_reader::read_params::Builder<'_> =
            call.init_params().init_content().init_as();
        params.set_count(1 << 18);
    });
    let drives = call_on(Target::First(2 * question), 2 * question + 1, READER_TYPE, 0, |_| ());
    [read, drives].concat()
}

/// A promise that is not kept yet.
fn pending(question: u32) -> Vec<u8> {
    call_on(OPEN_BUILD, question, BUILD_TYPE, 1, |_| ())
}

/// A call on as deep a part of such a promise as may be named.
fn deep_in_pending(question: u32) -> Vec<u8> {
    match question {
        FIRST => pending(question),
        _ => deep(FIRST, 16, question),
    }
}

/// A call on the call before, which waits in turn; each thirtieth begins anew.
fn chained(question: u32) -> Vec<u8> {
    match question % 30 == FIRST {
        true => pending(question),
        false => call_on(Target::First(question - 1), question, BUILD_TYPE, 1, |_| ()),
    }
}

/// The same without end.
fn endless(question: u32) -> Vec<u8> {
    match question {
        FIRST => pending(question),
        _ => call_on(Target::First(question - 1), question, BUILD_TYPE, 1, |_| ()),
    }
}

/// Where the build that nobody works on is.
const OPEN_BUILD: Target = Target::First(FREE);
/// The first question of a flood.
const FIRST: u32 = 10;
/// Fewer than a connection may have open.
const CALLS: u32 = 4_000;

/// What some connections of one grant make the master keep; printed, since machines differ.
async fn cost(apart: &Apart, credential: &(SturdyRef, Identity), name: &str, peers: usize, flood: Flood) {
    let before = apart.memory();
    let mut held = Vec::new();
    let mut sent = 0;
    for _ in 0..peers {
        let mut peer = RawPeer::dial(&credential.0, &credential.1).await;
        peer.log_in(&credential.0).await;
        peer.say(&open_build()).await;
        let messages: Vec<u8> = (FIRST..FIRST + CALLS).flat_map(flood).collect();
        sent += messages.len();
        let writing = peer.drown(&messages);
        let _ = tokio::time::timeout(Duration::from_secs(2), writing).await;
        held.push(peer);
    }
    assert_eq!(apart.guild.projects().await.unwrap().len(), 1, "{name}: others are served");
    let (after, kib) = (apart.memory(), sent / 1024);
    println!("{name}, {peers} connections: {kib} KiB sent, {before} -> {after} KiB");
}

/// The second build of `demo`, as the answer to the first free question.
fn open_build() -> Vec<u8> {
    call_on(support::raw::VIEWER, FREE, support::raw::VIEWER_TYPE, 2, |call| {
        let mut params: schema::perspective_capnp::viewer::build_params::Builder<'_> =
            call.init_params().init_content().init_as();
        params.set_project("demo");
        params.set_number(2);
    })
}

/// Cases C1, M1 of the hostile peers.
#[test]
fn what_hostile_peers_cost() {
    run(async {
        let apart = Apart::open(Path::new(env!("CARGO_BIN_EXE_master-apart")), PIPELINE).await;
        built(&apart.worker("anvil").await).await;
        apart.repo.commit("file", "text", "second");
        let credential = apart.enroll(GrantKind::User, "mallory", looks()).await;
        while apart.guild.build("demo", 2).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let floods: [(&str, usize, Flood); 6] = [
            ("reads that shall be held", 1, held_read),
            ("promises", 1, pending),
            ("calls deep in a promise", 1, deep_in_pending),
            ("short chains of calls", 1, chained),
            ("an endless chain of calls", 1, endless),
            ("promises", 30, pending),
        ];
        for (name, peers, flood) in floods {
            cost(&apart, &credential, name, peers, flood).await;
        }
        let master = SturdyRef { token: Token::random(), ..credential.0.clone() };
        strangers(&apart, &master).await;
    });
}

/// The most memory that a stranger may cost, in KiB.
const STRANGER_KIB: u64 = 1 << 10;

/// As many as there may be, each of whom has sent most of a message that is as large as may be, and left the answers to
/// what it sent before unread.
async fn strangers(apart: &Apart, master: &SturdyRef) {
    let before = apart.memory();
    let mut held = Vec::new();
    for _ in 0..60 {
        let mut peer = RawPeer::dial(master, &Identity::generate()).await;
        peer.bootstrap().await;
        let tries: Vec<u8> = (1..120).flat_map(|question| restore(question, master)).collect();
        peer.say(&tries).await;
        let mut half = vec![0; 510 << 10];
        half[4..8].copy_from_slice(&((511_u32 << 10) / 8).to_le_bytes());
        peer.say(&half).await;
        held.push(peer);
    }
    let after = apart.memory();
    println!("strangers: {before} -> {after} KiB, {} of them", held.len());
    let each = after.saturating_sub(before) / held.len() as u64;
    assert!(each <= STRANGER_KIB, "a stranger costs {each} KiB");
    assert_eq!(apart.guild.projects().await.unwrap().len(), 1, "others are served");
}

/// Cases C1, M1 of the hostile peers.
#[test]
fn what_is_written_by_hand_costs_what_it_looks() {
    run(async {
        let (house, credential) = house().await;
        for attack in attacks(&credential.0) {
            println!("{:?}: {}", attack.who, attack.name);
            plays(&attack, &credential).await;
            assert_eq!(house.guild.projects().await.unwrap().len(), 1, "{}: others are served", attack.name);
        }
    });
}
