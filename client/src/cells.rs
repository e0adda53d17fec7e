//! How the jobs of a build stand beside each other: a row for each platform, a column for what else tells them apart. Pure.

use crate::views::JobView;
use std::collections::BTreeSet;

/// The row is the platform: of the worker, or as asked for.
pub fn row_of(job: &JobView) -> &str {
    if job.platform.is_empty() { "any" } else { &job.platform }
}

/// The column is the job with those values of its cell that the row does not say already.
pub fn column_of(job: &JobView) -> String {
    let values = job.cell().into_iter().filter(|value| *value != job.platform);
    std::iter::once(job.base()).chain(values).collect::<Vec<_>>().join(" ")
}

/// In the order of first sight.
pub fn distinct(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    items.filter(|item| seen.insert(item.clone())).collect()
}
