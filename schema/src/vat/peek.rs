//! What passing messages mean for the account. Looks at the envelope, never at what is in it.

use capnp::Result;
use capnp::any_pointer;
use capnp_rpc::rpc_capnp::{cap_descriptor, message, payload, resolve, return_};

use super::account::Account;

/// A message from the peer. `Some`: it gives up, for this reason.
pub(super) fn received(
    account: &mut Account,
    envelope: any_pointer::Reader<'_>,
    bytes: usize,
    capabilities_max: usize,
) -> Result<Option<String>> {
    // Unknown kinds are the library's to answer; the others do not matter here.
    let Ok(kind) = envelope.get_as::<message::Reader<'_>>()?.which() else {
        return Ok(None);
    };
    match kind {
        message::Bootstrap(asked) => account.called(asked?.get_question_id(), bytes, 0),
        message::Call(call) => {
            let call = call?;
            let capabilities = count_capabilities(call.get_params()?, capabilities_max)?;
            account.called(call.get_question_id(), bytes, capabilities);
        }
        message::Return(answer) => {
            if let Ok(return_::Results(results)) = answer?.which() {
                count_capabilities(results?, capabilities_max)?;
            }
        }
        message::Finish(finish) => {
            let finish = finish?;
            account.finished(finish.get_question_id(), finish.get_release_result_caps());
        }
        message::Release(release) => {
            let release = release?;
            account.released(release.get_id(), release.get_reference_count().into());
        }
        message::Abort(reason) => {
            let reason = reason?.get_reason()?.to_string();
            return Ok(Some(reason.unwrap_or_else(|_| "no text".into())));
        }
        message::Unimplemented(_)
        | message::Resolve(_)
        | message::Disembargo(_)
        | message::Provide(_)
        | message::Accept(_)
        | message::Join(_)
        | message::ObsoleteSave(_)
        | message::ObsoleteDelete(_) => (),
    }
    Ok(None)
}

/// A message of ours, of `bytes`, that ends at `ends_at` in the output.
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
    Ok(count)
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

/// The number of the object of ours that is handed out.
fn export(descriptor: cap_descriptor::Reader<'_>) -> Option<u32> {
    use cap_descriptor::{SenderHosted, SenderPromise};
    match descriptor.which() {
        Ok(SenderHosted(number) | SenderPromise(number)) => Some(number),
        Ok(_) | Err(_) => None,
    }
}
