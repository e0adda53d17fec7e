//! `guild run` asks for a build.

use super::watch::until_end;
use crate::connected::Connected;
use crate::git;
use clap::Args;
use client::Error;

#[derive(Args)]
pub(crate) struct Run {
    /// The project to build [default: the project of the repository here, else the only project that you may see]
    project: Option<String>,
    /// Build the tip of this branch or full ref [default: the branch here; outside of the repository, the main branch]
    #[arg(long = "ref", value_name = "REF", conflicts_with = "revision")]
    ref_name: Option<String>,
    /// Build this commit
    #[arg(long, value_name = "COMMIT")]
    revision: Option<String>,
    /// Wait until the build ends, and exit with its outcome
    #[arg(long)]
    wait: bool,
}

impl Run {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        connected.wait_for_master();
        let project = connected.project(self.project.as_deref()).await?.name.clone();
        let (ref_name, revision) = self.what(connected, &project).await?;
        let what = match (ref_name.as_str(), revision.as_str()) {
            ("", "") => "the main branch",
            (name, "") => name,
            (_, revision) => revision,
        };
        connected.printer.note(format!("run: {project} {what}"));
        let number = connected.guild().await?.run(&project, &ref_name, &revision).await?;
        if self.ref_name.is_none() && self.revision.is_none() && !ref_name.is_empty() {
            connected.say_other_commit(&project, number).await?;
        }
        connected.say_build(&project, number).await?;
        match self.wait {
            true => until_end(connected, &project, number).await,
            false => Ok(0),
        }
    }

    /// Returns the ref and the revision to ask for, of which at most one is not empty. If both are empty, the master builds its default
    /// branch, which it knows and this directory does not.
    async fn what(&self, connected: &Connected, project: &str) -> Result<(String, String), Error> {
        if let Some(revision) = &self.revision {
            let full = connected.copy().and_then(|copy| git::resolve(&copy.toplevel, revision));
            return Ok((String::new(), full.unwrap_or_else(|| revision.clone())));
        }
        if let Some(ref_name) = &self.ref_name {
            return Ok((ref_name.clone(), String::new()));
        }
        let of_here = connected.project_here().await?.filter(|connected| connected.name == project);
        match of_here.and_then(|of_here| connected.branch(Some(of_here))) {
            Some(branch) => Ok((branch, String::new())),
            None if of_here.is_some() => Err(Error::usage("HEAD is detached, so there is no branch to build")
                .help("name it with --ref BRANCH or --revision COMMIT")),
            // The master knows its default branch.
            None => Ok((String::new(), String::new())),
        }
    }
}
