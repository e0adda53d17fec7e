//! Makes the values for the templates: words, links and classes. Pure, except for the time.

mod build;
mod failing_tests;
mod log;
mod red_range;
mod test_marks;

pub(super) use build::{BuildPage, ProjectPage};
pub(super) use failing_tests::JobTests;
pub(super) use log::{JobPage, LINES, StepPage, steps_by_interest};
pub(super) use test_marks::{PointMark, strip, test_duration, test_mark, trees};

use super::STYLE;
use super::bridge::Visitor;
use crate::config::clock::Clock;
use askama::Template;
use client::views::{BranchView, BuildView, timestamp};
use client::words;
use schema::shown;
use schema::values::{Outcome, ShortCommit, State, Time};

/// The frame of every page.
pub(super) struct Frame {
    pub(super) title: String,
    /// The name of the visitor. `None` means that the visitor is not logged in.
    pub(super) who: Option<String>,
    /// What is wrong with the master itself. Empty means that nothing is known to be wrong.
    pub(super) alert: &'static str,
    pub(super) style: &'static str,
    /// The address of the icon in the browser's tab.
    pub(super) icon: String,
}

impl Frame {
    pub(super) fn new(title: &str, visitor: Visitor) -> Frame {
        let icon = "/icon.svg".to_owned();
        Frame { title: title.to_owned(), who: visitor.name, alert: visitor.alert, style: &STYLE.path, icon }
    }

    /// Shows the state of the page's subject in the browser's tab, by a symbol, a word and the colour of the icon. People who read
    /// another tab then see when a build is done.
    pub(super) fn marked(mut self, mark: &StatusMark) -> Frame {
        self.title = format!("{} {} {}", mark.symbol, self.title, mark.word);
        self.icon = format!("/icon/{}.svg", mark.class);
        self
    }
}

/// A `MessagePage` is a page with only a few words.
#[derive(Template)]
#[template(path = "notice.html")]
pub(super) struct MessagePage {
    pub(super) frame: Frame,
    pub(super) text: &'static str,
}

/// The page of a login address, whose one button logs this browser in.
#[derive(Template)]
#[template(path = "login.html")]
pub(super) struct Login {
    pub(super) frame: Frame,
    /// The name of the grant's holder.
    pub(super) name: String,
}

/// A `StatusMark` shows a state by a symbol, a word and a colour.
#[derive(Clone, Debug)]
pub(super) struct StatusMark {
    pub(super) symbol: &'static str,
    pub(super) word: &'static str,
    pub(super) class: &'static str,
}

impl StatusMark {
    pub(super) fn new(state: State, outcome: Option<Outcome>) -> StatusMark {
        let class = match (outcome, state) {
            (Some(Outcome::Succeeded), _) => "good",
            (Some(Outcome::Failed), _) => "bad",
            (Some(Outcome::Errored), _) => "broken",
            (Some(Outcome::Warned), _) => "warned",
            (Some(Outcome::Cancelled), _) => "cancelled",
            (Some(Outcome::Skipped), _) => "skipped",
            (None, State::Running | State::Planning) => "running",
            (None, State::Waiting | State::Queued | State::Offered | State::Finished) => "waiting",
        };
        StatusMark { symbol: words::symbol(state, outcome), word: words::status_word(state, outcome), class }
    }

    /// Returns the mark of a branch. `None` means that nothing counts yet.
    pub(super) fn of_branch(branch: &BranchView) -> Option<StatusMark> {
        branch.outcome.map(|outcome| StatusMark::new(State::Finished, Some(outcome)))
    }

    pub(super) fn of(build: &BuildView) -> StatusMark {
        StatusMark::new(build.state, build.outcome)
    }
}

/// A `Piece` is a part of a text. A part between backticks is code.
pub(super) struct Piece {
    pub(super) is_code: bool,
    pub(super) text: String,
}

/// Splits a text of the master into pieces, as a page shows it on one line.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let text = tidy(text);
    if text.matches('`').count() % 2 == 1 {
        return vec![Piece { is_code: false, text }];
    }
    let pieces = text.split('`').enumerate().map(|(at, piece)| Piece { is_code: at % 2 == 1, text: piece.to_owned() });
    pieces.filter(|piece| !piece.text.is_empty()).collect()
}

/// A `When` is a moment: how long ago it was, and its exact time.
pub(super) struct When {
    pub(super) ago: String,
    pub(super) exact: String,
}

impl When {
    pub(super) fn new(time: Option<Time>) -> Option<When> {
        time.map(|time| When { ago: time.seen_from(now()), exact: timestamp(time) })
    }
}

/// A `BuildLine` is a build on one line.
pub(super) struct BuildLine {
    pub(super) number: u32,
    pub(super) href: String,
    pub(super) mark: StatusMark,
    pub(super) reference: String,
    pub(super) revision: String,
    /// The full id of the commit.
    pub(super) commit: String,
    pub(super) subject: String,
    pub(super) author: String,
    pub(super) cause: String,
    pub(super) created: Option<When>,
    pub(super) duration: String,
}

impl BuildLine {
    pub(super) fn new(build: &BuildView) -> BuildLine {
        BuildLine {
            number: build.number,
            href: build_href(build),
            mark: StatusMark::of(build),
            reference: tidy(build.short_ref()),
            revision: ShortCommit::of(&build.revision).to_string(),
            commit: tidy(&build.revision),
            subject: tidy(&build.subject),
            author: name_of(&build.author),
            cause: tidy(&build.cause),
            created: When::new(build.created),
            duration: duration(build.started.or(build.created), build.finished, build.is_finished()),
        }
    }
}

fn build_href(build: &BuildView) -> String {
    format!("/p/{}", build.selector())
}

/// Returns a duration like `3:05`. If the work still runs, it is the time until now.
fn duration(started: Option<Time>, finished: Option<Time>, is_finished: bool) -> String {
    words::duration(started, finished, is_finished, now())
}

/// Returns the name in `Ada <ada@example.org>`. The address is left out, so that nobody can collect addresses.
fn name_of(author: &str) -> String {
    let (name, address) = author.split_once('<').unwrap_or((author, ""));
    let name = if name.trim().is_empty() { address } else { name };
    tidy(name.split('@').next().unwrap_or_default().trim())
}

/// Makes a text that others wrote fit on one line.
pub(super) fn tidy(text: &str) -> String {
    shown::line(text).into_owned()
}

fn now() -> Time {
    Clock::system().now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_not_shown() {
        let authors = ["Ada Lovelace <ada@example.org>", "Ada", "<ada@example.org>", "ada@example.org"];
        assert_eq!(authors.map(name_of), ["Ada Lovelace", "Ada", "ada", "ada"]);
    }

    #[test]
    fn what_stands_between_backticks_is_code() {
        let shown = |text: &str| -> Vec<(bool, String)> {
            pieces(text).into_iter().map(|piece| (piece.is_code, piece.text)).collect()
        };
        let (text, code) = (|text: &str| (false, text.to_owned()), |text: &str| (true, text.to_owned()));
        assert_eq!(shown("step 1 `test`: exit code 1"), [text("step 1 "), code("test"), text(": exit code 1")]);
        assert_eq!(shown("`a` `b`"), [code("a"), text(" "), code("b")]);
        assert_eq!(shown("a lone ` stays"), [text("a lone ` stays")]);
        assert_eq!(shown(""), []);
    }

    #[test]
    fn names_of_others_stay_on_their_line() {
        assert_eq!(tidy("a\nb\u{202e}c\x1b[31m"), "a b⟨U+202E⟩c [31m");
    }
}
