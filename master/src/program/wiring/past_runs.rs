//! The planner's access to the runs of a ref, which are read from the store.

use crate::intake::planner::{PastRuns, RefRuns};
use crate::keep::store::Reading;
use futures::future::LocalBoxFuture;

/// `StoredRuns` reads past runs from the store.
pub(super) struct StoredRuns(pub(super) Reading);

impl PastRuns for StoredRuns {
    fn of_ref<'a>(&'a self, project: &'a str, ref_name: &'a str, limit: usize) -> LocalBoxFuture<'a, Option<RefRuns>> {
        Box::pin(async move {
            let history = self.0.ref_history(project, ref_name, limit).await.ok()?;
            Some(RefRuns { lanes: history.lanes, builds: history.builds })
        })
    }
}
