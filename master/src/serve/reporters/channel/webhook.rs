//! Sends a notice as a POST that is signed by Standard Webhooks 1.0.0
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use super::echo;
use super::http::{self, PostAnswer, PostTarget};
use super::own_thread::on_own_thread;
use super::{Channel, Handed, Parcel, PutOff};
use crate::config::channel::WebhookConfig;
use crate::config::clock::Clock;
use crate::serve::reporters::excerpt;
use crate::serve::reporters::notice::Notice;
use data_encoding::BASE64;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::Uri;
use rustix::fs::OFlags;
use schema::values::Time;
use sha2::Sha256;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The fewest and the most bytes of a secret, as the specification says.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The prefix of a secret in its text form.
const PREFIX: &str = "whsec_";
/// The most secrets of a file: the present one, and older ones that receivers still use.
const SECRETS_MAX: usize = 4;
/// The most bytes of a file of secrets: ten times what the longest secrets take.
const FILE_BYTES_MAX: u64 = 4 << 10;
/// The status with which a receiver says that it wants no more notices.
const GONE: u16 = 410;

/// A `WebhookChannel` sends signed notices to one receiver.
pub(super) struct WebhookChannel {
    target: PostTarget,
    secret_file: PathBuf,
}

impl WebhookChannel {
    pub(super) fn new(config: &WebhookConfig) -> WebhookChannel {
        // the reader of the master file has refused an address that does not parse
        let uri: Uri = config.url.parse().unwrap_or_default();
        let target = PostTarget { uri, may_be_private: config.private };
        WebhookChannel { target, secret_file: config.secret_file.clone() }
    }

    async fn send(&self, id: &str, body: &[u8]) -> Result<PostAnswer, String> {
        let file = self.secret_file.clone();
        let secrets = on_own_thread("secrets", move || secrets(&file)).await??;
        // signed with the wall clock of the present moment, because the receiver compares it with its own clock
        let signed = headers(id, Clock::system().now(), body, &secrets);
        http::post(&self.target, &signed, body).await
    }
}

impl Channel for WebhookChannel {
    fn pack<'a>(&'a self, notice: &Notice) -> Result<Option<Box<dyn Parcel + 'a>>, String> {
        let body = serde_json::to_vec(notice).map_err(|error| error.to_string())?;
        Ok(Some(Box::new(WebhookParcel { channel: self, id: notice.id.clone(), body })))
    }
}

struct WebhookParcel<'a> {
    channel: &'a WebhookChannel,
    id: String,
    body: Vec<u8>,
}

impl Parcel for WebhookParcel<'_> {
    fn hand_over(&mut self) -> LocalBoxFuture<'_, Result<Handed, PutOff>> {
        async move {
            let answer = self.channel.send(&self.id, &self.body).await.map_err(PutOff::of_the_way)?;
            let why =
                format!("the receiver answers {}{}", answer.status, words(&answer.text, &self.channel.target.uri));
            match answer.status {
                200..=299 => Ok(Handed::Whole),
                GONE => Err(PutOff { why, tried_for: Some(Duration::ZERO) }),
                _ => Err(PutOff::of_the_way(why)),
            }
        }
        .boxed_local()
    }
}

/// Returns the first line with text in it, without our address.
fn words(text: &str, uri: &Uri) -> String {
    let text = excerpt::plain(text);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    line.map_or_else(String::new, |line| format!(": {}", echo::without_address(line, uri)))
}

/// Reads the secrets of a file, one in each line. They are read for each try, so that a change counts at once.
fn secrets(file: &Path) -> Result<Vec<Vec<u8>>, String> {
    let text = read(file).map_err(|error| format!("failed to read {}: {error}", file.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let secrets: Option<Vec<Vec<u8>>> = lines.map(secret).collect();
    secrets.filter(|secrets| (1..=SECRETS_MAX).contains(&secrets.len())).ok_or_else(|| {
        let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
        let file = file.display();
        format!("{file} must have 1 to {SECRETS_MAX} lines: each `{PREFIX}` and {least} to {most} bytes in base64")
    })
}

/// Reads a file, but does not wait for a writer if it is a FIFO.
fn read(file: &Path) -> io::Result<String> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(file)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    match file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)? as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes"))),
        false => Ok(text),
    }
}

fn secret(line: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(line.strip_prefix(PREFIX)?.as_bytes()).ok()?;
    SECRET_BYTES.contains(&bytes.len()).then_some(bytes)
}

/// Returns the headers of one try. Each try has the same id, and its own time.
fn headers(id: &str, now: Time, body: &[u8], secrets: &[Vec<u8>]) -> [(&'static str, String); 5] {
    let seconds = (now.0 / 1_000).to_string();
    let signatures: Vec<String> = secrets.iter().map(|secret| signature(secret, id, &seconds, body)).collect();
    [
        ("content-type", "application/json".to_owned()),
        ("user-agent", concat!("guild-master/", env!("CARGO_PKG_VERSION")).to_owned()),
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds),
        ("webhook-signature", signatures.join(" ")),
    ]
}

/// Returns `v1,` and the HMAC-SHA256 over `id.timestamp.body` in base64.
fn signature(secret: &[u8], id: &str, seconds: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
