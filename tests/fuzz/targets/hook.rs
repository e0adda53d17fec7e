//! The reader of webhook deliveries of each kind of forge: the headers, the signature, and the body, which arrives in pieces.

use super::pieces::Pieces;
use hmac::{Hmac, KeyInit as _, Mac as _};
use master::config::HookKind;
use master::serve::fuzz::play_delivery;
use sha2::Sha256;

const SECRET: &[u8] = b"0123456789abcdef0123";

/// The first byte chooses the kind of forge and whether the signature is right. Two lines for headers follow, and then the body.
pub fn target(data: &[u8]) {
    let mut pieces = Pieces(data);
    let Some(first) = pieces.byte() else { return };
    let kind = HookKind::ALL[usize::from(first) % HookKind::ALL.len()];
    let (given, delivery) = (pieces.until(b'\n'), pieces.until(b'\n'));
    let right = signature(kind, pieces.0);
    let signature = if first & 0x80 == 0 { right.as_slice() } else { given };
    let parts: Vec<&[u8]> = pieces.0.chunks(usize::from(first & 0x7f) + 1).collect();
    let taken = play_delivery(kind, SECRET, [signature, delivery], &parts);
    assert!(taken.is_none() || digits(signature) == digits(&right), "a delivery that nobody signed was taken");
    check(taken, first & 0x80 == 0, delivery);
}

fn check(taken: Option<(String, Option<String>)>, is_signed: bool, delivery: &[u8]) {
    let is_header = !delivery.iter().any(|byte| *byte == 127 || *byte < 32 && *byte != b'\t');
    assert!(taken.is_some() || !is_signed || !is_header, "a delivery that was signed was not taken");
    let ref_name = taken.and_then(|(_, ref_name)| ref_name);
    assert!(ref_name.is_none_or(|name| name.starts_with("refs/")));
}

/// Returns a signature without its prefix, in lower case.
fn digits(signature: &[u8]) -> Vec<u8> {
    signature.strip_prefix(b"sha256=").unwrap_or(signature).to_ascii_lowercase()
}

/// Returns the right signature of a body, as a forge of this kind sends it.
fn signature(kind: HookKind, body: &[u8]) -> Vec<u8> {
    if kind == HookKind::GitLab {
        return SECRET.to_vec();
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("a secret of any length is a key");
    mac.update(body);
    let digits = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
    format!("sha256={digits}").into_bytes()
}
