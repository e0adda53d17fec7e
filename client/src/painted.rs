//! Lines for a terminal, made of coloured pieces, so that a line can be cut to a width. Text from other people is made harmless when it
//! becomes a piece.

use schema::shown;
use schema::values::{Outcome, State};

/// The meaning of a piece of text, from which its colour follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paint {
    /// Text without a meaning of its own.
    #[default]
    Plain,
    /// A word for something that went well.
    Good,
    /// A word for something that went wrong.
    Bad,
    /// Text that is worth a look.
    Notable,
    /// Text that one may pass over.
    Quiet,
    /// Text that should stand out.
    Strong,
}

impl Paint {
    /// Returns the sequence that begins the colour; `None` if the text stays as it is.
    pub const fn code(self) -> Option<&'static str> {
        match self {
            Paint::Plain => None,
            Paint::Good => Some("\x1b[32m"),
            Paint::Bad => Some("\x1b[31m"),
            Paint::Notable => Some("\x1b[33m"),
            Paint::Quiet => Some("\x1b[2m"),
            Paint::Strong => Some("\x1b[1m"),
        }
    }

    /// Returns the colour of a build, a job or a step.
    pub const fn of(state: State, outcome: Option<Outcome>) -> Paint {
        match (outcome, state) {
            (Some(Outcome::Succeeded), _) => Paint::Good,
            (Some(Outcome::Failed | Outcome::Errored), _) => Paint::Bad,
            (Some(Outcome::Warned | Outcome::Cancelled), _) | (None, State::Running) => Paint::Notable,
            (Some(Outcome::Skipped), _)
            | (None, State::Planning | State::Waiting | State::Queued | State::Offered | State::Finished) => {
                Paint::Quiet
            }
        }
    }
}

/// The limit for the sequences of open colours, in bytes. A log that exceeds it sets the same colours again and again.
const OPEN_BYTES_MAX: usize = 64;

/// The colours that are in force at the end of a part of a log, as the sequences that set them.
#[derive(Debug, Default)]
pub(crate) struct OpenColours(Vec<u8>);

impl OpenColours {
    /// Returns the sequences that set the colours again.
    pub(crate) fn begin(&self) -> &[u8] {
        &self.0
    }

    /// Returns the sequence that restores the terminal's own colours. It is empty if there is nothing to restore.
    pub(crate) fn end(&self) -> &'static [u8] {
        if self.0.is_empty() { b"" } else { b"\x1b[0m" }
    }

    /// Updates the colours by a part of a log. A sequence of colours is `ESC [ NUMBERS m`.
    pub(crate) fn follow(&mut self, part: &[u8]) {
        let mut rest = part;
        while let Some(at) = rest.windows(2).position(|pair| pair == b"\x1b[") {
            let numbers = &rest[at + 2..];
            let length = numbers.iter().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':')).count();
            rest = &numbers[length..];
            if rest.first() == Some(&b'm') {
                self.set(&numbers[..length]);
            }
        }
    }

    /// Applies one sequence. Without a number, or with 0 first, it ends the earlier colours.
    fn set(&mut self, numbers: &[u8]) {
        let first = numbers.split(|byte| *byte == b';').next().unwrap_or_default();
        let ends_others = first.iter().all(|byte| *byte == b'0');
        if ends_others || self.0.len() + numbers.len() > OPEN_BYTES_MAX {
            self.0.clear();
        }
        if numbers.iter().any(|byte| matches!(byte, b'1'..=b'9')) && numbers.len() < OPEN_BYTES_MAX {
            self.0.extend_from_slice(b"\x1b[");
            self.0.extend_from_slice(numbers);
            self.0.push(b'm');
        }
    }
}

/// One line of text for a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaintedLine(Vec<(String, Paint)>);

impl PaintedLine {
    /// Makes a line without text.
    pub fn new() -> PaintedLine {
        PaintedLine::default()
    }

    /// Makes a line of plain text.
    pub fn plain(text: impl AsRef<str>) -> PaintedLine {
        PaintedLine::new().and(text, Paint::Plain)
    }

    /// Adds a piece of text at the end. An empty text adds nothing.
    #[must_use]
    pub fn and(mut self, text: impl AsRef<str>, paint: Paint) -> PaintedLine {
        let text = shown::line(text.as_ref());
        if !text.is_empty() {
            self.0.push((text.into_owned(), paint));
        }
        self
    }

    /// Adds spaces at the end, up to this width in columns.
    #[must_use]
    pub fn padded(self, width: usize) -> PaintedLine {
        let missing = width.saturating_sub(self.width());
        self.and(" ".repeat(missing), Paint::Plain)
    }

    /// Returns the width of the line on a terminal, in columns.
    pub fn width(&self) -> usize {
        self.0.iter().map(|(text, _)| shown::columns(text)).sum()
    }

    /// Cuts the line to at most this many columns. A mark shows where it was cut.
    #[must_use]
    pub fn cut(mut self, width: usize) -> PaintedLine {
        let mut room = width;
        if self.width() <= width {
            return self;
        }
        room = room.saturating_sub(1);
        for (text, _) in &mut self.0 {
            text.truncate(shown::of_columns(text, room).len());
            room -= shown::columns(text);
        }
        self.and(if width > 0 { "…" } else { "" }, Paint::Quiet)
    }

    /// Returns the text of the line. With `has_colours`, it includes the sequences of the colours.
    pub fn written(&self, has_colours: bool) -> String {
        let piece = |(text, paint): &(String, Paint)| match paint.code().filter(|_| has_colours) {
            Some(code) => format!("{code}{text}\x1b[0m"),
            None => text.clone(),
        };
        self.0.iter().map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_to_its_width_and_says_so() {
        let line = || PaintedLine::plain("one ").and("two", Paint::Bad).and(" three", Paint::Plain);
        assert_eq!(line().cut(13).written(false), "one two three");
        assert_eq!(line().cut(8).written(false), "one two…");
        assert_eq!(line().cut(6).written(true), "one \u{1b}[31mt\u{1b}[0m\u{1b}[2m…\u{1b}[0m");
        assert_eq!(line().cut(0).written(false), "");
        // A line that is wider than the terminal would wrap, and move the picture.
        assert_eq!(PaintedLine::plain("日本語").cut(5).written(false), "日本…");
        assert_eq!(PaintedLine::plain("日本語").cut(4).width(), 3);
        assert_eq!(PaintedLine::plain("日").padded(3).and("b", Paint::Plain).written(false), "日 b");
        assert_eq!(PaintedLine::plain("a").padded(3).and("b", Paint::Plain).written(false), "a  b");
    }

    #[test]
    fn a_piece_cannot_speak_to_the_terminal() {
        assert_eq!(PaintedLine::plain("a\u{1b}[2J\nb").written(true), "a [2J b");
    }
}
