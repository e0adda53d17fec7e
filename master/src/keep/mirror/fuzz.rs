//! Doors for `tests/fuzz`: how each answer of git is read.

use super::conversation::{header_of, link_of};
use super::refs::{ListedRef, digits_of_ids, is_object_id, listed, listed_tag};
use super::{Authored, Difference, ancestry, change, head};
use schema::values::Commit;

/// The names that go further of a listing by `git for-each-ref`, of refs and of tags.
pub fn names(listing: &[u8]) -> Vec<String> {
    let lines = || listing.split(|byte| *byte == b'\n');
    let of_refs = lines().filter_map(listed).filter_map(Result::ok).map(|found| match found {
        ListedRef::Names(name, _) | ListedRef::NamesTag(name, _) => name,
    });
    of_refs.chain(lines().filter_map(listed_tag).map(|(name, _)| name)).collect()
}

/// What is read of a listing by `git ls-remote --symref`: the main branch, and how many digits the ids have.
pub fn listing(listing: &[u8]) -> (Option<String>, Option<usize>) {
    (head::named_by(listing), digits_of_ids(listing))
}

/// A line of `git cat-file --batch-command`. Answers the size of the object, or how many bytes follow for a link.
pub fn header(line: &[u8]) -> Option<usize> {
    let line = String::from_utf8_lossy(line);
    let header = header_of(&line);
    assert!(header.iter().all(|header| is_object_id(&header.id)));
    header.map(|header| header.size).or_else(|| link_of(&line).map(|(_, length)| length))
}

/// The bytes of a commit.
pub fn commit(raw: &[u8]) -> Option<Commit> {
    change::parse_commit("", raw)
}

/// What `git log` says of commits.
pub fn commits(listed: &[u8]) -> Vec<Commit> {
    change::read_commits(listed)
}

/// What `git log` says of commits and of their people.
pub fn people(listed: &[u8]) -> Vec<Authored> {
    ancestry::read_people(listed)
}

/// What `git diff-tree --raw -z` says.
pub fn difference(listed: &[u8]) -> Difference {
    change::read_difference(listed)
}
