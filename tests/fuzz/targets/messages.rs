//! RPC messages that a peer could send. Each is made from a few bytes, so a mutation of the input is another conversation. The
//! envelope of a message is well formed, or the message is any bytes.

use super::pieces::Pieces;
use super::raw::{self, Target};
use capnp::message::{Reader, ReaderOptions, SegmentArray};
use capnp_rpc::rpc_capnp::{cap_descriptor, message, message_target, payload};

/// The longest conversation that one input becomes, in bytes.
const CONVERSATION_MAX: usize = 256 << 10;
/// The limit for the repetitions of one message, each of which has the next number.
const REPEATED_MAX: u32 = 64;
/// The pointer to an empty struct, which first takes the place of a capability. A builder cannot write pointers to capabilities
/// that are not in its table.
const PLACEHOLDER: u64 = 0xffff_fffc;
/// The low half of a pointer to a capability.
const CAPABILITY: u64 = 3;

/// `Methods` is a list of methods, each with the id of its interface and its number. Some are methods that no object knows.
pub type Methods = &'static [(u64, u16)];

/// Returns the bytes of a conversation: the messages that the pieces describe.
pub fn conversation(pieces: &mut Pieces<'_>, methods: Methods) -> Vec<u8> {
    let mut said = Vec::new();
    while let Some(kind) = pieces.byte() {
        said.extend(message(kind, pieces, methods));
        if said.len() > CONVERSATION_MAX {
            said.truncate(CONVERSATION_MAX);
            break;
        }
    }
    said
}

fn message(kind: u8, pieces: &mut Pieces<'_>, methods: Methods) -> Vec<u8> {
    match kind % 16 {
        0 => framed(pieces),
        1 => raw::bootstrap(number(pieces)),
        2 | 3 => call(pieces, methods),
        4 => repeated(pieces, methods),
        5 => finish(pieces),
        6 => release(pieces),
        7 | 8 => results(pieces),
        9 => answer_of_another_kind(pieces),
        10 => resolve(pieces),
        11 => disembargo(pieces),
        12 => unimplemented(pieces),
        13 => redirected(pieces, methods),
        14 => abort(pieces),
        _ => {
            let count = usize::from(number(pieces) as u8);
            pieces.take(count).to_vec()
        }
    }
}

fn number(pieces: &mut Pieces<'_>) -> u32 {
    u32::from(pieces.byte().unwrap_or(0))
}

/// Returns a message of one segment with any words.
fn framed(pieces: &mut Pieces<'_>) -> Vec<u8> {
    let words = words(pieces);
    let mut message = 0_u32.to_le_bytes().to_vec();
    message.extend((words.len() as u32 / 8).to_le_bytes());
    message.extend(words);
    message
}

/// Takes a count and this many words. Missing bytes are zero.
fn words(pieces: &mut Pieces<'_>) -> Vec<u8> {
    let count = usize::from(number(pieces) as u8 & 0x3f) * 8;
    let mut words = pieces.take(count).to_vec();
    words.resize(count, 0);
    words
}

fn call(pieces: &mut Pieces<'_>, methods: Methods) -> Vec<u8> {
    let (question, target) = (number(pieces), target(pieces));
    let (interface, method) = methods[number(pieces) as usize % methods.len()];
    with_content(pieces, |fill| raw::call_on(target, question, interface, method, |call| fill(call.init_params())))
}

fn repeated(pieces: &mut Pieces<'_>, methods: Methods) -> Vec<u8> {
    let (first, target) = (number(pieces), target(pieces));
    let (interface, method) = methods[number(pieces) as usize % methods.len()];
    let numbers = first..first + number(pieces) % REPEATED_MAX;
    numbers.flat_map(|question| raw::call_on(target, question, interface, method, |_| ())).collect()
}

fn redirected(pieces: &mut Pieces<'_>, methods: Methods) -> Vec<u8> {
    let (question, target) = (number(pieces), target(pieces));
    let (interface, method) = methods[number(pieces) as usize % methods.len()];
    raw::call_on(target, question, interface, method, |call| call.init_send_results_to().set_yourself(()))
}

fn target(pieces: &mut Pieces<'_>) -> Target {
    let (kind, of) = (number(pieces), number(pieces));
    match kind % 4 {
        0 => Target::Answer(of),
        1 => Target::First(of),
        2 => Target::Field(of, (kind / 4) as u16),
        _ => Target::Object(of),
    }
}

fn finish(pieces: &mut Pieces<'_>) -> Vec<u8> {
    let (question, releases) = (number(pieces), number(pieces).is_multiple_of(2));
    raw::bytes(|root| {
        let mut finish = root.init_finish();
        finish.set_question_id(question);
        finish.set_release_result_caps(releases);
    })
}

fn release(pieces: &mut Pieces<'_>) -> Vec<u8> {
    let (of, count) = (number(pieces), number(pieces));
    raw::bytes(|root| {
        let mut release = root.init_release();
        release.set_id(of);
        release.set_reference_count(count);
    })
}

fn results(pieces: &mut Pieces<'_>) -> Vec<u8> {
    let question = number(pieces);
    with_content(pieces, |fill| raw::answer(question, |answer| fill(answer.init_results())))
}

fn answer_of_another_kind(pieces: &mut Pieces<'_>) -> Vec<u8> {
    let (question, kind, other) = (number(pieces), number(pieces), number(pieces));
    raw::answer(question, |mut answer| match kind % 4 {
        0 => answer.set_canceled(()),
        1 => answer.set_results_sent_elsewhere(()),
        2 => answer.set_take_from_other_question(other),
        _ => answer.init_exception().set_reason("no"),
    })
}

fn resolve(pieces: &mut Pieces<'_>) -> Vec<u8> {
    let (promise, is_broken) = (number(pieces), number(pieces).is_multiple_of(4));
    let (kind, of) = (number(pieces), number(pieces));
    raw::bytes(|root| {
        let mut resolve = root.init_resolve();
        resolve.set_promise_id(promise);
        match is_broken {
            true => resolve.init_exception().set_reason("broken"),
            false => describe(resolve.init_cap(), kind, of),
        }
    })
}

fn disembargo(pieces: &mut Pieces<'_>) -> Vec<u8> {
    let (kind, number_of_it, target) = (number(pieces), number(pieces), target(pieces));
    raw::bytes(|root| {
        let mut disembargo = root.init_disembargo();
        aim(disembargo.reborrow().init_target(), target);
        let mut context = disembargo.init_context();
        match kind % 3 {
            0 => context.set_sender_loopback(number_of_it),
            1 => context.set_receiver_loopback(number_of_it),
            _ => context.set_accept(()),
        }
    })
}

fn aim(mut to: message_target::Builder<'_>, target: Target) {
    match target {
        Target::Object(number) => to.set_imported_cap(number),
        Target::Answer(other) => to.init_promised_answer().set_question_id(other),
        Target::First(other) => raw::point(to.init_promised_answer(), other, &[0]),
        Target::Field(other, field) => raw::point(to.init_promised_answer(), other, &[field; 3]),
    }
}

/// Returns an abort message. Its reason is four bytes that need not be text.
fn abort(pieces: &mut Pieces<'_>) -> Vec<u8> {
    let mut message = raw::bytes(|root| root.init_abort().set_reason("over"));
    let said = message.windows(4).position(|window| window == b"over").expect("the reason is in it");
    let reason = pieces.take(4);
    message[said..said + reason.len()].copy_from_slice(reason);
    message
}

/// Returns a message by which the peer says that it does not know one of our messages.
fn unimplemented(pieces: &mut Pieces<'_>) -> Vec<u8> {
    let (kind, of) = (number(pieces), number(pieces));
    raw::bytes(|root| {
        let inner: message::Builder<'_> = root.init_unimplemented();
        match kind % 4 {
            0 => inner.init_bootstrap().set_question_id(of),
            1 => inner.init_call().set_question_id(of),
            2 => inner.init_return().set_answer_id(of),
            _ => describe(inner.init_resolve().init_cap(), kind / 4, of),
        }
    })
}

/// Returns a message with a payload: a table of capabilities, and any words as the content.
fn with_content(pieces: &mut Pieces<'_>, make: impl FnOnce(&dyn Fn(payload::Builder<'_>)) -> Vec<u8>) -> Vec<u8> {
    let count = number(pieces) % 8;
    let capabilities: Vec<(u32, u32)> = (0..count).map(|_| (number(pieces), number(pieces))).collect();
    let (words, pointers) = without_capabilities(&words(pieces));
    let fill = |mut payload: payload::Builder<'_>| {
        let segments: [&[u8]; 1] = [&words];
        let content = Reader::new(SegmentArray::new(&segments), ReaderOptions::new());
        if let Ok(content) = content.get_root::<capnp::any_pointer::Reader<'_>>() {
            // if the content cannot be copied, it stays null
            let _ = payload.reborrow().init_content().set_as(content);
        }
        let mut table = payload.init_cap_table(count);
        for (at, (kind, of)) in (0..).zip(&capabilities) {
            describe(table.reborrow().get(at), *kind, *of);
        }
    };
    with_capabilities(make(&fill), &pointers)
}

fn describe(mut descriptor: cap_descriptor::Builder<'_>, kind: u32, of: u32) {
    match kind % 6 {
        0 => descriptor.set_none(()),
        1 => descriptor.set_sender_hosted(of),
        2 => descriptor.set_sender_promise(of),
        3 => descriptor.set_receiver_hosted(of),
        4 => raw::point(descriptor.init_receiver_answer(), of, &[]),
        _ => raw::point(descriptor.init_receiver_answer(), of, &[0]),
    }
}

fn without_capabilities(words: &[u8]) -> (Vec<u8>, Vec<u64>) {
    let mut pointers = Vec::new();
    let replace = |word: u64| match word & 0xffff_ffff == CAPABILITY {
        true => {
            pointers.push(word & 7 << 32 | CAPABILITY);
            PLACEHOLDER
        }
        false => word,
    };
    let replaced = numbers(words).map(replace).flat_map(u64::to_le_bytes).collect();
    (replaced, pointers)
}

fn with_capabilities(message: Vec<u8>, pointers: &[u64]) -> Vec<u8> {
    let mut pointers = pointers.iter();
    let replace = |word: u64| match word == PLACEHOLDER {
        true => pointers.next().copied().unwrap_or(word),
        false => word,
    };
    numbers(&message).map(replace).flat_map(u64::to_le_bytes).collect()
}

fn numbers(words: &[u8]) -> impl Iterator<Item = u64> + '_ {
    words.chunks_exact(8).map(|eight| u64::from_le_bytes(eight.try_into().expect("eight bytes")))
}
