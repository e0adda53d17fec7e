//! Outcomes, states, exits and refusals in their form on the wire.

use crate::common_capnp as wire;
use crate::grant_capnp::Kind;
use crate::limits::{self, DIAGNOSIS, EXIT};
use crate::values::{Exit, GrantKind, Outcome, Refusal, RefusalCode, State};
use crate::worker_capnp::exit;

/// Writes an outcome in its form on the wire. `None` becomes `none`.
pub fn outcome_to_wire(outcome: Option<Outcome>) -> wire::Outcome {
    match outcome {
        None => wire::Outcome::None,
        Some(Outcome::Succeeded) => wire::Outcome::Succeeded,
        Some(Outcome::Warned) => wire::Outcome::Warned,
        Some(Outcome::Failed) => wire::Outcome::Failed,
        Some(Outcome::Errored) => wire::Outcome::Errored,
        Some(Outcome::Cancelled) => wire::Outcome::Cancelled,
        Some(Outcome::Skipped) => wire::Outcome::Skipped,
    }
}

/// Reads an outcome from its form on the wire. `none` becomes `None`.
pub fn outcome_from_wire(outcome: wire::Outcome) -> Option<Outcome> {
    match outcome {
        wire::Outcome::None => None,
        wire::Outcome::Succeeded => Some(Outcome::Succeeded),
        wire::Outcome::Warned => Some(Outcome::Warned),
        wire::Outcome::Failed => Some(Outcome::Failed),
        wire::Outcome::Errored => Some(Outcome::Errored),
        wire::Outcome::Cancelled => Some(Outcome::Cancelled),
        wire::Outcome::Skipped => Some(Outcome::Skipped),
    }
}

/// Writes a state in its form on the wire.
pub fn state_to_wire(state: State) -> wire::State {
    match state {
        State::Planning => wire::State::Planning,
        State::Waiting => wire::State::Waiting,
        State::Queued => wire::State::Queued,
        State::Offered => wire::State::Offered,
        State::Running => wire::State::Running,
        State::Finished => wire::State::Finished,
    }
}

/// Reads a state from its form on the wire.
pub fn state_from_wire(state: wire::State) -> State {
    match state {
        wire::State::Planning => State::Planning,
        wire::State::Waiting => State::Waiting,
        wire::State::Queued => State::Queued,
        wire::State::Offered => State::Offered,
        wire::State::Running => State::Running,
        wire::State::Finished => State::Finished,
    }
}

/// Writes a kind of grant in its form on the wire.
pub fn kind_to_enum(kind: GrantKind) -> Kind {
    match kind {
        GrantKind::Operator => Kind::Operator,
        GrantKind::User => Kind::User,
        GrantKind::Worker => Kind::Worker,
        GrantKind::Changes => Kind::Changes,
        GrantKind::Events => Kind::Events,
        GrantKind::Unknown => Kind::Unknown,
    }
}

/// Reads a kind of grant from its form on the wire. A kind that this version's schema does not have becomes `Unknown`.
pub fn enum_to_kind(kind: Result<Kind, capnp::NotInSchema>) -> GrantKind {
    match kind {
        Ok(Kind::Operator) => GrantKind::Operator,
        Ok(Kind::User) => GrantKind::User,
        Ok(Kind::Worker) => GrantKind::Worker,
        Ok(Kind::Changes) => GrantKind::Changes,
        Ok(Kind::Events) => GrantKind::Events,
        Ok(Kind::Unknown) | Err(capnp::NotInSchema(_)) => GrantKind::Unknown,
    }
}

/// Writes the way in which a process ended in its form on the wire.
pub fn write_exit(mut to: exit::Builder<'_>, exit: &Exit) {
    match exit {
        Exit::None => to.set_none(()),
        Exit::Code(code) => to.set_code(*code),
        Exit::Signal(signal) => to.set_signal(*signal),
        Exit::Timeout => to.set_timeout(()),
        Exit::Idle => to.set_idle(()),
        Exit::Lost(why) => to.set_lost(EXIT.cut(why)),
    }
}

/// Reads the way in which a process ended from its form on the wire, within the limits of its fields.
pub fn read_exit(from: exit::Reader<'_>) -> capnp::Result<Exit> {
    Ok(match from.which()? {
        exit::None(()) => Exit::None,
        exit::Code(code) => Exit::Code(code),
        exit::Signal(signal) => Exit::Signal(signal),
        exit::Timeout(()) => Exit::Timeout,
        exit::Idle(()) => Exit::Idle,
        exit::Lost(why) => Exit::Lost(limits::text(why, &EXIT)?),
    })
}

/// Writes a refusal in its form on the wire.
pub fn write_refusal(mut to: wire::refusal::Builder<'_>, refusal: &Refusal) {
    to.set_code(code_to_wire(refusal.code));
    to.set_text(DIAGNOSIS.cut(&refusal.text));
    to.set_help(DIAGNOSIS.cut(&refusal.help));
}

/// Reads the field `refusal` of an answer. `None` means that the call was done. Use it as
/// `wire::refusal(answer.has_refusal(), answer.get_refusal())?`.
pub fn refusal(present: bool, from: capnp::Result<wire::refusal::Reader<'_>>) -> capnp::Result<Option<Refusal>> {
    if !present {
        return Ok(None);
    }
    let from = from?;
    Ok(Some(Refusal {
        code: from.get_code().map_or(RefusalCode::Internal, code_from_wire),
        text: limits::text(from.get_text(), &DIAGNOSIS)?,
        help: limits::text(from.get_help(), &DIAGNOSIS)?,
    }))
}

fn code_to_wire(code: RefusalCode) -> wire::refusal::Code {
    use wire::refusal::Code;
    match code {
        RefusalCode::Internal => Code::Internal,
        RefusalCode::NotPermitted => Code::NotPermitted,
        RefusalCode::NotFound => Code::NotFound,
        RefusalCode::Conflict => Code::Conflict,
        RefusalCode::Invalid => Code::Invalid,
        RefusalCode::Revoked => Code::Revoked,
        RefusalCode::Expired => Code::Expired,
        RefusalCode::Unknown => Code::Unknown,
        RefusalCode::Stale => Code::Stale,
        RefusalCode::Unavailable => Code::Unavailable,
        RefusalCode::Version => Code::Version,
        RefusalCode::Offset => Code::Offset,
    }
}

fn code_from_wire(code: wire::refusal::Code) -> RefusalCode {
    use wire::refusal::Code;
    match code {
        Code::Internal => RefusalCode::Internal,
        Code::NotPermitted => RefusalCode::NotPermitted,
        Code::NotFound => RefusalCode::NotFound,
        Code::Conflict => RefusalCode::Conflict,
        Code::Invalid => RefusalCode::Invalid,
        Code::Revoked => RefusalCode::Revoked,
        Code::Expired => RefusalCode::Expired,
        Code::Unknown => RefusalCode::Unknown,
        Code::Stale => RefusalCode::Stale,
        Code::Unavailable => RefusalCode::Unavailable,
        Code::Version => RefusalCode::Version,
        Code::Offset => RefusalCode::Offset,
    }
}
