//! The event of a change, with as much of the change as fits into the limits of an event.

use schema::limits::{EVENT_COMMITS, EVENT_PATHS, EVENT_TEXT};
use schema::values::{Change, Commit, Fact};

/// The event of a change, with the newest of its commits and the first of its paths.
pub(in crate::decide) fn change_submitted(change: &Change) -> Fact {
    let commits = change.commits.iter().take(EVENT_COMMITS.most).map(within_limits);
    let paths = change.paths.iter().take(EVENT_PATHS.most).map(|path| text(path));
    Fact::ChangeSubmitted {
        ref_name: change.ref_name.clone(),
        revision: change.revision.clone(),
        forced: change.forced,
        commits: commits.collect(),
        more_commits: change.commits.len() > EVENT_COMMITS.most,
        paths: paths.collect(),
        more_paths: change.paths.len() > EVENT_PATHS.most,
    }
}

fn within_limits(commit: &Commit) -> Commit {
    Commit {
        revision: text(&commit.revision),
        author: text(&commit.author),
        time: commit.time,
        subject: text(&commit.subject),
    }
}

fn text(text: &str) -> String {
    EVENT_TEXT.cut(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use schema::limits::event_bytes;
    use schema::values::{Event, Time};

    fn change(commits: usize, paths: usize, length: usize) -> Change {
        let commit = |index| Commit {
            revision: format!("{index:040}"),
            author: "ä".repeat(length),
            time: Time(index as u64),
            subject: "s".repeat(length),
        };
        Change {
            ref_name: "refs/heads/main".to_owned(),
            revision: format!("{:040}", 0),
            commits: (0..commits).map(commit).collect(),
            paths: (0..paths).map(|index| format!("{index}/{}", "p".repeat(length))).collect(),
            ..Change::default()
        }
    }

    proptest! {
        #[test]
        fn an_event_is_small_and_says_what_it_leaves_out(commits in 0_usize..110, paths in 0_usize..1_100, length in 0_usize..5_000) {
            let change = change(commits, paths, length);
            let fact = change_submitted(&change);
            let event = Event { sequence: 1, time: Time(1), origin: None, project: "p".repeat(100), build: 0, fact };
            prop_assert!(event_bytes(&event) < 100 << 10, "{} bytes", event_bytes(&event));
            let Fact::ChangeSubmitted { commits: told, more_commits, paths: named, more_paths, .. } = event.fact else { unreachable!() };
            prop_assert_eq!((told.len(), more_commits), (commits.min(20), commits > 20));
            prop_assert_eq!((named.len(), more_paths), (paths.min(100), paths > 100));
            for (told, known) in told.iter().zip(&change.commits) {
                prop_assert_eq!((&told.revision, told.time), (&known.revision, known.time));
                prop_assert!(told.author == known.author || told.author.ends_with("bytes in all]"), "{}", told.author);
            }
        }
    }
}
