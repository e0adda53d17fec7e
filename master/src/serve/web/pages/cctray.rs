//! `/cctray.xml`: the main branches in the format of build monitors such as CCMenu, CCTray and wall boards (<https://cctray.org/v1/>). A
//! monitor without a cookie sees the public projects.

use super::SiteState;
use crate::serve::web::Site;
use crate::serve::web::bridge::Visit;
use crate::serve::web::questions::{builds_of, state_of};
use crate::serve::web::reply::{Miss, Reply, tagged};
use crate::serve::web::request::cookie;
use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::header::HeaderMap;
use axum::routing::get;
use client::Error;
use client::views::{BranchView, BuildView, timestamp};
use schema::shown;
use schema::values::{Outcome, Time};
use std::sync::Arc;

/// The newest builds of a branch among which a finished one is searched. More are rarely open at once.
const BUILDS: u32 = 10;

pub(super) fn routes() -> Router<Arc<Site>> {
    Router::new().route("/cctray.xml", get(cctray))
}

async fn cctray(State(site): SiteState, headers: HeaderMap) -> Result<Reply, Miss> {
    let looked = site.bridge.look(cookie(&headers), async |visit: Visit| {
        let mut lines = Vec::new();
        for project in visit.guild.projects().await? {
            let branch = state_of(&visit.guild, &project.name, "").await?;
            // without a main branch, `builds_of` would return builds of some other branch
            let Some(branch) = branch else { continue };
            let builds = builds_of(&visit.guild, &project.name, Some(&branch), BUILDS).await?;
            lines.extend(MonitoredBranch::new(&project.name, &branch, &builds));
        }
        Ok::<_, Error>(lines)
    });
    let (lines, origin) = (looked.await??, site.host.as_ref().map_or("", |_| &site.origin));
    let xml = MonitorFeed { origin, lines }.render().map_err(|_| Miss::Broken)?;
    Ok(tagged(shown::page(&xml).into_owned(), "application/xml; charset=utf-8", &headers))
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<?xml version="1.0" encoding="UTF-8"?>
<Projects>
{% for line in lines %}<Project name="{{ line.name }}" activity="{{ line.activity }}" lastBuildStatus="{{ line.status }}" lastBuildLabel="{{ line.label }}" lastBuildTime="{{ line.time }}" webUrl="{{ origin }}/p/{{ line.name }}"/>
{% endfor %}</Projects>
"#
)]
struct MonitorFeed<'a> {
    /// The address at which browsers reach this site. It may be empty.
    origin: &'a str,
    lines: Vec<MonitoredBranch>,
}

/// A `MonitoredBranch` is a main branch in the words of the format.
struct MonitoredBranch {
    name: String,
    activity: &'static str,
    status: &'static str,
    /// The number of the newest finished build.
    label: u32,
    time: String,
}

impl MonitoredBranch {
    /// Makes the line of a branch. `None` means that no build has finished yet, for which the format has no word.
    fn new(project: &str, branch: &BranchView, builds: &[BuildView]) -> Option<MonitoredBranch> {
        let newest = builds.iter().find(|build| build.is_finished())?;
        let is_busy = builds.iter().any(|build| !build.is_finished());
        Some(MonitoredBranch {
            name: project.to_owned(),
            activity: if is_busy { "Building" } else { "Sleeping" },
            status: status(branch),
            label: newest.number,
            time: timestamp(newest.finished.unwrap_or(Time(0))),
        })
    }
}

/// Returns the state of the branch, as every other page shows it.
fn status(branch: &BranchView) -> &'static str {
    match branch.outcome {
        Some(Outcome::Succeeded | Outcome::Warned) => "Success",
        Some(Outcome::Failed) => "Failure",
        None if branch.errored => "Exception",
        Some(Outcome::Errored | Outcome::Cancelled | Outcome::Skipped) | None => "Unknown",
    }
}
