//! The beginning of a commit's id, as people are shown it.

use std::fmt;

/// How many digits of a commit people see. Git picks 10 itself for a repository of a million objects, where 7 digits
/// nearly always name several of them. Whoever pastes the digits into git or into guild means one commit.
const DIGITS: usize = 10;

/// The first digits of a commit's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortCommit<'a>(&'a str);

impl<'a> ShortCommit<'a> {
    /// The first digits of an id. A text that is shorter stays as it is.
    pub fn of(id: &'a str) -> ShortCommit<'a> {
        ShortCommit(id.get(..DIGITS).unwrap_or(id))
    }

    /// The digits that are shown.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for ShortCommit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_digits_are_shown() {
        assert_eq!(ShortCommit::of(&"0123456789abcdef".repeat(3)).to_string(), "0123456789");
        assert_eq!(ShortCommit::of("3f9c").as_str(), "3f9c");
    }
}
