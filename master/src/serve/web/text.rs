//! Turns log bytes into lines of HTML. Colours become classes. Everything else that could move a cursor, or hide or turn text, is
//! removed.

use anstyle_parse::{DefaultCharAccumulator, Params, Parser, Perform};
use schema::shown::{self, Face};

/// The most characters of a line that a page shows. The raw log has the rest.
const LINE_MAX: usize = 4_096;

/// Returns the lines of some bytes as HTML, each of which is harmless by itself.
pub(super) fn lines(bytes: &[u8]) -> Vec<String> {
    let mut painter = Painter::default();
    // the parser drops what is not UTF-8, but people must see that something is there
    for line in String::from_utf8_lossy(bytes).split_terminator('\n') {
        // a sequence that never ends swallows no more than its own line
        let mut parser = Parser::<DefaultCharAccumulator>::new();
        line.bytes().for_each(|byte| parser.advance(&mut painter, byte));
        painter.end_line();
    }
    painter.lines
}

/// The function of this file that `tests/fuzz` calls.
#[cfg(feature = "fuzz")]
pub fn log_lines(bytes: &[u8]) -> Vec<String> {
    lines(bytes)
}

/// Appends one character as HTML without markup, because templates do not escape these texts.
fn escape(c: char, to: &mut String) {
    match c {
        '<' => to.push_str("&lt;"),
        '>' => to.push_str("&gt;"),
        '&' => to.push_str("&amp;"),
        '"' => to.push_str("&quot;"),
        '\'' => to.push_str("&#39;"),
        c => to.push(c),
    }
}

/// The style of the text that follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Style {
    /// The colour of the letters, from 0 to 15, as terminals number them.
    front: Option<u8>,
    back: Option<u8>,
    bold: bool,
    faint: bool,
    italic: bool,
    underlined: bool,
    inverse: bool,
}

#[derive(Default)]
struct Painter {
    lines: Vec<String>,
    /// The characters of the present line with their styles. Text after a carriage return replaces them.
    line: Vec<(char, Style)>,
    /// Whether a carriage return came, and no text after it yet.
    returned: bool,
    is_cut: bool,
    style: Style,
}

impl Painter {
    fn end_line(&mut self) {
        let mut html = String::with_capacity(self.line.len() + 16);
        let mut open = Style::default();
        for (c, style) in self.line.drain(..) {
            if style != open {
                close(&mut html, open);
                open_span(&mut html, style);
                open = style;
            }
            escape(c, &mut html);
        }
        close(&mut html, open);
        if std::mem::take(&mut self.is_cut) {
            html.push_str("<i class=\"cut\">… the rest of this line is in the raw log</i>");
        }
        self.lines.push(html);
        self.returned = false;
    }

    fn put(&mut self, c: char) {
        if std::mem::take(&mut self.returned) {
            self.line.clear();
            self.is_cut = false;
        }
        match self.line.len() < LINE_MAX {
            true => self.line.push((c, self.style)),
            false => self.is_cut = true,
        }
    }

    fn put_all(&mut self, text: &str) {
        text.chars().for_each(|c| self.put(c));
    }
}

impl Perform for Painter {
    fn print(&mut self, c: char) {
        match shown::face(c) {
            Face::Itself => self.put(c),
            Face::Space | Face::Name => self.put_all(&shown::name(c)),
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\r' => self.returned = true,
            b'\t' => self.put('\t'),
            // a backspace removes a character, as on a terminal
            0x08 if !self.returned => _ = self.line.pop(),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], is_ignored: bool, action: u8) {
        match action {
            b'm' if intermediates.is_empty() && !is_ignored => self.style.apply(params),
            // the code for "erase the line", which some programs send after a return when they redraw it
            b'K' if self.returned => {
                self.line.clear();
                self.returned = false;
            }
            _ => {}
        }
    }
}

impl Style {
    fn apply(&mut self, params: &Params) {
        let mut codes = params.iter().flat_map(|group| group.iter().copied());
        while let Some(code) = codes.next() {
            match code {
                0 => *self = Style::default(),
                1 => self.bold = true,
                2 => self.faint = true,
                3 => self.italic = true,
                4 => self.underlined = true,
                7 => self.inverse = true,
                22 => (self.bold, self.faint) = (false, false),
                23 => self.italic = false,
                24 => self.underlined = false,
                27 => self.inverse = false,
                30..=37 => self.front = colour(code - 30),
                38 => self.front = rich_colour(&mut codes),
                39 => self.front = None,
                40..=47 => self.back = colour(code - 40),
                48 => self.back = rich_colour(&mut codes),
                49 => self.back = None,
                90..=97 => self.front = colour(code - 90 + 8),
                100..=107 => self.back = colour(code - 100 + 8),
                _ => {}
            }
        }
    }
}

fn colour(code: u16) -> Option<u8> {
    u8::try_from(code).ok().filter(|code| *code < 16)
}

/// Reads the colour after code 38 or 48, which is one of 256 or red, green and blue. Returns the nearest of 16 colours.
fn rich_colour(codes: &mut impl Iterator<Item = u16>) -> Option<u8> {
    let mut part = || codes.next().map(|part| u8::try_from(part).unwrap_or(u8::MAX));
    match part()? {
        2 => Some(nearest(part()?, part()?, part()?)),
        5 => Some(match part()? {
            plain @ 0..=15 => plain,
            cube @ 16..=231 => {
                let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
                let cube = cube - 16;
                nearest(level(cube / 36), level(cube / 6 % 6), level(cube % 6))
            }
            grey @ 232..=255 => nearest_grey(8 + 10 * (grey - 232)),
        }),
        _ => None,
    }
}

fn nearest(red: u8, green: u8, blue: u8) -> u8 {
    let strongest = red.max(green).max(blue);
    if strongest - red.min(green).min(blue) < 40 {
        return nearest_grey(strongest);
    }
    let bit = |part: u8, bit: u8| if u16::from(part) * 2 > u16::from(strongest) { bit } else { 0 };
    let bright = if strongest > 200 { 8 } else { 0 };
    bright + (bit(red, 1) | bit(green, 2) | bit(blue, 4))
}

fn nearest_grey(level: u8) -> u8 {
    match level {
        0..60 => 0,
        60..150 => 8,
        150..220 => 7,
        220.. => 15,
    }
}

fn open_span(html: &mut String, style: Style) {
    if style == Style::default() {
        return;
    }
    let (front, back) = if style.inverse { (style.back, style.front) } else { (style.front, style.back) };
    let mut classes: Vec<String> = Vec::new();
    classes.extend(front.map(|colour| format!("f{colour}")));
    classes.extend(back.map(|colour| format!("b{colour}")));
    let flags = [
        (style.bold, "bold"),
        (style.faint, "faint"),
        (style.italic, "italic"),
        (style.underlined, "under"),
        (style.inverse && style.front.is_none() && style.back.is_none(), "inverse"),
    ];
    classes.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, class)| (*class).to_owned()));
    html.push_str("<span class=\"");
    html.push_str(&classes.join(" "));
    html.push_str("\">");
}

fn close(html: &mut String, style: Style) {
    if style != Style::default() {
        html.push_str("</span>");
    }
}

#[cfg(test)]
mod tests {
    use super::lines;

    fn one(text: &str) -> String {
        let lines = lines(text.as_bytes());
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].clone()
    }

    #[test]
    fn markup_is_text() {
        let html = one("<script>alert('a' & \"b\")</script>");
        assert_eq!(html, "&lt;script&gt;alert(&#39;a&#39; &amp; &quot;b&quot;)&lt;/script&gt;");
    }

    #[test]
    fn colours_are_classes_and_go_on_over_lines() {
        let html = lines(b"\x1b[1;31mbad\n<still>\x1b[0m plain \x1b[38;5;10mg\x1b[38;2;0;0;255mb");
        assert_eq!(
            html,
            [
                "<span class=\"f1 bold\">bad</span>",
                "<span class=\"f1 bold\">&lt;still&gt;</span> plain <span class=\"f10\">g</span><span class=\"f12\">b</span>",
            ]
        );
    }

    #[test]
    fn what_is_drawn_over_is_gone() {
        assert_eq!(one("10%\r50%\r100%"), "100%");
        assert_eq!(one("done\r\n"), "done");
        assert_eq!(one("abc\x08d"), "abd");
    }

    #[test]
    fn other_sequences_vanish_and_turned_text_is_named() {
        assert_eq!(one("a\x1b]0;title\x07b\x1b[2Jc\x1b[10;10Hd"), "abcd");
        assert_eq!(one("safe\u{202e}txt\u{9b}2J"), "safe⟨U+202E⟩txt⟨U+009B⟩2J");
        assert_eq!(lines(b"a\xff\xfeb"), ["a\u{fffd}\u{fffd}b"]);
    }

    #[test]
    fn a_sequence_that_never_ends_takes_no_more_than_its_line() {
        for open in ["\x1b]0;title", "\x1bPq", "\x1b[1;", "\x1b", "\x1b_"] {
            assert_eq!(lines(format!("a{open}\nb\nc\n").as_bytes())[1..], ["b", "c"], "{open:?}");
        }
    }

    #[test]
    fn long_lines_are_cut() {
        let html = one(&"x".repeat(100_000));
        assert!(html.len() < 5_000 && html.contains("raw log"), "{}", html.len());
    }

    #[test]
    fn lines_are_counted_as_bytes_are() {
        assert_eq!(lines(b"a\n\nb\n"), ["a", "", "b"]);
        assert_eq!(lines(b"").len(), 0);
        assert_eq!(lines(b"\x1b[31m\n"), [""]);
    }
}
