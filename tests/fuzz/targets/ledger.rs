//! The files of an attempt, as the next process of the worker finds them. They may be anything, because steps can write them.

use super::pieces::Pieces;
use worker::fuzz::take_up;

/// The byte between two files in the input.
const MARK: u8 = 0;

/// Takes these files from the input: the offer, the halt, the time for cleanup, and the order and journal of each step.
pub fn target(data: &[u8]) {
    let mut pieces = Pieces(data);
    let (offer, halt, cleanup) = (pieces.until(MARK), pieces.until(MARK), pieces.until(MARK));
    let orders: Vec<&[u8]> = pieces.0.split(|byte| *byte == MARK).collect();
    take_up(offer, halt, cleanup, &orders);
}
