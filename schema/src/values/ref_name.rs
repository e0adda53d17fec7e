//! Names of refs: the short name that people read, and the full names that a short one can mean.

use std::fmt;

/// The prefix under which git keeps branches.
const BRANCHES: &str = "refs/heads/";
/// The prefix under which git keeps tags.
const TAGS: &str = "refs/tags/";

/// The name of a ref as people write it, with the kind of the ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortRef<'a> {
    /// A branch, by its short name.
    Branch(&'a str),
    /// A tag, by its short name.
    Tag(&'a str),
    /// A ref of another kind, by its full name, because it has no short one. The name is empty if only a commit was named.
    Other(&'a str),
}

impl<'a> ShortRef<'a> {
    /// Reads the full name of a ref.
    pub fn of(full: &'a str) -> ShortRef<'a> {
        match (full.strip_prefix(BRANCHES), full.strip_prefix(TAGS)) {
            (Some(branch), _) => ShortRef::Branch(branch),
            (None, Some(tag)) => ShortRef::Tag(tag),
            (None, None) => ShortRef::Other(full),
        }
    }

    /// Returns the name as people write it.
    pub fn name(self) -> &'a str {
        match self {
            ShortRef::Branch(name) | ShortRef::Tag(name) | ShortRef::Other(name) => name,
        }
    }

    /// Returns the name of the branch. `None` means that the ref is not a branch.
    pub fn branch(self) -> Option<&'a str> {
        match self {
            ShortRef::Branch(name) => Some(name),
            ShortRef::Tag(_) | ShortRef::Other(_) => None,
        }
    }

    /// Returns the name of the tag. `None` means that the ref is not a tag.
    pub fn tag(self) -> Option<&'a str> {
        match self {
            ShortRef::Tag(name) => Some(name),
            ShortRef::Branch(_) | ShortRef::Other(_) => None,
        }
    }
}

impl fmt::Display for ShortRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns the full name of a branch.
pub fn branch_ref(name: &str) -> String {
    format!("{BRANCHES}{name}")
}

/// Returns the full names that a word can mean, in the order in which they are tried. A full name means only itself. Any other word
/// can mean a branch, and then a tag.
pub fn full_refs(word: &str) -> Vec<String> {
    match word.starts_with("refs/") {
        true => vec![word.to_owned()],
        false => branch_or_tag(word).to_vec(),
    }
}

/// Returns the full names of the branch and of the tag with this short name, even if it begins with `refs/`.
pub fn branch_or_tag(name: &str) -> [String; 2] {
    [BRANCHES, TAGS].map(|space| format!("{space}{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_name_is_read() {
        assert_eq!(ShortRef::of("refs/heads/feature/x"), ShortRef::Branch("feature/x"));
        assert_eq!(ShortRef::of("refs/tags/v1"), ShortRef::Tag("v1"));
        assert_eq!(ShortRef::of("refs/pull/1/head"), ShortRef::Other("refs/pull/1/head"));
        assert_eq!(ShortRef::of("").to_string(), "");
    }

    #[test]
    fn a_word_means_a_branch_before_a_tag() {
        assert_eq!(full_refs("v1"), ["refs/heads/v1", "refs/tags/v1"]);
        assert_eq!(full_refs("refs/pull/1/head"), ["refs/pull/1/head"]);
        assert_eq!(full_refs(&branch_ref("x")), ["refs/heads/x"]);
    }
}
