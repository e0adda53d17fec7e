//! `guild list` lists builds, the newest first.

use crate::connected::Connected;
use crate::render::build_row;
use crate::resolve::{By, Wish};
use crate::selector::read_commit;
use clap::Args;
use client::{BuildQuery, Error};
use schema::values::full_refs;

const COLUMNS: [&str; 8] = ["selector", "status", "ref", "revision", "subject", "created", "duration", "cause"];

#[derive(Args)]
pub(crate) struct List {
    /// A project, a branch, a tag or a commit [default: the project of the repository here, else all]
    selector: Option<String>,
    /// List only builds of this project
    #[arg(long)]
    project: Option<String>,
    /// List only builds of this branch, or of this tag if no branch of this name was built
    #[arg(long = "ref", value_name = "REF")]
    ref_name: Option<String>,
    /// List builds of all projects, also inside of a repository
    #[arg(long)]
    all: bool,
    /// List at most this many builds
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// List only builds with a lower number than this
    #[arg(long, default_value_t = 0)]
    before: u32,
}

impl List {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let guild = connected.guild().await?;
        let mut builds = Vec::new();
        for query in self.queries(connected).await? {
            builds = guild.builds(&query).await?;
            if !builds.is_empty() {
                break;
            }
        }
        let is_for_person = connected.printer.look.terminal && !connected.printer.wants_json();
        let mut rows: Vec<_> = builds.iter().map(build_row).collect();
        let mut columns = &COLUMNS[..];
        if is_for_person {
            // a person sees the cause only where it matters, which leaves more room for the subject
            columns = &COLUMNS[..COLUMNS.len() - 1];
            rows.iter_mut().filter(|row| row["ref"] == "").for_each(|row| row["ref"] = row["cause"].clone());
        }
        connected.printer.say_rows(&rows, columns)?;
        match builds.first().and_then(|build| build.outcome) {
            Some(outcome) if connected.options.exit_status => Ok(crate::connected::exit_status(outcome)),
            _ => Ok(0),
        }
    }

    /// Returns the queries to try in turn. The first that finds a build is the answer.
    async fn queries(&self, connected: &Connected) -> Result<Vec<BuildQuery>, Error> {
        let query = BuildQuery { limit: self.limit, before: self.before, ..BuildQuery::default() };
        match self.all && self.project.is_none() {
            true => Ok(self.of_all(&query)),
            false => Ok(vec![self.query(connected, query).await?]),
        }
    }

    async fn query(&self, connected: &Connected, query: BuildQuery) -> Result<BuildQuery, Error> {
        let typed = self.selector.as_deref();
        let meant = match &self.project {
            Some(project) => {
                connected.meant_of(&connected.project(Some(project)).await?.name, typed, Wish::Scope).await?
            }
            None => connected.meant(typed, Wish::Scope).await?,
        };
        let project = meant.project.unwrap_or_default();
        let mut query = BuildQuery { project, ..query };
        match (meant.by, meant.build) {
            (By::Everything | By::Project | By::Checkout, _) => {}
            (By::Ref(name), _) => query.ref_name = name,
            (By::Commit(id), _) => query.revision = id,
            (By::Number, build) => {
                query.before = build.map_or(0, |build| build.number.saturating_add(1));
                query.limit = 1;
            }
        }
        if let Some(name) = &self.ref_name {
            query.ref_name = match connected.meant_by_ref(&query.project, name).await?.by {
                By::Ref(full) => full,
                By::Everything | By::Checkout | By::Project | By::Number | By::Commit(_) => name.clone(),
            };
        }
        Ok(query)
    }

    /// Returns the queries for a name in all projects together. The name may be a commit, a branch or a tag, and the list then shows
    /// which projects have it. A master of version 0.1 knows only full names of refs.
    fn of_all(&self, query: &BuildQuery) -> Vec<BuildQuery> {
        let Some(named) = self.ref_name.as_ref().or(self.selector.as_ref()) else { return vec![query.clone()] };
        let revision = self.selector.as_deref().and_then(read_commit);
        let of_ref = |ref_name| BuildQuery { ref_name, ..query.clone() };
        let of_refs: Vec<BuildQuery> = full_refs(named).into_iter().map(of_ref).collect();
        match (revision, &self.ref_name) {
            (None, _) => of_refs,
            (Some(revision), None) => [BuildQuery { revision, ..query.clone() }].into_iter().chain(of_refs).collect(),
            (Some(revision), Some(_)) => {
                of_refs.into_iter().map(|query| BuildQuery { revision: revision.clone(), ..query }).collect()
            }
        }
    }
}
