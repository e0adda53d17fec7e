//! Says who may have broken a build, a branch or a test.

use crate::connected::Connected;
use crate::printer::Printer;
use client::views::{BuildView, RedRange};
use client::{Error, SuspectQuery};
use schema::values::Outcome;
use serde_json::Value;

/// The most suspects of a range that are shown. A person can ask this many people.
const SHOWN: usize = 10;

/// Returns where the failed jobs of a build broke, or one job of it; "" means all. Asks nothing if no job failed.
pub(crate) async fn of_build(connected: &Connected, build: &BuildView, job: &str) -> Vec<RedRange> {
    let mut jobs = build.jobs.iter().filter(|it| job.is_empty() || it.name == job);
    let is_whole_red = job.is_empty() && build.outcome == Some(Outcome::Failed);
    if !is_whole_red && !jobs.any(|job| job.outcome == Some(Outcome::Failed)) {
        return Vec::new();
    }
    let (project, job) = (build.project.clone(), job.to_owned());
    asked(connected, &SuspectQuery { project, build: build.number, job, ..SuspectQuery::default() }).await
}

/// Asks for the ranges. The rest of an answer is worth more than them, so an error is only a note, and there are no ranges.
pub(crate) async fn asked(connected: &Connected, query: &SuspectQuery) -> Vec<RedRange> {
    let answer = match connected.guild().await {
        Ok(guild) => guild.suspects(query).await,
        Err(error) => Err(error),
    };
    let (ranges, note) = ranges_and_note(answer);
    note.into_iter().for_each(|note| connected.printer.note(note));
    ranges
}

fn ranges_and_note(answer: Result<(Vec<RedRange>, bool), Error>) -> (Vec<RedRange>, Option<String>) {
    match answer {
        Ok((ranges, false)) => (ranges, None),
        Ok((ranges, true)) => {
            let note =
                format!("more jobs broke in other places than these {}: `guild show JOB` shows one", ranges.len());
            (ranges, Some(note))
        }
        Err(error) => (Vec::new(), Some(format!("who broke it is not known: {error}"))),
    }
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
    fn an_answer_that_failed_or_is_not_whole_is_a_note() {
        let ranges = vec![RedRange::default()];
        assert_eq!(ranges_and_note(Ok((ranges.clone(), false))), (ranges.clone(), None));
        let (shown, note) = ranges_and_note(Ok((ranges.clone(), true)));
        assert_eq!(shown, ranges);
        assert!(note.unwrap().contains("than these 1"));
        let (shown, note) = ranges_and_note(Err(Error::not_found("the commit is gone")));
        assert_eq!((shown.len(), note.as_deref()), (0, Some("who broke it is not known: the commit is gone")));
    }

    #[test]
    fn a_long_list_says_how_many_more_there_are() {
        let range = RedRange { suspects: vec![suspect("x", ""); SHOWN + 2], left_out: 3, ..RedRange::default() };
        assert_eq!(lines(&range).last().unwrap().1, "and 5 more, of which --json lists the newest 100");
    }
}
