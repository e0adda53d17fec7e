//! The usual durations of a branch's jobs.

use crate::error::Error;
use crate::guild::Guild;
use crate::look::BuildQuery;
use crate::views::BuildView;
use schema::values::{Outcome, TimeSpan};
use std::collections::BTreeMap;
use std::time::Duration;

/// The number of builds that are examined. Each costs a call, and the median of five ignores one odd build.
const BUILDS: u32 = 5;

/// The usual durations of jobs, by their names with their cells. Each is the median of the job's newest good runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsualTimes(BTreeMap<String, Duration>);

impl UsualTimes {
    /// Returns the usual times in these builds. Runs that did not end well do not count, because their times differ from those of a
    /// good run.
    pub fn from_builds<'a>(builds: impl IntoIterator<Item = &'a BuildView>) -> UsualTimes {
        let mut times: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
        let is_good = |outcome| matches!(outcome, Some(Outcome::Succeeded | Outcome::Warned));
        let jobs = builds.into_iter().flat_map(|build| &build.jobs);
        for job in jobs.filter(|job| is_good(job.outcome) && job.carried_from == 0) {
            if let (Some(started), Some(finished)) = (job.started, job.finished) {
                times.entry(job.name.clone()).or_default().push(finished.since(started));
            }
        }
        UsualTimes(times.into_iter().filter_map(|(job, times)| Some((job, middle(times)?))).collect())
    }

    /// Returns how long this job usually takes; `None` if it has not ended well lately.
    pub fn of(&self, job: &str) -> Option<TimeSpan> {
        self.0.get(job).copied().map(TimeSpan)
    }
}

fn middle(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort();
    times.get(times.len() / 2).copied()
}

impl Guild {
    /// Returns how long the jobs of a branch usually take, from the newest builds before this one.
    ///
    /// # Errors
    /// The same errors as the other calls of [`Guild`].
    pub async fn usual_times(&self, project: &str, ref_name: &str, before: u32) -> Result<UsualTimes, Error> {
        let query = BuildQuery {
            project: project.to_owned(),
            ref_name: ref_name.to_owned(),
            before,
            limit: BUILDS,
            ..BuildQuery::default()
        };
        let mut builds = Vec::new();
        for build in self.builds(&query).await? {
            // Retention may have removed the build meanwhile.
            builds.extend(self.build(project, build.number).await.ok());
        }
        Ok(UsualTimes::from_builds(&builds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::JobView;
    use schema::values::Time;

    fn build(seconds: u64, outcome: Outcome) -> BuildView {
        let job = JobView {
            name: "test".to_owned(),
            outcome: Some(outcome),
            started: Some(Time(1_000)),
            finished: Some(Time(1_000 + seconds * 1_000)),
            ..JobView::default()
        };
        BuildView { jobs: vec![job], ..BuildView::default() }
    }

    #[test]
    fn the_middle_of_the_good_runs_is_usual() {
        let good = [9, 3, 60].map(|seconds| build(seconds, Outcome::Succeeded));
        let bad = [build(1, Outcome::Failed), build(1, Outcome::Errored), build(1, Outcome::Cancelled)];
        let usual = UsualTimes::from_builds(good.iter().chain(&bad));
        assert_eq!(usual.of("test"), Some(TimeSpan(Duration::from_secs(9))));
        assert_eq!((usual.of("lint"), UsualTimes::from_builds(&bad).of("test")), (None, None));
    }
}
