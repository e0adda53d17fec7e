//! `/p/NAME/tests/NUMBER`: one test, and what its newest runs say in each lane.

use super::SiteState;
use crate::serve::web::Site;
use crate::serve::web::bridge::Visit;
use crate::serve::web::questions::numbered;
use crate::serve::web::reply::{Miss, Reply, page};
use crate::serve::web::request::cookie;
use crate::serve::web::show::{Frame, PointMark, StatusMark, strip, test_duration, test_mark, tidy, trees};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::HeaderMap;
use axum::routing::get;
use client::Error;
use client::views::{TestLane, TestView};
use schema::values::ShortRef;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Site>> {
    Router::new().route("/p/{project}/tests/{number}", get(test))
}

async fn test(
    State(site): SiteState,
    Path((project, number)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Reply, Miss> {
    let number = numbered(&number)?;
    let wanted = project.clone();
    let looked = site.bridge.look(cookie(&headers), async move |visit: Visit| {
        Ok::<_, Error>((visit.guild.test(&wanted, number).await?, visit.name))
    });
    let ((test, lanes), who) = looked.await??;
    let frame = Frame::new(&test.title(), who);
    page(&TestPageShown::new(frame, &project, &test, &lanes), &headers, None)
}

#[derive(Template)]
#[template(path = "test.html")]
struct TestPageShown {
    frame: Frame,
    project: String,
    title: String,
    file: String,
    lanes: Vec<LaneBlock>,
}

struct LaneBlock {
    branch: String,
    job: String,
    mark: StatusMark,
    /// The number of the build since which the test fails; 0 means that it does not fail.
    since: u32,
    last_good: u32,
    flaky: String,
    duration: String,
    /// The results of the newest runs, the oldest first.
    strip: Vec<PointMark>,
}

impl TestPageShown {
    fn new(frame: Frame, project: &str, test: &TestView, lanes: &[TestLane]) -> TestPageShown {
        TestPageShown {
            frame,
            project: tidy(project),
            title: tidy(&test.title()),
            file: tidy(&test.file),
            lanes: lanes.iter().map(|lane| LaneBlock::new(project, lane)).collect(),
        }
    }
}

impl LaneBlock {
    fn new(project: &str, lane: &TestLane) -> LaneBlock {
        LaneBlock {
            branch: tidy(ShortRef::of(&lane.ref_name).name()),
            job: tidy(&lane.job),
            mark: test_mark(&lane.state),
            since: lane.first_bad,
            last_good: lane.last_good,
            flaky: trees(lane.flaky_trees, lane.trees),
            duration: test_duration(lane.duration_us),
            strip: strip(project, &lane.job, &lane.results),
        }
    }
}
