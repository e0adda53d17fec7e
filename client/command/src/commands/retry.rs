//! `guild retry` makes a new build that repeats an old one, or a part of it.

use super::watch::until_end;
use crate::connected::Connected;
use clap::Args;
use client::{Again, Error};

#[derive(Args)]
pub(crate) struct Retry {
    /// The build, or one job of it, to repeat; a branch or a tag means its latest build
    selector: Option<String>,
    /// Repeat the latest build of the branch that is checked out here
    #[arg(long, conflicts_with = "selector")]
    latest: bool,
    /// Repeat only the jobs that did not succeed, and keep the results of the others
    #[arg(long)]
    failed: bool,
    /// Wait until the build ends, and exit with its outcome
    #[arg(long)]
    wait: bool,
}

impl Retry {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        connected.wait_for_master();
        let (meant, build) = connected.build_to_change("retry", self.selector.as_deref(), self.latest).await?;
        let again = match (&meant.job, self.failed) {
            (Some(_), true) => return Err(Error::usage("name a job or --failed, not both")),
            (Some(_), false) => {
                let names = build.jobs.iter().map(|job| &job.name).filter(|name| meant.chooses(name));
                Again::Jobs(names.cloned().collect())
            }
            (None, true) => Again::Failed,
            (None, false) => Again::All,
        };
        let number = connected.guild().await?.retry(&build.project, build.number, &again).await?;
        connected.say_build(&build.project, number).await?;
        match self.wait {
            true => until_end(connected, &build.project, number).await,
            false => Ok(0),
        }
    }
}
