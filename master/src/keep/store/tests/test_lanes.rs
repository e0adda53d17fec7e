//! Several lanes of tests: young lanes that are compared with another ref, and lists of tests from several lanes.

use super::test_rows::{Drawn, MAIN, TESTS, filter, lane, record, row, store};
use super::*;
use crate::decide::test_history::{RUNS_KEPT, TestState, Verdict};

const TOPIC: &str = "refs/heads/topic";

/// Records a run of a ref. The letters mean: `P` passed, `F` failed, `S` skipped, `-` absent.
fn run(store: &Store, ref_name: &str, order: (u32, u32), codes: &str) {
    let verdict = |code| match code {
        'P' => Verdict::Passed,
        'F' => Verdict::Failed,
        'S' => Verdict::Skipped,
        _ => Verdict::Absent,
    };
    let tree = format!("tree {}", order.1);
    let drawn = Drawn { order, tree, is_whole: true, verdicts: codes.chars().map(verdict).collect() };
    let mut row = row(&drawn);
    ref_name.clone_into(&mut row.lane.ref_name);
    record(store, TestPiece::Run(Box::new(row)));
}

/// Returns the state, first bad and last good build of each test of the topic branch, compared with the main branch.
fn topic(store: &Store) -> Vec<(TestState, u32, u32)> {
    let asked = TestFilter { ref_name: TOPIC.to_owned(), base_ref: MAIN.to_owned(), ..filter() };
    let mut lines = now(reading(store).tests_of_ref(asked)).unwrap().lines;
    lines.sort_by_key(|line| line.number);
    for line in &lines {
        let history = now(reading(store).test_history("p", line.number, MAIN)).unwrap().unwrap();
        let lane = history.lanes.iter().find(|lane| lane.lane.ref_name == TOPIC).unwrap();
        assert_eq!(lane.standing, line.standing, "a list and the page of test {} say the same", line.number);
    }
    lines.iter().map(|line| (line.standing.state, line.standing.first_bad, line.standing.last_good)).collect()
}

/// Returns the failed tests of a build: the numbers of those that fail newly, and how many failed before or are flaky.
fn failures(store: &Store, ref_name: &str, build: u32) -> FailuresOfRun {
    let lane = TestLane { ref_name: ref_name.to_owned(), ..lane() };
    let key = JobKey { build: BuildId(u64::from(build)), index: 0 };
    now(reading(store).failures_of_run((lane, key), MAIN, 2)).unwrap()
}

fn sorted(store: &Store, ref_name: &str, build: u32) -> (Vec<u32>, [u32; 3]) {
    let FailuresOfRun::Known(it) = failures(store, ref_name, build) else { panic!("build {build} is not read") };
    let counts = [it.new_count, it.known_count, it.flaky_count];
    (it.new.iter().map(|(number, _)| *number).collect(), counts)
}

#[test]
fn the_failures_of_a_run_are_sorted() {
    let store = store("failures");
    run(&store, MAIN, (1, 1), "PPPPPF");
    run(&store, MAIN, (2, 2), "FFFFPF");
    run(&store, MAIN, (3, 3), "FPPPPF");
    assert_eq!(sorted(&store, MAIN, 2), (vec![0, 1], [4, 1, 0]), "of four that fail newly, two are named");
    assert_eq!(sorted(&store, MAIN, 3), (vec![], [0, 2, 0]), "a later run sees them as old");
    run(&store, TOPIC, (1, 4), "FFPPPF");
    assert_eq!(sorted(&store, TOPIC, 4), (vec![1], [1, 2, 0]), "what was red on the main branch is old");
    assert_eq!(failures(&store, MAIN, 9), FailuresOfRun::Unknown);
}

/// A test that both passed and failed with one tree is flaky, and a later change is not blamed for its failures.
#[test]
fn a_flaky_test_that_fails_again_is_counted_apart() {
    let store = store("flaky failures");
    let again = |order: (u32, u32), verdicts: &[Verdict]| {
        let drawn = Drawn { order, tree: "one".to_owned(), is_whole: true, verdicts: verdicts.to_vec() };
        record(&store, TestPiece::Run(Box::new(row(&drawn))));
    };
    let passed = [Verdict::Passed; 6];
    let mut wavers = passed;
    wavers[0] = Verdict::Failed;
    again((1, 1), &wavers);
    again((1, 2), &passed);
    run(&store, MAIN, (2, 3), "FFPPPP");
    assert_eq!(sorted(&store, MAIN, 3), (vec![1], [1, 0, 1]));
}

#[test]
fn a_young_lane_is_compared_with_that_of_another_ref() {
    let store = store("young lane");
    run(&store, MAIN, (1, 1), "PFP-FP");
    run(&store, TOPIC, (2, 2), "FFPPP-");
    let states: Vec<TestState> = topic(&store).into_iter().map(|(state, ..)| state).collect();
    use TestState::{Fixed, Gone, New, NewlyFailing, Passing, StillFailing};
    let wanted = [NewlyFailing, StillFailing, Passing, New, Fixed, Gone];
    assert_eq!(states, wanted, "what was red before is not theirs");
}

/// A young branch is compared with the results of the main branch from before it began, and not with later ones.
#[test]
fn a_young_lane_is_compared_with_what_came_before_it() {
    use TestState::{NewlyFailing, Passing, StillFailing};
    let store = store("later base");
    run(&store, MAIN, (1, 1), "PPPF");
    run(&store, TOPIC, (1, 2), "FPFF");
    // later the main branch gets a push, and a retry of its first commit
    run(&store, MAIN, (2, 3), "FFPP");
    run(&store, MAIN, (1, 4), "PPFP");
    let wanted = [(NewlyFailing, 2, 1), (Passing, 0, 2), (NewlyFailing, 2, 1), (StillFailing, 1, 0)];
    assert_eq!(topic(&store), wanted);
    // the topic's later runs are compared with its own, and the base stays the same
    run(&store, TOPIC, (2, 5), "FFPF");
    let wanted = [(StillFailing, 2, 1), (NewlyFailing, 5, 2), (TestState::Fixed, 0, 5), (StillFailing, 1, 0)];
    assert_eq!(topic(&store), wanted);
}

#[test]
fn what_the_base_no_longer_keeps_counts() {
    use TestState::StillFailing;
    let store = store("long base");
    run(&store, MAIN, (1, 1), "PFFP");
    for number in 2..=150 {
        let codes = match number {
            2..=20 => "FFFP",
            100 => "FSPF",
            _ => "FSSS",
        };
        run(&store, MAIN, (number, number), codes);
    }
    run(&store, TOPIC, (1, 151), "FFFF");
    let wanted = [
        (StillFailing, 2, 0),
        (StillFailing, 1, 0),
        // this test passed in a run that is still kept
        (TestState::NewlyFailing, 151, 100),
        (StillFailing, 100, 0),
    ];
    assert_eq!(topic(&store), wanted);
}

#[test]
fn what_the_base_forgot_after_a_young_lane_began_does_not_count() {
    let store = store("forgotten base");
    run(&store, MAIN, (1, 1), "FP");
    run(&store, TOPIC, (1, 2), "FF");
    (3..=10 + RUNS_KEPT as u32).for_each(|number| run(&store, MAIN, (number, number), "FF"));
    assert_eq!(topic(&store), [(TestState::StillFailing, 1, 0), (TestState::NewlyFailing, 2, 0)]);
}

#[test]
fn pages_of_several_lanes_follow_each_other() {
    let store = store("several lanes");
    let mut dice = Dice(3);
    for job in ["a", "b", "c"] {
        for number in 1..=4 {
            let verdicts = (0..TESTS).map(|_| Verdict::of_code(dice.below(6) as u8)).collect();
            let tree = format!("tree {}", number / 2);
            let mut row = row(&Drawn { order: (number, number), tree, is_whole: true, verdicts });
            job.clone_into(&mut row.lane.job);
            row.durations = (0..TESTS).map(|_| dice.below(200) as u8).collect();
            record(&store, TestPiece::Run(Box::new(row)));
        }
    }
    for shown in [TestsShown::All, TestsShown::Failing, TestsShown::New, TestsShown::Flaky, TestsShown::Slow] {
        let ask = |skip, limit| {
            let asked = TestFilter { shown, skip, limit, ..filter() };
            now(reading(&store).tests_of_ref(asked)).unwrap()
        };
        let whole = ask(0, 100);
        assert!(whole.lines.len() > 2, "{shown:?} has {} lines", whole.lines.len());
        assert_eq!(whole.count as usize, whole.lines.len());
        let mut paged = Vec::new();
        for skip in (0..whole.lines.len() + 2).step_by(2) {
            let page = ask(skip, 2);
            assert_eq!(page.count, whole.count);
            paged.extend(page.lines);
        }
        assert_eq!(paged, whole.lines, "{shown:?}");
        if shown == TestsShown::Slow {
            assert!(whole.lines.is_sorted_by(|one, next| one.duration_us >= next.duration_us));
        }
        let jobs: BTreeSet<&str> = whole.lines.iter().map(|line| line.job.as_str()).collect();
        assert!(jobs.len() > 1, "{shown:?} has lines of {jobs:?}");
    }
}
