//! Reads the envelope of each passing message, never its content. It updates the account and decides which messages the library
//! does not get to see.

use capnp::Result;
use capnp::any_pointer;
use capnp::message::{Builder, HeapAllocator};
use capnp_rpc::rpc_capnp::{call, cap_descriptor, message, message_target, payload, promised_answer, resolve, return_};

use super::account::Account;
use super::input::Message;
use super::refuse;
use crate::limits::borders::{CALL_DEPTH, OPERATIONS, POSTPONED};

/// The most steps into an answer that a message may name.
const OPERATIONS_MAX: u32 = OPERATIONS.most as u32;
/// The longest chain of a peer's calls that wait one for the other. A call waits for another if it is made on its answer, or if it
/// has that answer among its parameters.
const DEPTH_MAX: usize = CALL_DEPTH.count();
/// The most promises of a peer that may resolve to another promise during a connection. They are bounded because each keeps the
/// next one in memory.
const POSTPONED_MAX: usize = POSTPONED.count();

/// The decision about a message from the peer.
pub(super) enum Entered {
    /// The message goes on to the library.
    Goes,
    /// The message goes on to the library. It ends the connection, and the text is the peer's reason.
    GivesUp(String),
    /// The library reads this message in place of the peer's message.
    Instead(Message),
    /// This message answers the peer's message at once, and the library never sees the peer's message.
    Answered(Builder<HeapAllocator>),
}

/// Counts a message of `bytes` bytes from the peer, and decides whether the library gets it.
pub(super) fn received(
    account: &mut Account,
    envelope: any_pointer::Reader<'_>,
    bytes: usize,
    capabilities_max: usize,
) -> Result<Entered> {
    // The library answers messages of an unknown kind.
    let Ok(kind) = envelope.get_as::<message::Reader<'_>>()?.which() else {
        return Ok(Entered::Goes);
    };
    match kind {
        message::Bootstrap(asked) => account.called(asked?.get_question_id(), bytes, 0, 0),
        message::Call(call) => return called(account, call?, bytes, capabilities_max),
        message::Return(answer) => return answered(answer?, capabilities_max),
        message::Finish(finish) => {
            let finish = finish?;
            account.finished(finish.get_question_id(), finish.get_release_result_caps());
        }
        message::Release(release) => {
            let release = release?;
            account.released(release.get_id(), release.get_reference_count().into());
        }
        message::Resolve(resolve) => {
            let resolve = resolve?;
            if let Ok(resolve::Cap(descriptor)) = resolve.which() {
                resolved(account, resolve.get_promise_id(), descriptor?)?;
            }
        }
        message::Disembargo(disembargo) => check_target(disembargo?.get_target()?)?,
        message::Abort(reason) => {
            let reason = reason?.get_reason()?.to_string();
            return Ok(Entered::GivesUp(reason.unwrap_or_else(|_| "no text".into())));
        }
        message::Unimplemented(_)
        | message::Provide(_)
        | message::Accept(_)
        | message::Join(_)
        | message::ObsoleteSave(_)
        | message::ObsoleteDelete(_) => (),
    }
    Ok(Entered::Goes)
}

fn called(account: &mut Account, call: call::Reader<'_>, bytes: usize, capabilities_max: usize) -> Result<Entered> {
    let capabilities = count_capabilities(call.get_params()?, capabilities_max)?;
    check_target(call.get_target()?)?;
    let depth = depth(account, call)?;
    let question = call.get_question_id();
    if let Ok(call::send_results_to::Caller(())) = call.get_send_results_to().which() {
        account.called(question, bytes, capabilities, depth);
        return Ok(Entered::Goes);
    }
    // Answering here would end the entry of the open call that already has this number.
    if account.knows(question) {
        return Err(capnp::Error::failed(format!("the number of call {question} is in use")));
    }
    account.called(question, bytes, 0, 0);
    Ok(Entered::Answered(refuse::redirected(question)))
}

/// Returns the length of the chain of calls that must be answered before this one. Fails if the chain is too long.
fn depth(account: &Account, call: call::Reader<'_>) -> Result<usize> {
    let target = match call.get_target()?.which() {
        Ok(message_target::PromisedAnswer(answer)) => account.depth(answer?.get_question_id()),
        Ok(message_target::ImportedCap(_)) | Err(_) => 0,
    };
    let mut depth = target;
    for descriptor in call.get_params()?.get_cap_table()?.iter() {
        depth = depth.max(depth_of(account, descriptor)?);
    }
    if depth >= DEPTH_MAX {
        let text = format!("{} calls that wait one for the other; at most {DEPTH_MAX} are allowed", depth + 1);
        return Err(capnp::Error::overloaded(text));
    }
    Ok(depth)
}

fn depth_of(account: &Account, descriptor: cap_descriptor::Reader<'_>) -> Result<usize> {
    match descriptor.which() {
        Ok(cap_descriptor::ReceiverAnswer(answer)) => Ok(account.depth(answer?.get_question_id())),
        Ok(_) | Err(_) => Ok(0),
    }
}

/// Checks the resolution of a promise of the peer, and counts it if the promise resolved to another promise.
fn resolved(account: &mut Account, promise: u32, descriptor: cap_descriptor::Reader<'_>) -> Result<()> {
    check_descriptor(descriptor)?;
    let other = match descriptor.which() {
        Ok(cap_descriptor::SenderPromise(other)) => Some(other),
        Ok(_) | Err(_) => None,
    };
    // the library would keep such promises, and with them everything that the connection has, for ever
    if other.is_some_and(|other| !account.becomes(promise, other)) {
        return Err(capnp::Error::failed(format!("the promise {promise} became itself")));
    }
    if (other.is_some() || depth_of(account, descriptor)? > 0) && account.postponed() > POSTPONED_MAX {
        let text = format!("more than {POSTPONED_MAX} promises that became promises again");
        return Err(capnp::Error::overloaded(text));
    }
    Ok(())
}

fn answered(answer: return_::Reader<'_>, capabilities_max: usize) -> Result<Entered> {
    match answer.which() {
        Ok(return_::Results(results)) => {
            count_capabilities(results?, capabilities_max)?;
            Ok(Entered::Goes)
        }
        Ok(return_::Exception(_)) => Ok(Entered::Goes),
        // Given any other answer, the library would wait for ever or end the connection.
        Ok(_) | Err(_) => Ok(Entered::Instead(refuse::without_results(answer)?)),
    }
}

/// Counts a message of ours, which has `bytes` bytes and ends at position `ends_at` of the output.
pub(super) fn sent(account: &mut Account, envelope: any_pointer::Reader<'_>, bytes: usize, ends_at: u64) -> Result<()> {
    let kind = envelope.get_as::<message::Reader<'_>>()?.which();
    if let Ok(message::Call(call)) = kind {
        exports(account, call?.get_params()?)?;
    } else if let Ok(message::Return(answer)) = kind {
        let answer = answer?;
        let exports = match answer.which() {
            Ok(return_::Results(results)) => exports(account, results?)?,
            Ok(_) | Err(_) => Vec::new(),
        };
        let keeps = !answer.get_no_finish_needed();
        account.returned(answer.get_answer_id(), bytes, exports, keeps, ends_at);
    } else if let Ok(message::Release(release)) = kind {
        account.let_go(release?.get_id());
    } else if let Ok(message::Resolve(resolve)) = kind
        && let Ok(resolve::Cap(descriptor)) = resolve?.which()
        && let Some(number) = export(descriptor?)
    {
        account.exported(number);
    }
    Ok(())
}

fn count_capabilities(payload: payload::Reader<'_>, most: usize) -> Result<usize> {
    let count = payload.get_cap_table()?.len() as usize;
    if count > most {
        let text = format!("{count} capabilities in one message; at most {most} are allowed");
        return Err(capnp::Error::overloaded(text));
    }
    payload.get_cap_table()?.iter().try_for_each(check_descriptor)?;
    Ok(count)
}

fn check_target(target: message_target::Reader<'_>) -> Result<()> {
    match target.which() {
        Ok(message_target::PromisedAnswer(answer)) => check_operations(answer?),
        Ok(message_target::ImportedCap(_)) | Err(_) => Ok(()),
    }
}

fn check_descriptor(descriptor: cap_descriptor::Reader<'_>) -> Result<()> {
    match descriptor.which() {
        Ok(cap_descriptor::ReceiverAnswer(answer)) => check_operations(answer?),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Refuses more than [`OPERATIONS_MAX`] steps into an answer. The length that the list states counts, because its elements may take
/// no bytes.
fn check_operations(answer: promised_answer::Reader<'_>) -> Result<()> {
    let count = answer.get_transform()?.len();
    if count > OPERATIONS_MAX {
        let text = format!("{count} steps into an answer; at most {OPERATIONS_MAX} are allowed");
        return Err(capnp::Error::overloaded(text));
    }
    Ok(())
}

fn exports(account: &mut Account, payload: payload::Reader<'_>) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for descriptor in payload.get_cap_table()?.iter() {
        if let Some(number) = export(descriptor) {
            account.exported(number);
            numbers.push(number);
        }
    }
    Ok(numbers)
}

/// Returns the number of the object of ours that `descriptor` sends to the peer, if it sends one.
fn export(descriptor: cap_descriptor::Reader<'_>) -> Option<u32> {
    use cap_descriptor::{SenderHosted, SenderPromise};
    match descriptor.which() {
        Ok(SenderHosted(number) | SenderPromise(number)) => Some(number),
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fill = fn(call::Builder<'_>);

    /// Receives a call with this question number and one capability in its parameters, and returns the decision about it.
    fn entered(account: &mut Account, question: u32, fill: Fill) -> Result<Entered> {
        let mut built = Builder::new_default();
        let mut call = built.init_root::<message::Builder<'_>>().init_call();
        call.set_question_id(question);
        call.reborrow().init_params().init_cap_table(1).get(0).set_sender_hosted(3);
        fill(call);
        received(account, built.get_root_as_reader()?, 100, 1)
    }

    #[test]
    fn nothing_is_left_of_a_call_that_is_refused() {
        let elsewhere: [Fill; 2] = [
            |call| call.get_send_results_to().set_yourself(()),
            |call| {
                let _ = call.get_send_results_to().init_third_party();
            },
        ];
        for fill in elsewhere {
            let mut account = Account::default();
            let Ok(Entered::Answered(answer)) = entered(&mut account, 7, fill) else { panic!("it is answered") };
            assert!(account.knows(7), "an answer that is not read counts");
            sent(&mut account, answer.get_root_as_reader().expect("a root"), 50, 50).expect("it is well formed");
            assert_eq!((account.knows(7), account.calls_open()), (false, 0));
            account.written(50);
            assert!(account.is_empty());
            account.finished(7, true);
            assert!(account.is_empty(), "a peer may let go of it all the same");
        }
    }

    #[test]
    fn a_refusal_does_not_end_another_call() {
        let mut account = Account::default();
        assert!(matches!(entered(&mut account, 7, |_| ()), Ok(Entered::Goes)));
        let again = entered(&mut account, 7, |call| call.get_send_results_to().set_yourself(()));
        assert!(again.is_err());
        assert_eq!(account.calls_open(), 1);
    }
}
