//! Inputs that are near those of a corpus, from a number: what a machine without libFuzzer can look for.

use crate::targets::raw::Dice;

/// Bytes that mean something to most readers.
const TELLING: [u8; 12] = [0, 1, 7, 10, 13, 27, 32, 34, 47, 127, 128, 255];
/// How often an input is changed at the most, and how many bytes one change adds or takes.
const CHANGES_MAX: usize = 6;
const PIECE_MAX: usize = 48;
/// The longest input.
const LENGTH_MAX: usize = 8 << 10;

/// The input of this number.
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
