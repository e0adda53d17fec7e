//! `guild project` shows the projects that the caller may see, and adds a new one.

use crate::connected::Connected;
use crate::git::origin;
use crate::printer::Printer;
use clap::{Args, Subcommand};
use client::Error;
use client::views::{CronView, ProjectView};
use schema::sturdy_ref::Token;
use schema::values::NewProject;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Project {
    /// List all projects
    List,
    /// Show one project [default: the project of the repository here, else the only project that you may see]
    Show(ProjectShow),
    /// Add a repository to the master, which fetches it once as a test; writes projects/NAME.toml there
    Add(Box<Add>),
    /// Print what to enter at a forge so that it tells the master of pushes, and what to add to the master file. Makes a
    /// new secret, which is shown once, and changes nothing
    Hook(Hook),
}

/// The forges that a master understands.
const FORGES: [&str; 4] = ["github", "gitea", "gitlab", "generic"];

#[derive(Args)]
pub(crate) struct Hook {
    /// The name of the project
    name: String,
    /// The kind of forge: github, gitea (Forgejo too), gitlab or generic
    #[arg(value_name = "FORGE", value_parser = FORGES)]
    kind: String,
}

#[derive(Args)]
pub(crate) struct Add {
    /// The name of the new project: letters, digits and `.` `_` `-`
    name: String,
    /// The address from which the master fetches with git [default: the remote `origin` of the repository here]
    repository: Option<String>,
    /// Another address of the repository, by which `guild` recognises a checkout
    #[arg(long, value_name = "ADDRESS")]
    alias: Vec<String>,
    /// A pattern of branches to follow [default: all]
    #[arg(long, value_name = "PATTERN")]
    branch: Vec<String>,
    /// A pattern of tags to follow [default: none]
    #[arg(long, value_name = "PATTERN")]
    tag: Vec<String>,
    /// How often the master looks for changes (30s, 5m) [default: as the master file says]
    #[arg(long, value_name = "TIME")]
    poll: Option<String>,
    /// A pool whose workers may take its jobs [default: the pool `default`]
    #[arg(long, value_name = "POOL")]
    pool: Vec<String>,
    /// Let everyone who can reach the pages look at the project
    #[arg(long)]
    public: bool,
    /// A file with the SSH key to fetch with; it is sent to the master, and only the master can read it there
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// A file with the known hosts to trust with the key
    #[arg(long, value_name = "FILE")]
    known_hosts_file: Option<PathBuf>,
    /// A file with the token to fetch with over HTTPS; it is sent to the master, and only the master can read it there
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Accept webhooks of github, gitea, gitlab or generic, and print their address and a new secret, which is shown once
    #[arg(long, value_name = "FORGE", value_parser = FORGES)]
    hook: Option<String>,
}

#[derive(Args)]
pub(crate) struct ProjectShow {
    name: Option<String>,
}

impl Project {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        match self {
            Project::List => {
                let rows: Vec<Value> = connected.projects().await?.iter().map(row).collect();
                connected.printer.say_rows(&rows, &["name", "latest", "repository"])?;
            }
            Project::Add(add) => add.run(connected).await?,
            Project::Hook(hook) => hook.run(connected).await?,
            Project::Show(show) => {
                let project = connected.project(show.name.as_deref()).await?;
                let crons = connected.guild().await?.crons(&project.name).await?;
                say(&connected.printer, project, &crons)?;
            }
        }
        Ok(0)
    }
}

impl Hook {
    async fn run(self, connected: &Connected) -> Result<(), Error> {
        let project = connected.project(Some(&self.name)).await?.name.clone();
        let pages = connected.guild().await?.whoami().await?.pages;
        if pages.is_empty() {
            return Err(Error::not_found("this master serves no pages, and so takes no webhooks")
                .help("an operator sets their address in the master file: web = \"127.0.0.1:8080\" in [listen]"));
        }
        let lines = self.lines(&project, &pages, &Token::random().reveal());
        if connected.printer.wants_json() {
            let row: serde_json::Map<String, Value> =
                lines.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            return connected.printer.say_json(&Value::Object(row));
        }
        lines.iter().try_for_each(|(name, value)| connected.printer.say_field(name, value))?;
        connected
            .printer
            .note("the secret is shown only now; write it into the file, and then run `guild config reload`");
        Ok(())
    }

    /// Returns first what to enter at the forge, and then what to change on the master's machine.
    fn lines(&self, project: &str, pages: &str, secret: &str) -> [(&'static str, String); 6] {
        let kind = &self.kind;
        [
            ("address", format!("{pages}/hook/{project}")),
            ("content", "application/json".to_owned()),
            ("events", "pushes of branches and tags".to_owned()),
            ("secret", secret.to_owned()),
            ("file", format!("hook.{project}, beside the file that has [project.{project}]")),
            ("key", format!("hook = {{ kind = \"{kind}\", secret_file = \"hook.{project}\" }}")),
        ]
    }
}

impl Add {
    async fn run(self, connected: &Connected) -> Result<(), Error> {
        let name = self.name.clone();
        let project = self.project(connected)?;
        let hook = connected.guild().await?.add_project(&project).await?;
        if connected.printer.wants_json() {
            let row =
                json!({ "name": name, "repository": project.repository, "hook": hook.address, "secret": hook.secret });
            return connected.printer.say_json(&row);
        }
        connected.printer.say_field("project", &format!("{name}, fetched from {}", project.repository))?;
        if !hook.address.is_empty() {
            connected.printer.say_field("hook", &hook.address)?;
            connected.printer.say_field("secret", &format!("{} (shown only now)", hook.secret))?;
        }
        Ok(())
    }

    fn project(self, connected: &Connected) -> Result<NewProject, Error> {
        let origin = || connected.copy().and_then(|copy| origin(&copy.toplevel));
        let missing = || {
            Error::usage("there is no repository here with a remote `origin`")
                .help("give the address of the repository after the name")
        };
        Ok(NewProject {
            name: self.name,
            repository: self.repository.or_else(origin).ok_or_else(missing)?,
            aliases: self.alias,
            branches: self.branch,
            tags: self.tag,
            poll: self.poll.unwrap_or_default(),
            pools: self.pool,
            public: self.public,
            credential: content(self.key_file)?,
            known_hosts: content(self.known_hosts_file)?,
            token: content(self.token_file)?,
            hook_kind: self.hook.unwrap_or_default(),
        })
    }
}

/// Returns the content of the named file, or nothing if no file is named.
fn content(file: Option<PathBuf>) -> Result<Vec<u8>, Error> {
    let Some(path) = file else { return Ok(Vec::new()) };
    match std::fs::read(&path) {
        Ok(content) if content.is_empty() => Err(Error::usage(format!("{} is empty", path.display()))),
        Ok(content) => Ok(content),
        Err(error) => Err(Error::file(path, error)),
    }
}

fn say(printer: &Printer, project: &ProjectView, crons: &[CronView]) -> Result<(), Error> {
    if printer.wants_json() {
        let mut row = row(project);
        row["crons"] = serde_json::to_value(crons).unwrap_or_default();
        return printer.say_json(&row);
    }
    let latest = if project.latest == 0 { "none".to_owned() } else { format!("{}/{}", project.name, project.latest) };
    let lines = [
        ("name", project.name.clone()),
        ("repository", project.repository.clone()),
        ("aliases", project.aliases.join(", ")),
        ("latest", latest),
    ];
    for (name, value) in lines {
        printer.say_field(name, &value)?;
    }
    for cron in crons {
        printer.say_field("cron", &format!("{} {}", cron.name, cron.line()))?;
    }
    Ok(())
}

fn row(project: &ProjectView) -> Value {
    serde_json::to_value(project).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T9.1: the lines for the forge and the line for the file fit together.
    #[test]
    fn a_hook_is_told_with_what_to_enter() {
        for kind in FORGES {
            let hook = Hook { name: "calc".to_owned(), kind: kind.to_owned() };
            let lines = hook.lines("calc", "https://ci.example.org", "s3cret");
            let told = |wanted: &str| lines.iter().find(|(name, _)| *name == wanted).map(|(_, text)| text.as_str());
            assert_eq!(told("address"), Some("https://ci.example.org/hook/calc"));
            assert_eq!(told("secret"), Some("s3cret"));
            let key = format!("hook = {{ kind = \"{kind}\", secret_file = \"hook.calc\" }}");
            assert_eq!(told("key"), Some(key.as_str()));
            assert!(told("file").unwrap().starts_with("hook.calc, beside the file"));
        }
    }
}
