//! The runs of a ref for the planner, read from the store.

use crate::planner::{PastRuns, RefRuns};
use crate::store::{Reading, lanes};
use futures::future::LocalBoxFuture;

/// The planner's way to read history.
pub(super) struct StoredRuns(pub(super) Reading);

impl PastRuns for StoredRuns {
    fn of_ref<'a>(&'a self, project: &'a str, ref_name: &'a str, limit: usize) -> LocalBoxFuture<'a, Option<RefRuns>> {
        let (project, ref_name) = (project.to_owned(), ref_name.to_owned());
        let read = self.0.query(move |store| {
            let builds = lanes::finished(store, &project, &ref_name, limit)?;
            Ok(RefRuns { lanes: lanes::lanes(store, &project, &ref_name)?, builds })
        });
        Box::pin(async { read.await.ok() })
    }
}
