//! The readers of git's output about a repository that anybody may have made: refs, objects, commits and differences.

use super::pieces::Pieces;
use master::keep::mirror::{check_ref, fuzz as doors};

/// The number of characters that are kept of a text.
const TEXT_MAX: usize = 300;
/// The number of paths that are kept of a difference.
const PATHS_MAX: usize = 1_000;

pub fn target(data: &[u8]) {
    let mut pieces = Pieces(data);
    let Some(kind) = pieces.byte() else { return };
    let answer = pieces.0;
    match kind % 7 {
        0 => doors::names(answer).iter().for_each(|name| assert_eq!(check_ref(name), Ok(()))),
        1 => check_listing(answer),
        2 => answer.split(|byte| *byte == b'\n').for_each(check_header),
        3 => doors::commit(answer).iter().for_each(|commit| check_texts(&[&commit.author, &commit.subject])),
        4 => doors::commits(answer).iter().for_each(|commit| check_texts(&[&commit.author, &commit.subject])),
        5 => check_people(answer),
        _ => check_difference(answer),
    }
}

fn check_listing(answer: &[u8]) {
    let (main_branch, digits) = doors::listing(answer);
    main_branch.iter().for_each(|name| assert_eq!(check_ref(name), Ok(())));
    assert!(digits.is_none_or(|digits| digits <= answer.len()));
}

fn check_header(line: &[u8]) {
    let line_has_digits = line.iter().any(u8::is_ascii_digit);
    assert!(doors::header(line).is_none() || line_has_digits);
}

fn check_people(answer: &[u8]) {
    for commit in doors::people(answer) {
        check_texts(&[&commit.subject, &commit.author.name, &commit.author.email, &commit.committer.name]);
    }
}

fn check_difference(answer: &[u8]) {
    let difference = doors::difference(answer);
    assert!(difference.paths.len() <= PATHS_MAX);
    let nuls = answer.iter().filter(|byte| **byte == 0).count();
    assert_eq!(difference.paths.len(), (nuls / 2).min(PATHS_MAX));
}

fn check_texts(texts: &[&str]) {
    for text in texts {
        assert!(text.chars().count() <= TEXT_MAX && !text.contains(char::is_control), "{text:?}");
    }
}
