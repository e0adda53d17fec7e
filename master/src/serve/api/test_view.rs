//! Writes tests to the wire, as people see them.

use super::viewer_access::{ViewedRepository, ViewerAccess};
use super::{Holder, broken};
use crate::decide::test_history::{TestStanding, Verdict};
use crate::keep::store::{LaneOfTest, TestFilter, TestLine, TestName, TestPoint, TestsShown};
use capnp::struct_list;
use schema::limits::{self, JOB, REF, TEST_SEARCH, TEST_TEXT, TESTS_SHOWN, TESTS_TOLD};
use schema::perspective_capnp::{test_lane, test_point, test_view, viewer};
use schema::values::{Refusal, RefusalCode, full_refs};
use schema::wire;

/// Returns the filter that the caller asks for, with its ref in full.
pub(super) async fn filter(
    access: &ViewerAccess,
    holder: &Holder,
    repository: &ViewedRepository,
    params: viewer::tests_params::Reader<'_>,
) -> capnp::Result<Result<TestFilter, Refusal>> {
    let shown = limits::text(params.get_shown(), &TESTS_SHOWN)?;
    let Some(shown) = TestsShown::of_word(&shown) else {
        let refusal = Refusal::new(RefusalCode::NotFound, format!("no list of tests is called `{shown}`"));
        return Ok(Err(refusal.help("ask for failing, newly-failing, flaky or slow")));
    };
    let name = limits::text(params.get_ref(), &REF)?;
    let main = repository.main_branch().unwrap_or_default();
    let candidates = if name.is_empty() { vec![main.clone()] } else { full_refs(&name) };
    let built = access.history(holder).first_built(repository.project(), candidates.clone()).await.map_err(broken)?;
    Ok(Ok(TestFilter {
        project: repository.project().to_owned(),
        ref_name: built.map(|(ref_name, _)| ref_name).or(candidates.into_iter().next()).unwrap_or_default(),
        base_ref: main,
        job: limits::text(params.get_job(), &JOB)?,
        search: limits::text(params.get_search(), &TEST_SEARCH)?,
        shown,
        skip: params.get_skip() as usize,
        limit: TESTS_TOLD.most,
    }))
}

pub(super) fn write_lines(mut list: struct_list::Builder<'_, test_view::Owned>, lines: &[TestLine]) {
    for (index, line) in (0..).zip(lines) {
        let mut to = list.reborrow().get(index);
        write_name(to.reborrow(), line.number, &line.name);
        to.set_job(&line.job);
        let standing = &line.standing;
        to.set_state(standing.state.word());
        to.set_first_bad(standing.first_bad);
        to.set_last_good(last_good(standing));
        to.set_flaky_trees(line.flakiness.flaky);
        to.set_trees(line.flakiness.trees);
        to.set_duration(line.duration_us.unwrap_or(0));
        write_points(to.init_results(wire::length(line.points.len())), &line.points);
    }
}

/// Writes the name of a test. Its number is raised by one, because people count tests from 1.
pub(super) fn write_name(mut to: test_view::Builder<'_>, number: u32, name: &TestName) {
    to.set_number(number.saturating_add(1));
    to.set_suite(TEST_TEXT.cut(&name.suite));
    to.set_name(TEST_TEXT.cut(&name.name));
    to.set_parameters(TEST_TEXT.cut(&name.parameters));
    to.set_file(TEST_TEXT.cut(&name.file));
}

pub(super) fn write_lanes(mut list: struct_list::Builder<'_, test_lane::Owned>, lanes: &[LaneOfTest]) {
    for (index, lane) in (0..).zip(lanes) {
        let mut to = list.reborrow().get(index);
        to.set_ref(&lane.lane.ref_name);
        to.set_job(&lane.lane.job);
        to.set_state(lane.standing.state.word());
        to.set_first_bad(lane.standing.first_bad);
        to.set_last_good(last_good(&lane.standing));
        to.set_flaky_trees(lane.flakiness.flaky);
        to.set_trees(lane.flakiness.trees);
        to.set_duration(lane.duration_us.unwrap_or(0));
        write_points(to.init_results(wire::length(lane.points.len())), &lane.points);
    }
}

/// Returns the last good build of a failing test. For a test that passes it would be the newest build, so 0 is shown.
fn last_good(standing: &TestStanding) -> u32 {
    if standing.state.is_bad() { standing.last_good } else { 0 }
}

fn write_points(mut list: struct_list::Builder<'_, test_point::Owned>, points: &[TestPoint]) {
    use test_point::TestOutcome;
    for (index, point) in (0..).zip(points) {
        let mut to = list.reborrow().get(index);
        to.set_build(point.build);
        to.set_duration(point.duration_us.unwrap_or(0));
        to.set_outcome(match point.verdict {
            Verdict::Absent => TestOutcome::Absent,
            Verdict::Passed => TestOutcome::Passed,
            Verdict::Failed => TestOutcome::Failed,
            Verdict::Errored => TestOutcome::Errored,
            Verdict::Skipped => TestOutcome::Skipped,
            Verdict::Mixed => TestOutcome::Mixed,
        });
    }
}
