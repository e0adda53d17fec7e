//! `guild cancel` ends a build or a job.

use crate::connected::Connected;
use clap::Args;
use client::Error;

#[derive(Args)]
pub(crate) struct Cancel {
    /// The build, or one job of it, to cancel; a branch or a tag means its latest build
    selector: Option<String>,
    /// Cancel the latest build of the branch that is checked out here
    #[arg(long, conflicts_with = "selector")]
    latest: bool,
    /// The reason, which is shown with the build
    #[arg(long, short, default_value = "", value_name = "WHY")]
    message: String,
}

impl Cancel {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let (meant, build) = connected.build_to_change("cancel", self.selector.as_deref(), self.latest).await?;
        let guild = connected.guild().await?;
        let jobs: Vec<&str> = match meant.job {
            None => vec![""],
            Some(_) => build
                .jobs
                .iter()
                .filter(|job| meant.chooses(&job.name) && !job.is_finished())
                .map(|job| job.name.as_str())
                .collect(),
        };
        if jobs.is_empty() {
            return Err(Error::usage("every job of that name has already finished"));
        }
        for job in jobs {
            guild.cancel(&build.project, build.number, job, &self.message).await?;
        }
        connected.printer.say(format!("cancelled {}", build.selector()))?;
        Ok(0)
    }
}

/// Cancels the build that this command follows.
pub(super) async fn by_interrupt(connected: &Connected, project: &str, number: u32) -> Result<(), Error> {
    connected.guild().await?.cancel(project, number, "", "interrupted at the terminal").await
}
