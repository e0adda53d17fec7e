//! One end of a TLS connection. Pure: it turns records into plain bytes and back. It holds no bytes itself, so an idle connection
//! needs no buffer. The library's buffering session would keep 4 KiB for ever.
//!
//! The library remembers positions in the incoming bytes that it has not processed. So each call, also one that writes, must get
//! exactly those bytes again.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus};
use rustls::{ClientConfig, Error, ServerConfig};

/// The bytes that a record adds to its plain bytes (<https://www.rfc-editor.org/rfc/rfc8446#section-5.2>), with room for a change
/// of keys before it.
const RECORD_EXTRA: usize = 64;
/// The most plain bytes of one record, as the same section of the RFC bounds them.
const RECORD_BYTES: usize = 16 << 10;

pub(super) enum Session {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// The state of a session after it has processed all incoming bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Handshake,
    Open,
    /// The peer has said that no more bytes follow.
    Ended,
    /// The session has failed and must not be used again.
    Broken,
}

/// The work that a session does once it may write.
#[derive(Clone, Copy)]
enum Task<'a> {
    Nothing,
    Seal(&'a [u8]),
    Close,
}

impl Session {
    pub(super) fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Session, Error> {
        Ok(Session::Client(Box::new(UnbufferedClientConnection::new(config, name)?)))
    }

    pub(super) fn server(config: Arc<ServerConfig>) -> Result<Session, Error> {
        Ok(Session::Server(Box::new(UnbufferedServerConnection::new(config)?)))
    }

    /// Reads the records in `incoming`. It passes their plain bytes to `plain` and appends the bytes to send to `out`. It returns how
    /// many bytes of `incoming` are processed, even if it fails. The caller passes the rest again, together with the next bytes.
    pub(super) fn take_in(
        &mut self,
        incoming: &mut [u8],
        out: &mut Vec<u8>,
        plain: &mut dyn FnMut(&[u8]),
    ) -> (usize, Result<Stage, Error>) {
        self.work(incoming, Task::Nothing, out, plain)
    }

    /// Appends `plain` to `out` as records. `left` holds the incoming bytes that the last call has not processed.
    pub(super) fn seal(&mut self, plain: &[u8], left: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), Error> {
        self.write(Task::Seal(plain), left, out)
    }

    /// Appends the message that tells the peer that no more bytes follow.
    pub(super) fn close(&mut self, left: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), Error> {
        self.write(Task::Close, left, out)
    }

    /// Appends the alert that tells the peer why the session has failed.
    pub(super) fn last_words(&mut self, out: &mut Vec<u8>) {
        // the library hands out waiting bytes before it looks at incoming ones, so none are passed
        while self.wants_write() {
            let _ = self.turn(&mut [], Task::Nothing, out, &mut |_| {});
        }
    }

    pub(super) fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        let chain = match self {
            Session::Client(connection) => connection.peer_certificates(),
            Session::Server(connection) => connection.peer_certificates(),
        };
        chain.and_then(<[_]>::first)
    }

    fn write(&mut self, task: Task<'_>, left: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), Error> {
        let (done, stage) = self.work(left, task, out, &mut |_| {});
        left.drain(..done);
        match stage? {
            Stage::Open | Stage::Ended => Ok(()),
            Stage::Handshake | Stage::Broken => Err(Error::HandshakeNotComplete),
        }
    }

    fn wants_write(&self) -> bool {
        match self {
            Session::Client(connection) => connection.wants_write(),
            Session::Server(connection) => connection.wants_write(),
        }
    }

    fn work(
        &mut self,
        incoming: &mut [u8],
        task: Task<'_>,
        out: &mut Vec<u8>,
        plain: &mut dyn FnMut(&[u8]),
    ) -> (usize, Result<Stage, Error>) {
        let mut done = 0;
        loop {
            let (discard, stage) = self.turn(&mut incoming[done..], task, out, plain);
            done += discard;
            if let Some(stage) = stage.transpose() {
                return (done, stage);
            }
        }
    }

    /// Handles one state of the library's session. The stage is `None` if the session has more to process.
    fn turn(
        &mut self,
        incoming: &mut [u8],
        task: Task<'_>,
        out: &mut Vec<u8>,
        plain: &mut dyn FnMut(&[u8]),
    ) -> (usize, Result<Option<Stage>, Error>) {
        match self {
            Session::Client(connection) => one_state(connection.process_tls_records(incoming), task, out, plain),
            Session::Server(connection) => one_state(connection.process_tls_records(incoming), task, out, plain),
        }
    }
}

fn one_state<S>(
    status: UnbufferedStatus<'_, '_, S>,
    task: Task<'_>,
    out: &mut Vec<u8>,
    plain: &mut dyn FnMut(&[u8]),
) -> (usize, Result<Option<Stage>, Error>) {
    let mut discard = status.discard;
    let stage = status.state.and_then(|state| match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record?;
                discard += record.discard;
                plain(record.payload);
            }
            Ok(None)
        }
        ConnectionState::EncodeTlsData(mut record) => {
            append(out, RECORD_EXTRA, |room| record.encode(room)).map(|()| None)
        }
        // `out` is sent in order, so the session need not wait until it is sent
        ConnectionState::TransmitTlsData(sent) => {
            sent.done();
            Ok(None)
        }
        ConnectionState::BlockedHandshake => Ok(Some(Stage::Handshake)),
        ConnectionState::WriteTraffic(mut traffic) => {
            match task {
                Task::Nothing => {}
                Task::Seal(bytes) => {
                    let least = bytes.len() + (bytes.len() / RECORD_BYTES + 1) * RECORD_EXTRA;
                    append(out, least, |room| traffic.encrypt(bytes, room))?;
                }
                Task::Close => append(out, RECORD_EXTRA, |room| traffic.queue_close_notify(room))?,
            }
            Ok(Some(Stage::Open))
        }
        ConnectionState::PeerClosed if matches!(task, Task::Nothing) => Ok(Some(Stage::Ended)),
        // the library reports this state once, and writing may go on
        ConnectionState::PeerClosed => Ok(None),
        ConnectionState::Closed => Ok(Some(Stage::Ended)),
        ConnectionState::ReadEarlyData(_) => Err(Error::General("early traffic is not spoken".into())),
        _ => Err(Error::General("a state of TLS that this version does not know".into())),
    });
    (discard, stage)
}

/// Lets `write` append to `out`. If `least` bytes are too few, it gets as much room as its error asks for.
fn append<E: Into<Trouble>>(
    out: &mut Vec<u8>,
    least: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), Error> {
    let (start, mut room) = (out.len(), least);
    loop {
        out.resize(start + room, 0);
        match write(&mut out[start..]).map_err(Into::into) {
            Ok(count) => {
                out.truncate(start + count);
                return Ok(());
            }
            Err(Trouble::Small(InsufficientSizeError { required_size })) if required_size > room => {
                room = required_size;
            }
            Err(trouble) => {
                out.truncate(start);
                return Err(Error::General(trouble.to_string()));
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("a record of {} bytes", .0.required_size)]
    Small(InsufficientSizeError),
    #[error("the keys of this connection are used up")]
    Exhausted,
    #[error("a record was encoded already")]
    Encoded,
}

impl From<EncryptError> for Trouble {
    fn from(error: EncryptError) -> Trouble {
        match error {
            EncryptError::InsufficientSize(size) => Trouble::Small(size),
            EncryptError::EncryptExhausted => Trouble::Exhausted,
        }
    }
}

impl From<EncodeError> for Trouble {
    fn from(error: EncodeError) -> Trouble {
        match error {
            EncodeError::InsufficientSize(size) => Trouble::Small(size),
            EncodeError::AlreadyEncoded => Trouble::Encoded,
        }
    }
}
