//! Checks how pages and terminals show the bytes of a log, and texts that others wrote.

use super::pieces::Pieces;
use client::painted::PaintedLine;
use master::serve::fuzz::log_lines;
use schema::shown::{self, Face, Screen, face};

/// The number of characters of a line that a page shows.
const LINE_MAX: usize = 4_096;
/// The limit for the bytes of HTML that one character becomes by escapes and classes.
const LETTER_MAX: usize = 120;

/// Checks a page: each line of the log becomes one harmless piece of HTML.
pub fn target(data: &[u8]) {
    let lines = log_lines(data);
    let text = String::from_utf8_lossy(data);
    assert_eq!(lines.len(), text.split_terminator('\n').count());
    for line in &lines {
        assert!(line.len() <= LINE_MAX * LETTER_MAX, "{}", line.len());
        check_html(line);
    }
}

/// Checks that HTML has only our own tags, and that each is closed.
fn check_html(mut html: &str) {
    let mut open = 0_i32;
    while let Some(at) = html.find('<') {
        check_text(&html[..at]);
        let end = html[at..].find('>').expect("a tag ends") + at;
        match &html[at..=end] {
            "</span>" | "</i>" => open -= 1,
            "<i class=\"cut\">" => open += 1,
            tag => {
                let class = tag.strip_prefix("<span class=\"").and_then(|rest| rest.strip_suffix("\">"));
                let is_plain = |c: char| c.is_ascii_alphanumeric() || c == ' ' || c == '-';
                assert!(class.is_some_and(|class| class.chars().all(is_plain)), "{tag}");
                open += 1;
            }
        }
        assert!((0..=1).contains(&open), "{html}");
        html = &html[end + 1..];
    }
    check_text(html);
    assert_eq!(open, 0);
}

fn check_text(text: &str) {
    assert!(!text.contains(['<', '>', '"', '\'']), "{text}");
    assert!(text.chars().all(|c| c == '\t' || face(c) == Face::Itself), "{text:?}");
}

/// Checks a terminal: the output is the same in whatever pieces the log arrives, and nothing moves the cursor.
pub fn terminal(data: &[u8]) {
    let mut pieces = Pieces(data);
    let size = usize::from(pieces.byte().unwrap_or(0)) + 1;
    let bytes = pieces.0;
    let whole = screened([bytes].into_iter());
    assert_eq!(whole, screened(bytes.chunks(size)));
    check_colours(&whole);
    check_texts(&String::from_utf8_lossy(bytes), size);
}

fn screened<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> String {
    let mut screen = Screen::new();
    let mut shown: String = pieces.map(|piece| screen.push(piece)).collect();
    shown.push_str(&screen.finish());
    shown
}

/// Checks that each escape sets a colour, and that the only control characters are tab, carriage return and line end.
fn check_colours(shown: &str) {
    let mut parts = shown.split('\x1b');
    let check = |text: &str| {
        let is_fine = |c: char| matches!(c, '\t' | '\r' | '\n') || face(c) == Face::Itself;
        assert!(text.chars().all(is_fine), "{text:?}");
    };
    parts.next().iter().for_each(|text| check(text));
    for part in parts {
        let (codes, text) = part.split_once('m').expect("a colour ends");
        let codes = codes.strip_prefix('[').expect("a colour");
        assert!(codes.chars().all(|c| c.is_ascii_digit() || c == ';' || c == ':'), "{codes:?}");
        check(text);
    }
}

fn check_texts(text: &str, width: usize) {
    let is_plain = |text: &str| text.chars().all(|c| face(c) == Face::Itself);
    assert!(is_plain(&shown::line(text)));
    assert!(shown::lines(text).lines().all(is_plain));
    assert!(shown::page(text).split(['\n', '\t']).all(is_plain));
    let line = PaintedLine::plain(text).and(text, client::painted::Paint::Bad).cut(width);
    assert!(line.width() <= width && is_plain(&line.written(false)));
    let json = serde_json::to_string(text).expect("a text is JSON");
    let shown = shown::json(&json);
    assert_eq!(serde_json::from_str::<String>(&shown).expect("it is JSON still"), text);
    assert!(is_plain(&shown));
}
