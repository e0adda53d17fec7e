//! Makes the page of a build, and the page of a project with its builds side by side.

use super::red_range::RangeBlock;
use super::{BuildLine, Frame, Piece, StatusMark, When, build_href, duration, name_of, pieces, tidy};
use askama::Template;
use client::cells::{Grid, distinct};
use client::views::{BranchView, BuildView, ChangeView, CommitView, CronView, JobView, RedRange};
use client::words::tests_of;
use schema::values::{Outcome, Selector, ShortCommit, ShortRef};

/// The most tries that the page of a project lists. Older ones matter only to their senders, who have their numbers.
const TRIES_SHOWN: usize = 5;
/// The most branches that a page offers for choice.
const BRANCHES_SHOWN: usize = 40;

#[derive(Template)]
#[template(path = "build.html")]
pub(crate) struct BuildPage {
    frame: Frame,
    project: String,
    line: BuildLine,
    diagnosis: String,
    retry_of: u32,
    finished: Option<When>,
    is_finished: bool,
    /// The page of the commit at the forge. Empty means that it is not known.
    commit_url: String,
    /// The build of the same branch before this one; `None` means that there is none.
    previous: Option<BuildLine>,
    reference: String,
    matrix: Matrix,
    jobs: Vec<JobLine>,
    /// The commits of the ref's update. It is empty for a single commit, which the page already shows above.
    commits: Vec<CommitLine>,
    /// The short id that a forced ref named before. Empty means that the ref was not forced.
    forced_from: String,
    /// Where the failed jobs broke, and who may have broken them.
    ranges: Vec<RangeBlock>,
}

/// A `CommitLine` is one commit of a build's change.
struct CommitLine {
    /// The short id of the commit.
    revision: String,
    /// The page of the commit at the forge. Empty means that it is not known.
    href: String,
    subject: String,
    author: String,
    time: Option<When>,
}

impl CommitLine {
    /// Makes the line of a commit. The commit's page follows from the page of `build`, by replacing the id.
    fn new(build: &BuildView, commit: &CommitView) -> CommitLine {
        CommitLine {
            revision: ShortCommit::of(&commit.revision).to_string(),
            href: build.commit_url.replace(&build.revision, &commit.revision),
            subject: tidy(&commit.subject),
            author: name_of(&commit.author),
            time: When::new(commit.time),
        }
    }
}

/// A `Matrix` has the jobs of a build in rows and columns.
pub(crate) struct Matrix {
    columns: Vec<String>,
    rows: Vec<MatrixRow>,
}

struct MatrixRow {
    head: String,
    cells: Vec<Option<MatrixCell>>,
}

struct MatrixCell {
    href: String,
    name: String,
    mark: StatusMark,
    duration: String,
    /// The number of the first build in the current unbroken run of failures, among the builds shown. `None` means that the run has only
    /// one build, or that there is no run.
    since: Option<u32>,
}

pub(crate) struct JobLine {
    href: String,
    name: String,
    mark: StatusMark,
    worker: String,
    platform: String,
    duration: String,
    reason: Vec<Piece>,
    carried_from: u32,
}

impl BuildPage {
    /// Makes the page of a build. `previous` is the build of the same branch before it.
    pub(crate) fn new(frame: Frame, build: &BuildView, previous: Option<&BuildView>) -> BuildPage {
        let lines = build.jobs.iter().map(|job| JobLine {
            href: job_href(build, job),
            name: tidy(&job.name),
            mark: StatusMark::new(job.state, job.outcome),
            worker: tidy(&job.worker),
            platform: tidy(&job.platform),
            duration: duration(job.started, job.finished, job.is_finished()),
            reason: pieces(&told_reason(job)),
            carried_from: job.carried_from,
        });
        BuildPage {
            frame,
            project: build.project.clone(),
            line: BuildLine::new(build),
            diagnosis: build.diagnosis.clone(),
            retry_of: build.retry_of,
            finished: When::new(build.finished),
            is_finished: build.is_finished(),
            commit_url: build.commit_url.clone(),
            previous: previous.map(BuildLine::new),
            reference: build.ref_name.clone(),
            matrix: Matrix::new(std::slice::from_ref(build)),
            jobs: lines.collect(),
            commits: Vec::new(),
            forced_from: String::new(),
            ranges: Vec::new(),
        }
    }

    /// Adds the commits of the ref's update.
    pub(crate) fn with_change(mut self, build: &BuildView, change: Option<&ChangeView>) -> BuildPage {
        let Some(change) = change else { return self };
        let commits = change.commits.iter().filter(|_| change.commits.len() > 1);
        self.commits = commits.map(|commit| CommitLine::new(build, commit)).collect();
        if change.forced {
            self.forced_from = ShortCommit::of(&change.before).to_string();
        }
        self
    }
}

impl BuildPage {
    /// Adds where the failed jobs broke.
    pub(crate) fn with_suspects(mut self, build: &BuildView, ranges: &[RedRange]) -> BuildPage {
        self.ranges = ranges.iter().map(|range| RangeBlock::new(build, range)).collect();
        self
    }
}

impl Matrix {
    /// Makes the matrix of the first of these builds. They are of one branch, newest first, and the others show since when a job is bad.
    fn new(builds: &[BuildView]) -> Matrix {
        let Some(newest) = builds.first() else { return Matrix { columns: Vec::new(), rows: Vec::new() } };
        let grid = Grid::new(&newest.jobs);
        let rows = grid.rows.into_iter().map(|(head, cells)| MatrixRow {
            head: tidy(&head),
            cells: cells.into_iter().map(|at| Some(matrix_cell(builds, newest.jobs.get(at?)?))).collect(),
        });
        let columns = grid.columns.iter().map(|column| tidy(column)).collect();
        Matrix { rows: rows.collect(), columns }
    }

    fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }
}

/// Makes the cell of a job of the first build.
fn matrix_cell(builds: &[BuildView], job: &JobView) -> MatrixCell {
    MatrixCell {
        href: builds.first().map_or_else(String::new, |newest| job_href(newest, job)),
        name: tidy(&job.name),
        mark: StatusMark::new(job.state, job.outcome),
        duration: duration(job.started, job.finished, job.is_finished()),
        since: bad_since(builds, &job.name),
    }
}

/// Returns the first build of a job's present unbroken run of failures, among the builds shown. `None` means that at most the newest
/// build failed.
fn bad_since(builds: &[BuildView], job: &str) -> Option<u32> {
    let of_job = builds.iter().filter_map(|build| Some((build.number, build.job(job)?)));
    let told = of_job.filter(|(_, job)| job.outcome.is_some_and(|outcome| outcome.word() != "skipped"));
    let bad: Vec<u32> = told.take_while(|(_, job)| job.is_bad()).map(|(number, _)| number).collect();
    bad.last().copied().filter(|_| bad.len() > 1)
}

pub(super) fn job_href(build: &BuildView, job: &JobView) -> String {
    format!("{}/{}", build_href(build), job.name)
}

/// Returns why a job ended as it did, or why it waits, and its failed tests.
fn told_reason(job: &JobView) -> String {
    let parts = [job.reason.clone(), tests_of(job)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

#[derive(Template)]
#[template(path = "project.html")]
pub(crate) struct ProjectPage {
    frame: Frame,
    name: String,
    branch: String,
    branches: Vec<BranchChoice>,
    matrix: Matrix,
    /// The state of the branch; `None` means that nothing counts yet.
    state: Option<StatusMark>,
    is_errored: bool,
    /// The jobs that fail, and since which build.
    failing: Vec<Failing>,
    newest: Option<BuildLine>,
    lanes: Vec<LaneLine>,
    /// The builds of the lanes' columns, newest first.
    heads: Vec<LaneHead>,
    builds: Vec<BuildLine>,
    /// The newest tries, which belong to no branch.
    tries: Vec<BuildLine>,
    crons: Vec<CronLine>,
    /// The full name of the ref.
    reference: String,
    /// The number of the oldest build on the page, before which the next page begins; 0 means that there is no next page.
    older: u32,
}

struct BranchChoice {
    name: String,
    /// The full name of the ref.
    reference: String,
    is_shown: bool,
}

/// A `LaneLine` is one job over some builds, newest first.
struct LaneLine {
    name: String,
    cells: Vec<Option<LaneCell>>,
}

/// A `LaneHead` is the head of a build's column in the table of lanes.
struct LaneHead {
    number: u32,
    href: String,
    /// The text that is shown while a pointer rests on the number.
    title: String,
    /// The mark of a build without jobs, whose column would otherwise be empty.
    mark: Option<StatusMark>,
}

impl LaneHead {
    fn new(build: &BuildView) -> LaneHead {
        let line = BuildLine::new(build);
        let mark = build.jobs.is_empty().then_some(line.mark);
        let title = format!("{} {} {}", line.revision, line.subject, line.author);
        LaneHead { number: line.number, href: line.href, title, mark }
    }
}

/// Whether a build's jobs were fetched, or it has none, for example because its `guild.toml` cannot be read.
fn is_read(build: &BuildView) -> bool {
    !build.jobs.is_empty() || build.job_count == 0
}

struct LaneCell {
    href: String,
    mark: StatusMark,
}

impl ProjectPage {
    /// Makes the page. `builds` are newest first, and the first of them have their jobs. `among` are builds whose branches are offered.
    pub(crate) fn new(
        frame: Frame,
        name: &str,
        branch: Option<&str>,
        state: Option<&BranchView>,
        builds: &[BuildView],
        among: &[BuildView],
        limit: u32,
    ) -> ProjectPage {
        let shown = branch.map(str::to_owned).or_else(|| builds.first().map(|build| build.ref_name.clone()));
        let shown = shown.map(|branch| tidy(ShortRef::of(&branch).name())).unwrap_or_default();
        let compared: Vec<BuildView> = builds.iter().take_while(|build| is_read(build)).cloned().collect();
        let has_jobs = compared.first().is_some_and(|newest| !newest.jobs.is_empty());
        let older = builds.last().filter(|_| builds.len() >= limit as usize).map_or(0, |last| last.number);
        let reference = branch.map(str::to_owned).or_else(|| builds.first().map(|build| build.ref_name.clone()));
        ProjectPage {
            frame,
            name: name.to_owned(),
            branches: branches(among, &shown),
            branch: shown,
            matrix: Matrix::new(if has_jobs { &compared } else { &[] }),
            state: state.and_then(StatusMark::of_branch),
            is_errored: state.is_some_and(|state| state.errored),
            failing: state.map(|state| failing(name, state)).unwrap_or_default(),
            newest: builds.first().map(BuildLine::new),
            lanes: lanes(&compared),
            heads: compared.iter().map(LaneHead::new).collect(),
            builds: builds.iter().map(BuildLine::new).collect(),
            reference: reference.unwrap_or_default(),
            older,
            tries: among.iter().filter(|build| is_try(build)).take(TRIES_SHOWN).map(BuildLine::new).collect(),
            crons: Vec::new(),
        }
    }

    /// Adds the builds that the clock asks for.
    pub(crate) fn with_crons(mut self, crons: &[CronView]) -> ProjectPage {
        self.crons = crons.iter().map(|cron| CronLine { name: tidy(&cron.name), line: tidy(&cron.line()) }).collect();
        self
    }
}

/// A `CronLine` is one entry of `[trigger.cron]`.
struct CronLine {
    name: String,
    /// When the entry fires next, and the result of its newest firing.
    line: String,
}

/// A `Failing` is a failing lane in the list of the page.
struct Failing {
    job: String,
    href: String,
    /// The build in which the lane began to fail.
    since: u32,
    since_href: String,
    /// Who looks after the lane, and what that person says. Empty means nobody.
    claim: String,
    /// The time of the claim.
    claimed: Option<When>,
    /// The time at which the claim ends.
    claim_until: Option<When>,
}

fn failing(project: &str, state: &BranchView) -> Vec<Failing> {
    let failing = state.lanes.iter().filter(|lane| lane.outcome == Some(Outcome::Failed) && lane.build > 0);
    let failing = failing.map(|lane| Failing {
        job: lane.job.clone(),
        href: format!("/p/{}", Selector::build(project, lane.build).job(&lane.job)),
        since: lane.since,
        since_href: format!("/p/{}", Selector::build(project, lane.since)),
        claim: lane.claim.as_ref().map_or_else(String::new, |claim| tidy(&claim.line())),
        claimed: lane.claim.as_ref().and_then(|claim| When::new(claim.since)),
        claim_until: lane.claim.as_ref().and_then(|claim| When::new(claim.until)),
    });
    failing.collect()
}

/// Whether the build is a try, which no branch's list has.
fn is_try(build: &BuildView) -> bool {
    build.ref_name.is_empty() && build.cause.starts_with("try ")
}

fn branches(among: &[BuildView], shown: &str) -> Vec<BranchChoice> {
    let named = among.iter().filter(|build| !build.ref_name.is_empty());
    let names = distinct(named.map(|build| build.ref_name.clone()));
    let branches = names.into_iter().take(BRANCHES_SHOWN).map(|ref_name| {
        let name = tidy(ShortRef::of(&ref_name).name());
        BranchChoice { is_shown: name == shown, reference: ref_name, name }
    });
    branches.collect()
}

fn lanes(builds: &[BuildView]) -> Vec<LaneLine> {
    let names = distinct(builds.iter().flat_map(|build| build.jobs.iter().map(|job| job.name.clone())));
    let lanes = names.into_iter().map(|name| {
        let cells = builds.iter().map(|build| {
            let job = build.job(&name)?;
            Some(LaneCell { href: job_href(build, job), mark: StatusMark::new(job.state, job.outcome) })
        });
        LaneLine { cells: cells.collect(), name }
    });
    lanes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::web::bridge::Visitor;
    use schema::values::State;

    fn build(number: u32, outcomes: &[(&str, Option<Outcome>)]) -> BuildView {
        let job = |(name, outcome): &(&str, Option<Outcome>)| JobView {
            name: (*name).to_owned(),
            platform: "linux".to_owned(),
            state: if outcome.is_some() { State::Finished } else { State::Running },
            outcome: *outcome,
            ..JobView::default()
        };
        BuildView {
            project: "pyfoo".to_owned(),
            number,
            jobs: outcomes.iter().map(job).collect(),
            ..BuildView::default()
        }
    }

    #[test]
    fn a_job_is_bad_since_its_last_good_build() {
        let (good, bad) = (Some(Outcome::Succeeded), Some(Outcome::Failed));
        let builds = [
            build(9, &[("a", bad), ("b", bad), ("c", None)]),
            build(8, &[("a", Some(Outcome::Skipped)), ("b", good), ("c", bad)]),
            build(7, &[("a", bad), ("b", bad), ("c", bad)]),
            build(6, &[("a", good)]),
        ];
        assert_eq!(["a", "b", "c"].map(|job| bad_since(&builds, job)), [Some(7), None, Some(7)]);
    }

    #[test]
    fn a_matrix_has_a_place_for_every_job() {
        let matrix = Matrix::new(&[build(1, &[("test@linux,3.14", None), ("test@linux,3.11", None), ("lint", None)])]);
        assert_eq!(matrix.columns, ["test 3.14", "test 3.11", "lint"]);
        assert_eq!(matrix.rows.len(), 1);
        assert_eq!(matrix.rows[0].cells.iter().flatten().count(), 3);
        assert_eq!(matrix.rows[0].cells[0].as_ref().unwrap().href, "/p/pyfoo/1/test@linux,3.14");
    }

    /// A build in the middle whose `guild.toml` cannot be read has a column, and does not end the table. A build whose jobs were not
    /// fetched ends it.
    #[test]
    fn lanes_go_on_behind_a_build_without_jobs() {
        let good = Some(Outcome::Succeeded);
        let broken = BuildView { outcome: Some(Outcome::Failed), state: State::Finished, ..build(8, &[]) };
        let unread = BuildView { job_count: 2, ..build(6, &[]) };
        let builds = [build(9, &[("a", good)]), broken, build(7, &[("a", good)]), unread, build(5, &[("a", good)])];
        let page = ProjectPage::new(Frame::new("pyfoo", Visitor::default()), "pyfoo", None, None, &builds, &[], 25);
        assert_eq!(page.heads.iter().map(|head| head.number).collect::<Vec<_>>(), [9, 8, 7]);
        assert_eq!(page.heads.iter().map(|head| head.mark.is_some()).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(page.lanes[0].cells.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
        assert!(!page.matrix.is_empty());
        // under a newest build without jobs, the matrix of another build is not shown
        let page =
            ProjectPage::new(Frame::new("pyfoo", Visitor::default()), "pyfoo", None, None, &builds[1..], &[], 25);
        assert!(page.matrix.is_empty() && page.lanes.len() == 1);
    }
}
