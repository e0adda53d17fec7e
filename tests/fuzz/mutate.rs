//! Makes inputs that are similar to those of a corpus, each from a number. A machine without libFuzzer can try these.

use crate::targets::raw::Dice;

/// The bytes that have a meaning for most readers.
const TELLING: [u8; 12] = [0, 1, 7, 10, 13, 27, 32, 34, 47, 127, 128, 255];
/// The limit for the changes of one input.
const CHANGES_MAX: usize = 6;
/// The limit for the bytes that one change adds or removes.
const PIECE_MAX: usize = 48;
/// The longest input, in bytes.
const LENGTH_MAX: usize = 8 << 10;

/// Returns the input with this number.
pub fn mutated(number: u64, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut dice = Dice(number);
    let mut input = corpus[dice.below(corpus.len())].clone();
    for _ in 0..=dice.below(CHANGES_MAX) {
        change(&mut dice, &mut input, corpus);
    }
    input.truncate(LENGTH_MAX);
    input
}

fn change(dice: &mut Dice, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = dice.below(input.len() + 1);
    let end = (at + 1 + dice.below(PIECE_MAX)).min(input.len());
    let other = &corpus[dice.below(corpus.len())];
    match dice.below(6) {
        0 if at < input.len() => input[at] ^= 1 << dice.below(8),
        1 if at < input.len() => input[at] = TELLING[dice.below(TELLING.len())],
        2 => drop(input.drain(at..end)),
        3 => insert(input, at, &piece(dice, &input.clone())),
        4 => insert(input, at, &piece(dice, other)),
        _ => input.insert(at, dice.below(256) as u8),
    }
}

fn piece(dice: &mut Dice, of: &[u8]) -> Vec<u8> {
    let start = dice.below(of.len() + 1);
    let end = (start + dice.below(PIECE_MAX)).min(of.len());
    of[start..end].to_vec()
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    drop(input.splice(at..at, piece.iter().copied()));
}
