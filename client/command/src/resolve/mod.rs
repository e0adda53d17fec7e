//! Decides which build a person means. Pure: the knowledge of the master and of git comes in as [`Facts`]. If a fact is not known
//! yet, the answer is a [`Question`]. The caller of [`resolve`] answers it and calls again.
//!
//! The rules, in the order in which they are tried:
//! 1. If nothing is typed, a command that only looks means the build of HEAD's commit on the branch that is checked out. If
//!    that has none, it means the latest build of the branch, as does a command that changes something. If HEAD is detached,
//!    only a command that looks means a build, which is that of HEAD's commit.
//! 2. A number is the build of that number. If there is none, it may be a branch, a tag or a commit.
//! 3. A name is the built branch or tag of that name, or a commit that begins with it. A build of the commit on the branch that
//!    is checked out goes before its builds on other branches.
//! 4. Any other name is the ref or the commit that git finds for it in the project's own repository.
//!
//! A name never becomes another branch's build by way of the commit that both have. Where a name fits two things, the
//! answer is a choice, and each thing comes with the text that names it exactly.

mod readings;
#[cfg(test)]
mod tests;

use crate::selector::{Words, chooses};
use client::Error;
use client::views::BuildView;
use schema::values::{Selector, ShortCommit, ShortRef};
use std::collections::BTreeMap;

/// What the command will do with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The command only shows one build.
    Look,
    /// It cancels or retries one build.
    Change,
    /// It shows whatever is named, also a whole project.
    Scope,
}

/// What was asked for, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// `None` means that the command was given no name.
    pub(crate) typed: Option<&'a str>,
    pub(crate) wish: Wish,
    pub(crate) checkout: &'a Checkout,
    /// The projects that the person may see.
    pub(crate) projects: &'a [String],
}

/// What the working directory says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkout {
    /// The project whose repository this is a copy of.
    pub(crate) project: Option<String>,
    /// The full ref that HEAD names; none where HEAD is detached.
    pub(crate) branch: Option<String>,
    /// The full ref of the remote's branch that HEAD's branch tracks.
    pub(crate) tracked: Option<String>,
    /// The full ref of the remote's main branch, as far as it is known here.
    pub(crate) main: Option<String>,
    /// The full commit id of HEAD; none before the first commit.
    pub(crate) head: Option<String>,
}

impl Checkout {
    /// The branch that is checked out, by the name that it has at the remote. A branch that was begun from the main
    /// branch tracks it, and is a branch of its own all the same.
    pub(crate) fn remote_branch(&self) -> Option<&str> {
        let own = self.branch.as_deref()?;
        match self.tracked.as_deref() {
            Some(tracked) if self.main.as_deref() != Some(tracked) => Some(tracked),
            Some(_) | None => Some(own),
        }
    }
}

/// One thing to find out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    /// The build of this number, with the names of its jobs.
    Number { project: String, number: u32 },
    /// The newest build of the project; of all projects where it is empty.
    Newest { project: String },
    /// The newest build of this full ref. Where the project is empty, the newest ones of all projects.
    Ref { project: String, ref_name: String },
    /// Builds of the commits that begin so, the newest first. An empty ref or project does not narrow.
    Commit { project: String, ref_name: String, prefix: String },
    /// What git makes of a word in the repository here.
    Git { word: String },
}

/// What git makes of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GitWord {
    /// A full ref; of a remote's branch, and of a local one that tracks one, the name that it has there.
    Ref(String),
    /// The id of a commit in full.
    Commit(String),
}

/// What is known of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) project: String,
    pub(crate) number: u32,
    pub(crate) ref_name: String,
    pub(crate) revision: String,
    /// Names of its jobs; only of a build that was asked for by its number.
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

/// The answers that are known so far.
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

/// How the answer was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Nothing was named, and the directory belongs to no project: everything that the person may see.
    Everything,
    /// Nothing was named: what is checked out.
    Checkout,
    Project,
    Number,
    /// A ref, by its full name.
    Ref(String),
    /// A commit, by its full id.
    Commit(String),
}

/// What the typed words mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meant {
    pub(crate) by: By,
    /// The name of the project. `None` means all projects.
    pub(crate) project: Option<String>,
    /// None where the command asked for no build ([`Wish::Scope`]) and none was named.
    pub(crate) build: Option<Found>,
    /// With its cell; without one, all cells of that name.
    pub(crate) job: Option<String>,
    /// The number of the step, from 1.
    pub(crate) step: Option<u16>,
    /// First and last, from 1.
    pub(crate) lines: Option<(u64, u64)>,
    /// What the person may not expect of the build, in a sentence.
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

    /// Whether this names the job, or all cells of its name, or all jobs.
    pub(crate) fn chooses(&self, job: &str) -> bool {
        self.job.as_ref().is_none_or(|wanted| chooses(wanted, job))
    }

    /// The text that means this and nothing else.
    pub(crate) fn exact(&self) -> String {
        let project = self.project.as_deref().unwrap_or_default();
        let build = match (&self.by, &self.build) {
            (By::Ref(name), _) => name.clone(),
            (By::Project | By::Everything, _) | (_, None) => String::new(),
            // `7/hotfix` can also be a branch
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

/// Why there is no answer, or none yet.
#[derive(Debug)]
pub(crate) enum Stop {
    Ask(Question),
    /// The name fits each of these.
    Choose {
        typed: String,
        choices: Vec<Meant>,
    },
    Refuse(Error),
}

impl Stop {
    /// What is said where nobody can be asked.
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

/// The exact text of a choice, and what it is.
pub(crate) fn choice_line(choice: &Meant) -> String {
    format!("{}  {}", choice.exact(), choice.described())
}

/// Decides what the typed words mean.
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

/// The latest build of the branch of that name, else of the tag; a full ref is taken as it is.
pub(crate) fn resolve_ref(project: &str, name: &str, facts: &Facts) -> Result<Meant, Stop> {
    let found = readings::first_of_ref(project, name, facts)?;
    found.ok_or_else(|| Stop::Refuse(readings::nothing_of_ref(project, name)))
}

/// `branch main`, `tag v1`, or the ref as it is.
pub(crate) fn named_ref(name: &str) -> String {
    match ShortRef::of(name) {
        ShortRef::Branch(branch) => format!("branch {branch}"),
        ShortRef::Tag(tag) => format!("tag {tag}"),
        ShortRef::Other("") => "commit alone, without a branch".to_owned(),
        ShortRef::Other(name) => name.to_owned(),
    }
}
