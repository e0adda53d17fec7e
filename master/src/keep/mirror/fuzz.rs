//! Entry points for `tests/fuzz`: the functions that read the answers of git.

use super::conversation::{header_of, link_of};
use super::refs::{ListedRef, digits_of_ids, is_object_id, listed, listed_tag};
use super::{Authored, Difference, ancestry, change, head};
use schema::values::Commit;

/// Returns the names that are accepted from a listing by `git for-each-ref`, of refs and of tags.
pub fn names(listing: &[u8]) -> Vec<String> {
    let lines = || listing.split(|byte| *byte == b'\n');
    let of_refs = lines().filter_map(listed).filter_map(Result::ok).map(|found| match found {
        ListedRef::Names(name, _) | ListedRef::NamesTag(name, _) => name,
    });
    of_refs.chain(lines().filter_map(listed_tag).map(|(name, _)| name)).collect()
}

/// Returns the main branch and the number of digits of the ids, from a listing by `git ls-remote --symref`.
pub fn listing(listing: &[u8]) -> (Option<String>, Option<usize>) {
    (head::named_by(listing), digits_of_ids(listing))
}

/// Reads a line of `git cat-file --batch-command`. Returns the size of the object, or how many bytes follow for a link.
pub fn header(line: &[u8]) -> Option<usize> {
    let line = String::from_utf8_lossy(line);
    let header = header_of(&line);
    assert!(header.iter().all(|header| is_object_id(&header.id)));
    header.map(|header| header.size).or_else(|| link_of(&line).map(|(_, length)| length))
}

/// Reads the bytes of a commit.
pub fn commit(raw: &[u8]) -> Option<Commit> {
    change::parse_commit("", raw)
}

/// Reads commits from the output of `git log`.
pub fn commits(listed: &[u8]) -> Vec<Commit> {
    change::read_commits(listed)
}

/// Reads commits with their people from the output of `git log`.
pub fn people(listed: &[u8]) -> Vec<Authored> {
    ancestry::read_people(listed)
}

/// Reads the output of `git diff-tree --raw -z`.
pub fn difference(listed: &[u8]) -> Difference {
    change::read_difference(listed)
}
