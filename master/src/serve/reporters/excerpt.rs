//! Makes the end of a log safe to show, so that a step's output cannot steer a terminal or a mail reader. Pure.

use schema::shown::{self, Face};

/// The bytes at the end of a log from which the lines are taken.
pub(super) const BYTES: u32 = 8 << 10;
const LINES: usize = 40;

/// Returns the last 40 lines. `is_cut` says that the bytes begin in the middle of a line.
pub(super) fn excerpt(bytes: &[u8], is_cut: bool) -> String {
    let text = plain(&String::from_utf8_lossy(bytes));
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    if is_cut && lines.len() > 1 {
        lines.remove(0);
    }
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Returns the text without escape sequences and control characters, except for line ends and tabs. If a line was overwritten, it returns
/// the last text.
pub(super) fn plain(text: &str) -> String {
    let mut rest = text.chars().peekable();
    let (mut plain, mut line) = (String::new(), 0);
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_sequence(&mut rest),
            // this one character is the same as ESC [
            '\u{9b}' => skip_parameters(&mut rest),
            '\n' => {
                plain.push('\n');
                line = plain.len();
            }
            '\r' if rest.peek().is_some_and(|next| !matches!(next, '\n' | '\r')) => plain.truncate(line),
            '\t' => plain.push('\t'),
            c => match shown::face(c) {
                Face::Itself => plain.push(c),
                Face::Space => {}
                Face::Name => plain.push_str(&shown::name(c)),
            },
        }
    }
    plain
}

/// Skips the sequence after an ESC (ECMA-48, 5.3 to 5.6).
fn skip_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_parameters(rest);
        }
        // a string for the terminal, which ends with BEL, or with ESC \
        Some(']' | 'P' | 'X' | '^' | '_') => skip_string(rest),
        Some(' '..='/') => {
            while rest.next_if(|c| matches!(c, ' '..='/')).is_some() {}
            rest.next_if(|c| matches!(c, '0'..='~'));
        }
        Some('0'..='~') => drop(rest.next()),
        Some(_) | None => {}
    }
}

fn skip_parameters(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while rest.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    rest.next_if(|c| matches!(c, '@'..='~'));
}

/// Skips a string for the terminal. A string that never ends swallows no more than its line.
fn skip_string(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(c) = rest.next_if(|c| *c != '\n') {
        if c == '\u{7}' || (c == '\u{1b}' && rest.next_if_eq(&'\\').is_some()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_whoever_reads() {
        for (raw, shown) in [
            ("\u{1b}[1;31merror\u{1b}[0m: no\tway", "error: no\tway"),
            ("\u{1b}]0;title\u{7}a\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "alink"),
            ("\u{1b}]never ends\nnext", "\nnext"),
            ("10%\r50%\r100%\r\ndone\r\n", "100%\ndone\n"),
            ("a\u{8}\u{0}\u{7f}\u{85}b\u{1b}(Bc\u{1b}cd\u{9b}2Je\u{1b}", "abcde"),
            ("\u{1b}[", ""),
            ("a\r", "a"),
            ("a\u{202e}b\u{200b}", "a⟨U+202E⟩b⟨U+200B⟩"),
        ] {
            assert_eq!(plain(raw), shown, "{raw:?}");
        }
    }

    #[test]
    fn the_end_in_whole_lines() {
        let log: String = (1..=100).map(|number| format!("line {number}\n")).collect();
        let end = excerpt(log.as_bytes(), false);
        assert_eq!(
            (end.lines().count(), end.lines().next(), end.lines().last()),
            (40, Some("line 61"), Some("line 100"))
        );
        assert_eq!(excerpt(b"f a line\nsecond\n\n\n", true), "second");
        assert_eq!(excerpt(b"one long line", true), "one long line");
        assert_eq!(excerpt(b"\xff\xfe bad", false), "\u{fffd}\u{fffd} bad");
        assert_eq!(excerpt(b"", true), "");
    }
}
