//! Decides which tests are flaky. A flaky test passed and failed in the same source tree. Flakiness is counted in trees, and never
//! given in percent. This file is the definition. Pure.

use super::Verdict;
use std::collections::BTreeMap;

/// The result of one test in one run of a source tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeResult<'a> {
    /// The name of the tree.
    pub tree: &'a str,
    pub verdict: Verdict,
    /// Whether the tests of the run failed together.
    pub is_together: bool,
}

/// `Flakiness` says in how many source trees a test ran, and in how many it was flaky. In a flaky tree it passed and failed, although
/// nothing was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flakiness {
    pub flaky: u32,
    pub trees: u32,
}

/// A summary of one test's results in all runs of one source tree.
#[derive(Clone, Copy, Debug, Default)]
struct TreeMarks {
    has_run: bool,
    was_good: bool,
    /// Whether the test failed by itself, and not together with others of its run.
    was_bad: bool,
}

impl TreeMarks {
    fn add(&mut self, verdict: Verdict, is_together: bool) {
        self.has_run |= verdict.has_run();
        self.was_good |= verdict.is_good();
        self.was_bad |= verdict == Verdict::Mixed || verdict.is_bad() && !is_together;
    }
}

impl Flakiness {
    fn add(&mut self, tree: TreeMarks) {
        self.trees += u32::from(tree.has_run);
        self.flaky += u32::from(tree.was_good && tree.was_bad);
    }
}

/// The flakiness of one test, from its results in all runs of the same job.
pub fn flakiness<'a>(results: impl Iterator<Item = TreeResult<'a>>) -> Flakiness {
    let mut trees: BTreeMap<&str, TreeMarks> = BTreeMap::new();
    for result in results {
        trees.entry(result.tree).or_default().add(result.verdict, result.is_together);
    }
    let mut found = Flakiness::default();
    trees.into_values().for_each(|tree| found.add(tree));
    found
}

/// The flakiness of all tests of a job, counted tree by tree. So its memory does not grow with the number of runs.
#[derive(Debug, Default)]
pub struct FlakinessOfJob {
    tree: String,
    /// The summary of each test in the present tree, by the number of the test.
    marks: Vec<TreeMarks>,
    counted: Vec<Flakiness>,
}

impl FlakinessOfJob {
    /// Adds the verdicts of a run. The runs of one tree have to come one after another.
    pub fn add(&mut self, tree: &str, is_together: bool, verdicts: &[u8]) {
        if self.tree != tree {
            self.end_tree();
            tree.clone_into(&mut self.tree);
        }
        if self.marks.len() < verdicts.len() {
            self.marks.resize(verdicts.len(), TreeMarks::default());
        }
        for (marks, code) in self.marks.iter_mut().zip(verdicts) {
            marks.add(Verdict::of_code(*code), is_together);
        }
    }

    fn end_tree(&mut self) {
        if self.counted.len() < self.marks.len() {
            self.counted.resize(self.marks.len(), Flakiness::default());
        }
        self.counted.iter_mut().zip(self.marks.drain(..)).for_each(|(counted, marks)| counted.add(marks));
    }

    /// The tests that are flaky, by their numbers.
    pub fn flaky(mut self) -> BTreeMap<u32, Flakiness> {
        self.end_tree();
        (0..).zip(self.counted).filter(|(_, counted)| counted.flaky > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_flaky_by_trees() {
        let of = |runs: &[(&'static str, Verdict, bool)]| {
            let results = runs.iter().map(|(tree, verdict, is_together)| TreeResult {
                tree,
                verdict: *verdict,
                is_together: *is_together,
            });
            let it = flakiness(results);
            (it.flaky, it.trees)
        };
        use Verdict::{Failed, Mixed, Passed, Skipped};
        assert_eq!(of(&[]), (0, 0));
        assert_eq!(of(&[("a", Passed, false), ("b", Failed, false)]), (0, 2), "a change broke it");
        assert_eq!(of(&[("a", Passed, false), ("a", Failed, false), ("b", Passed, false)]), (1, 2));
        assert_eq!(of(&[("a", Failed, false), ("a", Failed, false)]), (0, 1));
        assert_eq!(of(&[("a", Passed, false), ("a", Failed, true)]), (0, 1), "all failed together");
        assert_eq!(of(&[("a", Mixed, false)]), (1, 1), "its tool ran it again");
        assert_eq!(of(&[("a", Skipped, false)]), (0, 0));
    }

    /// The two ways to count flakiness must agree.
    #[test]
    fn all_tests_of_a_job_are_counted_as_each_is_alone() {
        let runs = [
            // The tree, whether the tests of the run failed together, and the codes of the tests.
            ("a", false, vec![1, 2, 1, 5]),
            ("a", false, vec![2, 2, 1]),
            ("a", true, vec![1, 1, 2, 0, 2]),
            ("b", false, vec![1, 4, 0, 3, 1, 1]),
            ("c", false, vec![2, 1]),
            ("c", false, vec![1, 3, 0, 0, 2]),
        ];
        let mut job = FlakinessOfJob::default();
        runs.iter().for_each(|(tree, is_together, codes)| job.add(tree, *is_together, codes));
        let alone = |test: u32| {
            flakiness(runs.iter().map(|(tree, is_together, codes)| TreeResult {
                tree,
                verdict: Verdict::of_code(codes.get(test as usize).copied().unwrap_or(0)),
                is_together: *is_together,
            }))
        };
        let wanted: BTreeMap<u32, Flakiness> =
            (0..6).map(|test| (test, alone(test))).filter(|(_, it)| it.flaky > 0).collect();
        assert_eq!(wanted.keys().copied().collect::<Vec<_>>(), [0, 1, 3]);
        assert_eq!(job.flaky(), wanted);
        assert_eq!(FlakinessOfJob::default().flaky(), BTreeMap::new());
    }
}
