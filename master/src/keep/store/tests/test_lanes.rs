//! Lists of several lanes of tests.

use super::test_rows::{Drawn, TESTS, filter, record, row, store};
use super::*;
use crate::decide::test_history::Verdict;

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
