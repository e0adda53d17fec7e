//! Small scripts of branches: the result of each lane for each update, and the notices that follow from them.

use super::*;
use crate::decide::coordinator::lane::RESULTS_KEPT;
use crate::serve::reporters::told::{Branch, id_of, rows, time_of};
use schema::values::Outcome;

const BORN: Time = Time(1_000);
const NOW: Time = Time(100_000);
const BRANCH: Branch<'_> = Branch { project: "p", ref_name: "refs/heads/main" };

struct World {
    view: ObservedBranch,
    told: Vec<Said>,
    now: Time,
}

/// Reads a script. In `test 1+ 2- 2@5+` the lane `test` is good in update 1, bad in 2, and good in build 5, a retry of 2. `~` is
/// an error. A build ends at 10,000 plus its number, or at the time after a `:`. `open 3 4=lint` means that a build of update 3 is
/// unfinished, and a build of 4, which still has to run `lint`.
fn world(text: &str) -> World {
    let mut world = World { view: ObservedBranch::default(), told: Vec::new(), now: NOW };
    world.view.planned = Some(NewestPlan { spot: spot(9, 9), created: Time(9) });
    world.with(text)
}

fn spot(update: u32, build: u32) -> Spot {
    Spot { update, build, revision: format!("r{update}") }
}

fn open(word: &str) -> (u32, Option<BTreeSet<String>>) {
    let (update, job) = word.split_once('=').map_or((word, None), |(update, job)| (update, Some(job.to_owned())));
    (update.parse().unwrap(), job.map(|job| BTreeSet::from([job])))
}

fn result(word: &str) -> LaneResult {
    let (word, ended) = word.split_once(':').map_or((word, None), |(word, ended)| (word, Some(ended)));
    let (place, sign) = word.split_at(word.len() - 1);
    let (update, build) = place.split_once('@').unwrap_or((place, place));
    let (update, build): (u32, u32) = (update.parse().unwrap(), build.parse().unwrap());
    let outcome = match sign {
        "+" => Outcome::Succeeded,
        "-" => Outcome::Failed,
        "~" => Outcome::Errored,
        _ => panic!("{word}"),
    };
    let finished = Time(ended.map_or(10_000 + u64::from(build), |ended| ended.parse().unwrap()));
    LaneResult { update, build, outcome, finished, revision: format!("r{update}") }
}

impl World {
    fn with(mut self, text: &str) -> World {
        self.add(text);
        self
    }

    /// Adds further results, or replaces the unfinished builds.
    fn add(&mut self, text: &str) {
        for line in text.split('|') {
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            if name == "open" {
                self.view.open = words.map(open).collect();
                continue;
            }
            let at = self.view.lanes.iter().position(|(job, _)| job == name).unwrap_or_else(|| {
                self.view.lanes.push((name.to_owned(), Lane::default()));
                self.view.lanes.len() - 1
            });
            words.for_each(|word| self.view.lanes[at].1.add(result(word)));
        }
    }

    /// Removes a lane, because no plan has it any more.
    fn without(&mut self, name: &str) {
        self.view.lanes.retain(|(job, _)| job != name);
    }

    fn next(&self) -> Next {
        next(&self.view, &self.told, BORN, self.now)
    }

    /// Sends and remembers all notices that are due. Returns them as text: `test,lint-2` fail since update 2, `+3` is good again, and
    /// `(doc-3)` is added to a range without a notice.
    fn tell(&mut self) -> String {
        let mut words = Vec::new();
        loop {
            let (news, is_told) = match self.next() {
                Next::Nothing | Next::Wait(_) => return words.join(" "),
                Next::Add(news) => (news, false),
                Next::Tell(news) => (news, true),
            };
            words.push(shown(&news, is_told));
            let id = id_of(BRANCH, &news, &self.told);
            let is_known = self.told.iter().any(|said| said.row.notice == id);
            assert!(!is_told || !is_known, "told twice: {news:?}");
            self.remember(rows("r", BRANCH, &news, &id, time_of(&self.told, self.now)));
            assert!(words.len() < 20, "{words:?}");
        }
    }

    fn remember(&mut self, rows: Vec<ToldRow>) {
        for row in rows {
            let key = |row: &ToldRow| (row.job.clone(), row.turn, row.revision.clone());
            self.told.retain(|said| key(&said.row) != key(&row));
            let update = row.revision[1..].parse().unwrap();
            self.told.push(Said { row, update });
        }
        self.told.sort_by_key(|said| said.row.time);
    }

    /// Adds a notice as version 0.1 sent it: about one lane, and with an id of its own.
    fn said_before(mut self, job: &str, turn: Transition, update: u32) -> World {
        let revision = format!("r{update}");
        let notice = notice::id(BRANCH.project, BRANCH.ref_name, job, turn, &revision);
        let (reporter, project, ref_name) = ("r".to_owned(), "p".to_owned(), BRANCH.ref_name.to_owned());
        let time = Time(20_000 + self.told.len() as u64);
        let job = job.to_owned();
        self.remember(vec![ToldRow { reporter, project, ref_name, job, turn, revision, build: update, notice, time }]);
        self
    }
}

fn shown(news: &News, is_told: bool) -> String {
    let jobs: Vec<&str> = news.lanes.iter().map(|lane| lane.job.as_str()).collect();
    match (news.turn, is_told) {
        (Transition::Fixed, _) => format!("+{}({})", news.at.update, jobs.join(",")),
        (Transition::NewlyFailing, true) => format!("{}-{}", jobs.join(","), news.at.update),
        (Transition::NewlyFailing, false) => format!("({}-{})", jobs.join(","), news.at.update),
    }
}

#[test]
fn what_is_told() {
    for (text, told) in [
        ("test 1+ 2+", ""),
        ("test 1+ 2- 3-", "test-2"),
        ("test 1+ 2- 3- 4+ 5+", "test-2 +4(test)"),
        ("test 1-", "test-1"),
        // a result that is neither good nor bad is passed over
        ("test 1+ 2~ 3- 4~ 5+", "test-3 +5(test)"),
        // all lanes of a build share one notice, and a lane that fails later in the same range gets none
        ("test 1+ 2- | lint 1+ 2- | doc 1+ 2+", "test,lint-2"),
        ("test 1+ 2- | lint 1+ 2+ 3-", "test-2 (lint-3)"),
        ("test 1+ 2- 3+ | lint 1+ 2+ 3-", "test-2 (lint-3)"),
        ("test 1+ 2- 3+ 4+ | lint 1+ 2+ 3- 4+", "test-2 (lint-3) +4(test,lint)"),
        ("test 1+ 2- 3+ 4+ | lint 1+ 2+ 3+ 4-", "test-2 +3(test) lint-4"),
        // a retry belongs to the update that it repeats
        ("test 1- 2+ 1@3-", "test-1 +2(test)"),
        ("test 1+ 2- 2@3+", ""),
        ("test 1+ 2- 3- 2@4+", "test-3"),
        // the order in which builds end does not matter
        ("test 1+ 2+:90 3-:80", "test-3"),
        ("test 1+ 2-:13000 3+:12000 4-:11000", "test-2 +3(test) test-4"),
        // an unfinished build could still change the result
        ("test 1+ 3- | open 2", ""),
        ("test 1+ 2- | open 2", ""),
        ("test 1+ 2- | open 3", "test-2"),
        ("test 2+ 3- | open 1", "test-3"),
        ("test 1+ 2- 4+ | open 3", "test-2"),
        ("test 1+ 2- 3+ | open 3", "test-2"),
        ("test 1+ 3- 4+ | open 2", ""),
        ("test 1+ 3- | lint 1+ 3+ | open 2=lint", ""),
        ("test 1+ 3- 4- | lint 1+ 2+ 4- | open 3=lint", ""),
        ("test 1+ 4- | lint 1+ 3+ 4+ | open 2=lint", "test-4"),
        ("test 1+ 4- | lint 1+ 3+ 4+ | open 2", ""),
        // results from before the reporter began get no notice
        ("test 1+ 2-:900 3-", ""),
        ("test 1+ 2-:900 3+", ""),
        ("test 1+ 2-:900 3+ 4-", "test-4"),
        ("test 1+ 2-:900 | lint 2+ 3-", ""),
    ] {
        let text = text.replace(":90 ", ":10090 ").replace(":80", ":10080");
        assert_eq!(world(&text).tell(), told, "{text}");
    }
}

#[test]
fn nothing_is_told_twice_whatever_comes_later() {
    for (text, told, later, then) in [
        // the beginning of the range moves to an earlier update, or to a later one that was already red
        ("test 1+ 3- 4-", "test-3", "test 2-", ""),
        ("test 1+ 3- 4-", "test-3", "test 3@9+:99000", ""),
        ("test 1+ 3- 4-", "test-3", "test 3@9+:99000 5+", "+5(test)"),
        // the range has ended, because the retry was good before anything else failed
        ("test 1+ 3-", "test-3", "test 3@9+:50000", "+3(test)"),
        ("test 1+ 3-", "test-3", "test 3@9+:50000 5-:60000", "+3(test) test-5"),
        // a retry of an update in a range that has ended changes nothing
        ("test 1+ 2- 3+", "test-2 +3(test)", "test 2@9-:99000", ""),
        ("test 1+ 2- 3+", "test-2 +3(test)", "test 2@9+:99000", ""),
        ("test 1+ 2+ 3+", "", "test 2@9-:99000", "test-2 +3(test)"),
        // the branch is good again by a retry of the commit that made it red
        ("test 1+ 2- | lint 1+", "test-2", "test 2@8+ | lint 2+", "+2(test)"),
        // a late result counts if the lane has no newer one
        ("test 1+ 2- 3+", "test-2 +3(test)", "lint 2-:200000", "lint-2"),
        ("test 1+ 2- 3+ 4-", "test-2 +3(test) test-4", "lint 2-:200000", "(lint-2)"),
    ] {
        let mut it = world(text);
        assert_eq!(it.tell(), told, "{text}");
        assert_eq!(it.tell(), "", "{text}: again");
        it.now = Time(300_000);
        it.add(later);
        assert_eq!(it.tell(), then, "{text}, then {later}");
        assert_eq!(it.tell(), "", "{text}, then {later}: again");
    }
}

#[test]
fn a_branch_that_turns_red_again_by_the_same_commit_has_news_again() {
    let mut it = world("test 1+ 2-");
    let mut told = vec![it.tell()];
    for (build, sign) in [(5, '+'), (6, '-'), (7, '+'), (8, '-')] {
        it.now = it.now.after(Duration::from_secs(1));
        it.add(&format!("test 2@{build}{sign}:{}", it.now.0));
        it.now = it.now.after(Duration::from_secs(1));
        told.push(it.tell());
    }
    assert_eq!(told, ["test-2", "+2(test)", "test-2", "+2(test)", "test-2"]);
}

#[test]
fn a_lane_that_the_plan_no_longer_has_does_not_count() {
    let mut it = world("test 1+ 2- | lint 1+ 2+ 3+");
    assert_eq!(it.tell(), "test-2");
    it.without("test");
    it.view.open.insert(9, None);
    it.view.planned = Some(NewestPlan { spot: spot(9, 9), created: NOW });
    assert_eq!(it.tell(), "", "the build without it is not finished");
    it.view.open.clear();
    assert_eq!(it.tell(), "+9(test)");
    // the lane is in the plan again, and its old results get no notice
    it.now = Time(200_000);
    it.add("test 1+ 2-");
    assert_eq!(it.tell(), "");
    it.add("test 10-:150000");
    assert_eq!(it.tell(), "test-10");
    // another lane fails when this one leaves the plan, so the branch was never good
    let mut it = world("test 1+ 2- | lint 1+ 2+");
    assert_eq!(it.tell(), "test-2");
    it.without("test");
    it.add("lint 3-");
    assert_eq!(it.tell(), "(lint-3)");
}

#[test]
fn a_pipeline_that_cannot_be_read_is_a_lane() {
    let mut it = world("test 1+ 3+ | guild.toml 1+ 2- 3+");
    assert_eq!(it.tell(), "guild.toml-2 +3(guild.toml)");
}

#[test]
fn a_lane_that_was_red_before_the_branch_began_does_not_count() {
    let mut it = world("test 1- 2- | lint 1+ 2+");
    let Next::Tell(news) = it.next() else { panic!() };
    let rows = crate::serve::reporters::told::inherited("r", BRANCH, &news.lanes, NOW);
    it.remember(rows);
    assert_eq!(it.tell(), "");
    it.add("lint 3-");
    assert_eq!(it.tell(), "lint-3");
    it.add("lint 4+ | test 4+ 5-");
    assert_eq!(it.tell(), "+4(lint) test-5", "from its first good result on it counts");
}

#[test]
fn what_an_older_version_told_belongs_to_the_range_that_holds_it() {
    use Transition::{Fixed, NewlyFailing};
    let mut it = world("test 1+ 2- 3- | lint 1+ 2+ 3-").said_before("test", NewlyFailing, 2).said_before(
        "lint",
        NewlyFailing,
        3,
    );
    assert_eq!(it.tell(), "");
    let failure = it.told[0].row.notice.clone();
    it.add("test 4+ | lint 4+");
    let Next::Tell(news) = it.next() else { panic!() };
    assert_eq!(news.failure, Some(failure));
    assert_eq!(it.tell(), "+4(test,lint)");
    // version 0.1 also sent a notice that `test` is fixed
    let mut it = world("test 1+ 2- 3+ | lint 1+ 2- 3-")
        .said_before("test", NewlyFailing, 2)
        .said_before("lint", NewlyFailing, 2)
        .said_before("test", Fixed, 3);
    assert_eq!(it.tell(), "");
    it.add("lint 4+");
    assert_eq!(it.tell(), "+4(lint)");
    // `test` failed and left the plan, so version 0.1 never sent a notice of its end; the failure of `lint` is new
    let mut it = world("lint 1+ 2+").said_before("test", NewlyFailing, 2);
    assert_eq!(it.tell(), "");
    it.add("lint 3-:50000");
    assert_eq!(it.tell(), "lint-3");
}

#[test]
fn patience_ends() {
    let mut it = world("test 1+ 3- 5+ | open 2 4");
    let ready = Time(10_003).after(PATIENCE);
    assert_eq!(it.next(), Next::Wait(ready));
    it.now = ready;
    assert_eq!(it.tell(), "test-3");
    assert_eq!(it.next(), Next::Wait(Time(10_005).after(PATIENCE)));
    it.now = Time(10_005).after(PATIENCE);
    assert_eq!(it.tell(), "+5(test)");
}

#[test]
fn what_a_failure_names() {
    let it = world("test 1+ 2+ 3- | lint 1+ 3- | doc 3- | fmt 1-:900 2+ 3+");
    let Next::Tell(news) = it.next() else { panic!() };
    let good = news.lanes.iter().map(|lane| (lane.job.as_str(), lane.last_good.as_ref().map(|mark| mark.build)));
    assert_eq!(good.collect::<Vec<_>>(), [("test", Some(2)), ("lint", Some(1)), ("doc", None)]);
    assert_eq!((news.at, news.last_bad, news.failure), (spot(3, 3), None, None));
    let mut it = world("test 1+ 2- 3- 4+");
    assert_eq!(it.tell(), "test-2 +4(test)");
}

#[test]
fn a_long_range_is_remembered_beyond_what_is_kept() {
    let mut it = world("test 1+ 2-");
    assert_eq!(it.tell(), "test-2");
    let kept = u32::try_from(RESULTS_KEPT).unwrap();
    (3..3 * kept).for_each(|update| it.add(&format!("test {update}-")));
    assert_eq!(it.tell(), "");
    it.add(&format!("test {}+", 3 * kept));
    assert_eq!(it.tell(), format!("+{}(test)", 3 * kept));
    // a range without a notice, which is longer than the results that are kept
    let mut it = world("test 1+");
    (2..3 * kept).for_each(|update| it.add(&format!("test {update}-")));
    assert_eq!(it.tell(), "test-2");
}
