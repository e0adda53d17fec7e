//! The whole answer to the question why one job is in its state.

use super::{Candidate, Remedy, RemedyStep, Why, project_of};
use schema::values::Time;

/// An `Explanation` says why a job is in its state, and what would change that.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub why: Why,
    /// The time since which the job is in its state.
    pub since: Option<Time>,
    /// The number of queued jobs that go first and compete for the same workers. At most 1,000 are counted.
    pub ahead: usize,
    /// The workers with the smallest obstacles first, at most 20.
    pub workers: Vec<Candidate>,
    /// The number of all workers that were looked at.
    pub worker_count: usize,
    /// The remedies, those with the least effort first. Each of them by itself gets the job placed.
    pub remedies: Vec<Remedy>,
    pub hints: Vec<String>,
}

impl Explanation {
    pub(super) fn of(why: Why, since: Option<Time>) -> Explanation {
        let (workers, remedies, hints) = (Vec::new(), Vec::new(), Vec::new());
        Explanation { why, since, ahead: 0, workers, worker_count: 0, remedies, hints }
    }

    /// Removes the names of jobs that the reader may not see. `sees` takes the name of a project, and says whether the reader may see it.
    pub fn hide(&mut self, sees: impl Fn(&str) -> bool) {
        let is_hidden = |selector: &str| !sees(project_of(selector));
        let jobs = self.workers.iter_mut().flat_map(|worker| &mut worker.jobs);
        let steps = self.remedies.iter_mut().flat_map(|remedy| &mut remedy.steps);
        let waits = steps.filter_map(|step| match step {
            RemedyStep::Wait(job) => Some(job),
            RemedyStep::Resume(_) | RemedyStep::Start { .. } | RemedyStep::Join(_) => None,
        });
        jobs.chain(waits).filter(|job| is_hidden(job)).for_each(String::clear);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Availability;

    #[test]
    fn jobs_of_projects_that_may_not_be_seen_have_no_names() {
        let mut told = Explanation::of(Why::Busy(1), None);
        let jobs = vec!["secret/7/merge".to_owned(), "open/1/test".to_owned()];
        let (name, availability, text) = ("anvil".to_owned(), Availability::Busy, String::new());
        told.workers = vec![Candidate { name, availability, text, jobs: jobs.clone(), since: None }];
        told.remedies = vec![Remedy { steps: jobs.into_iter().map(RemedyStep::Wait).collect(), ..Remedy::default() }];
        told.hide(|project| project == "open");
        assert_eq!(told.workers[0].jobs, ["", "open/1/test"]);
        assert_eq!(told.remedies[0].text(), "wait for a job of another project, then wait for open/1/test");
        assert_eq!(told.remedies[0].steps[0].command(), "");
        assert!(!format!("{told:?}").contains("secret"));
    }
}
