//! The only way out of the command: everything that it writes to standard output and standard error passes here. Text from other people
//! is made harmless when it becomes a [`Shown`], so that a new command cannot forget that. The bytes of a log pass a [`Screen`] on
//! their way to a terminal.

use client::Error;
pub(crate) use client::painted::Paint;
use client::painted::PaintedLine;
use client::screen::Screened;
use schema::shown::{self, Screen};
use serde_json::Value;
use std::io::{self, Write as _};

/// Text that may go to a terminal. It can only be made here, from literals and from texts that are made harmless.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown(String);

impl Shown {
    /// Makes a shown text from a text of this program, which may have line ends and tabs.
    pub(crate) fn literal(text: &'static str) -> Shown {
        Shown(text.to_owned())
    }

    /// Makes a shown text on one line.
    pub(crate) fn line(text: &str) -> Shown {
        Shown(shown::line(text).into_owned())
    }

    /// Makes a shown text of several lines.
    pub(crate) fn lines(text: &str) -> Shown {
        Shown(shown::lines(text))
    }

    /// Makes a shown text on one line, in colour if `has_colours`.
    pub(crate) fn painted(text: &str, paint: Paint, has_colours: bool) -> Shown {
        let text = shown::line(text);
        match paint.code().filter(|_| has_colours) {
            Some(code) => Shown(format!("{code}{text}\x1b[0m")),
            None => Shown(text.into_owned()),
        }
    }

    /// Makes a shown line from its pieces, in colour if `has_colours`.
    pub(crate) fn of_line(line: &PaintedLine, has_colours: bool) -> Shown {
        Shown(line.written(has_colours))
    }

    /// Makes a text that draws these lines on a terminal, in place of the last `before` lines.
    pub(crate) fn redrawn(before: usize, lines: &[PaintedLine], has_colours: bool) -> Shown {
        let mut text = if before > 0 { format!("\r\x1b[{before}A") } else { String::new() };
        for line in lines {
            text.push_str(&line.written(has_colours));
            text.push_str("\x1b[K\n");
        }
        // It does not clear the rest of the screen, because some terminals then keep the cleared lines in their history.
        let stale = before.saturating_sub(lines.len());
        if stale > 0 {
            text.push_str(&"\x1b[K\n".repeat(stale));
            text.push_str(&format!("\x1b[{stale}A"));
        }
        Shown(text)
    }

    /// Makes a line of JSON for a program.
    pub(crate) fn json(value: &Value) -> Shown {
        Shown(shown::json(&value.to_string()).into_owned())
    }

    /// Makes a shown text from a document of this program. Its tabs stay, because they have a meaning.
    pub(crate) fn document(text: &str) -> Shown {
        let mut screen = Screen::new();
        Shown(screen.push(text.as_bytes()) + &screen.finish())
    }

    pub(crate) fn join(parts: impl IntoIterator<Item = Shown>, between: &'static str) -> Shown {
        let parts: Vec<String> = parts.into_iter().map(|part| part.0).collect();
        Shown(parts.join(between))
    }

    pub(crate) fn spaces(count: usize) -> Shown {
        Shown(" ".repeat(count))
    }

    /// Returns the lines of the text, without the spaces that pad them.
    pub(crate) fn each_line(&self) -> impl Iterator<Item = Shown> {
        self.0.lines().map(|line| Shown(line.trim_end().to_owned()))
    }

    /// Returns this text with the other one after it.
    #[must_use]
    pub(crate) fn and(mut self, other: impl Into<Shown>) -> Shown {
        self.0.push_str(&other.into().0);
        self
    }

    #[must_use]
    pub(crate) fn and_literal(mut self, text: &'static str) -> Shown {
        self.0.push_str(text);
        self
    }

    #[cfg(test)]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Shown {
    fn from(text: &str) -> Shown {
        Shown::line(text)
    }
}

impl From<&String> for Shown {
    fn from(text: &String) -> Shown {
        Shown::line(text)
    }
}

impl From<String> for Shown {
    fn from(text: String) -> Shown {
        Shown::line(&text)
    }
}

/// Writes data to standard output at once.
pub(crate) fn say(text: &Shown) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.0.as_bytes()).and_then(|()| out.flush()).map_err(Error::Output)
}

/// Writes a line of progress, or a hint, to standard error. If that fails, for example because the terminal is gone, the command goes
/// on.
pub(crate) fn note(text: impl Into<Shown>) {
    drop(writeln!(io::stderr(), "{}", text.into().0));
}

/// Writes a question to standard error, and leaves the cursor after it.
pub(crate) fn ask(question: &'static str) {
    drop(write!(io::stderr(), "{question}"));
}

/// The output for the bytes of logs.
pub(crate) type LogOutput = Screened<tokio::io::Stdout>;

/// Returns standard output for logs: every byte if `is_exact`, and else through a screen for terminals.
pub(crate) fn log_output(is_exact: bool) -> LogOutput {
    match is_exact {
        true => Screened::exact(tokio::io::stdout()),
        false => Screened::for_terminal(tokio::io::stdout()),
    }
}
