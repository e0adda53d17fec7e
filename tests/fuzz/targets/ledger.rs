//! The files of an attempt as the next worker process finds them. A step can write them too.

use super::pieces::Pieces;
use worker::fuzz::take_up;

/// What stands between two files.
const MARK: u8 = 0;

/// The offer, the halt, the time for cleaning up, and the order of each step with its journal.
pub fn target(data: &[u8]) {
    let mut pieces = Pieces(data);
    let (offer, halt, cleanup) = (pieces.until(MARK), pieces.until(MARK), pieces.until(MARK));
    let orders: Vec<&[u8]> = pieces.0.split(|byte| *byte == MARK).collect();
    take_up(offer, halt, cleanup, &orders);
}
