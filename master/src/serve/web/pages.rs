//! The pages. Each is a file with its address, the question that it asks with the visitor's authority, and what its template
//! takes. What several templates take stands in `show`.

mod build;
mod cctray;
mod home;
mod job;
mod project;
mod queue;
mod step;
mod test_page;
mod tests_list;
mod workers;

use super::{Site, SiteState};
use axum::Router;
use std::sync::Arc;

/// Seconds after which a page of what still runs is asked for again.
const REFRESH: u32 = 3;

/// The addresses of all pages.
pub(super) fn routes() -> Router<Arc<Site>> {
    let pages = [
        home::routes(),
        project::routes(),
        build::routes(),
        job::routes(),
        step::routes(),
        tests_list::routes(),
        test_page::routes(),
        queue::routes(),
        workers::routes(),
        cctray::routes(),
    ];
    pages.into_iter().fold(Router::new(), Router::merge)
}
