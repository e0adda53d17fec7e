//! Decides when people are reminded of a branch that is still red. It is pure, and the time is an argument.
//!
//! A reminder moves the time of the rows that say what was reported. So a restart neither repeats nor forgets one.

use super::episodes::{News, NewsLane, ObservedBranch, Said, Spot, still_red};
use super::notice;
use super::told::Branch;
use crate::decide::coordinator::lane::LaneResult;
use crate::decide::coordinator::record::Transition;
use schema::values::Time;
use std::collections::BTreeSet;
use std::time::Duration;

/// The time after which claims are looked at again if somebody looks after all red jobs. No event of a build says that a claim ended.
const CLAIMS_AGAIN: Duration = Duration::from_secs(3600);

/// The next thing to do about the reminders of a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reminder {
    Nothing,
    /// Nothing is due before this time.
    Wait(Time),
    /// People are reminded of these lanes by a notice with this id.
    Send(News, String),
}

/// Decides the next thing to do. People are reminded once in each time span `every`. A lane that somebody looks after is left out.
pub(super) fn next(
    branch: Branch<'_>,
    (view, told): (&ObservedBranch, &[Said]),
    every: Duration,
    is_claimed: impl Fn(&str) -> bool,
    now: Time,
) -> Reminder {
    let red = still_red(view, told);
    let (lanes, said): (Vec<NewsLane>, Vec<&Said>) =
        red.iter().filter(|(lane, _)| !is_claimed(&lane.job)).cloned().unzip();
    let claims_again = now.after(every.min(CLAIMS_AGAIN));
    // A lane whose claim has ended has the oldest row. It waits for no other lane.
    let Some(oldest) = said.iter().map(|said| said.row.time).min() else {
        return if red.is_empty() { Reminder::Nothing } else { Reminder::Wait(claims_again) };
    };
    let due = oldest.after(every);
    let (Some(first), Some(at)) = (said.first(), lanes.iter().map(|lane| lane.since.clone()).min()) else {
        return Reminder::Nothing;
    };
    if due > now {
        let has_claims = lanes.len() < red.len();
        return Reminder::Wait(if has_claims { due.min(claims_again) } else { due });
    }
    // Each reminder moves the newest time, so that each has an id of its own.
    let newest = told.iter().map(|said| said.row.time).max().unwrap_or(oldest);
    let failure = first.row.notice.clone();
    let which = format!("reminder {}", newest.0);
    let id = notice::id(branch.project, branch.ref_name, &which, Transition::NewlyFailing, &failure);
    let news = News { turn: Transition::NewlyFailing, at, lanes, last_bad: None, failure: Some(failure) };
    Reminder::Send(news, id)
}

/// Returns the news with the newest failure of each lane whose first bad build is `gone`. A notice shows a build that is kept.
pub(super) fn with_kept_builds(mut news: News, view: &ObservedBranch, gone: &BTreeSet<u32>) -> News {
    for lane in news.lanes.iter_mut().filter(|lane| gone.contains(&lane.since.build)) {
        let known = view.lanes.iter().find(|(job, _)| *job == lane.job);
        if let Some(LaneResult { update, build, revision, .. }) = known.and_then(|(_, known)| known.last()).cloned() {
            lane.since = Spot { update, build, revision };
        }
    }
    news.at = news.lanes.iter().map(|lane| lane.since.clone()).min().unwrap_or(news.at);
    news
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::coordinator::lane::Lane;
    use crate::decide::coordinator::record::ToldRow;
    use schema::values::Outcome;

    const DAY: Duration = Duration::from_secs(86_400);
    const BRANCH: Branch<'static> = Branch { project: "p", ref_name: "refs/heads/main" };

    fn lane(ends: &[Outcome]) -> Lane {
        let mut lane = Lane::default();
        for (build, outcome) in (1..).zip(ends) {
            let revision = format!("r{build}");
            lane.add(LaneResult { update: build, build, outcome: *outcome, finished: Time(0), revision });
        }
        lane
    }

    fn said(job: &str, time: Time) -> Said {
        let row = ToldRow {
            reporter: "r".to_owned(),
            project: "p".to_owned(),
            ref_name: "refs/heads/main".to_owned(),
            job: job.to_owned(),
            turn: Transition::NewlyFailing,
            revision: "r2".to_owned(),
            build: 2,
            notice: "first".to_owned(),
            time,
        };
        Said { row, update: 2 }
    }

    fn view(second: Outcome) -> ObservedBranch {
        use Outcome::{Failed, Succeeded};
        let lanes = [("a", lane(&[Succeeded, Failed, Failed])), ("b", lane(&[Succeeded, Failed, second]))];
        let lanes = lanes.into_iter().map(|(name, lane)| (name.to_owned(), lane)).collect();
        ObservedBranch { lanes, ..ObservedBranch::default() }
    }

    fn asked(view: &ObservedBranch, told: &[Said], claimed: &[&str], now: Time) -> Reminder {
        next(BRANCH, (view, told), DAY, |job| claimed.contains(&job), now)
    }

    #[test]
    fn people_are_reminded_once_in_each_span() {
        let (start, view) = (Time(1_000), view(Outcome::Failed));
        let mut told = vec![said("a", start), said("b", start)];
        let mut now = start;
        let mut ids = Vec::new();
        for _ in 0..3 {
            let Reminder::Wait(due) = asked(&view, &told, &[], now) else { panic!("it is early") };
            assert_eq!(due, now.after(DAY));
            let Reminder::Send(news, id) = asked(&view, &told, &[], due) else { panic!("it is due") };
            let again = asked(&view, &told, &[], due.after(DAY));
            assert!(matches!(again, Reminder::Send(_, other) if other == id), "it was not recorded, so it is the same");
            assert_eq!(news.lanes.iter().map(|lane| lane.job.as_str()).collect::<Vec<_>>(), ["a", "b"]);
            assert_eq!(
                (news.failure.as_deref(), news.lanes[0].last_good.as_ref().map(|it| it.build)),
                (Some("first"), Some(1))
            );
            ids.push(id);
            now = due;
            told.iter_mut().for_each(|said| said.row.time = now);
        }
        ids.dedup();
        assert_eq!(ids.len(), 3);
    }

    #[test]
    fn nobody_is_reminded_of_what_is_good_or_claimed() {
        let (start, late) = (Time(1_000), Time(1_000).after(3 * DAY));
        let told = [said("a", start), said("b", start)];
        let Reminder::Send(news, _) = asked(&view(Outcome::Succeeded), &told, &[], late) else { panic!("a is red") };
        assert_eq!(news.lanes.len(), 1, "b is good again");
        let Reminder::Send(news, _) = asked(&view(Outcome::Failed), &told, &["a"], late) else { panic!("b is red") };
        assert_eq!(news.lanes[0].job, "b");
        assert_eq!(asked(&view(Outcome::Failed), &told, &["a", "b"], late), Reminder::Wait(late.after(CLAIMS_AGAIN)));
        assert_eq!(asked(&view(Outcome::Failed), &[], &[], late), Reminder::Nothing, "nothing was reported");
    }

    /// Retention removes builds while a branch is red.
    #[test]
    fn a_reminder_shows_a_build_that_is_kept() {
        let (start, view) = (Time(1_000), view(Outcome::Failed));
        let told = [said("a", start), said("b", start)];
        let Reminder::Send(news, _) = asked(&view, &told, &[], start.after(DAY)) else { panic!("it is due") };
        assert_eq!(with_kept_builds(news.clone(), &view, &[1].into()), news);
        let shown = with_kept_builds(news, &view, &[2].into());
        assert_eq!((shown.at.build, shown.at.revision.as_str()), (3, "r3"));
        assert!(shown.lanes.iter().all(|lane| lane.since == shown.at), "{shown:?}");
    }

    /// A claim of one of two red jobs ends. Its job is told of within an hour, whenever people were reminded of the other one.
    #[test]
    fn a_job_whose_claim_has_ended_does_not_wait_for_the_others() {
        let (start, view) = (Time(1_000), view(Outcome::Failed));
        let told = [said("a", start), said("b", start)];
        let Reminder::Send(_, first) = asked(&view, &told, &["b"], start.after(DAY)) else { panic!("a is due") };
        let (told, later) = ([said("b", start), said("a", start.after(DAY))], start.after(DAY + CLAIMS_AGAIN));
        assert_eq!(asked(&view, &told, &["b"], later), Reminder::Wait(later.after(CLAIMS_AGAIN)));
        let Reminder::Send(news, both) = asked(&view, &told, &[], later) else { panic!("b is due") };
        assert_eq!(news.lanes.len(), 2, "one notice for both, so that they come together from now on");
        let Reminder::Send(news, only) = asked(&view, &told, &["a"], later) else { panic!("b is due") };
        assert_eq!(news.lanes[0].job, "b");
        assert!(first != both && first != only, "no id comes twice");
    }
}
