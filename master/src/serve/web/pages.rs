//! The pages. Each is a file with its address, the question that it asks with the visitor's authority, and the values for its template.
//! `show` has the values that several templates need.

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

/// The seconds after which a browser reloads a page about something that still runs.
const REFRESH: u32 = 3;

/// Returns the routes of all pages.
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
