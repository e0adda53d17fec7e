//! Cuts texts to their bounds, between two characters and with a mark.

/// The mark at the end of a text that was cut.
const MARK: &str = " […]";

/// Shortens a text to at most `most` bytes.
pub(crate) fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most.saturating_sub(MARK.len())));
        text.push_str(MARK);
    }
}

/// Shortens a name to at most `most` bytes. A hash of the whole name replaces its end, so that two different long names stay different.
pub(crate) fn cut_name(name: &mut String, most: usize) {
    if name.len() > most {
        let number = number_of(name);
        name.truncate(name.floor_char_boundary(most - 20));
        name.push_str(&format!("…{number:016x}"));
    }
}

/// Hashes a name by FNV-1a, which gives the same number in each version and on each platform.
fn number_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A text that keeps appended text up to a bound and drops the rest.
#[derive(Debug, Default)]
pub(crate) struct Capped {
    text: String,
    is_cut: bool,
}

impl Capped {
    /// Appends as much of `more` as fits into `most` bytes in all.
    pub(crate) fn push(&mut self, more: &str, most: usize) {
        let room = most.saturating_sub(self.text.len());
        let end = more.floor_char_boundary(room.min(more.len()));
        self.text.push_str(&more[..end]);
        self.is_cut |= end < more.len();
    }

    /// Appends a line. If the text is not empty, a line end comes before it.
    pub(crate) fn push_line(&mut self, line: &str, most: usize) {
        if !self.text.is_empty() {
            self.push("\n", most);
        }
        self.push(line, most);
    }

    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Takes the text without the blank lines around it. If text was dropped, it ends with a mark.
    pub(crate) fn take(&mut self) -> String {
        let mut text = self.text.trim_matches(['\n', '\r']).trim_end().to_owned();
        if self.is_cut {
            text.push_str(MARK);
        }
        *self = Capped::default();
        text
    }
}

/// Returns the first line of a text that is not blank.
pub(crate) fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

/// Returns the last line of a text that is not blank.
pub(crate) fn last_line(text: &str) -> &str {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_two_characters() {
        let mut text = "é".repeat(10);
        cut(&mut text, 13);
        assert_eq!(text, "ééé […]");
        let mut short = "short".to_owned();
        cut(&mut short, 5);
        assert_eq!(short, "short");
    }

    #[test]
    fn long_names_that_differ_at_their_end_stay_two() {
        let (mut one, mut other) = ("x".repeat(100) + "1", "x".repeat(100) + "2");
        cut_name(&mut one, 50);
        cut_name(&mut other, 50);
        assert!(one.len() <= 50 && one != other, "{one} {other}");
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_marked() {
        let mut text = Capped::default();
        text.push("ab", 3);
        text.push("cé", 4);
        text.push("f", 4);
        assert_eq!((text.take().as_str(), text.len()), ("abcf […]", 0));
    }
}
