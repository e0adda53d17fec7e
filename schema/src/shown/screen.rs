//! Makes the bytes of a log safe for a terminal: of the controls, only colours, tabs and line ends pass. A sequence may begin in one
//! piece of the log and end in the next. The state between pieces is bounded whatever arrives.

use super::{Face, face, name};
use anstyle_parse::{DefaultCharAccumulator, Params, Parser, Perform};

/// The most bytes of one escape sequence. Colours are far shorter, and without a limit the parser would keep an endless title.
const SEQUENCE_BYTES_MAX: usize = 1_024;
/// The sequence that restores the terminal's own colours.
const PLAIN: &str = "\x1b[0m";

/// A filter that makes the pieces of a log harmless, one after the other.
#[derive(Default)]
pub struct Screen {
    parser: Parser<DefaultCharAccumulator>,
    /// The beginning of a character whose end is in the next piece: at most 3 bytes.
    begun: Vec<u8>,
    /// The number of bytes since the parser last recognised a character or a sequence.
    in_sequence: usize,
    /// Whether a sequence was too long, so that its bytes are dropped up to its end.
    is_passing_over: bool,
    painter: Painter,
}

#[derive(Default)]
struct Painter {
    shown: String,
    /// Whether the parser has just recognised a character or a sequence.
    has_heard: bool,
    /// Whether the log has changed the terminal's colours and not restored them.
    is_painted: bool,
}

impl Screen {
    /// Makes a screen that has shown nothing yet.
    pub fn new() -> Screen {
        Screen::default()
    }

    /// Takes the next bytes of the log and returns the text that can be shown now.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.begun.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.begun);
        let whole = all.len() - unfinished(&all);
        self.begun = all[whole..].to_vec();
        self.take(&all[..whole]);
        std::mem::take(&mut self.painter.shown)
    }

    /// Returns the rest of the text at the end of the log, and restores the terminal's own colours.
    pub fn finish(&mut self) -> String {
        let begun = std::mem::take(&mut self.begun);
        self.take(&begun);
        self.end_sequence();
        if std::mem::take(&mut self.painter.is_painted) {
            self.painter.shown.push_str(PLAIN);
        }
        std::mem::take(&mut self.painter.shown)
    }

    fn take(&mut self, bytes: &[u8]) {
        // The parser drops bytes that are not UTF-8, but people must see that there is something.
        String::from_utf8_lossy(bytes).bytes().for_each(|byte| self.take_byte(byte));
    }

    fn take_byte(&mut self, byte: u8) {
        if byte == b'\n' {
            // A sequence that never ends takes no more than its line.
            self.end_sequence();
            self.painter.shown.push('\n');
            return;
        }
        if self.is_passing_over {
            self.is_passing_over = !matches!(byte, 0x07 | 0x18 | 0x1a | 0x1b);
            return;
        }
        self.parser.advance(&mut self.painter, byte);
        self.in_sequence = if std::mem::take(&mut self.painter.has_heard) { 0 } else { self.in_sequence + 1 };
        if self.in_sequence > SEQUENCE_BYTES_MAX {
            self.end_sequence();
            self.is_passing_over = true;
        }
    }

    fn end_sequence(&mut self) {
        self.parser = Parser::default();
        self.in_sequence = 0;
        self.is_passing_over = false;
    }
}

/// Returns how many bytes at the end are the beginning of a character that is not complete.
fn unfinished(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    let begins = |at: &usize| matches!(tail[*at], 0xc2..=0xf4);
    match (0..tail.len()).rev().find(begins) {
        Some(at) => match std::str::from_utf8(&tail[at..]) {
            Err(error) if error.error_len().is_none() => tail.len() - at,
            Ok(_) | Err(_) => 0,
        },
        None => 0,
    }
}

/// Removes the number 8 from the groups of a colour sequence, because it hides the text that follows.
fn without_concealment(groups: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut groups = groups.into_iter();
    while let Some(group) = groups.next() {
        let is_colour = matches!(group.as_str(), "38" | "48" | "58");
        if group != "8" {
            kept.push(group);
        }
        if is_colour && let Some(kind) = groups.next() {
            let numbers = match kind.as_str() {
                "5" => 1,
                "2" => 3,
                _ => 0,
            };
            kept.push(kind);
            kept.extend(groups.by_ref().take(numbers));
        }
    }
    kept
}

impl Perform for Painter {
    fn print(&mut self, c: char) {
        self.has_heard = true;
        match face(c) {
            Face::Itself => self.shown.push(c),
            Face::Space | Face::Name => self.shown.push_str(&name(c)),
        }
    }

    fn execute(&mut self, byte: u8) {
        self.has_heard = true;
        if matches!(byte, b'\t' | b'\r') {
            self.shown.push(char::from(byte));
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], is_ignored: bool, action: u8) {
        self.has_heard = true;
        if action != b'm' || !intermediates.is_empty() || is_ignored {
            return;
        }
        let groups: Vec<String> =
            params.iter().map(|group| group.iter().map(u16::to_string).collect::<Vec<_>>().join(":")).collect();
        let groups = without_concealment(groups);
        self.is_painted |= !groups.is_empty();
        // A single 0 means plain text; among other numbers it may be a part of a colour.
        self.is_painted &= groups != ["0"];
        if !groups.is_empty() {
            self.shown.push_str(&format!("\x1b[{}m", groups.join(";")));
        }
    }

    fn esc_dispatch(&mut self, _: &[u8], _: bool, _: u8) {
        self.has_heard = true;
    }

    fn osc_dispatch(&mut self, _: &[&[u8]], _: bool) {
        self.has_heard = true;
    }

    fn unhook(&mut self) {
        self.has_heard = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> String {
        let mut screen = Screen::new();
        screen.push(bytes) + &screen.finish()
    }

    /// Pushes the bytes one by one, so that every possible border between pieces is tested.
    fn split(bytes: &[u8]) -> String {
        let mut screen = Screen::new();
        let text: String = bytes.chunks(1).map(|byte| screen.push(byte)).collect();
        text + &screen.finish()
    }

    #[test]
    fn colours_and_line_ends_pass() {
        for (bytes, shown) in [
            ("plain ünï 日本 👍\r\n\ttab\n", "plain ünï 日本 👍\r\n\ttab\n"),
            ("10%\r20%\r\n", "10%\r20%\r\n"),
            ("\x1b[1;31mbad\x1b[0m \x1b[m", "\x1b[1;31mbad\x1b[0m \x1b[0m"),
            ("\x1b[38;2;1;2;3mx\x1b[38:5:9my\x1b[0m", "\x1b[38;2;1;2;3mx\x1b[38:5:9my\x1b[0m"),
            ("\x1b[1;\t\nb", "\t\nb"),
            ("a\x1b[8mhidden\x1b[1;8;4mb\x1b[0m", "ahidden\x1b[1;4mb\x1b[0m"),
            ("\x1b[38;5;8mgrey\x1b[0m", "\x1b[38;5;8mgrey\x1b[0m"),
            // Colours that are left open are closed at the end.
            ("\x1b[38;5;0mblack\n", "\x1b[38;5;0mblack\n\x1b[0m"),
            ("\x1b[48;2;0;0;0mblack\n", "\x1b[48;2;0;0;0mblack\n\x1b[0m"),
            ("\x1b[32mgreen\n", "\x1b[32mgreen\n\x1b[0m"),
        ] {
            assert_eq!(whole(bytes.as_bytes()), shown);
            assert_eq!(split(bytes.as_bytes()), shown);
        }
    }

    #[test]
    fn nothing_else_passes() {
        for (bytes, shown) in [
            (&b"a\x1b]52;c;UFdO\x07b"[..], "ab"),
            (b"a\x1b]0;TITLE\x1b\\b", "ab"),
            (b"a\x1bPq#0;2;0;0;0\x1b\\b", "ab"),
            (b"a\x1b_apc\x1b\\b\x1b^pm\x1b\\c\x1bXsos\x1b\\d", "abcd"),
            (b"a\x1b[6nb\x1b[c\x1b[?1049hc\x1b[2J\x1b[10;10H\x1b[>4;2md", "abcd"),
            (b"a\x1bc\x1b7\x1b(0b", "ab"),
            (b"a\x08\x07\x0b\x0c\x0e\x00\x7fb", "a⟨U+007F⟩b"),
            (b"a\xc2\x9b2Jb\xc2\x9d0;t\xc2\x9cc", "a⟨U+009B⟩2Jb⟨U+009D⟩0;t⟨U+009C⟩c"),
            (b"a\x9b2Jb\xff\xfe", "a\u{fffd}2Jb\u{fffd}\u{fffd}"),
            ("a\u{202e}b\u{2028}c".as_bytes(), "a⟨U+202E⟩b⟨U+2028⟩c"),
            (b"a\xe2\x80", "a\u{fffd}"),
        ] {
            assert_eq!(whole(bytes), shown, "{bytes:?}");
            assert_eq!(split(bytes), shown, "{bytes:?}");
        }
    }

    #[test]
    fn a_sequence_that_never_ends_takes_no_more_than_its_line() {
        for open in ["\x1b]0;title", "\x1bPq", "\x1b[1;", "\x1b", "\x1b_"] {
            let text = format!("a{open}\nb\nc\n");
            assert_eq!((whole(text.as_bytes()).as_str(), split(text.as_bytes()).as_str()), ("a\nb\nc\n", "a\nb\nc\n"));
        }
    }

    #[test]
    fn many_tabs_are_no_sequence() {
        let text = "\t".repeat(5_000) + "x\r";
        assert_eq!(whole(text.as_bytes()), text);
    }

    #[test]
    fn the_state_is_bounded() {
        let mut screen = Screen::new();
        for open in ["\x1b]0;", "\x1bP1q", "\x1b[1;1", "\x1b_"] {
            assert_eq!(screen.push(open.as_bytes()), "");
            for _ in 0..1_000 {
                assert_eq!(screen.push(&[b';'; 1_000]), "", "{open:?}");
                assert!(screen.in_sequence <= SEQUENCE_BYTES_MAX + 1 && screen.begun.len() <= 3);
            }
            assert_eq!(screen.push(b"\nb"), "\nb");
        }
    }
}
