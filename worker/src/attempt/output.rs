//! Sends a step's spool to the master by offset, so that bytes that are lost on the way are sent again. A window bounds the bytes under
//! way, so that a log of any length costs little memory. Reads the files that [`crate::process::supervisor`] writes.

use crate::attempt::window::{Room, Window};
use crate::process::supervisor::MARK_BYTES;
use crate::process::world::BlockingWork;
use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use schema::log_capnp::log_sink;
use schema::values::{Refusal, RefusalCode, Time};
use schema::wire;
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;

/// The most bytes of a log in one call. The number is large enough for the call's own cost to be small beside them.
const CHUNK_BYTES: usize = 128 << 10;
/// The number of chunks under way at which a log stops sending partly filled chunks. It then waits until the next chunk is full, so
/// that many short lines go together.
const EAGER_CHUNKS: usize = 4;
/// The limit for marks in one write. A chunk of a slow log may have more, and then the first ones are precise enough.
const MARKS_MAX: usize = 256;
/// The bounds of the pause before the next try to send a log, if the master cannot take it now. The pause begins with the first and
/// doubles up to the second.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// The size of a spool, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grown {
    pub(crate) size: u64,
    /// Whether the log has its final size.
    pub(crate) is_final: bool,
}

/// A log that the master has as completely as it ever will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shipped {
    pub(crate) size: u64,
    /// The BLAKE3 hash of the log. `None` means that the spool could not be read again.
    pub(crate) hash: Option<[u8; 32]>,
}

impl Shipped {
    pub(crate) fn nothing() -> Shipped {
        Shipped { size: 0, hash: Some(blake3::hash(b"").into()) }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ShipError {
    #[error("the lease is over: {0}")]
    Stale(Refusal),
    #[error(transparent)]
    Call(#[from] capnp::Error),
}

/// The files that hold a step's output.
#[derive(Clone, Debug)]
pub(crate) struct Spooled {
    pub(crate) log: PathBuf,
    pub(crate) marks: PathBuf,
    /// The way to run reads that may take long, so that they block nothing else.
    pub(crate) blocking: BlockingWork,
}

/// Sends a spool while it grows, until the master has all of it. `is_new` says that nothing of it was ever sent; otherwise this first
/// asks the master how much it has. A log that cannot be sent does not keep its step from ending, and the master sees that bytes are
/// missing.
pub(crate) async fn ship(
    spooled: &Spooled,
    mut grown: watch::Receiver<Grown>,
    sink: log_sink::Client,
    window: Window,
    is_new: bool,
) -> Result<Shipped, ShipError> {
    let reading = Reading::new(spooled.clone());
    let flights = FuturesOrdered::new();
    let mut shipping = Shipping { sink, window, grown: grown.clone(), reading, flights, sent: 0, received: 0 };
    let ran = match is_new {
        true => shipping.run().await,
        false => match shipping.ask().await {
            Ok(()) => shipping.run().await,
            Err(error) => Err(error.into()),
        },
    };
    match ran {
        Ok(()) => {}
        Err(Stop::Refused(refusal)) if refusal.code == RefusalCode::Stale => return Err(ShipError::Stale(refusal)),
        Err(Stop::Call(error)) => return Err(error.into()),
        Err(stop) => tracing::error!(log = %spooled.log.display(), why = %stop, "a log stays incomplete"),
    }
    let is_final = grown.wait_for(|grown| grown.is_final).await;
    let size = is_final.map_err(|_| dropped())?.size;
    let hash = shipping.reading.finish(size).await;
    let hash = hash.inspect_err(|error| tracing::error!(log = %spooled.log.display(), %error, "cannot read a log"));
    Ok(Shipped { size, hash: hash.ok() })
}

/// Returns the error for an attempt that leaves the ledger while it is still being reported.
pub(crate) fn dropped() -> capnp::Error {
    capnp::Error::disconnected("the attempt was dropped".to_owned())
}

/// The reason why a log is not sent any further.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("the master refuses it: {0}")]
    Refused(Refusal),
    #[error(transparent)]
    Call(#[from] capnp::Error),
    #[error("it cannot be read: {0}")]
    Spool(#[from] io::Error),
}

type Flight = Pin<Box<dyn Future<Output = Result<Landed, capnp::Error>>>>;

/// The master's answer to a write of log bytes.
struct Landed {
    received: u64,
    refusal: Option<Refusal>,
}

/// A log on its way to the master.
struct Shipping {
    sink: log_sink::Client,
    window: Window,
    grown: watch::Receiver<Grown>,
    reading: Reading,
    flights: FuturesOrdered<Flight>,
    /// The offset before which all bytes are received or under way.
    sent: u64,
    received: u64,
}

impl Shipping {
    async fn run(&mut self) -> Result<(), Stop> {
        let mut pause = PAUSE_MIN;
        loop {
            let grown = *self.grown.borrow_and_update();
            if grown.is_final && self.received >= grown.size {
                self.received = grown.size;
                return Ok(());
            }
            if self.flights.is_empty() {
                // The master took only a part of the last piece.
                self.sent = self.received;
            }
            let before = self.received;
            if let Some(refusal) = self.turn(grown).await? {
                if !matches!(refusal.code, RefusalCode::Offset | RefusalCode::Unavailable | RefusalCode::Internal) {
                    return Err(Stop::Refused(refusal));
                }
                // The master would refuse the other pieces under way as well.
                self.flights.clear();
                tracing::debug!(%refusal, "the log resumes at the offset that the master names");
                if refusal.code != RefusalCode::Offset || before == self.received {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                self.ask().await?;
            } else if self.received > before {
                pause = PAUSE_MIN;
            }
        }
    }

    /// Sends a chunk or takes an answer, or waits until either is possible or the log grows.
    async fn turn(&mut self, grown: Grown) -> Result<Option<Refusal>, Stop> {
        let left = grown.size.saturating_sub(self.sent);
        let is_worth_it = left >= CHUNK_BYTES as u64 || self.flights.len() < EAGER_CHUNKS || grown.is_final;
        let may_send = left > 0 && is_worth_it;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        tokio::select! {
            biased;
            Some(landed) = self.flights.next(), if !self.flights.is_empty() => Ok(self.land(landed?)),
            room = self.window.room(wanted), if may_send => {
                self.send(room, wanted)?;
                Ok(None)
            }
            grew = self.grown.changed(), if !grown.is_final => {
                grew.map_err(|_| dropped())?;
                Ok(None)
            }
        }
    }

    fn send(&mut self, room: Room, wanted: usize) -> Result<(), Stop> {
        let count = wanted.min(room.bytes());
        let mut request = self.sink.write_request();
        let mut params = request.get();
        params.set_offset(self.sent);
        // The bytes are read from the page cache into the message itself, because handing the read to a thread costs more than the
        // copy.
        self.reading.chunk(self.sent, params.reborrow().init_bytes(wire::length(count)))?;
        let marks = self.reading.marks(self.sent, self.sent + count as u64)?;
        let mut list = params.init_marks(wire::length(marks.len()));
        for (index, (offset, time)) in (0..).zip(marks) {
            let mut mark = list.reborrow().get(index);
            mark.set_offset(offset);
            mark.set_time(wire::time(time));
        }
        self.sent += count as u64;
        let end = self.sent;
        let answer = request.send().promise;
        self.flights.push_back(Box::pin(async move {
            let answer = answer.await?;
            room.answered();
            let results = answer.get()?;
            let refusal = wire::refusal(results.has_refusal(), results.get_refusal())?;
            // The master cannot have received more than was sent, whatever it says.
            Ok(Landed { received: results.get_received().min(end), refusal })
        }));
        Ok(())
    }

    fn land(&mut self, landed: Landed) -> Option<Refusal> {
        if landed.refusal.is_some() {
            return landed.refusal;
        }
        if landed.received <= self.received {
            let text = format!("it says {} bytes after {} were received", landed.received, self.received);
            return Some(Refusal::new(RefusalCode::Internal, text));
        }
        self.received = landed.received;
        None
    }

    /// Asks the master from which byte to resume.
    async fn ask(&mut self) -> Result<(), capnp::Error> {
        let answer = self.sink.size_request().send().promise.await?;
        let received = answer.get()?.get_received();
        let size = self.grown.borrow().size;
        self.received = received.min(size);
        self.sent = self.received;
        Ok(())
    }
}

/// A spool that is being read, and the hash of the bytes that were read so far.
struct Reading {
    spooled: Spooled,
    files: Option<Rc<(File, File)>>,
    /// The number of the next mark to read, and the offset up to which marks were read.
    next_mark: u64,
    marked: u64,
    hasher: blake3::Hasher,
    hashed: u64,
}

impl Reading {
    fn new(spooled: Spooled) -> Reading {
        Reading { spooled, files: None, next_mark: 0, marked: 0, hasher: blake3::Hasher::new(), hashed: 0 }
    }

    fn files(&mut self) -> io::Result<Rc<(File, File)>> {
        if let Some(files) = &self.files {
            return Ok(files.clone());
        }
        let files = Rc::new((File::open(&self.spooled.log)?, File::open(&self.spooled.marks)?));
        self.files = Some(files.clone());
        Ok(files)
    }

    /// Fills `bytes` with the bytes at `offset`.
    fn chunk(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.files()?.0.read_exact_at(bytes, offset)?;
        if offset == self.hashed {
            self.hasher.update(bytes);
            self.hashed += bytes.len() as u64;
        }
        Ok(())
    }

    /// Returns the marks in a range of bytes. Each range follows the previous one, except after a refusal.
    fn marks(&mut self, from: u64, to: u64) -> io::Result<Vec<(u64, Time)>> {
        let files = self.files()?;
        if from < self.marked {
            self.next_mark = 0;
        }
        self.marked = to;
        let mut found = Vec::new();
        while let Some((offset, time)) = mark(&files.1, self.next_mark)? {
            if offset >= to {
                break;
            }
            self.next_mark += 1;
            if offset >= from && found.len() < MARKS_MAX {
                found.push((offset, time));
            }
        }
        Ok(found)
    }

    /// Returns the hash of the first `size` bytes. Reads the bytes that this process did not send, because an earlier one had sent
    /// them.
    async fn finish(self, size: u64) -> io::Result<[u8; 32]> {
        let Reading { spooled, mut hasher, hashed, .. } = self;
        if hashed == size {
            return Ok(hasher.finalize().into());
        }
        let blocking = spooled.blocking;
        let rest = move || {
            let file = File::open(&spooled.log)?;
            let mut bytes = vec![0; CHUNK_BYTES];
            let mut at = hashed;
            while at < size {
                let count = usize::try_from(size - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
                file.read_exact_at(&mut bytes[..count], at)?;
                hasher.update(&bytes[..count]);
                at += count as u64;
            }
            Ok(hasher.finalize().into())
        };
        blocking.run(rest).await.flatten()
    }
}

fn mark(file: &File, number: u64) -> io::Result<Option<(u64, Time)>> {
    let mut mark = [0; MARK_BYTES];
    match file.read_exact_at(&mut mark, number * MARK_BYTES as u64) {
        Ok(()) => {
            let word = |at: usize| u64::from_le_bytes(mark[at..at + 8].try_into().expect("8 bytes"));
            Ok(Some((word(0), Time(word(8)))))
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
