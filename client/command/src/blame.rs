//! Says who may have broken a build, a branch or a test.

use crate::connected::Connected;
use crate::printer::Printer;
use client::views::{BuildView, RedRange};
use client::{Error, SuspectQuery};
use schema::values::Outcome;
use serde_json::Value;

/// The most suspects of a range that are shown. A person can ask this many people.
const SHOWN: usize = 10;

/// Returns where the failed jobs of a build broke. Asks nothing if no job failed.
pub(crate) async fn of_build(connected: &Connected, build: &BuildView) -> Result<Vec<RedRange>, Error> {
    let has_failed =
        build.outcome == Some(Outcome::Failed) || build.jobs.iter().any(|job| job.outcome == Some(Outcome::Failed));
    if !has_failed {
        return Ok(Vec::new());
    }
    let query = SuspectQuery { project: build.project.clone(), build: build.number, ..SuspectQuery::default() };
    Ok(connected.guild().await?.suspects(&query).await?.0)
}

/// Returns the range of a job as JSON. It is null if no range is known.
pub(crate) fn of_job(ranges: &[RedRange], job: &str) -> Value {
    let found = ranges.iter().find(|range| range.jobs.iter().any(|name| name == job));
    serde_json::to_value(found).unwrap_or_default()
}

/// Prints each range, with the commits that are in effect.
pub(crate) fn say<'a>(printer: &Printer, ranges: impl IntoIterator<Item = &'a RedRange>) -> Result<(), Error> {
    for (name, text) in ranges.into_iter().flat_map(lines) {
        printer.say_field(name, &text)?;
    }
    Ok(())
}

/// Returns the lines about a range, each with its label.
pub(crate) fn lines(range: &RedRange) -> Vec<(&'static str, String)> {
    let mut lines = vec![("broke", format!("{}: {}", range.jobs.join(", "), range.text))];
    let in_effect: Vec<_> = range.in_effect().collect();
    lines.extend(in_effect.iter().take(SHOWN).map(|suspect| match suspect.kind.as_str() {
        "partial" => ("suspect", format!("{}: {}", suspect.line(), suspect.text)),
        _ => ("suspect", suspect.line()),
    }));
    let more = in_effect.len().saturating_sub(SHOWN) + range.left_out as usize;
    if more > 0 {
        lines.push(("suspect", format!("and {more} more, of which --json lists the newest 100")));
    }
    let undone = range.suspects.len() - in_effect.len();
    if undone > 0 {
        lines.push(("undone", format!("{undone} of the commits undo each other, which --json lists")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::views::SuspectView;

    fn suspect(subject: &str, undone_with: &str) -> SuspectView {
        SuspectView {
            revision: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            author: "Ann <ann@example.org>".to_owned(),
            subject: subject.to_owned(),
            undone_with: undone_with.to_owned(),
            ..SuspectView::default()
        }
    }

    #[test]
    fn only_commits_in_effect_are_named() {
        let suspects = vec![suspect("third", ""), suspect("revert first", "1"), suspect("first", "2")];
        let range = RedRange {
            jobs: vec!["a".to_owned(), "b".to_owned()],
            text: "why".to_owned(),
            suspects,
            ..RedRange::default()
        };
        let told = lines(&range);
        assert_eq!(told[0], ("broke", "a, b: why".to_owned()));
        assert!(told[1].1.ends_with("third (Ann)"), "{told:?}");
        assert_eq!(told[2].1, "2 of the commits undo each other, which --json lists");
        assert_eq!(of_job(std::slice::from_ref(&range), "b")["text"], "why");
        assert!(of_job(&[range], "c").is_null());
    }

    #[test]
    fn a_long_list_says_how_many_more_there_are() {
        let range = RedRange { suspects: vec![suspect("x", ""); SHOWN + 2], left_out: 3, ..RedRange::default() };
        assert_eq!(lines(&range).last().unwrap().1, "and 5 more, of which --json lists the newest 100");
    }
}
