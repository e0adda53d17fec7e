//! Makes texts that others wrote (a repository, a worker, another user) safe to show to people. One function, [`face`], decides about
//! each character for terminals, pages and mails. This module does not know what a text means.
//!
//! [`line()`], [`lines`], [`page`] and [`json`] are for texts, [`Screen`] is for the bytes of a log.

mod screen;
mod width;

pub use screen::Screen;
pub use width::{columns, columns_of, of_columns};

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

/// The way in which a character is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// The character is shown as it is.
    Itself,
    /// The character is a control: it moves the cursor, ends a line or a column, or commands the terminal. A space replaces it.
    Space,
    /// The character turns, hides or breaks text. Its number is shown in its place.
    Name,
}

/// Decides how a character is shown (Unicode TR 36 and TR 39).
pub fn face(c: char) -> Face {
    match c {
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Face::Space,
        _ if is_deceptive(c) => Face::Name,
        _ => Face::Itself,
    }
}

/// Whether the character turns, hides or breaks text, so that one command could look like another.
pub fn is_deceptive(c: char) -> bool {
    matches!(c,
        // invisible hyphens, joiners and spaces
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'..='\u{200d}'
        | '\u{2060}'..='\u{2065}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        // directions: marks, embeddings, overrides, isolates, and their old forms
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
        // line and paragraph ends
        | '\u{2028}' | '\u{2029}'
        // annotations and tags
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns the text that replaces a deceptive character, such as `⟨U+202E⟩`.
pub fn name(c: char) -> String {
    format!("⟨U+{:04X}⟩", u32::from(c))
}

/// Returns the text on one line, without line ends, tabs and characters to which a terminal would react.
pub fn line(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| face(c) == Face::Itself) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match face(c) {
            Face::Itself => shown.push(c),
            Face::Space => shown.push(' '),
            Face::Name => shown.push_str(&name(c)),
        }
    }
    Cow::Owned(shown)
}

/// Makes several lines harmless, each like [`line()`]. Empty lines at the end are left out.
pub fn lines(text: &str) -> String {
    text.trim_end().lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Works like [`line()`], but keeps line ends and tabs. It is for pages and other texts whose line ends and tabs are our own.
pub fn page(text: &str) -> Cow<'_, str> {
    let is_fine = |c: char| matches!(c, '\n' | '\t') || face(c) == Face::Itself;
    if text.chars().all(is_fine) {
        return Cow::Borrowed(text);
    }
    let parts = text.split_inclusive(['\n', '\t']).map(|part| match part.char_indices().next_back() {
        Some((at, end @ ('\n' | '\t'))) => format!("{}{end}", line(&part[..at])),
        Some(_) | None => line(part).into_owned(),
    });
    Cow::Owned(parts.collect())
}

/// Escapes the characters of a JSON text to which a terminal would react. A program still reads the same text.
pub fn json(text: &str) -> Cow<'_, str> {
    // JSON itself has already escaped the control characters below a space.
    let must_go = |c: char| c != '\n' && face(c) != Face::Itself;
    if !text.chars().any(must_go) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match must_go(c) {
            false => shown.push(c),
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| _ = write!(shown, "\\u{unit:04x}")),
        }
    }
    Cow::Owned(shown)
}

/// Writes lines to standard error. It ignores errors, because a closed terminal is no reason to stop.
pub fn tell(text: &str) {
    use io::Write as _;
    drop(writeln!(io::stderr(), "{}", lines(text)));
}

/// Works like [`tell`], but keeps the colours of the text.
pub fn tell_coloured(text: &str) {
    use io::Write as _;
    let mut screen = Screen::new();
    let shown = screen.push(text.as_bytes()) + &screen.finish();
    drop(writeln!(io::stderr(), "{shown}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_on_its_line() {
        for (text, shown) in [
            ("plain — ünï 日本 👍", "plain — ünï 日本 👍"),
            ("a\x1b[2Jb\r\nc\td\0", "a [2Jb  c d "),
            ("a\u{9b}2Jb\u{85}\x7f", "a 2Jb  "),
            ("a\u{202e}b\u{2066}c", "a⟨U+202E⟩b⟨U+2066⟩c"),
            ("a\u{200b}\u{feff}\u{2028}\u{2029}", "a⟨U+200B⟩⟨U+FEFF⟩⟨U+2028⟩⟨U+2029⟩"),
            ("a\u{e0041}", "a⟨U+E0041⟩"),
        ] {
            assert_eq!(line(text), shown, "{text:?}");
        }
        assert!(matches!(line("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(lines("a\x1b[2J\r\nb\tc\n\n"), "a [2J\nb c");
    }

    #[test]
    fn pages_keep_their_own_lines() {
        assert_eq!(page("<p>\n\ta\x1b[2Jb\r\u{202e}</p>\n"), "<p>\n\ta [2Jb ⟨U+202E⟩</p>\n");
        assert!(matches!(page("a\n\tb"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_is_the_same_to_a_program() {
        let text = "a\u{9b}2J\u{202e}\u{200b}\u{2028}\u{7f}\u{e0041}é\u{1b}\n";
        let written = serde_json::to_string(text).unwrap();
        let shown = json(&written);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        assert!(shown.chars().all(|c| face(c) == Face::Itself), "{shown:?}");
        assert_eq!(shown, "\"a\\u009b2J\\u202e\\u200b\\u2028\\u007f\\udb40\\udc41é\\u001b\\n\"");
    }
}
