//! Reads the log of one step. Reads are pipelined, go on at their offset over a new link, and follow a live log if the caller wants
//! that. The memory is a few chunks of 256 KiB, whatever the size of the log.

use crate::error::Error;
use crate::guild::{Guild, OUTGROWN_MAX};
use crate::link::Link;
use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesOrdered;
use schema::limits::{self, BLAKE3, PART};
use schema::log_capnp::log_reader;
use schema::wire::refusal;
use std::ops::Range;
use std::rc::Rc;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

/// The size of one read, in bytes. The master gives no more at once.
const CHUNK: u64 = PART.most as u64;
/// The number of reads under way at once, so that a distant master does not slow the reading down. It bounds the memory.
const CHUNKS_IN_FLIGHT: usize = 4;

/// The address of one step's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogAddress {
    /// The name of the project.
    pub project: String,
    /// The number of the build, from 1.
    pub build: u32,
    /// The name of the job with its cell.
    pub job: String,
    /// The number of the attempt, from 1. 0 means the latest attempt.
    pub attempt: u16,
    /// The number of the step, from 1.
    pub step: u16,
}

impl std::fmt::Display for LogAddress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "the log of {}/{}/{}/{}", self.project, self.build, self.job, self.step)
    }
}

/// The place where a [`Tail`] stops.
#[derive(Clone, Debug)]
pub enum Until {
    /// The tail stops at this offset in bytes, or at the end of the log as it is now if that comes first.
    Offset(u64),
    /// The tail stops at the end of the log. The log has ended when it is sealed. It has also ended when the caller has set this to
    /// true, because the step has ended, and all bytes up to then were read.
    Ended(watch::Receiver<bool>),
}

/// Reads the bytes of one log in order, each exactly once, however often the link is lost meanwhile.
pub struct Tail {
    guild: Guild,
    address: LogAddress,
    offset: u64,
    until: Until,
    reading: Option<Reading>,
    /// The number of answers at this offset that were too large.
    outgrown: u32,
    /// The hash of all bytes so far. `None` means that the tail did not begin with the log's first byte.
    sum: Option<Box<blake3::Hasher>>,
}

/// The reads that are under way on one link.
struct Reading {
    reader: log_reader::Client,
    /// Keeps the link that `reader` belongs to.
    link: Rc<Link>,
    ahead: FuturesOrdered<LocalBoxFuture<'static, Result<Vec<u8>, Error>>>,
    /// The offset up to which bytes were requested.
    asked: u64,
    size: u64,
    sealed: bool,
    /// The BLAKE3 hash of a sealed log. Empty means that the master did not tell it.
    hash: Vec<u8>,
}

impl Tail {
    /// Makes a tail of the log from the offset `from` on, in bytes.
    pub fn new(guild: &Guild, address: LogAddress, from: u64, until: Until) -> Tail {
        let sum = (from == 0).then(Box::default);
        Tail { guild: guild.clone(), address, offset: from, until, reading: None, outgrown: 0, sum }
    }

    /// Returns the address of the log that is read.
    pub fn address(&self) -> &LogAddress {
        &self.address
    }

    /// Returns the offset after the last byte that was returned.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the next bytes, at most 256 KiB, or `None` at the end. Do not drop the future while it waits, unless you give the tail
    /// up.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the log is no longer kept; [`Error::Damaged`] if its bytes are not those that were sealed, which shows
    /// only after the whole log was read; otherwise as the calls of [`Guild`]. A lost link is not an error.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            let reading = match self.reading.take() {
                Some(reading) => self.reading.insert(reading),
                None => self.reading.insert(open(&self.guild, &self.address, self.offset).await?),
            };
            match reading.step(self.offset, &mut self.until).await {
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(Some(bytes)) => {
                    (self.offset, self.outgrown) = (self.offset + bytes.len() as u64, 0);
                    if let Some(sum) = &mut self.sum {
                        sum.update(&bytes);
                    }
                    return Ok(Some(bytes));
                }
                Ok(None) => {
                    let is_whole = reading.sealed && self.offset == reading.size;
                    let sum = self.sum.take().filter(|_| is_whole).map(|sum| sum.finalize());
                    return match sum.is_some_and(|sum| !reading.hash.is_empty() && reading.hash != sum.as_bytes()) {
                        true => {
                            Err(Error::Damaged(format!("{} is damaged: it is not what the step wrote", self.address)))
                        }
                        false => Ok(None),
                    };
                }
                Err(error) if error.is_passing() => {
                    let outgrown = reading.link.outgrown();
                    self.outgrown += u32::from(outgrown.is_some());
                    if let Some(error) = outgrown.filter(|_| self.outgrown >= OUTGROWN_MAX) {
                        return Err(error);
                    }
                    self.reading = None;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Reading {
    /// Returns the next bytes, or `None` at the end. It returns no bytes if it only learned a new size.
    async fn step(&mut self, offset: u64, until: &mut Until) -> Result<Option<Vec<u8>>, Error> {
        let end = match until {
            Until::Offset(end) => *end,
            Until::Ended(_) => u64::MAX,
        };
        self.ask_ahead(end);
        if let Some(bytes) = self.ahead.next().await {
            return self.received(offset, bytes?).map(Some);
        }
        if self.sealed || offset >= end {
            return Ok(None);
        }
        let Until::Ended(ended) = until else { return Ok(None) };
        if *ended.borrow_and_update() {
            self.measure().await?;
            return Ok((self.size > offset).then(Vec::new));
        }
        tokio::select! {
            biased;
            waited = self.wait(offset) => waited?,
            // An error means that the sender is gone and will not announce an end. Then the seal ends the log.
            Ok(()) = ended.changed() => {}
        }
        Ok(Some(Vec::new()))
    }

    fn ask_ahead(&mut self, end: u64) {
        let end = end.min(self.size);
        while self.ahead.len() < CHUNKS_IN_FLIGHT && self.asked < end {
            let count = CHUNK.min(end - self.asked);
            self.ahead.push_back(Box::pin(read(self.reader.clone(), self.asked, count)));
            self.asked += count;
        }
    }

    /// Takes the bytes of one answer. If they are fewer than requested, the reads after it are useless and are sent again.
    fn received(&mut self, offset: u64, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
        if bytes.is_empty() {
            return Err(Error::Protocol(format!("no bytes at {offset} of a log of {}", self.size)));
        }
        let next = offset + bytes.len() as u64;
        let expected = self.asked.min(offset + CHUNK);
        if next < expected {
            self.ahead.clear();
            self.asked = next;
        }
        Ok(bytes)
    }

    async fn measure(&mut self) -> Result<(), Error> {
        let answer = self.reader.size_request().send().promise.await?;
        let answer = answer.get()?;
        (self.size, self.sealed) = (answer.get_size(), answer.get_sealed());
        self.hash = limits::data(answer.get_hash(), &BLAKE3)?.to_vec();
        Ok(())
    }

    async fn wait(&mut self, offset: u64) -> Result<(), Error> {
        let mut request = self.reader.wait_request();
        request.get().set_offset(offset);
        let answer = request.send().promise.await?;
        self.size = answer.get()?.get_size();
        self.sealed = answer.get()?.get_sealed();
        Ok(())
    }
}

/// Some whole lines of a log, as many as one answer carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The lines as the step wrote them, with their ends.
    pub bytes: Vec<u8>,
    /// The number of the first line. Lines count from 1.
    pub first: u64,
}

/// Returns the lines from `first` on, at most `count` of them. There are no bytes if there is no such line yet.
///
/// # Errors
/// The same errors as the other calls of [`Guild`].
pub async fn lines(guild: &Guild, address: &LogAddress, first: u64, count: u32) -> Result<Lines, Error> {
    guild
        .call(async |link| {
            let mut request = reader(&link, address).await?.lines_request();
            request.get().set_first(first.max(1));
            request.get().set_count(count);
            let answer = request.send().promise.await?;
            Ok(Lines { bytes: limits::data(answer.get()?.get_bytes(), &PART)?.to_vec(), first: first.max(1) })
        })
        .await
}

/// Returns the last `count` lines of the log as it is now.
///
/// # Errors
/// The same errors as [`lines`].
pub async fn last_lines(guild: &Guild, address: &LogAddress, count: u32) -> Result<Lines, Error> {
    guild
        .call(async |link| {
            let mut request = reader(&link, address).await?.last_lines_request();
            request.get().set_count(count);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            Ok(Lines { bytes: limits::data(answer.get_bytes(), &PART)?.to_vec(), first: answer.get_first() })
        })
        .await
}

/// Returns the number of bytes so far, and whether the log is complete.
///
/// # Errors
/// The same errors as [`lines`].
pub async fn size(guild: &Guild, address: &LogAddress) -> Result<(u64, bool), Error> {
    guild
        .call(async |link| {
            let answer = reader(&link, address).await?.size_request().send().promise.await?;
            let answer = answer.get()?;
            Ok((answer.get_size(), answer.get_sealed()))
        })
        .await
}

/// Returns at most `count` bytes, and at most 256 KiB, from `offset` on.
///
/// # Errors
/// The same errors as [`lines`].
pub async fn part(guild: &Guild, address: &LogAddress, offset: u64, count: u64) -> Result<Vec<u8>, Error> {
    guild.call(async |link| read(reader(&link, address).await?, offset, count.min(CHUNK)).await).await
}

/// Copies a range of bytes of a log, as it is now, to `out`. Returns the offset after the range.
///
/// # Errors
/// [`Error::Output`] if `out` cannot be written; otherwise as [`lines`].
pub async fn copy(
    guild: &Guild,
    address: &LogAddress,
    range: Range<u64>,
    out: &mut (dyn AsyncWrite + Unpin),
) -> Result<u64, Error> {
    let mut tail = Tail::new(guild, address.clone(), range.start, Until::Offset(range.end));
    while let Some(bytes) = tail.next().await? {
        out.write_all(&bytes).await.map_err(Error::Output)?;
    }
    out.flush().await.map_err(Error::Output)?;
    Ok(tail.offset())
}

/// Returns the range of bytes that holds the lines `first..=last`, counted from 1. It is empty if there is no such line yet.
///
/// # Errors
/// The same errors as [`lines`].
pub async fn line_range(guild: &Guild, address: &LogAddress, first: u64, last: u64) -> Result<Range<u64>, Error> {
    let Some(start) = line_offset(guild, address, first.max(1)).await? else { return Ok(0..0) };
    let end = line_offset(guild, address, last.saturating_add(1)).await?;
    Ok(start..end.unwrap_or(u64::MAX))
}

async fn line_offset(guild: &Guild, address: &LogAddress, line: u64) -> Result<Option<u64>, Error> {
    guild
        .call(async |link| {
            let mut request = reader(&link, address).await?.lines_request();
            request.get().set_first(line);
            request.get().set_count(1);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            Ok((!limits::data(answer.get_bytes(), &PART)?.is_empty()).then(|| answer.get_offset()))
        })
        .await
}

async fn open(guild: &Guild, address: &LogAddress, offset: u64) -> Result<Reading, Error> {
    guild
        .call_for_ever(async |link| {
            let reader = reader(&link, address).await?;
            let mut reading = Reading {
                reader,
                link,
                ahead: FuturesOrdered::new(),
                asked: offset,
                size: 0,
                sealed: false,
                hash: Vec::new(),
            };
            reading.measure().await?;
            Ok(reading)
        })
        .await
}

async fn reader(link: &Link, address: &LogAddress) -> Result<log_reader::Client, Error> {
    let mut request = link.build(&address.project, address.build).await?.log_request();
    let mut ask = request.get();
    ask.set_job(&address.job);
    ask.set_attempt(address.attempt);
    ask.set_step(address.step);
    let answer = request.send().promise.await?;
    let answer = answer.get()?;
    match refusal(answer.has_refusal(), answer.get_refusal())? {
        Some(refusal) => Err(refusal.into()),
        None => Ok(answer.get_reader()?),
    }
}

async fn read(reader: log_reader::Client, offset: u64, count: u64) -> Result<Vec<u8>, Error> {
    let mut request = reader.read_request();
    request.get().set_offset(offset);
    request.get().set_count(u32::try_from(count).unwrap_or(u32::MAX));
    let answer = request.send().promise.await?;
    Ok(limits::data(answer.get()?.get_bytes(), &PART)?.to_vec())
}
