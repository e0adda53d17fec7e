//! Calls that look at the history of tests. They need the right `view`.

use crate::error::Error;
use crate::guild::Guild;
use crate::steer::done;
use crate::views::{FailedTest, PointOutcome, TestLane, TestPoint, TestView};
use crate::wire::read_list;
use schema::limits::{
    self, FAILED_TESTS, JOB, REF, TEST_LANES, TEST_MESSAGE, TEST_OUTPUT, TEST_POINTS, TEST_TEXT, TESTS_TOLD, WORD_TOLD,
};
use schema::perspective_capnp::test_point::TestOutcome;
use schema::perspective_capnp::{failed_test, test_lane, test_point, test_view};

/// A query for tests. A field that is empty or 0 does not narrow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestQuery {
    /// The name of the project of the builds.
    pub project: String,
    /// The full or short name of a branch or a tag; "" stands for the main branch.
    pub ref_name: String,
    /// The kind of tests: `failing`, `newly-failing`, `flaky` or `slow`.
    pub shown: String,
    /// A text that must be a part of the test's suite, name or parameters.
    pub search: String,
    /// The name of the job with its cell.
    pub job: String,
    /// The number of tests to pass over.
    pub skip: u32,
}

/// One page of a list of tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestsPage {
    /// The tests of this page, at most 100.
    pub tests: Vec<TestView>,
    /// The number of tests on all pages.
    pub count: u32,
}

impl Guild {
    /// Returns the tests of a branch or a tag that a query asks for, at most 100. Failing tests come first.
    pub async fn tests(&self, query: &TestQuery) -> Result<TestsPage, Error> {
        self.call(async |link| {
            let mut request = link.viewer().await?.tests_request();
            let mut ask = request.get();
            ask.set_project(&query.project);
            ask.set_ref(&query.ref_name);
            ask.set_shown(&query.shown);
            ask.set_search(&query.search);
            ask.set_job(&query.job);
            ask.set_skip(query.skip);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            let tests = read_list(answer.get_tests(), &TESTS_TOLD, read_test)?;
            Ok(TestsPage { tests, count: answer.get_count() })
        })
        .await
        .map_err(|error| error.about("the list of tests"))
    }

    /// Returns the failed tests of a job, at most 50 from the `skip`-th on, and the number of all of them. `job` is its name with its
    /// cell. Returns none for a master up to version 0.2.
    pub async fn failed_tests(
        &self,
        project: &str,
        number: u32,
        job: &str,
        skip: u32,
    ) -> Result<(Vec<FailedTest>, u32), Error> {
        let asked = self.call(async |link| {
            let mut request = link.build(project, number).await?.tests_request();
            request.get().set_job(job);
            request.get().set_skip(skip);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            Ok((read_list(answer.get_tests(), &FAILED_TESTS, read_failed)?, answer.get_count()))
        });
        match asked.await {
            Err(error) if error.is_unimplemented() => Ok((Vec::new(), 0)),
            answer => answer.map_err(|error| error.about("the failed tests")),
        }
    }

    /// Returns one test of a project by its number, and the lanes in which it ran last.
    pub async fn test(&self, project: &str, number: u32) -> Result<(TestView, Vec<TestLane>), Error> {
        self.call(async |link| {
            let mut request = link.viewer().await?.test_request();
            request.get().set_project(project);
            request.get().set_number(number);
            let answer = request.send().promise.await?;
            let answer = answer.get()?;
            done(answer.has_refusal(), answer.get_refusal())?;
            Ok((read_test(answer.get_test()?)?, read_list(answer.get_lanes(), &TEST_LANES, read_lane)?))
        })
        .await
        .map_err(|error| error.about("the test"))
    }
}

fn read_test(from: test_view::Reader<'_>) -> Result<TestView, Error> {
    Ok(TestView {
        number: from.get_number(),
        suite: limits::text(from.get_suite(), &TEST_TEXT)?,
        name: limits::text(from.get_name(), &TEST_TEXT)?,
        parameters: limits::text(from.get_parameters(), &TEST_TEXT)?,
        file: limits::text(from.get_file(), &TEST_TEXT)?,
        job: limits::text(from.get_job(), &JOB.told())?,
        state: limits::text(from.get_state(), &WORD_TOLD)?,
        first_bad: from.get_first_bad(),
        last_good: from.get_last_good(),
        flaky_trees: from.get_flaky_trees(),
        trees: from.get_trees(),
        duration_us: known(from.get_duration()),
        results: read_list(from.get_results(), &TEST_POINTS, read_point)?,
    })
}

fn read_failed(from: failed_test::Reader<'_>) -> Result<FailedTest, Error> {
    Ok(FailedTest {
        suite: limits::text(from.get_suite(), &TEST_TEXT)?,
        name: limits::text(from.get_name(), &TEST_TEXT)?,
        parameters: limits::text(from.get_parameters(), &TEST_TEXT)?,
        file: limits::text(from.get_file(), &TEST_TEXT)?,
        line: from.get_line(),
        step: from.get_step(),
        outcome: read_outcome(from.get_outcome()),
        duration_us: known(from.get_duration()),
        message: limits::text(from.get_message(), &TEST_MESSAGE)?,
        output: limits::text(from.get_output(), &TEST_OUTPUT)?,
    })
}

fn read_lane(from: test_lane::Reader<'_>) -> Result<TestLane, Error> {
    Ok(TestLane {
        ref_name: limits::text(from.get_ref(), &REF.told())?,
        job: limits::text(from.get_job(), &JOB.told())?,
        state: limits::text(from.get_state(), &WORD_TOLD)?,
        first_bad: from.get_first_bad(),
        last_good: from.get_last_good(),
        flaky_trees: from.get_flaky_trees(),
        trees: from.get_trees(),
        duration_us: known(from.get_duration()),
        results: read_list(from.get_results(), &TEST_POINTS, read_point)?,
    })
}

fn read_point(from: test_point::Reader<'_>) -> Result<TestPoint, Error> {
    let outcome = read_outcome(from.get_outcome());
    Ok(TestPoint { build: from.get_build(), outcome, duration_us: known(from.get_duration()) })
}

fn read_outcome(from: Result<TestOutcome, capnp::NotInSchema>) -> PointOutcome {
    match from {
        Ok(TestOutcome::Passed) => PointOutcome::Passed,
        Ok(TestOutcome::Failed) => PointOutcome::Failed,
        Ok(TestOutcome::Errored) => PointOutcome::Errored,
        Ok(TestOutcome::Skipped) => PointOutcome::Skipped,
        Ok(TestOutcome::Mixed) => PointOutcome::Mixed,
        // A newer master may know more outcomes.
        Ok(TestOutcome::Absent) | Err(_) => PointOutcome::Absent,
    }
}

fn known(microseconds: u64) -> Option<u64> {
    (microseconds > 0).then_some(microseconds)
}
