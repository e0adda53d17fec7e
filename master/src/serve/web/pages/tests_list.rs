//! `/p/NAME/tests`: the tests of a branch, searched and sorted by a form that needs no script.

use super::SiteState;
use crate::serve::web::Site;
use crate::serve::web::bridge::Visit;
use crate::serve::web::reply::{Miss, Reply, page};
use crate::serve::web::request::cookie;
use crate::serve::web::show::{Frame, PointMark, StatusMark, strip, test_duration, test_mark, tidy, trees};
use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::header::HeaderMap;
use axum::routing::get;
use client::views::TestView;
use client::{Error, TestQuery, TestsPage};
use serde::Deserialize;
use std::sync::Arc;

/// The lists, each by its name on the page and its word in the address.
const LISTS: [(&str, &str); 5] =
    [("All", ""), ("Failing", "failing"), ("Newly failing", "newly-failing"), ("Flaky", "flaky"), ("Slow", "slow")];

/// The parameters of the address. A missing parameter does not narrow the list.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TestsAsked {
    branch: String,
    job: String,
    show: String,
    search: String,
    skip: String,
}

pub(super) fn routes() -> Router<Arc<Site>> {
    Router::new().route("/p/{project}/tests", get(tests))
}

async fn tests(
    State(site): SiteState,
    Path(project): Path<String>,
    Query(asked): Query<TestsAsked>,
    headers: HeaderMap,
) -> Result<Reply, Miss> {
    let query = TestQuery {
        project,
        ref_name: asked.branch,
        job: asked.job,
        shown: asked.show,
        search: asked.search,
        skip: asked.skip.parse().unwrap_or(0),
    };
    let wanted = query.clone();
    let looked = site.bridge.look(cookie(&headers), async move |visit: Visit| {
        Ok::<_, Error>((visit.guild.tests(&wanted).await?, visit.name))
    });
    let (found, who) = looked.await??;
    let frame = Frame::new(&format!("Tests of {}", query.project), who);
    page(&TestListPage::new(frame, &query, &found), &headers, None)
}

#[derive(Template)]
#[template(path = "tests.html")]
struct TestListPage {
    frame: Frame,
    project: String,
    branch: String,
    job: String,
    shown: String,
    search: String,
    lists: Vec<TestListLink>,
    /// The address of this list without the position in it.
    here: String,
    tests: Vec<TestRow>,
    count: u32,
    first: usize,
    /// The positions at which the previous and the next part of the list begin. `None` means that there is no such part.
    earlier: Option<u32>,
    later: Option<u32>,
}

struct TestListLink {
    name: &'static str,
    href: String,
    is_shown: bool,
}

struct TestRow {
    href: String,
    title: String,
    job: String,
    mark: StatusMark,
    /// The number of the build in which the test began to fail; 0 means that it does not fail.
    since: u32,
    flaky: String,
    duration: String,
    strip: Vec<PointMark>,
}

impl TestListPage {
    fn new(frame: Frame, query: &TestQuery, found: &TestsPage) -> TestListPage {
        let shown = u32::try_from(found.tests.len()).unwrap_or(u32::MAX);
        let end = query.skip.saturating_add(shown);
        let lists = LISTS.into_iter().map(|(name, word)| TestListLink {
            name,
            href: address(query, word),
            is_shown: word == query.shown,
        });
        TestListPage {
            frame,
            project: tidy(&query.project),
            branch: query.ref_name.clone(),
            job: query.job.clone(),
            shown: query.shown.clone(),
            search: query.search.clone(),
            lists: lists.collect(),
            here: address(query, &query.shown),
            tests: found.tests.iter().map(|test| TestRow::new(&query.project, test)).collect(),
            count: found.count,
            first: query.skip as usize + 1,
            earlier: (query.skip > 0).then(|| query.skip.saturating_sub(shown.max(100))),
            later: (shown > 0 && end < found.count).then_some(end),
        }
    }
}

impl TestRow {
    fn new(project: &str, test: &TestView) -> TestRow {
        TestRow {
            href: format!("/p/{project}/tests/{}", test.number),
            title: tidy(&test.title()),
            job: tidy(&test.job),
            mark: test_mark(&test.state),
            since: test.first_bad,
            flaky: trees(test.flaky_trees, test.trees),
            duration: test_duration(test.duration_us),
            strip: strip(project, &test.job, &test.results),
        }
    }
}

/// Returns the address of the list with this word, for the same branch, job and search.
fn address(query: &TestQuery, shown: &str) -> String {
    let mut address = form_urlencoded();
    for (name, value) in
        [("branch", query.ref_name.as_str()), ("job", &query.job), ("show", shown), ("search", &query.search)]
    {
        if !value.is_empty() {
            address.push(name, value);
        }
    }
    format!("/p/{}/tests?{}", query.project, address.0)
}

/// The query of an address, encoded as forms send it.
struct AddressQuery(String);

fn form_urlencoded() -> AddressQuery {
    AddressQuery(String::new())
}

impl AddressQuery {
    fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0 += name;
        self.0.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => self.0.push(char::from(byte)),
                byte => self.0 += &format!("%{byte:02X}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_holds_what_was_asked() {
        let query = TestQuery { project: "calc".to_owned(), search: "a › b&c".to_owned(), ..TestQuery::default() };
        assert_eq!(address(&query, "slow"), "/p/calc/tests?show=slow&search=a%20%E2%80%BA%20b%26c");
        assert_eq!(address(&TestQuery { search: String::new(), ..query }, ""), "/p/calc/tests?");
    }
}
