//! The test reports of a step, as its tools wrote them: one archive, which is read in parts.

use crate::error::Error;
use crate::guild::Guild;
use crate::link::Link;
use crate::logs::LogAddress;
use crate::steer::done;
use schema::common_capnp::byte_source;
use schema::limits::{self, PART};
use std::ops::Range;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// The limit for the bytes of one read. The master gives no more at once.
const PART_MAX: u64 = PART.most as u64;

/// Returns the size of the archive of a step's test reports, in bytes. `None` means that no reports of the step are kept, or that the
/// master is older.
pub async fn size(guild: &Guild, address: &LogAddress) -> Result<Option<u64>, Error> {
    let asked = guild.call(async |link| {
        let answer = source(&link, address).await?.size_request().send().promise.await?;
        Ok(answer.get()?.get_size())
    });
    match asked.await {
        Ok(size) => Ok(Some(size)),
        Err(error) if error.is_not_found() || error.is_unimplemented() => Ok(None),
        Err(error) => Err(error.about("the test reports")),
    }
}

/// Returns a part of the archive, at most 256 KiB.
pub async fn part(guild: &Guild, address: &LogAddress, range: Range<u64>) -> Result<Vec<u8>, Error> {
    let count = range.end.saturating_sub(range.start).min(PART_MAX);
    let asked = guild.call(async |link| {
        let mut request = source(&link, address).await?.read_request();
        request.get().set_offset(range.start);
        request.get().set_count(u32::try_from(count).unwrap_or(u32::MAX));
        let answer = request.send().promise.await?;
        Ok(limits::data(answer.get()?.get_bytes(), &PART)?.to_vec())
    });
    asked.await.map_err(|error| error.about("the test reports"))
}

/// Writes the whole archive, in parts, and returns its size in bytes. `None` means that no reports of the step are kept.
pub async fn copy(
    guild: &Guild,
    address: &LogAddress,
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<Option<u64>, Error> {
    let Some(size) = size(guild, address).await? else { return Ok(None) };
    let mut from = 0;
    while from < size {
        let bytes = part(guild, address, from..size).await?;
        if bytes.is_empty() {
            return Err(Error::Protocol("the archive is shorter than it was".to_owned()));
        }
        to.write_all(&bytes).await.map_err(Error::Output)?;
        from += bytes.len() as u64;
    }
    to.flush().await.map_err(Error::Output)?;
    Ok(Some(size))
}

async fn source(link: &Link, address: &LogAddress) -> Result<byte_source::Client, Error> {
    let mut request = link.build(&address.project, address.build).await?.reports_request();
    let mut ask = request.get();
    ask.set_job(&address.job);
    ask.set_attempt(address.attempt);
    ask.set_step(address.step);
    let answer = request.send().promise.await?;
    let answer = answer.get()?;
    done(answer.has_refusal(), answer.get_refusal())?;
    Ok(answer.get_source()?)
}
