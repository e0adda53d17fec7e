//! RPC messages that are written by hand: how much memory they cost the master, and whether it answers or closes the connection.
//! Each attack is a row of a table.

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

/// A pipeline of one job. The tests write a log for it.
const PIPELINE: &str = "version = 1\n[job.greet]\nsource = \"none\"\nrun = [\"true\"]\n";

/// `Who` is the kind of peer that attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Stranger,
    /// A peer with a credential that may look at the only project.
    Viewer,
}

/// `Seen` is what the attacker must see.
enum Seen {
    /// The master sends these answers, in any order, and the connection goes on.
    Answers(Vec<Expected>),
    /// The master closes the connection with a reason that contains this text.
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

/// A call on a part of the answer to question `into`. A path of `steps` steps leads to that part.
fn deep(into: u32, steps: usize, question: u32) -> Vec<u8> {
    bytes(|root| {
        let mut call = root.init_call();
        call.set_question_id(question);
        call.set_interface_id(BUILD_TYPE);
        point(call.init_target().init_promised_answer(), into, &vec![0; steps]);
    })
}

/// A call with 60 data that all share the same 1,000 bytes, so the message is much smaller than its contents.
fn folded(target: Target, question: u32, interface: u64, method: u16) -> Vec<u8> {
    let honest = call_on(target, question, interface, method, |call| {
        let mut list: capnp::data_list::Builder<'_> = call.init_params().init_content().initn_as(60);
        list.set(0, &[1; 1000]);
    });
    aliased(honest, 1000, 59)
}

/// An answer to a question that the master never asked.
fn unasked() -> Vec<u8> {
    answer(77, |mut answer| answer.set_take_from_other_question(FREE))
}

/// Returns messages with a chain of calls. Each is made on the answer of the previous call, and the first one stays pending.
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

/// Opens a house with a finished build and a queued one. Returns it with a credential that may look at it.
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

/// Finishes one build, with a log of 256 KiB.
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

/// Checks that the connection still serves an honest call.
async fn goes_on(attack: &Attack, peer: &mut RawPeer, credential: &(SturdyRef, Identity)) {
    assert!(peer.say(&restore(999, &credential.0)).await);
    assert!(matches!(peer.answer(999).await, Heard::Results(999, _)), "{}", attack.name);
}

/// Waits until the master closes the connection, and returns the reason that it gives.
async fn ends_with(peer: &mut RawPeer) -> String {
    let mut last = String::new();
    while let Some(heard) = peer.hear().await {
        if let Heard::GaveUp(why) = heard {
            last = why;
        }
    }
    last
}

/// `Flood` returns the messages for one question, which a peer sends again and again with new numbers.
type Flood = fn(u32) -> Vec<u8>;

/// A read of a log whose answer the master shall hold, and a call on that answer.
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

/// A call that waits for the outcome of the queued build, so its answer stays pending.
fn pending(question: u32) -> Vec<u8> {
    call_on(OPEN_BUILD, question, BUILD_TYPE, 1, |_| ())
}

/// A call on a part of such a pending answer, 16 steps deep, which is the limit.
fn deep_in_pending(question: u32) -> Vec<u8> {
    match question {
        FIRST => pending(question),
        _ => deep(FIRST, 16, question),
    }
}

/// A call on the answer of the previous call, which waits too. Every 30th call begins a new chain.
fn chained(question: u32) -> Vec<u8> {
    match question % 30 == FIRST {
        true => pending(question),
        false => call_on(Target::First(question - 1), question, BUILD_TYPE, 1, |_| ()),
    }
}

/// A call on the answer of the previous call, in a single chain that never ends.
fn endless(question: u32) -> Vec<u8> {
    match question {
        FIRST => pending(question),
        _ => call_on(Target::First(question - 1), question, BUILD_TYPE, 1, |_| ()),
    }
}

/// The capability of the build that no worker takes.
const OPEN_BUILD: Target = Target::First(FREE);
/// The first question of a flood.
const FIRST: u32 = 10;
/// The number of calls of a flood: a little fewer than the 4,096 that a connection may have in flight.
const CALLS: u32 = 4_000;

/// Prints how much memory the floods of some connections of one grant cost the master. There is no limit to check here, because
/// machines differ.
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

/// A call for the second build of `demo`, with the first free number of a question.
fn open_build() -> Vec<u8> {
    call_on(support::raw::VIEWER, FREE, support::raw::VIEWER_TYPE, 2, |call| {
        let mut params: schema::perspective_capnp::viewer::build_params::Builder<'_> =
            call.init_params().init_content().init_as();
        params.set_project("demo");
        params.set_number(2);
    })
}

/// Prints the memory that floods of calls by a viewer cost a master in a process of its own, and bounds the cost of strangers.
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

/// The largest memory that one stranger may cost the master, in KiB: its message and its answers may take 512 each.
const STRANGER_KIB: u64 = 1 << 10;

/// Plays 60 strangers, and checks what each costs. Each leaves the answers to its calls unread, and sends most of a message of the
/// largest size.
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

/// Plays each attack: the master refuses it or closes the connection, and keeps serving others.
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
