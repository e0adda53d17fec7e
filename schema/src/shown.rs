//! What people are shown of texts that others wrote: a repository, a worker, another user. One function, [`face`], decides
//! it for each character; terminals, pages and mails all ask it. Does not know what a text means.
//!
//! [`line()`], [`lines`], [`page`] and [`json`] are for texts, [`Screen`] is for the bytes of a log.

mod screen;
mod width;

pub use screen::Screen;
pub use width::{columns, columns_of, of_columns};

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

/// How a character is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// The character is shown as it is.
    Itself,
    /// A control moves the cursor, ends a line or a column, or speaks to the terminal: in a text it becomes a space.
    Space,
    /// The character turns or hides text, or is a control that nobody expects: its number is shown.
    Name,
}

/// Decides how a character is shown, whoever shows it (Unicode TR 36 and TR 39).
pub fn face(c: char) -> Face {
    match c {
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Face::Space,
        _ if is_deceptive(c) => Face::Name,
        _ => Face::Itself,
    }
}

/// Whether the character turns, hides or breaks text, by which one command could look like another.
pub fn is_deceptive(c: char) -> bool {
    matches!(c,
        // a hyphen, joiners and spaces that are not seen
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'..='\u{200d}'
        | '\u{2060}'..='\u{2065}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        // directions: marks, embeddings, overrides, isolates, and their old forms
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
        // line and paragraph ends
        | '\u{2028}' | '\u{2029}'
        // annotations and tags
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// How a named character reads: `⟨U+202E⟩`.
pub fn name(c: char) -> String {
    format!("⟨U+{:04X}⟩", u32::from(c))
}

/// The text on one line, which ends no column and says nothing to a terminal.
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

/// Several lines as [`line()`] makes one harmless, without empty ones at the end.
pub fn lines(text: &str) -> String {
    text.trim_end().lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Like [`line()`], for the markup of a page, or another text whose line ends and tabs are our own.
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

/// A JSON text that is the same to a program, and has no character that a terminal would take up.
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

/// Writes lines to standard error, for the programs that only tell. A terminal that went away is no reason to stop.
pub fn tell(text: &str) {
    use io::Write as _;
    drop(writeln!(io::stderr(), "{}", lines(text)));
}

/// Like [`tell`], for a text with colours, which are kept.
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
