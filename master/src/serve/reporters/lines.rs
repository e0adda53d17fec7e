//! Lines of a notice in plain text. Pure.

use std::fmt::Write as _;

/// A name that a tool chose: it shall not look like a line of ours.
pub(super) fn on_one_line(name: &str) -> String {
    name.split(char::is_control).collect::<Vec<_>>().join(" ")
}

pub(super) fn line(text: &mut String, name: &str, value: &str) {
    // a String takes everything
    let _ = writeln!(text, "  {name:<10}{value}");
}
