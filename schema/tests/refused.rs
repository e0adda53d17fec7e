//! Messages that cost more than their size: results that shall go elsewhere, endless steps into answers, and references to more than
//! the message has. A peer that writes its messages by hand sends them over pipes in this process.

#![expect(clippy::unwrap_used, reason = "what a test cannot do without ends it")]

#[expect(dead_code, reason = "not all of it is needed here")]
mod common;
#[expect(unreachable_pub, dead_code, reason = "shared with another package")]
#[path = "common/raw.rs"]
mod raw;
#[expect(unreachable_pub, dead_code, reason = "generated")]
mod echo_capnp {
    include!(concat!(env!("OUT_DIR"), "/echo_capnp.rs"));
}

use std::rc::Rc;
use std::time::Duration;

use capnp::capability::FromClientHook as _;
use capnp_rpc::rpc_capnp::call;
use common::{Counts, Echo, run, settle};
use echo_capnp::echo;
use raw::{Heard, Target};
use schema::gate::Gate;
use schema::vat::{self, CloseReason, Limits, Side, Vat};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::timeout;

const ECHO: u64 = <echo::Client as capnp::traits::HasTypeId>::TYPE_ID;
const NAME: u16 = 0;
const NEVER: u16 = 2;
const KEEP: u16 = 5;
const NOTE: u16 = 7;
const BYTES: u16 = 9;

/// `Peer` is a peer that writes its messages by hand, with the server that it talks to.
struct Peer {
    stream: DuplexStream,
    heard: Vec<u8>,
    server: Vat,
    counts: Rc<Counts>,
}

impl Peer {
    fn new(limits: Limits) -> Self {
        let counts = Rc::<Counts>::default();
        let gate = Gate::new(1, "mallory");
        let mine = gate.wrap(Echo::client("root", &counts));
        let (stream, far) = tokio::io::duplex(64 << 10);
        let server = vat::start(far, Side::Server, mine.client, limits);
        Self { stream, heard: Vec::new(), server, counts }
    }

    async fn say(&mut self, message: &[u8]) {
        self.stream.write_all(message).await.unwrap();
    }

    /// Waits for the next message and returns it. `None` means that the stream has ended.
    async fn hear(&mut self) -> Option<Heard> {
        loop {
            if let Some(length) = raw::first_length(&self.heard) {
                let message: Vec<u8> = self.heard.drain(..length).collect();
                return Some(raw::read(&message));
            }
            let reading = timeout(Duration::from_secs(5), self.stream.read_buf(&mut self.heard));
            if reading.await.expect("an answer or an end").unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    async fn bootstrap(&mut self) {
        self.say(&raw::bootstrap(0)).await;
        assert!(matches!(self.hear().await, Some(Heard::Results(0, _))));
    }

    /// Checks that the connection still answers a call.
    async fn goes_on(&mut self, question: u32) {
        self.say(&raw::call(question, ECHO, NAME)).await;
        assert_eq!(self.hear().await, Some(Heard::Results(question, vec![])));
        self.say(&raw::finish(question)).await;
        settle().await;
        assert_eq!(self.server.calls_in_flight(), 0);
    }

    /// Waits for the end of the connection, and returns the reason.
    async fn ended(&mut self) -> CloseReason {
        while self.hear().await.is_some() {}
        self.server.closed().await
    }
}

/// `Say` makes a message for a question; `SaySteps` makes one with these steps, and `SayNext` one that follows others.
type Say = fn(u32) -> Vec<u8>;
/// A function that makes a message with these steps into an answer.
type SaySteps = dyn Fn(&[u16]) -> Vec<u8>;
/// A function that makes the next message of a chain that has this many messages so far.
type SayNext = dyn Fn(u32) -> Vec<u8>;

/// `Elsewhere` sets where the results of a call shall go.
type Elsewhere = fn(call::Builder<'_>);

fn elsewhere() -> [(&'static str, Elsewhere); 2] {
    [
        ("yourself", |call| call.get_send_results_to().set_yourself(())),
        ("a third party", |call| {
            let _ = call.get_send_results_to().init_third_party();
        }),
    ]
}

/// Returns a call whose `sendResultsTo` has an unknown kind.
fn unheard_of(question: u32) -> Vec<u8> {
    let caller = raw::call(question, ECHO, NAME);
    let [yourself, third] = elsewhere().map(|(_, to)| raw::call_on(Target::Answer(0), question, ECHO, NAME, to));
    let differs = (0..caller.len()).find(|&at| caller[at] != yourself[at]).unwrap();
    assert_eq!((yourself[differs], third.len() > differs), (1, true), "the union's number stands there");
    let mut unheard_of = caller;
    unheard_of[differs] = 9;
    unheard_of
}

fn is_refused(heard: Option<Heard>, question: u32) {
    let Some(Heard::Exception(of, why)) = heard else { panic!("{heard:?}") };
    assert_eq!(of, question);
    assert!(why.contains("`sendResultsTo` must be `caller`"), "{why}");
}

#[test]
fn results_go_to_their_caller_only() {
    let mut rows: Vec<(&str, Vec<u8>)> = elsewhere()
        .map(|(name, to)| {
            let fill = |call: call::Builder<'_>| to(call);
            (name, raw::call_on(Target::Answer(0), 7, ECHO, NAME, fill))
        })
        .to_vec();
    rows.push(("a number of a later version", unheard_of(7)));
    for (name, call) in rows {
        run(false, async {
            let mut peer = Peer::new(Limits::stranger());
            peer.bootstrap().await;
            peer.say(&call).await;
            is_refused(peer.hear().await, 7);
            // this call is on the answer that was refused
            peer.say(&raw::call_on(Target::First(7), 8, ECHO, NAME, |_| ())).await;
            assert!(matches!(peer.hear().await, Some(Heard::Exception(8, _))), "{name}");
            // a peer may finish the refused question, although it need not, and use its number again
            peer.say(&raw::finish(7)).await;
            peer.say(&raw::finish(8)).await;
            peer.goes_on(7).await;
        });
    }
}

#[test]
fn a_call_whose_results_go_elsewhere_is_not_made() {
    run(false, async {
        let mut peer = Peer::new(Limits::stranger());
        peer.bootstrap().await;
        let fill = |mut call: call::Builder<'_>| {
            call.reborrow().get_send_results_to().set_yourself(());
            let mut note: echo::note_params::Builder<'_> = call.init_params().init_content().init_as();
            note.set_number(42);
        };
        peer.say(&raw::call_on(Target::Answer(0), 7, ECHO, NOTE, fill)).await;
        is_refused(peer.hear().await, 7);
        peer.say(&raw::call_on(Target::Answer(0), 8, ECHO, NEVER, |call| {
            call.get_send_results_to().set_yourself(());
        }))
        .await;
        is_refused(peer.hear().await, 8);
        assert_eq!(peer.counts.waiting.get(), 0);
        peer.goes_on(9).await;
    });
}

#[test]
fn a_refused_call_does_not_end_the_account_of_another() {
    run(false, async {
        let mut peer = Peer::new(Limits::stranger());
        peer.bootstrap().await;
        peer.say(&raw::call(7, ECHO, NEVER)).await;
        settle().await;
        assert_eq!(peer.server.calls_in_flight(), 1);
        peer.say(&raw::call_on(Target::Answer(0), 7, ECHO, NAME, |call| {
            call.get_send_results_to().set_yourself(());
        }))
        .await;
        let reason = peer.ended().await;
        assert!(matches!(&reason, CloseReason::Protocol(why) if why.contains("call 7 is in use")), "{reason}");
    });
}

#[test]
fn refused_calls_of_a_peer_that_reads_nothing_are_bounded() {
    run(true, async {
        let mut peer = Peer::new(Limits::known());
        peer.bootstrap().await;
        let mut taken = 0;
        for question in 1..100_000 {
            let call = raw::call_on(Target::Answer(0), question, ECHO, NAME, |call| {
                call.get_send_results_to().set_yourself(());
            });
            match timeout(Duration::from_secs(1), peer.stream.write_all(&call)).await {
                Ok(Ok(())) => taken = question,
                Ok(Err(_)) | Err(_) => break,
            }
        }
        assert!(taken < 4096 + 4 * (64 << 10) / 100, "{taken} calls were taken");
        assert!(matches!(peer.server.closed().await, CloseReason::Overload(_)));
    });
}

/// The server calls an object of the peer, which answers in an unusual way. Only that call fails, and the connection goes on.
#[test]
fn answers_without_results_fail_the_call_and_nothing_else() {
    let rows: [(&str, Say); 5] = [
        ("taken from another question", |question| {
            raw::answer(question, |mut answer| answer.set_take_from_other_question(7))
        }),
        ("sent elsewhere", |question| raw::answer(question, |mut answer| answer.set_results_sent_elsewhere(()))),
        ("cancelled", |question| raw::answer(question, |mut answer| answer.set_canceled(()))),
        ("from a third party", |question| {
            raw::answer(question, |answer| {
                let _ = answer.init_accept_from_third_party();
            })
        }),
        ("an exception", |question| raw::answer(question, |answer| answer.init_exception().set_reason("no"))),
    ];
    for (name, answer) in rows {
        run(false, async {
            let mut peer = Peer::new(Limits::stranger());
            peer.bootstrap().await;
            // the method `callBack` calls the object in its parameters, and answers when that has answered
            peer.say(&raw::call_on(Target::Answer(0), 7, ECHO, 4, |call| {
                let mut params = call.init_params();
                params.reborrow().init_cap_table(1).get(0).set_sender_hosted(0);
                lend_first(params.init_content());
            }))
            .await;
            let Some(Heard::Called(question)) = peer.hear().await else { panic!("{name}: no call came") };
            peer.say(&answer(question)).await;
            let failed = loop {
                match peer.hear().await {
                    Some(Heard::Other) => (),
                    heard => break heard,
                }
            };
            assert!(matches!(failed, Some(Heard::Exception(7, _))), "{name}: {failed:?}");
            peer.say(&raw::finish(7)).await;
            settle().await;
            assert_eq!(peer.server.calls_in_flight(), 0, "{name}");
        });
    }
}

/// Writes parameters with one field, which is the first capability of the message.
fn lend_first(mut content: capnp::any_pointer::Builder<'_>) {
    use capnp::traits::ImbueMut as _;
    let mut table = Vec::new();
    let mut lent = content.reborrow();
    lent.imbue_mut(&mut table);
    let mut params: echo::keep_params::Builder<'_> = lent.init_as();
    params.set_other(echo::Client::new(capnp_rpc::new_broken_cap(capnp::Error::failed("not ours".into())).hook));
}

#[test]
fn steps_into_an_answer_are_few() {
    let steps = |count: usize| vec![0u16; count];
    let in_target = |steps: &[u16]| {
        raw::bytes(|root| {
            let mut call = root.init_call();
            call.set_question_id(7);
            call.set_interface_id(ECHO);
            raw::point(call.init_target().init_promised_answer(), 0, steps);
        })
    };
    let in_parameters = |steps: &[u16]| {
        raw::call_on(Target::Answer(0), 7, ECHO, KEEP, |call| {
            let table = call.init_params().init_cap_table(1);
            raw::point(table.get(0).init_receiver_answer(), 0, steps);
        })
    };
    let in_disembargo = |steps: &[u16]| {
        raw::bytes(|root| {
            let mut disembargo = root.init_disembargo();
            disembargo.reborrow().init_context().set_sender_loopback(1);
            raw::point(disembargo.init_target().init_promised_answer(), 0, steps);
        })
    };
    let in_answer = |steps: &[u16]| {
        raw::answer(0, |answer| {
            let table = answer.init_results().init_cap_table(1);
            raw::point(table.get(0).init_receiver_answer(), 0, steps);
        })
    };
    let in_resolve =
        |steps: &[u16]| raw::bytes(|root| raw::point(root.init_resolve().init_cap().init_receiver_answer(), 0, steps));
    let places: [(&str, &SaySteps); 5] = [
        ("a call's target", &in_target),
        ("a call's parameters", &in_parameters),
        ("a disembargo's target", &in_disembargo),
        ("an answer", &in_answer),
        ("a resolution", &in_resolve),
    ];
    for (place, message) in places {
        let many = message(&steps(17));
        let [some, very_many] = [100, 8000].map(|count| raw::emptied(message(&steps(1)), 1, count));
        let (steps, more) = ("steps into an answer", "refers to more than it holds");
        let rows = [("many", many, steps), ("without a size", some, steps), ("thousands without", very_many, more)];
        for (name, message, told) in rows {
            run(false, async {
                let mut peer = Peer::new(Limits::known());
                peer.bootstrap().await;
                peer.say(&message).await;
                let reason = peer.ended().await;
                let is_told = matches!(&reason, CloseReason::Overload(why) if why.contains(told));
                assert!(is_told, "{place}, {name}: {reason}");
            });
        }
    }
    run(false, async {
        let mut peer = Peer::new(Limits::known());
        peer.bootstrap().await;
        peer.say(&in_target(&steps(16))).await;
        assert!(matches!(peer.hear().await, Some(Heard::Exception(7, _) | Heard::Results(7, _))));
    });
}

#[test]
fn calls_wait_one_for_the_other_in_short_chains() {
    let on_the_one_before = |question| raw::call_on(Target::First(question - 1), question, ECHO, NAME, |_| ());
    let with_the_one_before = |question| {
        raw::call_on(Target::Answer(0), question, ECHO, NEVER, |call| {
            let table = call.init_params().init_cap_table(1);
            raw::point(table.get(0).init_receiver_answer(), question - 1, &[0]);
        })
    };
    let ways: [(&str, &SayNext); 2] =
        [("on the one before", &on_the_one_before), ("with the one before", &with_the_one_before)];
    for (name, next) in ways {
        run(false, async {
            let mut peer = Peer::new(Limits::known());
            peer.bootstrap().await;
            peer.say(&raw::call(1, ECHO, NEVER)).await;
            for question in 2..=32 {
                peer.say(&next(question)).await;
            }
            settle().await;
            assert_eq!(peer.server.calls_in_flight(), 32, "{name}");
            peer.say(&next(33)).await;
            let reason = peer.ended().await;
            let is_told = matches!(&reason, CloseReason::Overload(why) if why.contains("33 calls that wait"));
            assert!(is_told, "{name}: {reason}");
        });
    }
}

/// A promise that resolves to itself ends its connection. Before, the objects of such a connection were kept for ever, as the fuzz
/// target `server` has found.
#[test]
fn a_promise_that_becomes_itself_ends_its_connection() {
    let becomes_itself = raw::bytes(|root| {
        let mut resolve = root.init_resolve();
        resolve.set_promise_id(5);
        resolve.init_cap().set_sender_promise(5);
    });
    for is_lent in [false, true] {
        run(false, async {
            let mut peer = Peer::new(Limits::known());
            peer.bootstrap().await;
            if is_lent {
                peer.say(&raw::call_on(Target::Answer(0), 7, ECHO, KEEP, |call| {
                    let mut params = call.init_params();
                    params.reborrow().init_cap_table(1).get(0).set_sender_promise(5);
                    lend_first(params.init_content());
                }))
                .await;
            }
            let _ = peer.stream.write_all(&becomes_itself).await;
            let reason = peer.ended().await;
            assert!(matches!(&reason, CloseReason::Protocol(why) if why.contains("became itself")), "{reason}");
        });
    }
}

#[test]
fn promises_become_promises_again_a_few_times() {
    let to_a_promise = |at: u32| {
        raw::bytes(|root| {
            let mut resolve = root.init_resolve();
            resolve.set_promise_id(at);
            resolve.init_cap().set_sender_promise(at + 1);
        })
    };
    let to_an_answer = |at: u32| {
        raw::bytes(|root| {
            let mut resolve = root.init_resolve();
            resolve.set_promise_id(at);
            raw::point(resolve.init_cap().init_receiver_answer(), 8, &[0]);
        })
    };
    let ways: [(&str, &SayNext); 2] = [("a promise", &to_a_promise), ("an answer", &to_an_answer)];
    for (name, resolve) in ways {
        run(false, async {
            let mut peer = Peer::new(Limits::known());
            peer.bootstrap().await;
            peer.say(&raw::call_on(Target::Answer(0), 7, ECHO, KEEP, |call| {
                let mut params = call.init_params();
                params.reborrow().init_cap_table(1).get(0).set_sender_promise(1);
                lend_first(params.init_content());
            }))
            .await;
            peer.say(&raw::call(8, ECHO, NEVER)).await;
            for at in 1..=65 {
                let _ = peer.stream.write_all(&resolve(at)).await;
            }
            let reason = peer.ended().await;
            assert!(
                matches!(&reason, CloseReason::Overload(why) if why.contains("became promises again")),
                "{name}: {reason}"
            );
        });
    }
}

#[test]
fn a_message_refers_to_no_more_than_it_holds() {
    let pointers = 60;
    let honest = raw::call_on(Target::Answer(0), 7, ECHO, BYTES, |call| {
        let content = call.init_params().init_content();
        let mut list: capnp::data_list::Builder<'_> = content.initn_as(pointers);
        list.set(0, &[1; 1000]);
    });
    let hostile = raw::aliased(honest, 1000, pointers as usize - 1);
    run(false, async {
        let mut peer = Peer::new(Limits::known());
        peer.bootstrap().await;
        peer.say(&hostile).await;
        let reason = peer.ended().await;
        assert!(matches!(&reason, CloseReason::Overload(why) if why.contains("refers to more")), "{reason}");
    });
}
