//! The only error type of this library: everything that can go wrong for the holder of a credential, with an exit status for each
//! error.

use schema::limits::INVALID;
use schema::values::{Refusal, RefusalCode};
use std::path::PathBuf;
use std::time::Duration;

/// An error that the holder of a credential can meet. It displays as a sentence for a person; [`Error::way_out`] has the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The master refused the call, for this reason.
    #[error("{0}")]
    Refused(Refusal),
    /// The credential lacks the right that this call needs; the text says what the right allows.
    #[error("this credential does not hold the right to {0}")]
    NotHeld(&'static str),
    /// The credential, or the key that it is bound to, cannot be used.
    #[error("{credential}: {why}")]
    Credential {
        /// The name of the credential, as far as it is known.
        credential: String,
        /// Why the credential cannot be used, in a sentence.
        why: String,
    },
    /// No context applies, so that there is no credential.
    #[error("there is no credential, because no context applies here")]
    NoContext,
    /// The process for which the context of this repository was registered has ended, and no other context applies.
    #[error("`guild-master up` of this repository has ended (context `{context}`, kept in {}), and no other context applies", kept.display())]
    Ended {
        /// The name of the context.
        context: String,
        /// The directory in which the ended process keeps its builds and logs.
        kept: PathBuf,
    },
    /// No address of the master answered; the text says why.
    #[error("the master cannot be reached: {0}")]
    Unreachable(String),
    /// The link was lost during a call, and did not come back in time; the text says why it was lost.
    #[error("the link to the master was lost: {0}")]
    Lost(String),
    /// The master breaks the protocol, or speaks another version of it; the text says how.
    #[error("the master's answer cannot be understood: {0}")]
    Protocol(String),
    /// The master's answer is larger than a message may be. Asking again would get the same answer.
    #[error("the master sent more at once than this program reads{}{asked}: {why}", if asked.is_empty() { "" } else { ", for " })]
    TooLarge {
        /// The subject of the request, such as "the list of builds", or "" if that is not known.
        asked: String,
        /// The size of the message and the limit, in a sentence.
        why: String,
    },
    /// The thing does not exist, or the credential may not see it.
    #[error("{text}")]
    NotFound {
        /// The sentence that says what does not exist.
        text: String,
        /// The remedy, or "" if there is none.
        help: String,
    },
    /// Stored data of the master is damaged, so that the master cannot give it. The text says which data, and how.
    #[error("{0}")]
    Damaged(String),
    /// The caller asked for something that makes no sense.
    #[error("{text}")]
    Usage {
        /// The sentence that says what makes no sense.
        text: String,
        /// The remedy, or "" if there is none.
        help: String,
    },
    /// The call did not end within the time that the caller gave it.
    #[error("still running after {0:?}")]
    Timeout(Duration),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Bytes from the master could not be written to the caller's output.
    #[error("the output cannot be written: {0}")]
    Output(std::io::Error),
}

impl Error {
    /// Returns an [`Error::Usage`] with this text and without help.
    pub fn usage(text: impl Into<String>) -> Error {
        Error::Usage { text: text.into(), help: String::new() }
    }

    /// Whether the master does not know the method, because it is of an older version.
    pub fn is_unimplemented(&self) -> bool {
        matches!(self, Error::Protocol(text) if text.starts_with(OLDER))
    }

    /// Whether the thing does not exist, or the credential may not see it.
    pub fn is_not_found(&self) -> bool {
        match self {
            Error::NotFound { .. } => true,
            Error::Refused(refusal) => refusal.code == RefusalCode::NotFound,
            Error::NotHeld(_)
            | Error::Credential { .. }
            | Error::NoContext
            | Error::Unreachable(_)
            | Error::Lost(_)
            | Error::Protocol(_)
            | Error::TooLarge { .. }
            | Error::Usage { .. }
            | Error::Ended { .. }
            | Error::Timeout(_)
            | Error::Damaged(_)
            | Error::File { .. }
            | Error::Output(_) => false,
        }
    }

    /// Returns an [`Error::TooLarge`]. `why` is the connection's message about the size that closed it.
    pub(crate) fn too_large(why: impl Into<String>) -> Error {
        Error::TooLarge { asked: String::new(), why: why.into() }
    }

    /// Adds the subject of the request, if the answer to it was too large.
    #[must_use]
    pub(crate) fn about(mut self, what: &str) -> Error {
        if let Error::TooLarge { asked, .. } = &mut self {
            what.clone_into(asked);
        }
        self
    }

    /// Returns an [`Error::NotFound`] with this text and without help.
    pub fn not_found(text: impl Into<String>) -> Error {
        Error::NotFound { text: text.into(), help: String::new() }
    }

    /// Returns an [`Error::File`] for this file.
    pub fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Error {
        Error::File { path: path.into(), source }
    }

    /// Sets the remedy of an [`Error::NotFound`], [`Error::Usage`] or [`Error::Refused`]. An error of another kind keeps its own
    /// remedy.
    #[must_use]
    pub fn help(mut self, way_out: impl Into<String>) -> Error {
        match &mut self {
            Error::NotFound { help, .. } | Error::Usage { help, .. } => *help = way_out.into(),
            Error::Refused(refusal) => refusal.help = way_out.into(),
            Error::NotHeld(_)
            | Error::Credential { .. }
            | Error::NoContext
            | Error::Ended { .. }
            | Error::Unreachable(_)
            | Error::Lost(_)
            | Error::Protocol(_)
            | Error::TooLarge { .. }
            | Error::Timeout(_)
            | Error::Damaged(_)
            | Error::File { .. }
            | Error::Output(_) => {}
        }
        self
    }

    /// Returns the remedy in one line for a person, or "" if there is none.
    pub fn way_out(&self) -> &str {
        match self {
            Error::Refused(refusal) => &refusal.help,
            Error::NotFound { help, .. } | Error::Usage { help, .. } => help,
            Error::NotHeld(_) => "`guild whoami` shows the rights that it holds; its issuer can issue another",
            Error::Credential { .. } => "ask the master's operator for a new grant, then run `guild login FILE`",
            Error::NoContext => {
                "run `guild login FILE` with a file that `guild grant issue` wrote, or name a file with --cap FILE"
            }
            Error::Ended { .. } => {
                "run `guild-master up --look` here to read its builds and logs, or `guild-master up` to go on building; `guild context list` shows other masters"
            }
            Error::TooLarge { .. } => {
                "use the `guild` of the master's version, which `guild-master --version` shows there, or ask for less, as for one project or build"
            }
            Error::Damaged(_) => {
                "the disk of the master changed it; a backup of the master may still have it, and `guild doctor` checks the rest"
            }
            Error::Unreachable(_)
            | Error::Lost(_)
            | Error::Protocol(_)
            | Error::Timeout(_)
            | Error::File { .. }
            | Error::Output(_) => "",
        }
    }

    /// Returns the exit status with which a program reports this error. 2: wrong usage. 4: a failure of this side or of the master. 5:
    /// no credential or no right. 6: no master. 7: not found. 8: too late.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Refused(refusal) => refusal_exit_code(refusal.code),
            Error::NotHeld(_) | Error::Credential { .. } | Error::NoContext => 5,
            Error::Ended { .. }
            | Error::Unreachable(_)
            | Error::Lost(_)
            | Error::Protocol(_)
            | Error::TooLarge { .. } => 6,
            Error::NotFound { .. } => 7,
            Error::Usage { .. } | Error::File { .. } => 2,
            Error::Timeout(_) => 8,
            Error::Output(_) | Error::Damaged(_) => 4,
        }
    }

    /// Whether the same call may succeed on a new link, or a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Lost(_) | Error::Unreachable(_) => true,
            Error::Refused(refusal) => refusal.code == RefusalCode::Unavailable,
            Error::NotHeld(_)
            | Error::Credential { .. }
            | Error::NoContext
            | Error::Ended { .. }
            | Error::Protocol(_)
            | Error::TooLarge { .. }
            | Error::NotFound { .. }
            | Error::Usage { .. }
            | Error::Timeout(_)
            | Error::Damaged(_)
            | Error::File { .. }
            | Error::Output(_) => false,
        }
    }
}

fn refusal_exit_code(code: RefusalCode) -> u8 {
    match code {
        RefusalCode::NotPermitted | RefusalCode::Revoked | RefusalCode::Expired | RefusalCode::Unknown => 5,
        RefusalCode::NotFound => 7,
        RefusalCode::Invalid | RefusalCode::Conflict => 2,
        RefusalCode::Version | RefusalCode::Unavailable => 6,
        RefusalCode::Internal | RefusalCode::Stale | RefusalCode::Offset => 4,
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Refused(refusal)
    }
}

/// The beginning of the exception with which a revoked gate answers calls (`common.capnp`).
const REVOKED: &str = "revoked:";
/// The beginning of an exception that says that something is no longer kept. Methods without a refusal throw it.
const GONE: &str = "notFound: ";
/// The beginning of the error for a master that does not know a method.
const OLDER: &str = "it is of an older version";
/// The beginning of an exception that says that something is damaged. Methods without a refusal throw it.
const DAMAGED: &str = "damaged: ";

/// The beginning of the reason for which our own side closes a connection because of the size of a message.
const TOO_LARGE: &str = "a message of ";

impl From<capnp::Error> for Error {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all but three kinds say that the bytes make no sense")]
    fn from(error: capnp::Error) -> Error {
        // The text of a remote exception begins with "remote exception: ".
        let text = error.extra.trim_start_matches("remote exception: ").trim_end();
        if text.starts_with(REVOKED) {
            return Error::Refused(Refusal::new(RefusalCode::Revoked, text));
        }
        if let Some(what) = text.strip_prefix(GONE) {
            return Error::not_found(what);
        }
        if let Some(what) = text.strip_prefix(DAMAGED) {
            return Error::Damaged(what.to_owned());
        }
        if let Some(what) = text.strip_prefix(INVALID) {
            return Error::Refused(Refusal::new(RefusalCode::Invalid, what));
        }
        match error.kind {
            capnp::ErrorKind::Overloaded if text.starts_with(TOO_LARGE) => Error::too_large(text),
            capnp::ErrorKind::Disconnected => Error::Lost(text.to_owned()),
            capnp::ErrorKind::Overloaded => Error::Refused(Refusal::new(RefusalCode::Unavailable, text)),
            capnp::ErrorKind::Unimplemented => Error::Protocol(format!("{OLDER}, without this method ({text})")),
            _ => Error::Protocol(error.to_string()),
        }
    }
}

impl From<capnp::NotInSchema> for Error {
    fn from(error: capnp::NotInSchema) -> Error {
        Error::Protocol(error.to_string())
    }
}

impl From<std::str::Utf8Error> for Error {
    fn from(error: std::str::Utf8Error) -> Error {
        Error::Protocol(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_named_and_not_asked_for_again() {
        let closed = "a message of 9508104 bytes; at most 4194304 are read";
        let error = Error::from(capnp::Error::overloaded(closed.to_owned())).about("the list of grants");
        let text = format!("the master sent more at once than this program reads, for the list of grants: {closed}");
        assert_eq!((error.to_string(), error.exit_code(), error.is_passing()), (text, 6, false));
        assert!(!error.way_out().is_empty());
    }

    #[test]
    fn an_argument_beyond_its_limit_is_the_callers() {
        let said = "remote exception: invalid: the reason has 5,000 bytes; at most 4,096 are taken";
        let error = Error::from(capnp::Error::failed(said.to_owned())).about("the build");
        assert_eq!(error.to_string(), "the reason has 5,000 bytes; at most 4,096 are taken");
        assert_eq!((error.exit_code(), error.is_passing()), (2, false));
    }
}
