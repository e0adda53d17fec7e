//! Reads one line of a report in TAP.

/// One line of a report, by its kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Version,
    /// The plan, with the number of tests.
    Plan(u64),
    Point(Point<'a>),
    BailOut(&'a str),
    /// The beginning of a block of YAML about the test before it.
    Yaml,
    Comment(&'a str),
}

/// The line of one test.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Point<'a> {
    pub ok: bool,
    /// The description as its author wrote it, without the backslashes that escape characters. It is empty if the test has none.
    pub description: String,
    pub directive: Directive<'a>,
    pub duration_us: Option<u64>,
}

/// The directive after the description of a test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Directive<'a> {
    #[default]
    None,
    Skip(&'a str),
    Todo(&'a str),
}

/// Reads a line that has no indentation. `None` means that it is not a line of TAP.
pub(super) fn parse(text: &str) -> Option<Line<'_>> {
    if let Some(said) = text.strip_prefix('#') {
        return Some(Line::Comment(said.trim()));
    }
    if text == "---" {
        return Some(Line::Yaml);
    }
    if let Some(version) = text.strip_prefix("TAP version ") {
        return version.trim().parse::<u32>().is_ok().then_some(Line::Version);
    }
    if let Some(why) = text.strip_prefix("Bail out!") {
        return Some(Line::BailOut(why.trim()));
    }
    plan(text).or_else(|| point(text))
}

fn plan(text: &str) -> Option<Line<'_>> {
    let (first, rest) = text.split_once("..")?;
    let (last, comment) = rest.split_at(rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len()));
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let is_plan = comment.is_empty() || comment.trim_start().starts_with('#');
    is_plan.then(|| Line::Plan(last.saturating_add(1).saturating_sub(first)))
}

fn point(text: &str) -> Option<Line<'_>> {
    let (ok, rest) = match text.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix("ok")?),
    };
    if !rest.is_empty() && !rest.starts_with([' ', '#']) {
        return None;
    }
    let rest = rest.trim_start();
    let unnumbered = rest.trim_start_matches(|char: char| char.is_ascii_digit());
    // digits are the number of the test only if a blank or nothing follows them
    let rest = if unnumbered.is_empty() || unnumbered.starts_with(' ') { unnumbered.trim_start() } else { rest };
    let rest = rest.strip_prefix("- ").or(rest.strip_prefix('-').filter(|rest| rest.is_empty())).unwrap_or(rest);
    let (description, directive, duration_us) = directive(rest);
    Some(Line::Point(Point { ok, description: unescaped(description), directive, duration_us }))
}

/// Splits off the directive or the time after the `#` of a description. Any other `#` belongs to the description.
fn directive(text: &str) -> (&str, Directive<'_>, Option<u64>) {
    for (at, _) in text.match_indices('#') {
        let is_escaped = text[..at].ends_with('\\') && !text[..at].ends_with("\\\\");
        if is_escaped || !(at == 0 || text[..at].ends_with(char::is_whitespace)) {
            continue;
        }
        let (description, said) = (text[..at].trim(), text[at + 1..].trim());
        let word = said.get(..4).unwrap_or_default();
        let why = said.split_once(char::is_whitespace).map_or("", |(_, why)| why.trim());
        if word.eq_ignore_ascii_case("skip") {
            return (description, Directive::Skip(why), None);
        }
        if word.eq_ignore_ascii_case("todo") {
            return (description, Directive::Todo(why), None);
        }
        if let Some(time) = said.strip_prefix("time=").and_then(micros) {
            return (description, Directive::None, Some(time));
        }
    }
    (text.trim(), Directive::None, None)
}

/// Reads a time such as `12.5ms` or `3s`, and returns microseconds.
fn micros(time: &str) -> Option<u64> {
    let time = time.split_whitespace().next()?;
    let (number, unit) = match time.strip_suffix("ms") {
        Some(number) => (number, 1e3),
        None => (time.strip_suffix('s')?, 1e6),
    };
    let number = number.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)?;
    Some((number * unit).round() as u64)
}

fn unescaped(text: &str) -> String {
    text.replace("\\#", "#").replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let point = |ok, description: &str, directive, duration_us| {
            let description = description.to_owned();
            Some(Line::Point(Point { ok, description, directive, duration_us }))
        };
        for (text, wanted) in [
            ("TAP version 14", Some(Line::Version)),
            ("1..4", Some(Line::Plan(4))),
            ("1..0 # SKIP nothing", Some(Line::Plan(0))),
            ("1..18446744073709551615", Some(Line::Plan(u64::MAX - 1))),
            ("1..18446744073709551616", None),
            ("1..4 of them", None),
            ("ok", point(true, "", Directive::None, None)),
            ("ok 1 - works", point(true, "works", Directive::None, None)),
            ("not ok 2 breaks", point(false, "breaks", Directive::None, None)),
            ("ok 3 # SKIP no net", point(true, "", Directive::Skip("no net"), None)),
            ("not ok 4 - later # todo soon", point(false, "later", Directive::Todo("soon"), None)),
            ("ok 5 - has \\# and #7 # time=12.5ms", point(true, "has # and #7", Directive::None, Some(12_500))),
            ("ok 3rd party", point(true, "3rd party", Directive::None, None)),
            ("okay then", None),
            ("Bail out! no disk", Some(Line::BailOut("no disk"))),
            ("# said", Some(Line::Comment("said"))),
            ("something else", None),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
    }
}
