//! Where the person stands: options, context, repository, and the guild once it is asked for. Resolves what a selector
//! stands for. Commands print through it: data to stdout, everything else to stderr.

use crate::commands::Options;
use crate::render::{self, Look};
use client::context::{Context, Contexts};
use client::git::{self, WorkingCopy};
use client::selector::{Selector, Which};
use client::views::{BuildView, ProjectView};
use client::{BuildQuery, Error, Guild, LinkNews, Tail};
use schema::values::Outcome;
use serde_json::Value;
use std::cell::OnceCell;
use std::io::Write as _;
use std::path::PathBuf;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OnceCell as AsyncOnceCell;

pub(crate) struct Here {
    pub(crate) options: Options,
    pub(crate) look: Look,
    directory: PathBuf,
    copy: OnceCell<Option<WorkingCopy>>,
    guild: AsyncOnceCell<Guild>,
    projects: AsyncOnceCell<Vec<ProjectView>>,
}

impl Here {
    pub(crate) fn new(options: Options) -> Here {
        Here {
            options,
            look: Look::of_process(),
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            copy: OnceCell::new(),
            guild: AsyncOnceCell::new(),
            projects: AsyncOnceCell::new(),
        }
    }

    pub(crate) fn context(&self) -> Result<Context, Error> {
        Contexts::of_user()?.choose(self.options.cap.as_deref(), self.options.context.as_deref(), &self.directory)
    }

    pub(crate) async fn guild(&self) -> Result<&Guild, Error> {
        self.guild
            .get_or_try_init(async || {
                let (credential, identity) = self.context()?.open()?;
                let guild = Guild::connect(credential, identity).await?;
                guild.on_link_news(tell_link_news);
                Ok(guild)
            })
            .await
    }

    pub(crate) fn copy(&self) -> Option<&WorkingCopy> {
        self.copy.get_or_init(|| WorkingCopy::around(&self.directory)).as_ref()
    }

    pub(crate) async fn projects(&self) -> Result<&[ProjectView], Error> {
        let projects = self.projects.get_or_try_init(async || self.guild().await?.projects().await).await?;
        Ok(projects)
    }

    /// The project of the repository here.
    pub(crate) async fn project_here(&self) -> Result<Option<&ProjectView>, Error> {
        let Some(copy) = self.copy() else { return Ok(None) };
        Ok(project_of(copy, self.projects().await?))
    }

    /// The named project, or the one here, or the only one.
    pub(crate) async fn project(&self, name: Option<&str>) -> Result<&ProjectView, Error> {
        let projects = self.projects().await?;
        let found = match name {
            Some(name) => projects.iter().find(|project| project.name == name),
            None => match (self.project_here().await?, projects) {
                (Some(project), _) | (None, [project]) => Some(project),
                (None, _) => {
                    return Err(Error::usage("this directory belongs to no project of the master")
                        .help(format!("name one of {}", self.project_names().await?.join(", "))));
                }
            },
        };
        let names = self.project_names().await?.join(", ");
        found.ok_or_else(|| {
            Error::not_found(format!("no project `{}`, or none that you may see", name.unwrap_or_default()))
                .help(format!("those that there are: {names}"))
        })
    }

    async fn project_names(&self) -> Result<Vec<String>, Error> {
        Ok(self.projects().await?.iter().map(|project| project.name.clone()).collect())
    }

    /// Reads a selector, with the project filled in where the repository here says it. None: everything here.
    pub(crate) async fn selector(&self, text: Option<&str>) -> Result<Selector, Error> {
        let mut selector = match text {
            None => Selector::default(),
            Some(text) => {
                Selector::parse(text, &self.project_names().await?).map_err(|error| Error::usage(error.to_string()))?
            }
        };
        if selector.project.is_none() {
            let here = self.project_here().await?.map(|project| project.name.clone());
            let only = match self.projects().await? {
                [only] => Some(only.name.clone()),
                _ => None,
            };
            selector.project = here.or(only);
        }
        Ok(selector)
    }

    /// The build that a selector stands for, with its jobs.
    pub(crate) async fn build(&self, text: Option<&str>) -> Result<(Selector, BuildView), Error> {
        let mut selector = self.selector(text).await?;
        let project = selector.project.clone().unwrap_or_default();
        let (project, number) = match &selector.build {
            Which::Number(_) if project.is_empty() => {
                let text = text.unwrap_or_default();
                return Err(Error::usage(format!("`{text}`: of which project?"))
                    .help(format!("write PROJECT/{text}, with one of {}", self.project_names().await?.join(", "))));
            }
            Which::Number(number) => (project, *number),
            Which::Newest => self.newest(project, text.is_none()).await?,
            Which::Named(name) => self.named(&project, name).await?,
        };
        let build = self.guild().await?.build(&project, number).await?;
        let names: Vec<&str> = build.jobs.iter().map(|job| job.name.as_str()).collect();
        selector.step_of_only_job(&names);
        if let Some(job) = &selector.job
            && !names.iter().any(|name| selector.chooses(name))
        {
            return Err(Error::not_found(format!("{} has no job `{job}`", build.selector()))
                .help(format!("its jobs: {}", names.join(", "))));
        }
        Ok((selector, build))
    }

    /// As [`Here::build`], for what changes something: a selector or `--latest` must name it, and it is said first.
    pub(crate) async fn build_to_change(
        &self,
        verb: &str,
        text: Option<&str>,
        latest: bool,
    ) -> Result<(Selector, BuildView), Error> {
        if text.is_none() && !latest {
            return Err(Error::usage(format!("which build is to be {verb}?")).help("name it, or say --latest"));
        }
        let (selector, build) = self.build(text).await?;
        let job = selector.job.as_ref().map_or_else(String::new, |job| format!("/{job}"));
        self.note(&format!("{verb}: {}{job}  {}", build.selector(), one_line(&build)));
        Ok((selector, build))
    }

    /// Where nothing is named and the repository here is the project's: of its HEAD, else of its branch.
    async fn newest(&self, project: String, by_head: bool) -> Result<(String, u32), Error> {
        if by_head && self.project_here().await?.is_some_and(|here| here.name == project) {
            let head = self.copy().and_then(|copy| copy.head.clone()).unwrap_or_default();
            let branch = self.copy().and_then(|copy| copy.branch.clone()).unwrap_or_default();
            for (ref_name, revision) in [("", head.as_str()), (branch.as_str(), "")] {
                if let Some(build) = self.first(&project, ref_name, revision).await? {
                    return Ok((build.project, build.number));
                }
            }
        }
        let query = BuildQuery { project: project.clone(), limit: 1, ..BuildQuery::default() };
        let newest = self.guild().await?.builds(&query).await?.into_iter().next();
        newest.map(|build| (build.project, build.number)).ok_or_else(|| match project.is_empty() {
            true => Error::not_found("there is no build yet"),
            false => Error::not_found(format!("{project} has no build yet")).help("`guild run` asks for one"),
        })
    }

    /// A commit, a branch, or what git makes a commit of.
    async fn named(&self, project: &str, name: &str) -> Result<(String, u32), Error> {
        let hex = name.len() >= 4 && name.chars().all(|c| c.is_ascii_hexdigit());
        let commit = if hex { name.to_lowercase() } else { String::new() };
        for (ref_name, revision) in [("", commit.as_str()), (name, "")] {
            if let Some(build) = self.first(project, ref_name, revision).await? {
                return Ok((build.project, build.number));
            }
        }
        let commit = git::resolve(&self.directory, name).unwrap_or_default();
        if let Some(build) = self.first(project, "", &commit).await? {
            return Ok((build.project, build.number));
        }
        let names = self.project_names().await?.join(", ");
        Err(Error::not_found(format!("no project, branch or commit `{name}` with a build"))
            .help(format!("projects: {names}")))
    }

    async fn first(&self, project: &str, ref_name: &str, revision: &str) -> Result<Option<BuildView>, Error> {
        if ref_name.is_empty() && revision.is_empty() {
            return Ok(None);
        }
        let query = BuildQuery {
            project: project.to_owned(),
            ref_name: ref_name.to_owned(),
            revision: revision.to_owned(),
            before: 0,
            limit: 1,
        };
        Ok(self.guild().await?.builds(&query).await?.into_iter().next())
    }

    /// Data: to stdout, now.
    pub(crate) fn say(&self, text: &str) -> Result<(), Error> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::Output)
    }

    /// Progress and hints: to stderr.
    pub(crate) fn note(&self, text: &str) {
        note(text);
    }

    pub(crate) fn complain(&self, error: &Error) {
        note(&format!("error: {}", render::harmless(&error.to_string())));
        if !error.way_out().is_empty() {
            note(&format!("help: {}", render::harmless(error.way_out())));
        }
    }

    /// The build that a command made.
    pub(crate) async fn say_build(&self, project: &str, number: u32) -> Result<(), Error> {
        if !self.wants_json() {
            return self.say(&format!("{project}/{number}\n"));
        }
        let build = self.guild().await?.build(project, number).await?;
        self.say_json(&render::build_row(&build))
    }

    pub(crate) fn wants_json(&self) -> bool {
        self.options.json.is_some()
    }

    /// One row as JSON, with the fields that were asked for.
    pub(crate) fn say_json(&self, row: &Value) -> Result<(), Error> {
        let fields = self.options.json.as_deref().unwrap_or_default();
        self.say(&format!("{}\n", render::pick(row, fields)))
    }

    /// Rows as JSON Lines or as a table with these columns where no others were asked for.
    pub(crate) fn say_rows(&self, rows: &[Value], columns: &[&str]) -> Result<(), Error> {
        if self.wants_json() {
            return rows.iter().try_for_each(|row| self.say_json(row));
        }
        let columns = match self.options.columns.as_slice() {
            [] => columns.iter().map(|name| (*name).to_owned()).collect(),
            chosen => chosen.to_vec(),
        };
        self.say(&self.look.table(rows, &columns, !self.options.no_headers))
    }
}

/// The project whose repository this is a copy of.
pub(crate) fn project_of<'p>(copy: &WorkingCopy, projects: &'p [ProjectView]) -> Option<&'p ProjectView> {
    let is_here = |project: &&ProjectView| {
        std::iter::once(&project.repository).chain(&project.aliases).any(|address| copy.is_of(address))
    };
    projects.iter().find(is_here)
}

/// A build for a person: `main 3f9c2ab "Add zero-copy parse"`.
pub(crate) fn one_line(build: &BuildView) -> String {
    let revision: String = build.revision.chars().take(7).collect();
    render::harmless(&format!("{} {revision} \"{}\"", build.short_ref(), build.subject))
}

/// A terminal that went away is no reason to stop.
pub(crate) fn note(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

fn tell_link_news(news: LinkNews) {
    match news {
        LinkNews::Lost(why) => note(&format!("link lost ({}), reconnecting", render::harmless(&why))),
        LinkNews::Restored => note("reconnected, 0 lines lost"),
    }
}

pub(crate) fn exit_status(outcome: Outcome) -> u8 {
    u8::try_from(outcome.exit_code()).unwrap_or(4)
}

/// A whole tail to stdout.
pub(crate) async fn pour(tail: &mut Tail, out: &mut tokio::io::Stdout) -> Result<(), Error> {
    while let Some(bytes) = tail.next().await? {
        out.write_all(&bytes).await.map_err(Error::Output)?;
        out.flush().await.map_err(Error::Output)?;
    }
    Ok(())
}

/// Waits for the end of a build; its outcome as an exit status.
pub(crate) async fn wait_for(here: &Here, project: &str, number: u32) -> Result<u8, Error> {
    let outcome = here.guild().await?.outcome(project, number).await?;
    here.note(&format!("{project}/{number}: {outcome}"));
    Ok(exit_status(outcome))
}
