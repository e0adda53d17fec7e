//! `guild test` shows the tests of a branch, and one test with its history.

use crate::blame;
use crate::connected::Connected;
use crate::printer::Printer;
use clap::{Args, Subcommand};
use client::views::{RedRange, TestLane, TestPoint, TestView};
use client::{Error, SuspectQuery, TestQuery};
use schema::limits::TEST_SEARCH;
use schema::values::{Selector, ShortRef, TimeSpan};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

const COLUMNS: [&str; 6] = ["test", "job", "status", "since", "flaky", "duration"];
const LANE_COLUMNS: [&str; 7] = ["ref", "job", "status", "since", "last_good", "flaky", "duration"];
/// The number of newest results that a terminal shows for each lane. This many fit beside the lane's name.
const STRIP: usize = 40;
/// The number of tests that are listed if a name means several. A person can read this many at once.
const NAMED_MAX: usize = 10;
/// The most lanes of a test whose suspects are shown. Each costs the master some runs of git.
const BLAMED_MAX: usize = 5;

#[derive(Subcommand)]
pub(crate) enum Test {
    /// List the tests of a branch, the failing ones first
    List(TestList),
    /// Show one test, with its newest results on each branch and in each job
    Show(TestShow),
    /// List the flaky tests, which passed and failed in the same source tree, the flakiest first
    Flaky(Flaky),
}

#[derive(Args)]
pub(crate) struct TestList {
    #[command(flatten)]
    place: Place,
    /// Show only the tests that fail
    #[arg(long, group = "shown")]
    failing: bool,
    /// Show only the tests that fail and did not fail in their previous run
    #[arg(long, group = "shown")]
    new: bool,
    /// Show only the tests that passed and failed in the same source tree, the flakiest first
    #[arg(long, group = "shown")]
    flaky: bool,
    /// Show the tests that take the longest, the slowest first
    #[arg(long, group = "shown")]
    slow: bool,
    /// Show only the tests with this text in their suite, name or parameters
    #[arg(long, value_name = "TEXT", default_value = "")]
    search: String,
    /// Show at most this many tests
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: u32,
}

#[derive(Args)]
pub(crate) struct Flaky {
    #[command(flatten)]
    place: Place,
    /// Show at most this many tests
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: u32,
}

#[derive(Args)]
pub(crate) struct TestShow {
    /// The number of the test, its whole name, or a part of the name of one test
    name: String,
    #[command(flatten)]
    place: Place,
}

/// The project, the branch and the job whose tests are shown.
#[derive(Args)]
struct Place {
    /// Look at this project [default: the project of the repository here, else the only project that you may see]
    #[arg(long)]
    project: Option<String>,
    /// Look at this branch or tag [default: the project's main branch]
    #[arg(long = "ref", value_name = "REF", default_value = "")]
    ref_name: String,
    /// Show only the tests of this job, which is named with its cell
    #[arg(long, default_value = "")]
    job: String,
}

impl Test {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        match self {
            Test::List(list) => list.run(connected).await,
            Test::Show(show) => show.run(connected).await,
            Test::Flaky(flaky) => {
                let query = TestQuery { shown: "flaky".to_owned(), ..flaky.place.query(connected).await? };
                say_list(connected, query, flaky.limit).await
            }
        }
    }
}

impl TestList {
    async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let words =
            [(self.failing, "failing"), (self.new, "newly-failing"), (self.flaky, "flaky"), (self.slow, "slow")];
        let shown = words.iter().find(|(is_asked, _)| *is_asked).map_or("", |(_, word)| word);
        let query = self.place.query(connected).await?;
        let query = TestQuery { shown: shown.to_owned(), search: self.search, ..query };
        say_list(connected, query, self.limit).await
    }
}

impl Place {
    async fn query(&self, connected: &Connected) -> Result<TestQuery, Error> {
        let project = connected.project(self.project.as_deref()).await?.name.clone();
        Ok(TestQuery { project, ref_name: self.ref_name.clone(), job: self.job.clone(), ..TestQuery::default() })
    }
}

async fn say_list(connected: &Connected, query: TestQuery, limit: u32) -> Result<u8, Error> {
    let (tests, count) = up_to(connected, query.clone(), limit).await?;
    let rows: Vec<Value> = tests.iter().map(|test| test_row(&query.project, test)).collect();
    connected.printer.say_rows(&rows, &COLUMNS)?;
    let left_out = (count as usize).saturating_sub(tests.len());
    if left_out > 0 {
        connected.printer.note(format!("{left_out} more: ask for them with --limit {count}"));
    }
    Ok(0)
}

/// Reads pages of a list until it has this many elements. Returns the elements, and how many there are in all.
async fn up_to(connected: &Connected, mut query: TestQuery, limit: u32) -> Result<(Vec<TestView>, u32), Error> {
    let guild = connected.guild().await?;
    let mut tests = Vec::new();
    loop {
        let page = guild.tests(&query).await?;
        let is_last = page.tests.is_empty();
        tests.extend(page.tests);
        query.skip = u32::try_from(tests.len()).unwrap_or(u32::MAX);
        if is_last || query.skip >= limit.min(page.count) {
            tests.truncate(limit as usize);
            return Ok((tests, page.count));
        }
    }
}

impl TestShow {
    async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let query = self.place.query(connected).await?;
        let number = match self.name.parse() {
            Ok(number) => number,
            Err(_) => self.found(connected, query.clone()).await?,
        };
        let (test, lanes) = connected.guild().await?.test(&query.project, number).await?;
        let ranges = suspects(connected, &query.project, number, &lanes).await;
        if connected.printer.wants_json() {
            let mut row = serde_json::to_value(&test).unwrap_or_default();
            row["project"] = query.project.clone().into();
            row["test"] = test.title().into();
            let with_suspects = |(lane, ranges): (&TestLane, &Vec<RedRange>)| {
                let mut row = lane_row(&query.project, lane);
                row["suspects"] = blame::of_job(ranges, &lane.job);
                row
            };
            row["lanes"] = lanes.iter().zip(&ranges).map(with_suspects).collect();
            connected.printer.say_json(&row)?;
        } else {
            say_test(&connected.printer, &query.project, &test, &lanes)?;
            blame::say(&connected.printer, ranges.iter().flatten())?;
        }
        Ok(0)
    }

    /// Returns the number of the only test that the name means, among all tests to which the query leads.
    async fn found(&self, connected: &Connected, query: TestQuery) -> Result<u32, Error> {
        // The master refuses a longer text, and the beginning finds the same test.
        let search = self.name[..self.name.floor_char_boundary(TEST_SEARCH.most)].to_owned();
        let query = TestQuery { search, ..query };
        let (tests, _) = up_to(connected, query, u32::MAX).await?;
        chosen(&self.name, &tests)
    }
}

/// Returns who may have broken a test, for each of its lanes. The first lanes that fail are asked for.
async fn suspects(connected: &Connected, project: &str, test: u32, lanes: &[TestLane]) -> Vec<Vec<RedRange>> {
    let (mut all, mut asked) = (Vec::new(), 0);
    for lane in lanes {
        if lane.first_bad == 0 || asked == BLAMED_MAX {
            all.push(Vec::new());
            continue;
        }
        asked += 1;
        let (ref_name, job) = (lane.ref_name.clone(), lane.job.clone());
        let query = SuspectQuery { project: project.to_owned(), ref_name, build: 0, job, test };
        all.push(blame::asked(connected, &query).await);
    }
    all
}

/// Returns the number of the test that a name means. Tests whose whole title is the name come first, then tests whose whole name it is,
/// and then all others. Fails if the first of these groups that has a test has several.
fn chosen(wanted: &str, tests: &[TestView]) -> Result<u32, Error> {
    let ways: [fn(&TestView, &str) -> bool; 3] =
        [|test, wanted| test.title() == wanted, |test, wanted| test.name == wanted, |_, _| true];
    // The list has a test once for each of its jobs.
    let meant = ways.iter().map(|is_meant| -> BTreeMap<u32, String> {
        let tests = tests.iter().filter(|test| is_meant(test, wanted));
        tests.map(|test| (test.number, test.title())).collect()
    });
    let meant = meant.into_iter().find(|meant| !meant.is_empty()).unwrap_or_default();
    match meant.first_key_value() {
        None => {
            let text = format!("no test has `{wanted}` in its name");
            Err(Error::not_found(text).help("`guild test list` shows the tests"))
        }
        Some((number, _)) if meant.len() == 1 => Ok(*number),
        Some(_) => Err(several(wanted, &meant)),
    }
}

fn several(wanted: &str, found: &BTreeMap<u32, String>) -> Error {
    let mut names: Vec<String> =
        found.iter().take(NAMED_MAX).map(|(number, title)| format!("  {number}  {title}")).collect();
    let left_out = found.len().saturating_sub(NAMED_MAX);
    if left_out > 0 {
        names.push(format!("  and {left_out} more: see `guild test list --search`"));
    }
    let text = format!("{} tests have `{wanted}` in their names: give a number", found.len());
    Error::usage(text).help(names.join("\n"))
}

fn test_row(project: &str, test: &TestView) -> Value {
    let mut row = serde_json::to_value(test).unwrap_or_default();
    row["project"] = project.into();
    row["test"] = test.title().into();
    row["status"] = test.state.clone().into();
    row["since"] = since(project, test.first_bad).into();
    row["flaky"] = flaky(test.flaky_trees, test.trees).into();
    row["duration"] = duration(test.duration_us);
    row
}

fn lane_row(project: &str, lane: &TestLane) -> Value {
    let mut row = serde_json::to_value(lane).unwrap_or_default();
    row["status"] = lane.state.clone().into();
    row["since"] = since(project, lane.first_bad).into();
    row["flaky"] = flaky(lane.flaky_trees, lane.trees).into();
    row["duration"] = duration(lane.duration_us);
    row
}

fn say_test(printer: &Printer, project: &str, test: &TestView, lanes: &[TestLane]) -> Result<(), Error> {
    let lines = [
        ("test", test.title()),
        ("number", test.number.to_string()),
        ("file", test.file.clone()),
        ("project", project.to_owned()),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        printer.say_field(name, value)?;
    }
    let rows: Vec<Value> = lanes.iter().map(|lane| lane_row(project, lane)).collect();
    printer.say("")?;
    printer.say_rows(&rows, &LANE_COLUMNS)?;
    if printer.look.terminal && !lanes.is_empty() {
        printer.say("")?;
        for lane in lanes {
            let name = format!("{} {}", ShortRef::of(&lane.ref_name).name(), lane.job);
            printer.say_field("newest", &format!("{}  {name}", strip(&lane.results)))?;
        }
    }
    Ok(())
}

/// Returns the newest results with one character each, the newest at the end.
fn strip(results: &[TestPoint]) -> String {
    results.iter().take(STRIP).rev().map(|point| point.outcome.symbol()).collect()
}

/// Returns the build in which the failures began; "" if there is none.
fn since(project: &str, build: u32) -> String {
    if build == 0 { String::new() } else { Selector::build(project, build).to_string() }
}

/// Returns a text such as `3 of 7 trees`, or "" if the test was flaky in none. The text is never a percentage, because 1 of 2 trees
/// says less than 50 of 100.
fn flaky(flaky: u32, trees: u32) -> String {
    if flaky == 0 { String::new() } else { format!("{flaky} of {trees} trees") }
}

/// Returns a duration in seconds; null if it is not known.
fn duration(microseconds: Option<u64>) -> Value {
    microseconds.map_or(Value::Null, |it| TimeSpan(Duration::from_micros(it)).0.as_secs_f64().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::views::PointOutcome;

    #[test]
    fn a_row_tells_since_when_and_how_flaky() {
        let point = |outcome| TestPoint { build: 1, outcome, duration_us: None };
        let test = TestView {
            suite: "a.B".to_owned(),
            name: "breaks".to_owned(),
            parameters: "3".to_owned(),
            state: "still-failing".to_owned(),
            first_bad: 7,
            flaky_trees: 2,
            trees: 9,
            duration_us: Some(1_500_000),
            ..TestView::default()
        };
        let row = test_row("calc", &test);
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        assert_eq!((text("test"), text("since")), ("a.B › breaks[3]".to_owned(), "calc/7".to_owned()));
        assert_eq!((text("flaky"), row["duration"].as_f64()), ("2 of 9 trees".to_owned(), Some(1.5)));
        let quiet = test_row("calc", &TestView::default());
        assert_eq!((quiet["since"].as_str(), quiet["flaky"].as_str()), (Some(""), Some("")));
        let results = [PointOutcome::Failed, PointOutcome::Mixed, PointOutcome::Passed].map(point);
        assert_eq!(strip(&results), "✓~✗", "the newest stands last");
    }

    fn named(number: u32, suite: &str, name: &str, job: &str) -> TestView {
        TestView { number, suite: suite.to_owned(), name: name.to_owned(), job: job.to_owned(), ..TestView::default() }
    }

    #[test]
    fn a_name_means_one_test_or_none() {
        let tests = [
            named(7, "a.B", "parse", "linux"),
            named(3, "a.C", "parse", "linux"),
            named(7, "a.B", "parse", "mac"),
            named(9, "a.B", "parse_more", "linux"),
        ];
        assert_eq!(chosen("a.B › parse", &tests).unwrap(), 7, "its title begins another one");
        assert_eq!(chosen("parse_more", &tests).unwrap(), 9);
        let of_two_jobs = [tests[0].clone(), tests[2].clone()];
        assert_eq!(chosen("B › par", &of_two_jobs).unwrap(), 7, "a test of two jobs is one test");
        let error = chosen("parse", &tests).unwrap_err();
        assert_eq!(error.to_string(), "2 tests have `parse` in their names: give a number");
        assert_eq!((error.way_out(), error.exit_code()), ("  3  a.C › parse\n  7  a.B › parse", 2));
        assert!(chosen("pars", &tests).unwrap_err().to_string().starts_with("3 tests "));
        assert!(chosen("x", &[]).unwrap_err().is_not_found());
        let twins = [named(1, "a", "b › c", ""), named(2, "a › b", "c", "")];
        assert!(chosen("a › b › c", &twins).is_err(), "two tests with one title");
        let many: Vec<TestView> = (0..25).map(|number| named(number, "s", &format!("t{number}"), "")).collect();
        let named = chosen("t", &many).unwrap_err().way_out().to_string();
        assert_eq!(
            (named.lines().count(), named.lines().last()),
            (11, Some("  and 15 more: see `guild test list --search`"))
        );
    }
}
