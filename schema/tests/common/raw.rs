//! A peer that speaks the protocol by hand, and so can misbehave.

use capnp::message::{Builder, HeapAllocator};
use capnp_rpc::rpc_capnp::message;

type Message = Builder<HeapAllocator>;

fn bytes(fill: impl FnOnce(message::Builder<'_>)) -> Vec<u8> {
    let mut message = Message::new_default();
    fill(message.init_root());
    capnp::serialize::write_message_to_words(&message)
}

pub(crate) fn bootstrap(question: u32) -> Vec<u8> {
    bytes(|root| root.init_bootstrap().set_question_id(question))
}

/// A call without parameters on the answer to question 0.
pub(crate) fn call(question: u32, interface: u64, method: u16) -> Vec<u8> {
    bytes(|root| {
        let mut call = root.init_call();
        call.set_question_id(question);
        call.set_interface_id(interface);
        call.set_method_id(method);
        let mut target = call.init_target();
        target.reborrow().init_promised_answer().set_question_id(0);
    })
}

/// A tiny generator of numbers, so that a failing run is replayed from its seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

/// Cuts a recorded stream into its messages.
pub(crate) fn split(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let number = |bytes: &[u8], at: usize| {
        let four = bytes[at * 4..at * 4 + 4].try_into().unwrap();
        u32::from_le_bytes(four) as usize
    };
    let mut messages = Vec::new();
    while !stream.is_empty() {
        let segments = number(stream, 0) + 1;
        let words: usize = (1..=segments).map(|at| number(stream, at)).sum();
        let length = (4 + segments * 4).next_multiple_of(8) + words * 8;
        let (message, rest) = stream.split_at(length);
        messages.push(message.to_vec());
        stream = rest;
    }
    messages
}
