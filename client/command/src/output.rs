//! The only way out of the command: all that it writes to standard output and standard error passes here. A text that others
//! wrote is made harmless when it becomes a [`Shown`], so that a new command cannot forget that. The bytes of a log pass a
//! [`Screen`] on their way to a terminal.

use client::Error;
pub(crate) use client::painted::Paint;
use client::painted::PaintedLine;
use client::screen::Screened;
use schema::shown::{self, Screen};
use serde_json::Value;
use std::io::{self, Write as _};

/// Text that may go to a terminal. It is made of literals and of texts that were made harmless, and only here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown(String);

impl Shown {
    /// A text of this program, which may have line ends and tabs.
    pub(crate) fn literal(text: &'static str) -> Shown {
        Shown(text.to_owned())
    }

    /// The text on one line.
    pub(crate) fn line(text: &str) -> Shown {
        Shown(shown::line(text).into_owned())
    }

    /// A text of several lines.
    pub(crate) fn lines(text: &str) -> Shown {
        Shown(shown::lines(text))
    }

    /// The text on one line, coloured if the look has colours.
    pub(crate) fn painted(text: &str, paint: Paint, has_colours: bool) -> Shown {
        let text = shown::line(text);
        match paint.code().filter(|_| has_colours) {
            Some(code) => Shown(format!("{code}{text}\x1b[0m")),
            None => Shown(text.into_owned()),
        }
    }

    /// A line that was made of pieces, coloured if the look has colours.
    pub(crate) fn of_line(line: &PaintedLine, has_colours: bool) -> Shown {
        Shown(line.written(has_colours))
    }

    /// These lines on a terminal, in the place of the last `before` ones.
    pub(crate) fn redrawn(before: usize, lines: &[PaintedLine], has_colours: bool) -> Shown {
        let mut text = if before > 0 { format!("\r\x1b[{before}A") } else { String::new() };
        for line in lines {
            text.push_str(&line.written(has_colours));
            text.push_str("\x1b[K\n");
        }
        // not by clearing the rest of the screen, which some terminals then keep in what was scrolled away
        let stale = before.saturating_sub(lines.len());
        if stale > 0 {
            text.push_str(&"\x1b[K\n".repeat(stale));
            text.push_str(&format!("\x1b[{stale}A"));
        }
        Shown(text)
    }

    /// A line of JSON for a program.
    pub(crate) fn json(value: &Value) -> Shown {
        Shown(shown::json(&value.to_string()).into_owned())
    }

    /// A document that this program makes, unchanged, because its tabs have a meaning.
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

    /// The lines of the text, without the spaces that pad them.
    pub(crate) fn each_line(&self) -> impl Iterator<Item = Shown> {
        self.0.lines().map(|line| Shown(line.trim_end().to_owned()))
    }

    /// This text with the other one after it.
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

/// Writes a line of progress, or a hint, to standard error. A terminal that went away is no reason to stop.
pub(crate) fn note(text: impl Into<Shown>) {
    drop(writeln!(io::stderr(), "{}", text.into().0));
}

/// Writes a question to standard error, and leaves the cursor after it.
pub(crate) fn ask(question: &'static str) {
    drop(write!(io::stderr(), "{question}"));
}

/// Where the bytes of logs go.
pub(crate) type LogOutput = Screened<tokio::io::Stdout>;

/// Standard output for logs: exact, or for a terminal through a screen.
pub(crate) fn log_output(is_exact: bool) -> LogOutput {
    match is_exact {
        true => Screened::exact(tokio::io::stdout()),
        false => Screened::for_terminal(tokio::io::stdout()),
    }
}
