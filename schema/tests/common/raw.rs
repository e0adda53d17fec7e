//! RPC messages that a test writes itself, so that its peer can misbehave. The tests of this crate and the hostile peers of the
//! package `tests` share them.

use capnp::message::{Builder, HeapAllocator, ReaderOptions};
use capnp_rpc::rpc_capnp::{call, message, promised_answer, return_};

type Message = Builder<HeapAllocator>;

/// Returns a message as bytes.
pub fn bytes(fill: impl FnOnce(message::Builder<'_>)) -> Vec<u8> {
    let mut message = Message::new_default();
    fill(message.init_root());
    capnp::serialize::write_message_to_words(&message)
}

pub fn bootstrap(question: u32) -> Vec<u8> {
    bytes(|root| root.init_bootstrap().set_question_id(question))
}

/// Returns a call without parameters on the answer to question 0.
pub fn call(question: u32, interface: u64, method: u16) -> Vec<u8> {
    call_on(Target::Answer(0), question, interface, method, |_| ())
}

/// `Target` is the object on which a call is made.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// The answer to this question itself.
    Answer(u32),
    /// The first pointer in the answer to this question.
    First(u32),
    /// The pointer with this number (second) in the answer to a question (first).
    Field(u32, u16),
    Object(u32),
}

/// Returns a call on any target, into which `fill` writes anything.
pub fn call_on(
    target: Target,
    question: u32,
    interface: u64,
    method: u16,
    fill: impl FnOnce(call::Builder<'_>),
) -> Vec<u8> {
    bytes(|root| {
        let mut call = root.init_call();
        call.set_question_id(question);
        call.set_interface_id(interface);
        call.set_method_id(method);
        let mut to = call.reborrow().init_target();
        match target {
            Target::Object(number) => to.set_imported_cap(number),
            Target::Answer(other) => to.init_promised_answer().set_question_id(other),
            Target::First(other) => point(to.init_promised_answer(), other, &[0]),
            Target::Field(other, field) => point(to.init_promised_answer(), other, &[field]),
        }
        fill(call);
    })
}

/// Names the part of an answer to which these steps lead.
pub fn point(mut answer: promised_answer::Builder<'_>, question: u32, steps: &[u16]) {
    answer.set_question_id(question);
    let mut transform = answer.init_transform(steps.len() as u32);
    (0..).zip(steps).for_each(|(at, &step)| transform.reborrow().get(at).set_get_pointer_field(step));
}

pub fn finish(question: u32) -> Vec<u8> {
    bytes(|root| {
        let mut finish = root.init_finish();
        finish.set_question_id(question);
        finish.set_release_result_caps(true);
    })
}

/// Returns an answer of the peer to a call of ours.
pub fn answer(question: u32, fill: impl FnOnce(return_::Builder<'_>)) -> Vec<u8> {
    bytes(|root| {
        let mut answer = root.init_return();
        answer.set_answer_id(question);
        fill(answer);
    })
}

/// `Heard` is a message from the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An answer with results: its question, and the numbers of the objects in it.
    Results(u32, Vec<u32>),
    Exception(u32, String),
    /// An answer of another kind, and its question.
    Elsewhere(u32),
    /// A call, and its question.
    Called(u32),
    GaveUp(String),
    Other,
}

/// Reads a message from the other side.
pub fn read(bytes: &[u8]) -> Heard {
    let message = capnp::serialize::read_message(bytes, ReaderOptions::new()).unwrap();
    let root: message::Reader<'_> = message.get_root().unwrap();
    let text = |text: capnp::Result<capnp::text::Reader<'_>>| text.unwrap().to_string().unwrap();
    match root.which() {
        Ok(message::Call(call)) => Heard::Called(call.unwrap().get_question_id()),
        Ok(message::Abort(why)) => Heard::GaveUp(text(why.unwrap().get_reason())),
        Ok(message::Return(answer)) => {
            let answer = answer.unwrap();
            let question = answer.get_answer_id();
            match answer.which() {
                Ok(return_::Results(results)) => Heard::Results(question, objects(results.unwrap())),
                Ok(return_::Exception(why)) => Heard::Exception(question, text(why.unwrap().get_reason())),
                Ok(_) | Err(_) => Heard::Elsewhere(question),
            }
        }
        Ok(_) | Err(_) => Heard::Other,
    }
}

fn objects(payload: capnp_rpc::rpc_capnp::payload::Reader<'_>) -> Vec<u32> {
    use capnp_rpc::rpc_capnp::cap_descriptor::{SenderHosted, SenderPromise};
    let hosted = |descriptor: capnp_rpc::rpc_capnp::cap_descriptor::Reader<'_>| match descriptor.which() {
        Ok(SenderHosted(number) | SenderPromise(number)) => Some(number),
        Ok(_) | Err(_) => None,
    };
    payload.get_cap_table().unwrap().iter().filter_map(hosted).collect()
}

/// `Dice` is a small generator of numbers. The seed of a run that fails repeats it.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, end: usize) -> usize {
        // splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

/// Splits a recorded stream into its messages.
pub fn split(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some(length) = first_length(stream) {
        let (message, rest) = stream.split_at(length);
        messages.push(message.to_vec());
        stream = rest;
    }
    messages
}

/// Returns the length of the message at the start of a stream. `None` means that the message is not complete yet.
pub fn first_length(stream: &[u8]) -> Option<usize> {
    let number = |at: usize| {
        let four = stream.get(at * 4..at * 4 + 4)?;
        Some(u32::from_le_bytes(four.try_into().unwrap()) as usize)
    };
    let segments = number(0)? + 1;
    let words: usize = (1..=segments).map(number).sum::<Option<usize>>()?;
    let length = (4 + segments * 4).next_multiple_of(8) + words * 8;
    (stream.len() >= length).then_some(length)
}

/// Changes the only list of structs with `data` words each in a message into a list of `count` structs without a size.
pub fn emptied(message: Vec<u8>, data: u64, count: u64) -> Vec<u8> {
    let mut words = to_words(&message);
    let list = |word: u64| word & 3 == 1 && word >> 32 & 7 == 7;
    let target = |at: usize, word: u64| (at as i64 + 1 + i64::from(word as u32 as i32 >> 2)) as usize;
    let is_it = |&(at, &word): &(usize, &u64)| {
        list(word) && words.get(target(at, word)).is_some_and(|tag| tag & 3 == 0 && tag >> 32 == data)
    };
    let (pointer, tag) = words.iter().enumerate().find(is_it).map(|(at, &word)| (at, target(at, word))).unwrap();
    words[pointer] &= (1 << 35) - 1;
    words[tag] = count << 2;
    from_words(&words)
}

/// Makes the null pointers that follow the only pointer to `size` bytes of data point there too, `times` of them.
pub fn aliased(message: Vec<u8>, size: u64, times: usize) -> Vec<u8> {
    let mut words = to_words(&message);
    let first = words.iter().position(|word| word & 3 == 1 && word >> 32 == size << 3 | 2).unwrap();
    let word = words[first];
    for step in 1..=times {
        assert_eq!(words[first + step], 0, "there is room for {times} more pointers");
        let offset = (word as u32 as i32 >> 2) - step as i32;
        words[first + step] = word >> 32 << 32 | u64::from((offset << 2 | 1) as u32);
    }
    from_words(&words)
}

fn to_words(message: &[u8]) -> Vec<u64> {
    message.chunks_exact(8).map(|eight| u64::from_le_bytes(eight.try_into().unwrap())).collect()
}

fn from_words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
