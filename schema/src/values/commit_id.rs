//! The beginning of a commit's id, which people see in place of the whole id.

use std::fmt;

/// The number of digits of a commit that people see. They must name one commit when somebody pastes them into git or guild. Git itself
/// picks 10 for a repository of a million objects, in which 7 digits nearly always name several.
const DIGITS: usize = 10;

/// The first digits of a commit's id, as people see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortCommit<'a>(&'a str);

impl<'a> ShortCommit<'a> {
    /// Takes the first digits of an id. A shorter text stays as it is.
    pub fn of(id: &'a str) -> ShortCommit<'a> {
        ShortCommit(id.get(..DIGITS).unwrap_or(id))
    }

    /// Returns the digits as a text.
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
