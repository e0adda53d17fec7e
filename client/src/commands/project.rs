//! `guild project`: the projects that one may see.

use crate::here::Here;
use crate::render::harmless;
use clap::{Args, Subcommand};
use client::Error;
use client::views::ProjectView;
use serde_json::Value;

#[derive(Subcommand)]
pub(crate) enum Project {
    /// All projects
    List,
    /// One project [default: that of the repository here]
    Show(Show),
}

#[derive(Args)]
pub(crate) struct Show {
    name: Option<String>,
}

impl Project {
    pub(crate) async fn run(self, here: &Here) -> Result<u8, Error> {
        match self {
            Project::List => {
                let rows: Vec<Value> = here.projects().await?.iter().map(row).collect();
                here.say_rows(&rows, &["name", "latest", "repository"])?;
            }
            Project::Show(show) => say(here, here.project(show.name.as_deref()).await?)?,
        }
        Ok(0)
    }
}

fn say(here: &Here, project: &ProjectView) -> Result<(), Error> {
    if here.wants_json() {
        return here.say_json(&row(project));
    }
    let latest = if project.latest == 0 { "none".to_owned() } else { format!("{}/{}", project.name, project.latest) };
    let lines = [
        ("name", project.name.clone()),
        ("repository", project.repository.clone()),
        ("aliases", project.aliases.join(", ")),
        ("latest", latest),
    ];
    for (name, value) in lines {
        here.say(&format!("{}{}\n", here.look.label(name), harmless(&value)))?;
    }
    Ok(())
}

fn row(project: &ProjectView) -> Value {
    serde_json::to_value(project).unwrap_or_default()
}
