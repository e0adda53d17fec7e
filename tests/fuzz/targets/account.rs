//! The account of what a peer costs, whatever it calls, finishes, releases and repeats. The bounds are so small that a short input
//! reaches them.

use super::messages::conversation;
use super::pieces::Pieces;
use super::played::Said;
use super::server::{METHODS, serve};
use schema::vat::Limits;

/// The largest limit for calls that an input may choose.
const CALLS_MAX: usize = 16;
/// The limit that an input chooses for the bytes of unfinished calls is below this.
const BYTES_MAX: usize = 16 << 10;

/// Reads the bounds from the first three bytes, and serves the rest as a conversation.
pub fn target(data: &[u8]) {
    let mut pieces = Pieces(data);
    let (calls, bytes) = (usize::from(pieces.byte().unwrap_or(0)), usize::from(pieces.short()));
    let limits = Limits {
        calls: calls % CALLS_MAX + 1,
        exports: calls / CALLS_MAX + 1,
        unfinished_bytes: bytes % BYTES_MAX,
        output_bytes: bytes,
        message_exports: 3,
        ..Limits::known()
    };
    let said = conversation(&mut pieces, METHODS);
    serve(Said { bytes: said, at: 0, chunk: usize::MAX }, limits, false, 2 * bytes + 1);
}
