//! Claims: a person says "I look after it" about a red lane. A claim ends when the lane is good again, at its date, when somebody releases
//! it, or when its ref or project is gone. The master tells each end as an event, so that no claim ends unseen.

use super::records::lane::{LaneResult, is_bad};
use super::records::{ClaimKey, ClaimRow, LaneClaim, Recorder, Rows};
use super::schedule::Schedule;
use schema::values::{Fact, Refusal, RefusalCode, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// The most claims of one project. Nobody looks after so many jobs, and each claim is in memory.
const CLAIMS_MAX: usize = 1_000;
/// The time after which a claim ends at the latest. After this long, a problem that is still red needs a new promise.
pub const CLAIM_LASTS: Duration = Duration::from_secs(90 * 24 * 3600);

/// The claims of all projects.
#[derive(Debug, Default)]
pub(in crate::decide) struct LaneClaims {
    rows: Rows<ClaimKey, ClaimRow>,
    timers: Schedule<ClaimKey>,
    /// The number of claims of each project that has some.
    counts: BTreeMap<String, usize>,
}

impl LaneClaims {
    pub(in crate::decide) fn load(rows: Vec<ClaimRow>) -> LaneClaims {
        let mut claims = LaneClaims::default();
        for row in rows {
            claims.timers.arm(row.key.clone(), row.claim.until);
            *claims.counts.entry(row.key.project.clone()).or_default() += 1;
            claims.rows.load(row.key.clone(), row);
        }
        claims
    }

    /// The claim of a lane. `None` means that nobody looks after it.
    pub(in crate::decide) fn get(&self, key: &ClaimKey) -> Option<&LaneClaim> {
        self.rows.get(key).map(|row| &row.claim)
    }

    /// The time at which the first claim ends.
    pub(in crate::decide) fn next_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Takes a claim, which replaces an earlier claim of the same lane. Returns what happened.
    pub(in crate::decide) fn put(&mut self, now: Time, row: ClaimRow, to: &mut impl Recorder) -> Result<Fact, Refusal> {
        let ClaimRow { key, claim } = &row;
        if claim.until <= now || claim.until > now.after(CLAIM_LASTS) {
            let text = "a claim must end in the future, and within 90 days";
            return Err(Refusal::new(RefusalCode::Invalid, text.to_owned()).help("claim it again when it ends"));
        }
        let is_new = self.get(key).is_none();
        let count = self.counts.get(&key.project).copied().unwrap_or(0);
        if is_new && count >= CLAIMS_MAX {
            let text = format!("{} has {CLAIMS_MAX} claims, and no more are allowed", key.project);
            return Err(Refusal::new(RefusalCode::Conflict, text).help("release some: `guild claim --release SEL`"));
        }
        if is_new {
            self.counts.insert(key.project.clone(), count + 1);
        }
        self.timers.arm(key.clone(), claim.until);
        let fact = Fact::Claimed {
            ref_name: key.ref_name.clone(),
            job: key.job.clone(),
            name: claim.name.clone(),
            until: claim.until.0,
            reason: claim.reason.clone(),
        };
        self.rows.put(to, key.clone(), row.clone());
        Ok(fact)
    }

    /// Ends a claim. `None` means that nobody looks after the lane.
    pub(in crate::decide) fn end(&mut self, key: &ClaimKey, reason: &str, to: &mut impl Recorder) -> Option<Fact> {
        let name = self.get(key)?.name.clone();
        self.timers.disarm(key);
        self.rows.forget(to, key.clone());
        if let Some(count) = self.counts.get_mut(&key.project) {
            *count -= 1;
        }
        self.counts.retain(|_, count| *count > 0);
        let (ref_name, job) = (key.ref_name.clone(), key.job.clone());
        Some(Fact::ClaimReleased { ref_name, job, name, reason: reason.to_owned() })
    }

    /// Ends the claims of the lanes that are gone. Returns their projects and what happened.
    pub(in crate::decide) fn end_gone(
        &mut self,
        is_gone: impl Fn(&ClaimKey) -> bool,
        reason: &str,
        to: &mut impl Recorder,
    ) -> Vec<(String, Fact)> {
        let gone: Vec<ClaimKey> = self.rows.values().map(|row| &row.key).filter(|key| is_gone(key)).cloned().collect();
        gone.into_iter().filter_map(|key| Some((key.project.clone(), self.end(&key, reason, to)?))).collect()
    }

    /// Ends the first claim whose time is over. Returns its project and what happened.
    pub(in crate::decide) fn tick(&mut self, now: Time, to: &mut impl Recorder) -> Option<(String, Fact)> {
        let key = self.timers.due(now)?;
        let fact = self.end(&key, "its time is over", to)?;
        Some((key.project, fact))
    }

    /// Takes a result of a lane. A good result ends the claim, unless it is older than a failure that is known.
    pub(in crate::decide) fn note_result(
        &mut self,
        key: &ClaimKey,
        result: &LaneResult,
        to: &mut impl Recorder,
    ) -> Option<Fact> {
        let red = (self.get(key)?.red, result.update);
        match (result.counts(), is_bad(result.outcome)) {
            (false, _) => None,
            (true, true) if red.1 > red.0 => {
                self.rows.edit(to, key, |row| row.claim.red = red.1);
                None
            }
            (true, true) => None,
            (true, false) if red.1 >= red.0 => self.end(key, &format!("build {} is good", result.build), to),
            (true, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::records::Record;
    use schema::values::Outcome;

    #[derive(Default)]
    struct Kept(Vec<Record>);

    impl Recorder for Kept {
        fn record(&mut self, record: Record) {
            self.0.push(record);
        }
    }

    fn key(job: &str) -> ClaimKey {
        ClaimKey { project: "p".to_owned(), ref_name: "refs/heads/main".to_owned(), job: job.to_owned() }
    }

    fn row(job: &str, until: u64) -> ClaimRow {
        let claim = LaneClaim { name: "ann".to_owned(), until: Time(until), red: 5, ..LaneClaim::default() };
        ClaimRow { key: key(job), claim }
    }

    fn result(update: u32, outcome: Outcome) -> LaneResult {
        LaneResult { update, build: update, outcome, finished: Time(0), revision: String::new() }
    }

    #[test]
    fn a_claim_ends_when_its_lane_is_good_again() {
        let (mut it, mut kept) = (LaneClaims::default(), Kept::default());
        it.put(Time(1), row("a", 100), &mut kept).unwrap();
        for (update, outcome, ends) in [
            (4, Outcome::Succeeded, false),
            (7, Outcome::Failed, false),
            (6, Outcome::Succeeded, false),
            (8, Outcome::Errored, false),
            (8, Outcome::Warned, true),
        ] {
            let fact = it.note_result(&key("a"), &result(update, outcome), &mut kept);
            assert_eq!(fact.is_some(), ends, "{update} {outcome:?}");
        }
        assert!(it.get(&key("a")).is_none() && it.counts.is_empty() && it.next_timeout().is_none());
        assert!(matches!(kept.0.last(), Some(Record::ClaimForgotten(_))));
    }

    #[test]
    fn a_claim_ends_at_its_date_and_is_the_same_after_a_restart() {
        let (mut it, mut kept) = (LaneClaims::default(), Kept::default());
        it.put(Time(1), row("a", 100), &mut kept).unwrap();
        it.put(Time(2), row("a", 200), &mut kept).unwrap();
        let rows = it.rows.values().cloned().collect();
        let mut it = LaneClaims::load(rows);
        assert_eq!(it.tick(Time(199), &mut kept), None);
        let (project, fact) = it.tick(Time(200), &mut kept).unwrap();
        assert!(project == "p" && matches!(&fact, Fact::ClaimReleased { name, .. } if name == "ann"), "{fact:?}");
        assert_eq!(it.tick(Time(900), &mut kept), None);
    }

    #[test]
    fn claims_are_bounded() {
        let (mut it, mut kept) = (LaneClaims::default(), Kept::default());
        let late = u64::try_from(CLAIM_LASTS.as_millis()).unwrap() + 2;
        for until in [1, late] {
            assert_eq!(it.put(Time(1), row("a", until), &mut kept).unwrap_err().code, RefusalCode::Invalid);
        }
        (0..CLAIMS_MAX).for_each(|number| drop(it.put(Time(1), row(&number.to_string(), 9), &mut kept).unwrap()));
        assert!(it.put(Time(1), row("one more", 9), &mut kept).is_err());
        it.put(Time(1), row("7", 10), &mut kept).expect("it replaces one");
        it.end(&key("7"), "released", &mut kept).unwrap();
        it.put(Time(1), row("one more", 9), &mut kept).expect("there is room again");
    }
}
