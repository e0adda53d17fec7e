//! Lines of a notice in plain text. Pure.

use std::fmt::Write as _;

/// Puts a name that a tool chose on one line, so that it cannot look like a line of the notice.
pub(super) fn on_one_line(name: &str) -> String {
    name.split(char::is_control).collect::<Vec<_>>().join(" ")
}

pub(super) fn line(text: &mut String, name: &str, value: &str) {
    // writing into a String cannot fail
    let _ = writeln!(text, "  {name:<10}{value}");
}

/// Quotes a word if necessary, so that a shell takes it as one word.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
