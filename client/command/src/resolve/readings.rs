//! The ways in which a name can be read, and the build for each of them.

use super::{Asked, By, Facts, Found, GitWord, Meant, Question, Stop, Wish, named_ref};
use crate::selector::{SelectorError, Words, chooses, read_commit, read_number, read_step};
use client::Error;
use schema::values::{ShortCommit, ShortRef, branch_or_tag};
use std::collections::BTreeSet;

/// The number of parts that can follow a build: a job and its step.
const PARTS_AFTER_BUILD: usize = 2;

/// The readings of a name that mean a build. If there are none, the best reason why.
#[derive(Default)]
struct Readings {
    found: Vec<Meant>,
    missing: Option<Error>,
}

impl Readings {
    fn add(&mut self, reading: Result<Meant, Error>) {
        match reading {
            Ok(meant) => self.found.push(meant),
            Err(error) => self.miss(error),
        }
    }

    fn miss(&mut self, error: Error) {
        self.missing.get_or_insert(error);
    }
}

/// Returns the meaning of a command without a selector.
pub(super) fn of_directory(asked: &Asked<'_>, facts: &Facts) -> Result<Meant, Stop> {
    let project = asked.checkout.project.as_deref();
    match (asked.wish, project) {
        (Wish::Scope, _) | (Wish::Look, None) => whole(asked, facts),
        (Wish::Look, Some(project)) => checked_out(asked, project, facts),
        (Wish::Change, Some(project)) => latest_here(asked, project, facts),
        (Wish::Change, None) => Err(refused(
            Error::not_found("this directory belongs to no project, so you have to name the build")
                .help("`guild list` shows the builds"),
        )),
    }
}

/// Returns the project here, or the only one, or all projects. For a command that looks, returns the newest build of that.
fn whole(asked: &Asked<'_>, facts: &Facts) -> Result<Meant, Stop> {
    let project = meant_project(asked).unwrap_or_default();
    let by = if project.is_empty() { By::Everything } else { By::Project };
    match asked.wish {
        Wish::Scope => Ok(Meant::new(by, project)),
        Wish::Look | Wish::Change => newest_of(project, by, facts),
    }
}

fn newest_of(project: &str, by: By, facts: &Facts) -> Result<Meant, Stop> {
    let newest = facts.builds(Question::Newest { project: project.to_owned() })?.first();
    newest.map(|build| Meant::of(by, build)).ok_or_else(|| {
        refused(match project {
            "" => Error::not_found("there is no build yet"),
            project => Error::not_found(format!("{project} has no build yet")).help("`guild run` asks for one"),
        })
    })
}

/// Returns the meaning for a command that looks: the build of HEAD's commit on its branch, or else the latest build of the branch.
fn checked_out(asked: &Asked<'_>, project: &str, facts: &Facts) -> Result<Meant, Stop> {
    let Some(branch) = asked.checkout.remote_branch() else { return detached(asked, project, facts) };
    if let Some(head) = &asked.checkout.head
        && let Some(build) = facts.builds(of_commit(project, branch, head))?.first()
    {
        return Ok(Meant::of(By::Checkout, build));
    }
    latest_of_branch(asked, project, branch, facts)
}

/// Returns the meaning for a command that changes something: the latest build of the branch.
fn latest_here(asked: &Asked<'_>, project: &str, facts: &Facts) -> Result<Meant, Stop> {
    match asked.checkout.remote_branch() {
        Some(branch) => latest_of_branch(asked, project, branch, facts),
        None => detached(asked, project, facts),
    }
}

fn latest_of_branch(asked: &Asked<'_>, project: &str, branch: &str, facts: &Facts) -> Result<Meant, Stop> {
    let latest = facts.builds(of_ref(project, branch))?.first();
    let tracked = asked.checkout.tracked.as_deref().filter(|tracked| *tracked != branch);
    latest.map(|build| Meant::of(By::Checkout, build)).ok_or_else(|| {
        let help = match tracked {
            Some(tracked) => format!("it tracks `{}`, another branch: name that one", ShortRef::of(tracked)),
            None => "push it, or ask for a build with `guild run`; `guild list` shows the builds of other branches"
                .to_owned(),
        };
        let text = format!("the branch `{}` of {project} has no build yet", ShortRef::of(branch));
        refused(Error::not_found(text).help(help))
    })
}

/// Returns the build of HEAD's commit on any branch, for a command that looks.
fn detached(asked: &Asked<'_>, project: &str, facts: &Facts) -> Result<Meant, Stop> {
    let head = asked.checkout.head.as_deref().unwrap_or_default();
    let build = match head {
        "" => None,
        head => facts.builds(of_commit(project, "", head))?.first(),
    };
    match (build, asked.wish) {
        (Some(build), Wish::Look | Wish::Scope) => {
            let note = format!("HEAD is detached: {} is of the {}", build.selector(), named_ref(&build.ref_name));
            Ok(Meant { note: Some(note), ..Meant::of(By::Commit(build.revision.clone()), build) })
        }
        (Some(build), Wish::Change) => Err(refused(
            Error::not_found("HEAD is detached, so you have to name the build")
                .help(format!("{} is the build of HEAD's commit, which you may name", build.selector())),
        )),
        (None, _) => Err(refused(
            Error::not_found(format!("HEAD is detached, and {project} has no build of its commit"))
                .help("check out a branch, or name a build: `guild list` shows them"),
        )),
    }
}

/// Returns the meaning of a typed selector.
pub(super) fn named(asked: &Asked<'_>, words: &Words, facts: &Facts) -> Result<Meant, Stop> {
    let mut readings = Readings::default();
    let (first, rest) = (&words.parts[0], &words.parts[1..]);
    let is_project = asked.projects.contains(first);
    if words.names_project && !is_project {
        let text = format!("there is no project `{first}`, or you may not see it");
        return Err(refused(Error::not_found(text).help(those_there_are(asked))));
    }
    if is_project {
        below_project(asked, words, first, rest, facts, &mut readings)?;
    }
    let project = meant_project(asked).unwrap_or_default();
    match (words.names_project, is_project && read_number(first).is_none()) {
        (true, _) => {}
        // A branch of the project here can begin with the name of another project.
        (false, true) if project.is_empty() => {}
        (false, true) => refs(project, &words.parts, words.parts.len(), facts, &mut readings)?,
        (false, false) => by_name(asked, project, &words.parts, facts, &mut readings)?,
    }
    chosen(asked, words, readings)
}

/// Adds the meanings of the parts after the name of a project.
fn below_project(
    asked: &Asked<'_>,
    words: &Words,
    project: &str,
    rest: &[String],
    facts: &Facts,
    readings: &mut Readings,
) -> Result<(), Stop> {
    if rest.is_empty() {
        return only_project(asked, project, facts, readings);
    }
    // The address of a page says whether the next part is a number or a branch.
    match (words.names_ref, words.names_project.then(|| read_number(&rest[0])).flatten()) {
        (true, _) => refs(project, rest, rest.len(), facts, readings),
        (false, Some(number)) => {
            readings.add(numbered(asked, project, number, rest, facts)?);
            Ok(())
        }
        (false, None) => by_name(asked, project, rest, facts, readings),
    }
}

fn only_project(asked: &Asked<'_>, project: &str, facts: &Facts, readings: &mut Readings) -> Result<(), Stop> {
    match asked.wish {
        Wish::Scope => readings.found.push(Meant::new(By::Project, project)),
        Wish::Look => readings.add(unless_refused(newest_of(project, By::Project, facts))?),
        Wish::Change => readings.miss(
            Error::usage(format!("`{project}` is a project, so you have to say which build of it"))
                .help(format!("write {project}/NUMBER or {project}/BRANCH")),
        ),
    }
    Ok(())
}

/// Adds the meanings of a name in a project: a build by its number, a branch, a tag, a commit, or what git finds.
fn by_name(
    asked: &Asked<'_>,
    project: &str,
    parts: &[String],
    facts: &Facts,
    readings: &mut Readings,
) -> Result<(), Stop> {
    let before = readings.found.len();
    let number = read_number(&parts[0]);
    let of_number = number.map(|number| numbered(asked, project, number, parts, facts)).transpose()?;
    if let Some(Ok(meant)) = of_number {
        readings.found.push(meant);
        let may_be_branch = parts.len() > 1 && !parts[0].starts_with('#');
        return if may_be_branch { refs(project, parts, parts.len(), facts, readings) } else { Ok(()) };
    }
    match project.is_empty() && asked.wish == Wish::Change {
        true => readings.miss(of_which_project(asked, parts)),
        false => refs(project, parts, 1, facts, readings)?,
    }
    if let Some(Err(error)) = of_number {
        let is_there = !project.is_empty()
            && number.is_some_and(|number| {
                let question = Question::Number { project: project.to_owned(), number };
                facts.builds(question).is_ok_and(|builds| !builds.is_empty())
            });
        readings.miss(if is_there { error } else { or_no_name(error, parts) });
    }
    if let Some(prefix) = read_commit(&parts[0])
        && (number.is_none() || readings.found.len() == before)
    {
        commits(asked, project, &prefix, &parts[1..], facts, readings)?;
    }
    match (project_is_here(asked, project), parts) {
        (true, [word]) if matches!(word.as_str(), "HEAD" | "@") => head(asked, project, facts, readings),
        (true, _) if readings.found.len() == before => by_git(asked, project, &parts.join("/"), facts, readings),
        (true | false, _) => Ok(()),
    }
}

fn numbered(
    asked: &Asked<'_>,
    project: &str,
    number: u32,
    parts: &[String],
    facts: &Facts,
) -> Result<Result<Meant, Error>, Stop> {
    if project.is_empty() {
        return Ok(Err(of_which_project(asked, parts)));
    }
    Ok(match facts.builds(Question::Number { project: project.to_owned(), number })?.first() {
        Some(build) => with_job(By::Number, build, &parts[1..]),
        None => Err(Error::not_found(format!("there is no build {project}/{number}")).help("`guild list` shows them")),
    })
}

/// Extends the error about a number without a build. The number could have been a name, so the error also says that no such name has a
/// build.
fn or_no_name(mut error: Error, parts: &[String]) -> Error {
    if let Error::NotFound { text, .. } = &mut error
        && !parts[0].starts_with('#')
    {
        text.push_str(&format!(", and no branch, tag or commit `{}` with a build", parts.join("/")));
    }
    error
}

/// Adds the branches and tags that the first parts can name. A name has at least `shortest` parts, and a job and a step may follow it.
fn refs(project: &str, parts: &[String], shortest: usize, facts: &Facts, readings: &mut Readings) -> Result<(), Stop> {
    let shortest = parts.len().saturating_sub(PARTS_AFTER_BUILD).max(shortest);
    for length in (shortest..=parts.len()).rev() {
        let (name, job) = (parts[..length].join("/"), &parts[length..]);
        for full in built_refs(project, &name, facts)? {
            let builds = facts.builds(of_ref(project, &full))?;
            for build in one_of_each_project(builds) {
                if job.is_empty() {
                    readings.found.push(Meant::of(By::Ref(full.clone()), build));
                    continue;
                }
                let number = Question::Number { project: build.project.clone(), number: build.number };
                if let Some(build) = facts.builds(number)?.first() {
                    readings.add(with_job(By::Ref(full.clone()), build, job));
                }
            }
        }
    }
    Ok(())
}

/// Returns the full refs with builds that a name can mean. A full name means itself, and a short one a branch or a tag.
fn built_refs(project: &str, name: &str, facts: &Facts) -> Result<Vec<String>, Stop> {
    let full = if name.starts_with("refs/") { vec![name.to_owned()] } else { Vec::new() };
    let short = branch_or_tag(name).to_vec();
    // Git writes a branch in this form if a tag has the same name.
    let qualified = name.starts_with("heads/") || name.starts_with("tags/");
    let qualified = if qualified { vec![format!("refs/{name}")] } else { Vec::new() };
    for candidates in [full, short, qualified] {
        let mut built = Vec::new();
        for candidate in candidates {
            if !facts.builds(of_ref(project, &candidate))?.is_empty() {
                built.push(candidate);
            }
        }
        if !built.is_empty() {
            return Ok(built);
        }
    }
    Ok(Vec::new())
}

/// Returns the meaning of the option `--ref`, for which the branch goes before the tag.
pub(super) fn first_of_ref(project: &str, name: &str, facts: &Facts) -> Result<Option<Meant>, Stop> {
    let Some(full) = built_refs(project, name, facts)?.into_iter().next() else { return Ok(None) };
    let newest = facts.builds(of_ref(project, &full))?.first();
    Ok(newest.map(|build| Meant::of(By::Ref(full), build)))
}

/// Adds builds of the commits that begin with these digits, on the branch here or else on any branch.
fn commits(
    asked: &Asked<'_>,
    project: &str,
    prefix: &str,
    job: &[String],
    facts: &Facts,
    readings: &mut Readings,
) -> Result<(), Stop> {
    let here = asked.checkout.remote_branch().filter(|_| project_is_here(asked, project));
    let mut builds: &[Found] = &[];
    if let Some(branch) = here {
        builds = facts.builds(of_commit(project, branch, prefix))?;
    }
    let is_elsewhere = builds.is_empty();
    if is_elsewhere {
        builds = facts.builds(of_commit(project, "", prefix))?;
    }
    for build in distinct(builds, asked.wish) {
        let by = By::Commit(build.revision.clone());
        let meant = match job {
            [] => Ok(Meant::of(by, build)),
            job => {
                let number = Question::Number { project: build.project.clone(), number: build.number };
                facts.builds(number)?.first().map_or_else(|| Err(gone(build)), |build| with_job(by, build, job))
            }
        };
        let note = here.filter(|_| is_elsewhere).map(|branch| {
            let (commit, of) = (ShortCommit::of(&build.revision), named_ref(&build.ref_name));
            format!("{commit} has no build on the {}: {} is of the {of}", named_ref(branch), build.selector())
        });
        readings.add(meant.map(|meant| Meant { note, ..meant }));
    }
    Ok(())
}

/// Returns the newest build of each commit. For a command that changes something, returns the newest build of each commit and ref.
fn distinct(builds: &[Found], wish: Wish) -> Vec<&Found> {
    let mut seen = BTreeSet::new();
    let mut distinct = Vec::new();
    for build in builds {
        let of_ref = if wish == Wish::Change { build.ref_name.as_str() } else { "" };
        if seen.insert((build.project.as_str(), build.revision.as_str(), of_ref)) {
            distinct.push(build);
        }
    }
    distinct
}

fn one_of_each_project(builds: &[Found]) -> impl Iterator<Item = &Found> {
    let mut seen = BTreeSet::new();
    builds.iter().filter(move |build| seen.insert(build.project.as_str()))
}

/// Asks git for the meaning of a name that the master does not know.
fn by_git(asked: &Asked<'_>, project: &str, word: &str, facts: &Facts, readings: &mut Readings) -> Result<(), Stop> {
    match facts.word(word)? {
        None => {}
        Some(GitWord::Ref(full)) => match facts.builds(of_ref(project, full))?.first() {
            Some(build) => readings.found.push(Meant::of(By::Ref(full.clone()), build)),
            // The builds of the ref's commit belong to other branches, so they are not meant.
            None => readings.missing = Some(nothing_of_ref(project, full)),
        },
        Some(GitWord::Commit(id)) if asked.wish == Wish::Change && is_from_head(word) => {
            at_head(asked, project, (word, id), facts, readings)?;
        }
        Some(GitWord::Commit(id)) => {
            commits(asked, project, id, &[], facts, readings)?;
            let text = format!("{project} has no build of `{word}`, which is commit {}", ShortCommit::of(id));
            readings.miss(Error::not_found(text).help("ask for one with `guild run --revision`"));
        }
    }
    Ok(())
}

/// Whether a word names a commit of the branch here, such as `HEAD~1` or `@^`.
fn is_from_head(word: &str) -> bool {
    word.starts_with("HEAD") || word.starts_with('@')
}

fn head(asked: &Asked<'_>, project: &str, facts: &Facts, readings: &mut Readings) -> Result<(), Stop> {
    let head = asked.checkout.head.as_deref().unwrap_or_default();
    at_head(asked, project, ("HEAD", head), facts, readings)
}

/// Adds the build of HEAD's commit, or of a commit before it, on the branch here and on no other.
fn at_head(
    asked: &Asked<'_>,
    project: &str,
    (word, id): (&str, &str),
    facts: &Facts,
    readings: &mut Readings,
) -> Result<(), Stop> {
    let Some(branch) = asked.checkout.remote_branch().filter(|_| !id.is_empty()) else {
        readings.add(unless_refused(detached(asked, project, facts))?);
        return Ok(());
    };
    readings.add(match facts.builds(of_commit(project, branch, id))?.first() {
        Some(build) => Ok(Meant::of(By::Commit(build.revision.clone()), build)),
        None => {
            let text =
                format!("{word}, {}, has no build on the {} of {project}", ShortCommit::of(id), named_ref(branch));
            Err(Error::not_found(text).help("push it, and wait until the master sees it; or run `guild run`"))
        }
    });
    Ok(())
}

/// Returns a build, with the job and the step that follow it in the selector.
fn with_job(by: By, build: &Found, parts: &[String]) -> Result<Meant, Error> {
    let meant = Meant::of(by, build);
    let has = |job: &str| build.jobs.iter().any(|name| chooses(job, name));
    let no_job = |job: &str| {
        Error::not_found(format!("{} has no job `{job}`", build.selector()))
            .help(format!("its jobs: {}", build.jobs.join(", ")))
    };
    let usage = |error: SelectorError| Error::usage(error.to_string());
    match parts {
        [] => Ok(meant),
        [job] if has(job) => Ok(Meant { job: Some(job.clone()), ..meant }),
        [step] => match (build.jobs.as_slice(), read_step(step)) {
            // If the build has only one job, a number after it is a step.
            ([only], Ok(step)) => Ok(Meant { job: Some(only.clone()), step: Some(step), ..meant }),
            (_, _) => Err(no_job(step)),
        },
        [job, step] => {
            let step = read_step(step).map_err(usage)?;
            if has(job) { Ok(Meant { job: Some(job.clone()), step: Some(step), ..meant }) } else { Err(no_job(job)) }
        }
        more => Err(usage(SelectorError::TooLong(format!("{}/{}", build.number, more.join("/"))))),
    }
}

/// Returns the answer if there is one reading. If there are more, the person has to choose.
fn chosen(asked: &Asked<'_>, words: &Words, readings: Readings) -> Result<Meant, Stop> {
    let Readings { mut found, missing } = readings;
    let mut seen = BTreeSet::new();
    found.retain(|meant| seen.insert(meant.exact()));
    let typed = words.parts.join("/");
    match found.len() {
        0 => Err(refused(missing.unwrap_or_else(|| nothing_named(asked, &typed)))),
        1 => Ok(found.remove(0)),
        _ => Err(Stop::Choose { typed, choices: found }),
    }
}

/// Turns a refusal into the end of one reading, so that other readings may still succeed.
fn unless_refused(reading: Result<Meant, Stop>) -> Result<Result<Meant, Error>, Stop> {
    match reading {
        Ok(meant) => Ok(Ok(meant)),
        Err(Stop::Refuse(error)) => Ok(Err(error)),
        Err(other @ (Stop::Ask(_) | Stop::Choose { .. })) => Err(other),
    }
}

fn of_which_project(asked: &Asked<'_>, parts: &[String]) -> Error {
    let text = parts.join("/");
    Error::usage(format!("`{text}`: in which project?"))
        .help(format!("write PROJECT/{text}; {}", those_there_are(asked)))
}

fn nothing_named(asked: &Asked<'_>, typed: &str) -> Error {
    let text = format!("there is no project, branch, tag or commit `{typed}` with a build");
    Error::not_found(text).help(format!("`guild list` shows the builds; {}", those_there_are(asked)))
}

pub(super) fn nothing_of_ref(project: &str, name: &str) -> Error {
    let what = if name.starts_with("refs/") { named_ref(name) } else { format!("branch or tag {name}") };
    Error::not_found(format!("{project} has no build of the {what}"))
        .help("`guild list` shows the builds; ask for one with `guild run --ref`")
}

fn those_there_are(asked: &Asked<'_>) -> String {
    format!("projects: {}", asked.projects.join(", "))
}

fn gone(build: &Found) -> Error {
    Error::not_found(format!("{} is no longer kept", build.selector()))
}

/// Returns the project of the repository here, or the only project.
fn meant_project<'a>(asked: &Asked<'a>) -> Option<&'a str> {
    match (&asked.checkout.project, asked.projects) {
        (Some(project), _) | (None, [project]) => Some(project),
        (None, _) => None,
    }
}

fn project_is_here(asked: &Asked<'_>, project: &str) -> bool {
    asked.checkout.project.as_deref() == Some(project)
}

fn of_ref(project: &str, ref_name: &str) -> Question {
    Question::Ref { project: project.to_owned(), ref_name: ref_name.to_owned() }
}

fn of_commit(project: &str, ref_name: &str, prefix: &str) -> Question {
    Question::Commit { project: project.to_owned(), ref_name: ref_name.to_owned(), prefix: prefix.to_owned() }
}

fn refused(error: Error) -> Stop {
    Stop::Refuse(error)
}
