//! `guild status`: the latest build of this branch, or of each project.

use crate::here::{Here, exit_status};
use crate::matrix;
use crate::render::job_row;
use clap::Args;
use client::views::BuildView;
use client::words::harmless_lines;
use client::{BuildQuery, Error};

const COLUMNS: [&str; 5] = ["selector", "status", "platform", "duration", "reason"];

#[derive(Args)]
pub(crate) struct Status {
    /// A build, branch, tag or commit [default: the build of HEAD's commit, else the latest of the branch here]
    selector: Option<String>,
}

impl Status {
    pub(crate) async fn run(self, here: &Here) -> Result<u8, Error> {
        let builds = self.builds(here).await?;
        if here.wants_json() || !here.look.terminal {
            let rows: Vec<_> =
                builds.iter().flat_map(|build| build.jobs.iter().map(|job| job_row(build, job))).collect();
            here.say_rows(&rows, &COLUMNS)?;
        } else {
            let pictures: Vec<String> = builds.iter().map(|build| matrix::picture(build, &here.look)).collect();
            here.say(&pictures.join("\n"))?;
        }
        for build in &builds {
            hint(here, build);
        }
        let worst = builds.iter().filter_map(|build| build.outcome).max();
        Ok(worst.filter(|_| here.options.exit_status).map_or(0, exit_status))
    }

    async fn builds(&self, here: &Here) -> Result<Vec<BuildView>, Error> {
        let is_of_all = here.project_here().await?.is_none() && here.projects().await?.len() != 1;
        if self.selector.is_some() || !is_of_all {
            return Ok(vec![here.build(self.selector.as_deref()).await?.1]);
        }
        let guild = here.guild().await?;
        let mut builds = Vec::new();
        for project in here.projects().await? {
            let query = BuildQuery { project: project.name.clone(), limit: 1, ..BuildQuery::default() };
            if let Some(build) = guild.builds(&query).await?.first() {
                builds.push(guild.build(&build.project, build.number).await?);
            }
        }
        Ok(builds)
    }
}

fn hint(here: &Here, build: &BuildView) {
    if !build.diagnosis.is_empty() {
        here.note(&harmless_lines(&build.diagnosis));
    }
    if build.jobs.iter().any(|job| job.is_bad()) {
        let build = build.selector();
        here.note(&format!("next: guild logs {build} --failed      guild retry {build} --failed"));
    }
}
