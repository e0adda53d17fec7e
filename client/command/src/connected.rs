//! The surroundings of a command: its options, its context, its repository, and the link to a guild. Finds the build that a selector
//! means.

use crate::git::{self, WorkingCopy};
use crate::options::Options;
use crate::output::{self, LogOutput, note};
use crate::printer::Printer;
use crate::render::{build_row, now, one_line, status_word};
use crate::resolve::{Asked, Checkout, Facts, Found, Meant, Question, Stop, Wish, choice_line, resolve, resolve_ref};
use crate::terminal_size::TerminalSize;
use client::context::{self, Context, Contexts};
use client::views::{BuildView, ProjectView};
use client::{BuildQuery, Error, Guild, LinkNews, Summary, Tail};
use schema::values::{Outcome, ShortCommit, Time, TimeSpan};
use std::cell::{Cell, OnceCell, RefCell};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OnceCell as AsyncOnceCell;

/// How long a command waits for a master that restarts. A master is usually back within seconds, and later only if it migrates a large
/// store.
const RESTART: Duration = Duration::from_secs(30);

/// The surroundings of a command: its options, its printer, and the checkout around it. The link to the master is made when the command
/// first asks for it.
pub(crate) struct Connected {
    pub(crate) options: Options,
    pub(crate) printer: Printer,
    directory: PathBuf,
    /// How long the command waits for a master that does not answer.
    patience: Cell<Duration>,
    copy: OnceCell<Option<WorkingCopy>>,
    guild: AsyncOnceCell<Guild>,
    projects: AsyncOnceCell<Vec<ProjectView>>,
    /// The project and the number of the build about which an interrupt asks.
    followed: RefCell<Option<(String, u32)>>,
}

impl Connected {
    pub(crate) fn new(options: Options) -> Connected {
        Connected {
            printer: Printer::new(&options),
            options,
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            patience: Cell::default(),
            copy: OnceCell::new(),
            guild: AsyncOnceCell::new(),
            projects: AsyncOnceCell::new(),
            followed: RefCell::default(),
        }
    }

    /// Makes an interrupt ask whether to cancel this build, because only the caller needs it.
    pub(crate) fn follow_until_interrupt(&self, project: &str, number: u32) {
        self.followed.replace(Some((project.to_owned(), number)));
    }

    /// Returns the build about which an interrupt asks.
    pub(crate) fn followed(&self) -> Option<(String, u32)> {
        self.followed.borrow().clone()
    }

    pub(crate) fn context(&self) -> Result<Context, Error> {
        if let Some(cap) = &self.options.cap {
            return Ok(context::of_file(cap));
        }
        Contexts::of_user()?.choose(None, self.options.context.as_deref(), &self.directory)
    }

    /// Says that the command uses another master, because the `guild-master up` of this repository has ended.
    fn say_ended(&self, used: &str) {
        let is_named = self.options.cap.is_some() || self.options.context.is_some();
        if !is_named && Contexts::of_user().ok().and_then(|contexts| contexts.ended(&self.directory)).is_some() {
            self.printer.note(format!("`guild-master up` does not run here, so context `{used}` is used"));
        }
    }

    /// Makes the command wait for a master that does not answer, because an upgrade of the master must not make the command fail.
    pub(crate) fn wait_for_master(&self) {
        self.patience.set(RESTART);
    }

    pub(crate) async fn guild(&self) -> Result<&Guild, Error> {
        self.guild
            .get_or_try_init(async || {
                let context = self.context()?;
                self.say_ended(&context.name);
                let (credential, identity) = context.open()?;
                let patience = self.patience.get();
                let waiting = |error: &Error| note(format!("{error}; waiting for up to {} s", patience.as_secs()));
                let guild = Guild::connect_patiently(credential, identity, patience, waiting).await?;
                guild.on_link_news(link_teller());
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

    /// Returns the project of the repository here, if the master has it.
    pub(crate) async fn project_here(&self) -> Result<Option<&ProjectView>, Error> {
        let Some(copy) = self.copy() else { return Ok(None) };
        Ok(project_of(copy, self.projects().await?))
    }

    /// Returns the named project. Without a name, returns the project here, or the only project that the caller may see.
    pub(crate) async fn project(&self, name: Option<&str>) -> Result<&ProjectView, Error> {
        let projects = self.projects().await?;
        let found = match name {
            Some(name) => projects.iter().find(|project| project.name == name),
            None => match (self.project_here().await?, projects) {
                (Some(project), _) | (None, [project]) => Some(project),
                (None, _) => {
                    return Err(Error::usage("this directory does not belong to a project of the master")
                        .help(format!("name one of {}", self.project_names().await?.join(", "))));
                }
            },
        };
        let names = self.project_names().await?.join(", ");
        found.ok_or_else(|| {
            Error::not_found(format!("there is no project `{}`, or you may not see it", name.unwrap_or_default()))
                .help(format!("choose one of: {names}"))
        })
    }

    async fn project_names(&self) -> Result<Vec<String>, Error> {
        Ok(self.projects().await?.iter().map(|project| project.name.clone()).collect())
    }

    /// Returns the meaning of a name. Without a name, it is the meaning of the checkout here.
    pub(crate) async fn meant(&self, typed: Option<&str>, wish: Wish) -> Result<Meant, Error> {
        let checkout = self.checkout().await?;
        self.meant_at(typed, wish, &checkout).await
    }

    /// Like [`Connected::meant`], but in a project that an option names.
    pub(crate) async fn meant_of(&self, project: &str, typed: Option<&str>, wish: Wish) -> Result<Meant, Error> {
        let checkout = self.checkout().await?;
        let checkout = match checkout.project.as_deref() == Some(project) {
            true => checkout,
            false => Checkout { project: Some(project.to_owned()), ..Checkout::default() },
        };
        self.meant_at(typed, wish, &checkout).await
    }

    async fn meant_at(&self, typed: Option<&str>, wish: Wish, checkout: &Checkout) -> Result<Meant, Error> {
        let projects = self.project_names().await?;
        let asked = Asked { typed, wish, checkout, projects: &projects };
        let meant = self.settle(|facts| resolve(&asked, facts)).await?;
        if let Some(note) = &meant.note {
            self.printer.note(note);
        }
        Ok(meant)
    }

    /// Returns the latest build of a branch or a tag.
    pub(crate) async fn meant_by_ref(&self, project: &str, name: &str) -> Result<Meant, Error> {
        self.settle(|facts| resolve_ref(project, name, facts)).await
    }

    /// Makes a decision: answers its questions until it has what it needs.
    async fn settle(&self, decide: impl Fn(&Facts) -> Result<Meant, Stop>) -> Result<Meant, Error> {
        let mut facts = Facts::default();
        loop {
            match decide(&facts) {
                Ok(meant) => return Ok(meant),
                Err(Stop::Ask(question)) => self.find_out(question, &mut facts).await?,
                Err(Stop::Choose { choices, .. }) if can_be_asked() => return ask(choices),
                Err(stop @ (Stop::Choose { .. } | Stop::Refuse(_))) => return Err(stop.into_error()),
            }
        }
    }

    async fn find_out(&self, question: Question, facts: &mut Facts) -> Result<(), Error> {
        match &question {
            Question::Git { word } => {
                let found = git::word(&self.directory, word);
                facts.learn_word(question, found);
            }
            Question::Number { .. } | Question::Newest { .. } | Question::Ref { .. } | Question::Commit { .. } => {
                let found = look_up(self.guild().await?, &question).await?;
                facts.learn_builds(question, found);
            }
        }
        Ok(())
    }

    /// Returns the checkout that contains the working directory.
    async fn checkout(&self) -> Result<Checkout, Error> {
        let project = self.project_here().await?;
        Ok(match (project, self.copy()) {
            (Some(project), Some(copy)) => checkout_of(copy, project),
            (_, _) => Checkout::default(),
        })
    }

    /// Returns the full ref of the branch here, by its name in the project's repository.
    pub(crate) fn branch(&self, project: Option<&ProjectView>) -> Option<String> {
        let copy = self.copy()?;
        match project {
            Some(project) => checkout_of(copy, project).remote_branch().map(str::to_owned),
            None => copy.branch.clone(),
        }
    }

    /// Returns the build that a name means, with its jobs.
    pub(crate) async fn build(&self, typed: Option<&str>) -> Result<(Meant, BuildView), Error> {
        self.build_of(self.meant(typed, Wish::Look).await?).await
    }

    async fn build_of(&self, meant: Meant) -> Result<(Meant, BuildView), Error> {
        let Some(found) = &meant.build else { return Err(Error::not_found("there is no build yet")) };
        let build = self.guild().await?.build(&found.project, found.number).await?;
        Ok((meant, build))
    }

    /// Like [`Connected::build`], for a command that changes the build. A selector or `--latest` must name the build, and the command
    /// first prints which build it is.
    pub(crate) async fn build_to_change(
        &self,
        verb: &str,
        typed: Option<&str>,
        latest: bool,
    ) -> Result<(Meant, BuildView), Error> {
        if typed.is_none() && !latest {
            return Err(Error::usage(format!("which build do you want to {verb}?"))
                .help("name it, or use --latest for the newest one of the branch here"));
        }
        let (meant, build) = self.build_of(self.meant(typed, Wish::Change).await?).await?;
        let job = meant.job.as_ref().map_or_else(String::new, |job| format!("/{job}"));
        self.printer.note(format!("{verb}: {}{job}  {}", build.selector(), one_line(&build)));
        Ok((meant, build))
    }

    /// Prints the last screen of a build, for a person.
    pub(crate) async fn say_summary(&self, project: &str, number: u32) -> Result<(), Error> {
        if self.printer.wants_json() {
            return Ok(());
        }
        // The outcome is known already, and stays the exit status even if the master cannot be reached now.
        let summary = match Summary::of(self.guild().await?, project, number).await {
            Err(error) if error.is_passing() => {
                self.printer.note(format!("the summary cannot be shown: {error}"));
                return Ok(());
            }
            summary => summary?,
        };
        let build = summary.build();
        if !build.is_finished() {
            self.printer.note(format!("{}: {}", build.selector(), status_word(build.state, build.outcome)));
            return Ok(());
        }
        let next =
            [format!("guild logs {} --failed", build.selector()), format!("guild retry {} --failed", build.selector())];
        let width = TerminalSize::of_process().width;
        summary.lines(width, &next).iter().for_each(|line| self.printer.note_line(line));
        Ok(())
    }

    /// Says that the shown build is not of the commit here, and when that commit will be built.
    pub(crate) async fn say_unbuilt_head(&self, shown: &BuildView) -> Result<(), Error> {
        let Some((copy, head)) = self.copy().and_then(|copy| Some((copy, copy.head.as_deref()?))) else {
            return Ok(());
        };
        if head == shown.revision {
            return Ok(());
        }
        let view = self.project(Some(&shown.project)).await?;
        let why = match is_with_master(copy, view) {
            false => "it is not pushed".to_owned(),
            true => {
                let look = self.next_look(&shown.project).await?.map_or_else(String::new, |look| format!("{look}; "));
                format!("{look}`guild run` builds it now")
            }
        };
        self.printer.note(format!("HEAD {} is not built yet: {why}", ShortCommit::of(head)));
        Ok(())
    }

    /// Says that the build is of another commit than HEAD, if the user may think that HEAD is built.
    pub(crate) async fn say_other_commit(&self, project: &str, number: u32) -> Result<(), Error> {
        let Some((copy, head)) = self.copy().and_then(|copy| Some((copy, copy.head.as_deref()?))) else {
            return Ok(());
        };
        // The build exists, even if this credential may not see it.
        let Ok(build) = self.guild().await?.build(project, number).await else { return Ok(()) };
        if head == build.revision {
            return Ok(());
        }
        let Ok(project) = self.project(Some(project)).await else { return Ok(()) };
        let is_pushed = is_with_master(copy, project);
        let is = if is_pushed { "is not the tip of the branch" } else { "is not pushed" };
        self.printer.note(format!(
            "HEAD {} {is}; building {}",
            ShortCommit::of(head),
            ShortCommit::of(&build.revision)
        ));
        Ok(())
    }

    /// Returns a sentence about when the master looks at the repository of a project again. `None` if the master does not say.
    pub(crate) async fn next_look(&self, project: &str) -> Result<Option<String>, Error> {
        let view = self.project(Some(project)).await?;
        let wait = |time: Time| TimeSpan(time.since(now())).rough();
        Ok(view.next_look.map(|time| format!("the master looks at the repository again in {}", wait(time))))
    }

    /// Prints the build that a command made.
    pub(crate) async fn say_build(&self, project: &str, number: u32) -> Result<(), Error> {
        if !self.printer.wants_json() {
            return self.printer.say(format!("{project}/{number}"));
        }
        let build = self.guild().await?.build(project, number).await?;
        self.printer.say_json(&build_row(&build))
    }
}

/// Returns the checkout as the project sees it. The branch that the local branch tracks counts only if it is in the project's
/// repository, because `up` follows the working copy itself.
fn checkout_of(copy: &WorkingCopy, project: &ProjectView) -> Checkout {
    let upstream = copy.upstream.clone().filter(|upstream| addresses(project).any(|address| upstream.is_of(address)));
    let (tracked, main) = upstream.map_or((None, None), |upstream| (Some(upstream.ref_name), upstream.main));
    Checkout {
        project: Some(project.name.clone()),
        branch: copy.branch.clone(),
        tracked,
        main,
        head: copy.head.clone(),
    }
}

fn addresses(project: &ProjectView) -> impl Iterator<Item = &String> {
    std::iter::once(&project.repository).chain(&project.aliases)
}

/// Whether the master can have HEAD's commit: it follows this very checkout, or the commit was pushed.
fn is_with_master(copy: &WorkingCopy, project: &ProjectView) -> bool {
    let here = WorkingCopy { toplevel: copy.toplevel.clone(), ..WorkingCopy::default() };
    addresses(project).any(|address| here.is_of(address)) || git::is_pushed(&copy.toplevel)
}

/// The limit for the builds that a decision examines if a project or a branch is not known.
const BUILDS_OF_ALL: u32 = 100;

/// Returns the master's answer to a question.
async fn look_up(guild: &Guild, question: &Question) -> Result<Vec<Found>, Error> {
    let query = match question {
        Question::Number { project, number } => {
            return match guild.build(project, *number).await {
                Ok(build) => Ok(vec![Found::of(&build)]),
                Err(error) if error.is_not_found() => Ok(Vec::new()),
                Err(error) => Err(error),
            };
        }
        Question::Newest { project } => BuildQuery { project: project.clone(), limit: 1, ..BuildQuery::default() },
        Question::Ref { project, ref_name } => {
            let limit = if project.is_empty() { BUILDS_OF_ALL } else { 1 };
            BuildQuery { project: project.clone(), ref_name: ref_name.clone(), limit, ..BuildQuery::default() }
        }
        Question::Commit { project, ref_name, prefix } => BuildQuery {
            project: project.clone(),
            ref_name: ref_name.clone(),
            revision: prefix.clone(),
            limit: BUILDS_OF_ALL,
            ..BuildQuery::default()
        },
        // Git answers this question, and not the master.
        Question::Git { .. } => return Ok(Vec::new()),
    };
    Ok(guild.builds(&query).await?.iter().map(Found::of).collect())
}

pub(crate) fn can_be_asked() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Lets the user choose one meaning.
fn ask(mut choices: Vec<Meant>) -> Result<Meant, Error> {
    for (number, choice) in (1..).zip(&choices) {
        note(format!("{number}  {}", choice_line(choice)));
    }
    output::ask("which one? ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|error| Error::file("standard input", error))?;
    let chosen = line.trim().parse::<usize>().ok().filter(|number| (1..=choices.len()).contains(number));
    match chosen {
        Some(number) => Ok(choices.swap_remove(number - 1)),
        None => Err(Error::usage("you chose none of them")),
    }
}

/// Returns the project whose repository this working copy is of.
pub(crate) fn project_of<'p>(copy: &WorkingCopy, projects: &'p [ProjectView]) -> Option<&'p ProjectView> {
    let is_here = |project: &&ProjectView| addresses(project).any(|address| copy.is_of(address));
    projects.iter().find(is_here)
}

/// Returns a listener that prints when the link is lost and when it is back. A lost link costs no output, unless a message cannot be
/// read.
fn link_teller() -> impl Fn(LinkNews) {
    let is_outgrown = Cell::new(false);
    move |news| match news {
        LinkNews::Lost(why) => note(format!("link lost ({why}), reconnecting")),
        LinkNews::Outgrown(why) => {
            is_outgrown.set(true);
            note(format!("link lost ({why}), reconnecting"));
        }
        LinkNews::Restored if is_outgrown.get() => note("reconnected"),
        LinkNews::Restored => note("reconnected, 0 lines lost"),
    }
}

pub(crate) fn exit_status(outcome: Outcome) -> u8 {
    u8::try_from(outcome.exit_code()).unwrap_or(4)
}

/// Writes the rest of a log to the output.
pub(crate) async fn pour(tail: &mut Tail, out: &mut LogOutput) -> Result<(), Error> {
    while let Some(bytes) = tail.next().await? {
        out.write_all(&bytes).await.map_err(Error::Output)?;
        out.flush().await.map_err(Error::Output)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Upstream;

    /// Returns the branch of a working copy on `mine`, which tracks `feature/x` of the origin.
    fn branch_in(repository: &str, aliases: &[&str]) -> Option<String> {
        let upstream = Upstream {
            address: "git@git.example.org:team/p.git".to_owned(),
            ref_name: "refs/heads/feature/x".to_owned(),
            main: None,
        };
        let copy = WorkingCopy {
            branch: Some("refs/heads/mine".to_owned()),
            upstream: Some(upstream),
            ..WorkingCopy::default()
        };
        let project = ProjectView {
            repository: repository.to_owned(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            ..ProjectView::default()
        };
        checkout_of(&copy, &project).remote_branch().map(str::to_owned)
    }

    #[test]
    fn a_branch_has_its_remotes_name_only_in_that_remote() {
        assert_eq!(branch_in("https://git.example.org/team/p", &[]).as_deref(), Some("refs/heads/feature/x"));
        assert_eq!(branch_in("/srv/p", &["ssh://git.example.org/team/p"]).as_deref(), Some("refs/heads/feature/x"));
        assert_eq!(branch_in("/home/me/p", &[]).as_deref(), Some("refs/heads/mine"), "`up` follows the copy itself");
        assert_eq!(branch_in("https://git.example.org/upstream/p", &[]).as_deref(), Some("refs/heads/mine"));
    }
}
