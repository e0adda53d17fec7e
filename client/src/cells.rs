//! How the jobs of a build stand beside each other in a table: a row for each platform, a column for what else tells them apart.
//! Pure.

use crate::views::JobView;
use std::collections::BTreeSet;

/// The name of the job's row: the platform of its worker, or the one that it asks for; "any" if it asks for none.
pub fn row_of(job: &JobView) -> &str {
    if job.platform.is_empty() { "any" } else { &job.platform }
}

/// The name of the job's column: its own name, with those values of its cell that the row does not say already.
pub fn column_of(job: &JobView) -> String {
    let values = job.cell().into_iter().filter(|value| *value != job.platform);
    std::iter::once(job.base()).chain(values).collect::<Vec<_>>().join(" ")
}

/// Each item once, in the order in which the items first appear.
pub fn distinct(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    items.filter(|item| seen.insert(item.clone())).collect()
}
