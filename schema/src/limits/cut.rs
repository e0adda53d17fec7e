//! Cutting a text so that it says that it was cut.

use super::grouped;
use std::borrow::Cow;

/// How the mark begins and ends; between them stands how many bytes there were.
const BEGIN: &str = "… [cut: ";
const END: &str = " bytes in all]";
/// The longest mark: of a number of 20 digits, with its commas.
const MARK_MAX: usize = BEGIN.len() + 26 + END.len();

/// The text with at most `most` bytes. A longer one keeps its beginning, and ends with a mark that says how long it was. Where
/// not even the mark has room, there is no mark. One that was cut before says how long it was at first.
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
