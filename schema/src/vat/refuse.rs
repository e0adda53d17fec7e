//! Builds the messages that replace those of the RPC library where results shall not go to their caller. The library would keep
//! such results for ever. It decides nothing.

use capnp::Result;
use capnp::message::{Builder, HeapAllocator, ReaderOptions};
use capnp_rpc::rpc_capnp::{exception, message, return_};

use super::input::Message;

const REDIRECTED: &str = "the results of a call go to its caller: `sendResultsTo` must be `caller`";
const NOT_HERE: &str = "the peer answered without results: only results that stand in the answer itself are read";

/// Builds the refusal of a call whose results shall not go to its caller. The refusal releases the capabilities in the call's
/// parameters, and the number of the call is free at once.
pub(super) fn redirected(question: u32) -> Builder<HeapAllocator> {
    let mut built = Builder::new_default();
    let mut answer = built.init_root::<message::Builder<'_>>().init_return();
    answer.set_answer_id(question);
    answer.set_release_param_caps(true);
    answer.set_no_finish_needed(true);
    let mut why = answer.init_exception();
    why.set_reason(REDIRECTED);
    why.set_type(exception::Type::Unimplemented);
    built
}

/// Builds the exception that the library reads in place of `answer`, which holds neither results nor an exception.
pub(super) fn without_results(answer: return_::Reader<'_>) -> Result<Message> {
    let mut built = Builder::new_default();
    let mut instead = built.init_root::<message::Builder<'_>>().init_return();
    instead.set_answer_id(answer.get_answer_id());
    instead.set_release_param_caps(answer.get_release_param_caps());
    instead.set_no_finish_needed(answer.get_no_finish_needed());
    let mut why = instead.init_exception();
    why.set_reason(NOT_HERE);
    why.set_type(exception::Type::Failed);
    let bytes = capnp::serialize::write_message_to_words(&built);
    capnp::serialize::read_message(bytes.as_slice(), ReaderOptions::new())
}
