//! Decides which build a person means. It performs nothing: the facts that the master and git know come in as [`Facts`]. If a fact is
//! missing, the answer is a [`Question`]. The caller of [`resolve`] answers it and calls again.
//!
//! The rules, in the order in which they are tried:
//! 1. If nothing is typed, a command that only looks means the build of HEAD's commit on the branch that is checked out. If
//!    there is none, it means the latest build of the branch, as does a command that changes something. If HEAD is detached, only
//!    a command that looks means a build, which is that of HEAD's commit.
//! 2. A number is the build of that number. If there is none, it may be a branch, a tag or a commit.
//! 3. A name is the built branch or tag of that name, or a commit that begins with it. A build of the commit on the branch that
//!    is checked out goes before its builds on other branches.
//! 4. Any other name is the ref or the commit that git finds for it in the project's own repository.
//!
//! A name never becomes another branch's build because both branches have the same commit. If a name fits two things, the answer is a
//! choice, and each thing comes with the text that names it exactly.

mod readings;
#[cfg(test)]
mod tests;

use crate::selector::{Words, chooses};
use client::Error;
use client::views::BuildView;
use schema::values::{Selector, ShortCommit, ShortRef};
use std::collections::BTreeMap;

/// The purpose for which the command needs the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The command only shows one build.
    Look,
    /// The command cancels or retries one build.
    Change,
    /// The command shows whatever is named, which may be a whole project.
    Scope,
}

/// The typed name, with the circumstances that decide its meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The name that was typed. `None` means that the command was given no name.
    pub(crate) typed: Option<&'a str>,
    pub(crate) wish: Wish,
    pub(crate) checkout: &'a Checkout,
    /// The projects that the person may see.
    pub(crate) projects: &'a [String],
}

/// The facts about the working directory: its project, its branch and its commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkout {
    /// The project whose repository the working copy is of.
    pub(crate) project: Option<String>,
    /// The full ref that HEAD names; `None` if HEAD is detached.
    pub(crate) branch: Option<String>,
    /// The full ref of the remote's branch that HEAD's branch tracks.
    pub(crate) tracked: Option<String>,
    /// The full ref of the remote's main branch, as far as it is known here.
    pub(crate) main: Option<String>,
    /// The full commit id of HEAD; `None` before the first commit.
    pub(crate) head: Option<String>,
}

impl Checkout {
    /// Returns the branch that is checked out, by the name that it has at the remote. A branch that was begun from the main branch
    /// tracks that one, but is nevertheless a branch of its own.
    pub(crate) fn remote_branch(&self) -> Option<&str> {
        let own = self.branch.as_deref()?;
        match self.tracked.as_deref() {
            Some(tracked) if self.main.as_deref() != Some(tracked) => Some(tracked),
            Some(_) | None => Some(own),
        }
    }
}

/// One question whose answer a decision needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    /// The build of this number, with the names of its jobs.
    Number { project: String, number: u32 },
    /// The newest build of the project. An empty project means all projects.
    Newest { project: String },
    /// The newest build of this full ref. An empty project means the newest builds in all projects.
    Ref { project: String, ref_name: String },
    /// Builds of the commits whose ids begin with `prefix`, the newest first. An empty ref or project does not narrow them.
    Commit { project: String, ref_name: String, prefix: String },
    /// The meaning of a word to git in the repository here.
    Git { word: String },
}

/// The meaning of a word to git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GitWord {
    /// A full ref. A remote's branch, and a local branch that tracks one, have the name that the branch has at the remote.
    Ref(String),
    /// The full id of a commit.
    Commit(String),
}

/// The known facts about a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) project: String,
    pub(crate) number: u32,
    pub(crate) ref_name: String,
    pub(crate) revision: String,
    /// The names of the build's jobs. They are empty unless the question named the build by its number.
    pub(crate) jobs: Vec<String>,
}

impl Found {
    pub(crate) fn of(build: &BuildView) -> Found {
        Found {
            project: build.project.clone(),
            number: build.number,
            ref_name: build.ref_name.clone(),
            revision: build.revision.clone(),
            jobs: build.jobs.iter().map(|job| job.name.clone()).collect(),
        }
    }

    fn selector(&self) -> String {
        Selector::build(&self.project, self.number).to_string()
    }
}

/// The answers that the master and git have given so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    builds: BTreeMap<Question, Vec<Found>>,
    words: BTreeMap<Question, Option<GitWord>>,
}

impl Facts {
    pub(crate) fn learn_builds(&mut self, question: Question, builds: Vec<Found>) {
        self.builds.insert(question, builds);
    }

    pub(crate) fn learn_word(&mut self, question: Question, word: Option<GitWord>) {
        self.words.insert(question, word);
    }

    fn builds(&self, question: Question) -> Result<&[Found], Stop> {
        match self.builds.get(&question) {
            Some(builds) => Ok(builds),
            None => Err(Stop::Ask(question)),
        }
    }

    fn word(&self, word: &str) -> Result<Option<&GitWord>, Stop> {
        let question = Question::Git { word: word.to_owned() };
        match self.words.get(&question) {
            Some(found) => Ok(found.as_ref()),
            None => Err(Stop::Ask(question)),
        }
    }
}

/// The way in which the answer was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Nothing was typed, and the directory belongs to no project. It means everything that the person may see.
    Everything,
    /// Nothing was typed. It means what is checked out.
    Checkout,
    Project,
    Number,
    /// A ref, by its full name.
    Ref(String),
    /// A commit, by its full id.
    Commit(String),
}

/// The meaning of a typed name: a project, a build, a job, a step or lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meant {
    pub(crate) by: By,
    /// The name of the project. `None` means all projects.
    pub(crate) project: Option<String>,
    /// The build. `None` if the command needs no build ([`Wish::Scope`]) and the user named none.
    pub(crate) build: Option<Found>,
    /// The name of the job with its cell. Without a cell, it means all cells of that name.
    pub(crate) job: Option<String>,
    /// The number of the step, from 1.
    pub(crate) step: Option<u16>,
    /// The first and the last line, counted from 1.
    pub(crate) lines: Option<(u64, u64)>,
    /// A sentence about something that the person may not expect of the build.
    pub(crate) note: Option<String>,
}

impl Meant {
    fn new(by: By, project: &str) -> Meant {
        let project = (!project.is_empty()).then(|| project.to_owned());
        Meant { by, project, build: None, job: None, step: None, lines: None, note: None }
    }

    fn of(by: By, build: &Found) -> Meant {
        Meant { build: Some(build.clone()), ..Meant::new(by, &build.project) }
    }

    /// Whether this means the job: by its exact name, by its name without a cell, or because it names no job.
    pub(crate) fn chooses(&self, job: &str) -> bool {
        self.job.as_ref().is_none_or(|wanted| chooses(wanted, job))
    }

    /// Returns the text that means this and nothing else.
    pub(crate) fn exact(&self) -> String {
        let project = self.project.as_deref().unwrap_or_default();
        let build = match (&self.by, &self.build) {
            (By::Ref(name), _) => name.clone(),
            (By::Project | By::Everything, _) | (_, None) => String::new(),
            // `7/hotfix` can also be a branch, so the number gets a `#`.
            (By::Number, Some(build)) if self.job.is_some() => format!("#{}", build.number),
            (By::Number | By::Commit(_) | By::Checkout, Some(build)) => build.number.to_string(),
        };
        let job = self.job.as_ref().map_or_else(String::new, |job| format!("/{job}"));
        format!("{project}/{build}{job}")
    }

    fn described(&self) -> String {
        let last =
            self.build.as_ref().map_or_else(String::new, |build| format!(", last built as {}", build.selector()));
        match (&self.by, &self.build, &self.job) {
            (By::Ref(name), _, None) => format!("the {}{last}", named_ref(name)),
            (By::Ref(name), _, Some(job)) => format!("the job {job} of the {}{last}", named_ref(name)),
            (By::Number, Some(build), Some(job)) => format!("the job {job} of build {}", build.selector()),
            (By::Commit(_), Some(build), _) => {
                format!(
                    "the build of commit {} on the {}",
                    ShortCommit::of(&build.revision),
                    named_ref(&build.ref_name)
                )
            }
            (By::Project, _, _) => "the project".to_owned(),
            (_, Some(build), _) => format!("build {}", build.selector()),
            (_, None, _) => "all builds".to_owned(),
        }
    }
}

/// The reason why there is no answer, or none yet.
#[derive(Debug)]
pub(crate) enum Stop {
    Ask(Question),
    /// The name has each of these meanings.
    Choose {
        typed: String,
        choices: Vec<Meant>,
    },
    Refuse(Error),
}

impl Stop {
    /// Returns the error for a caller that cannot ask a person.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Stop::Refuse(error) => error,
            Stop::Ask(question) => Error::Protocol(format!("{question:?} was not answered")),
            Stop::Choose { typed, choices } => {
                let ways: Vec<String> = choices.iter().map(choice_line).collect();
                let count = if choices.len() == 2 { "two things".to_owned() } else { format!("{} things", ways.len()) };
                Error::usage(format!("`{typed}` fits {count}")).help(format!("write one of\n  {}", ways.join("\n  ")))
            }
        }
    }
}

/// Returns the exact text of a choice, and a description of it.
pub(crate) fn choice_line(choice: &Meant) -> String {
    format!("{}  {}", choice.exact(), choice.described())
}

/// Decides what the typed name means.
pub(crate) fn resolve(asked: &Asked<'_>, facts: &Facts) -> Result<Meant, Stop> {
    let Some(text) = asked.typed else { return readings::of_directory(asked, facts) };
    let words = Words::parse(text).map_err(|error| Stop::Refuse(Error::usage(error.to_string())))?;
    let mut meant = readings::named(asked, &words, facts)?;
    meant.lines = words.lines;
    match (&meant.lines, meant.step) {
        (Some((first, _)), None) => {
            let error = crate::selector::SelectorError::LinesOfNoStep(format!("L{first}"));
            Err(Stop::Refuse(Error::usage(error.to_string())))
        }
        (Some(_) | None, _) => Ok(meant),
    }
}

/// Returns the latest build of the branch of this name, or else of the tag. A full ref means itself.
pub(crate) fn resolve_ref(project: &str, name: &str, facts: &Facts) -> Result<Meant, Stop> {
    let found = readings::first_of_ref(project, name, facts)?;
    found.ok_or_else(|| Stop::Refuse(readings::nothing_of_ref(project, name)))
}

/// Returns `branch main`, `tag v1`, or the full ref if it is neither.
pub(crate) fn named_ref(name: &str) -> String {
    match ShortRef::of(name) {
        ShortRef::Branch(branch) => format!("branch {branch}"),
        ShortRef::Tag(tag) => format!("tag {tag}"),
        ShortRef::Other("") => "commit alone, without a branch".to_owned(),
        ShortRef::Other(name) => name.to_owned(),
    }
}
