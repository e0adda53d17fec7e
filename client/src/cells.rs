//! Puts the jobs of a build into a table. It has a row for each platform and a column for each other value that tells jobs apart.

use crate::views::JobView;
use std::collections::BTreeSet;

/// Returns the name of the job's row. It is the platform of its worker, or else the platform that the job asks for, or else "any".
pub fn row_of(job: &JobView) -> &str {
    if job.platform.is_empty() { "any" } else { &job.platform }
}

/// Returns the name of the job's column: the job's own name, with those values of its cell that the row does not have.
pub fn column_of(job: &JobView) -> String {
    let values = job.cell().into_iter().filter(|value| *value != job.platform);
    std::iter::once(job.base()).chain(values).collect::<Vec<_>>().join(" ")
}

/// The jobs of a build as a table. If they all run on one platform, their own axes make the rows and the columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The heads of the columns. The head of a column of jobs without an axis may be "".
    pub columns: Vec<String>,
    /// Each row's head, and for each column the index of its job in [`BuildView::jobs`](crate::views::BuildView::jobs).
    pub rows: Vec<(String, Vec<Option<usize>>)>,
}

impl Grid {
    /// Makes the table of these jobs, in their order.
    pub fn new(jobs: &[JobView]) -> Grid {
        let platforms = distinct(jobs.iter().map(|job| job.platform.clone()).filter(|platform| !platform.is_empty()));
        let has_two_axes = jobs.iter().any(|job| own_axes(job, &platforms).len() > 1);
        match platforms.as_slice() {
            [] | [_] if has_two_axes => Grid::of(jobs.iter().map(|job| by_last_axis(job, &platforms)).collect()),
            _ => Grid::of(jobs.iter().map(|job| (row_among(job, &platforms), column_among(job, &platforms))).collect()),
        }
    }

    /// Makes a table. `places` has the row and the column of each job.
    fn of(places: Vec<(String, String)>) -> Grid {
        let columns = distinct(places.iter().map(|(_, column)| column.clone()));
        let rows = distinct(places.iter().map(|(row, _)| row.clone())).into_iter().map(|row| {
            let job = |column: &String| places.iter().position(|(r, c)| *r == row && c == column);
            let jobs = columns.iter().map(job).collect();
            (row, jobs)
        });
        Grid { rows: rows.collect(), columns }
    }
}

/// Returns the platform of a job's row. A job without a worker that asks for no platform is in the row that its cell names, or in the
/// only row.
fn row_among(job: &JobView, platforms: &[String]) -> String {
    let named = || platforms.iter().find(|platform| job.cell().contains(&platform.as_str()));
    match platforms {
        _ if !job.platform.is_empty() => job.platform.clone(),
        [only] => only.clone(),
        _ => named().map_or_else(|| row_of(job).to_owned(), Clone::clone),
    }
}

fn column_among(job: &JobView, platforms: &[String]) -> String {
    std::iter::once(job.base()).chain(own_axes(job, platforms)).collect::<Vec<_>>().join(" ")
}

/// Returns the values of a job's cell except its platform.
fn own_axes<'j>(job: &'j JobView, platforms: &[String]) -> Vec<&'j str> {
    job.cell().into_iter().filter(|value| !platforms.iter().any(|platform| platform == value)).collect()
}

/// Returns the row and the column of a job: its name with all values of its cell but the last, and that last value.
fn by_last_axis(job: &JobView, platforms: &[String]) -> (String, String) {
    let mut values = own_axes(job, platforms);
    let last = values.pop().unwrap_or_default().to_owned();
    let row = std::iter::once(job.base()).chain(values).collect::<Vec<_>>().join(" ");
    (row, last)
}

/// Returns each item once, in the order in which the items first appear.
pub fn distinct(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    items.filter(|item| seen.insert(item.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(jobs: &[(&str, &str)]) -> Vec<JobView> {
        let job = |(name, platform): &(&str, &str)| JobView {
            name: (*name).to_owned(),
            platform: (*platform).to_owned(),
            ..JobView::default()
        };
        jobs.iter().map(job).collect()
    }

    fn drawn(names: &[(&str, &str)]) -> Vec<String> {
        let grid = Grid::new(&jobs(names));
        let head = format!("| {}", grid.columns.join(" | "));
        let row = |(row, cells): &(String, Vec<Option<usize>>)| {
            let cells: Vec<&str> = cells.iter().map(|job| job.map_or("-", |at| names[at].0)).collect();
            format!("{row} | {}", cells.join(" | "))
        };
        std::iter::once(head).chain(grid.rows.iter().map(row)).collect()
    }

    #[test]
    fn platforms_are_rows() {
        let names = [("test@linux,3.14", "linux"), ("test@mac,3.14", "mac"), ("lint", "linux")];
        assert_eq!(drawn(&names), ["| test 3.14 | lint", "linux | test@linux,3.14 | lint", "mac | test@mac,3.14 | -"]);
    }

    #[test]
    fn a_job_that_no_worker_has_yet_stands_in_the_row_of_the_others() {
        assert_eq!(drawn(&[("lint", "linux"), ("deploy", "")]), ["| lint | deploy", "linux | lint | deploy"]);
        let named = [("lint", "linux"), ("test@mac", "mac"), ("deploy@linux", ""), ("tell", "")];
        let rows =
            ["| lint | test | deploy | tell", "linux | lint | - | deploy@linux | -", "mac | - | test@mac | - | -"];
        assert_eq!(drawn(&named)[..3], rows);
        assert_eq!(drawn(&named)[3], "any | - | - | - | tell");
    }

    #[test]
    fn on_one_platform_the_last_axis_makes_the_columns() {
        let names = [("lint", "x"), ("test@3.11,fast", "x"), ("test@3.11,slow", ""), ("test@3.14,fast", "x")];
        let rows = ["|  | fast | slow", "lint | lint | - | -", "test 3.11 | - | test@3.11,fast | test@3.11,slow"];
        assert_eq!(drawn(&names)[..3], rows);
        assert_eq!(drawn(&names)[3], "test 3.14 | - | test@3.14,fast | -");
    }

    #[test]
    fn every_job_has_a_place() {
        let names = [("a@x,1", ""), ("a@y,1", "y"), ("b", ""), ("c@1,2,3", "x"), ("c@1,2,4", "")];
        let grid = Grid::new(&jobs(&names));
        let mut found: Vec<usize> = grid.rows.iter().flat_map(|(_, cells)| cells.iter().flatten().copied()).collect();
        found.sort_unstable();
        assert_eq!(found, [0, 1, 2, 3, 4]);
    }
}
