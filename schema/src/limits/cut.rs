//! Cuts a text, and marks that it was cut and how long it was.

use super::grouped;
use std::borrow::Cow;

/// The beginning of the mark of a cut text. The number of bytes before the cut follows, and then [`END`].
const BEGIN: &str = "… [cut: ";
const END: &str = " bytes in all]";
/// The bytes of the longest mark, which has a number of 20 digits and 6 commas.
const MARK_MAX: usize = BEGIN.len() + 26 + END.len();

/// Cuts a text to at most `most` bytes. A longer text keeps its beginning and gets a mark that says how long it was, if the mark has
/// room. If the text was cut before, the mark still says its first length.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let mark = earlier_mark(text).map_or_else(|| format!("{BEGIN}{}{END}", grouped(text.len())), str::to_owned);
    let mark = if mark.len() <= most { mark } else { String::new() };
    let kept = text.floor_char_boundary(most - mark.len());
    Cow::Owned(format!("{}{mark}", &text[..kept]))
}

fn earlier_mark(text: &str) -> Option<&str> {
    let mark = &text[text.rfind(BEGIN)?..];
    (mark.ends_with(END) && mark.len() <= MARK_MAX).then_some(mark)
}
