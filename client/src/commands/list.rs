//! `guild list`: builds, newest first.

use crate::here::Here;
use crate::render::build_row;
use clap::Args;
use client::selector::Which;
use client::{BuildQuery, Error};

const COLUMNS: [&str; 7] = ["selector", "status", "ref", "revision", "subject", "created", "duration"];

#[derive(Args)]
pub(crate) struct List {
    /// A project, a branch or a commit [default: the project of the repository here, else all]
    selector: Option<String>,
    /// Only of this project
    #[arg(long)]
    project: Option<String>,
    /// Only of this branch
    #[arg(long = "ref", value_name = "REF")]
    ref_name: Option<String>,
    /// All projects, wherever this is
    #[arg(long)]
    all: bool,
    /// At most so many
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only builds before this number
    #[arg(long, default_value_t = 0)]
    before: u32,
}

impl List {
    pub(crate) async fn run(self, here: &Here) -> Result<u8, Error> {
        let mut query = self.query(here).await?;
        let guild = here.guild().await?;
        let mut builds = guild.builds(&query).await?;
        // a word that is a commit and no branch, or the other way round
        if builds.is_empty() && !query.revision.is_empty() {
            query.ref_name = std::mem::take(&mut query.revision);
            builds = guild.builds(&query).await?;
        }
        let rows: Vec<_> = builds.iter().map(build_row).collect();
        here.say_rows(&rows, &COLUMNS)?;
        match builds.first().and_then(|build| build.outcome) {
            Some(outcome) if here.options.exit_status => Ok(crate::here::exit_status(outcome)),
            _ => Ok(0),
        }
    }

    async fn query(&self, here: &Here) -> Result<BuildQuery, Error> {
        let mut query = BuildQuery { limit: self.limit, before: self.before, ..BuildQuery::default() };
        let mut selector = here.selector(self.selector.as_deref()).await?;
        if let Some(project) = &self.project {
            selector.project = Some(here.project(Some(project)).await?.name.clone());
        }
        if self.all && self.project.is_none() {
            selector.project = None;
        }
        query.project = selector.project.unwrap_or_default();
        query.ref_name = self.ref_name.clone().unwrap_or_default();
        match selector.build {
            Which::Newest => {}
            Which::Number(number) => {
                query.before = number.saturating_add(1);
                query.limit = 1;
            }
            Which::Named(name) if name.len() >= 4 && name.chars().all(|c| c.is_ascii_hexdigit()) => {
                query.revision = name.to_lowercase();
            }
            Which::Named(name) => query.ref_name = name,
        }
        Ok(query)
    }
}
