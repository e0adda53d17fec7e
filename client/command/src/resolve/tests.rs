//! Tests of situations, one on each line: the typed name, the place and purpose, and the meaning. `situations.txt` explains its form.

use super::*;
use crate::selector::read_commit;
use std::fmt::Write as _;

const SITUATIONS: &str = include_str!("situations.txt");
/// The least number of situations. With fewer, the table would not show that the rules hold everywhere.
const SITUATIONS_MIN: usize = 200;

/// The facts that the master and git know in one part of the table.
#[derive(Default)]
struct World {
    projects: Vec<String>,
    builds: Vec<Found>,
    checkouts: BTreeMap<String, Checkout>,
    words: BTreeMap<String, GitWord>,
}

fn full(name: &str) -> String {
    match name.split_once(':') {
        Some(("tag", tag)) => format!("refs/tags/{tag}"),
        Some(("ref", name)) => name.to_owned(),
        Some(_) | None if name == "-" => String::new(),
        Some(_) | None => format!("refs/heads/{name}"),
    }
}

/// Returns the full id of a commit. The table writes a commit by its first digits.
fn whole(commit: &str) -> String {
    format!("{commit:0<40}")
}

impl World {
    fn read(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["projects", names @ ..] => self.projects = names.iter().map(|name| (*name).to_owned()).collect(),
            ["build", number, name, commit, jobs @ ..] => self.build(number, name, commit, jobs),
            ["checkout", name, facts @ ..] => {
                self.checkouts.insert((*name).to_owned(), checkout(facts));
            }
            ["git", word, "is", kind, what] => {
                let what = if *kind == "ref" { GitWord::Ref(full(what)) } else { GitWord::Commit(whole(what)) };
                self.words.insert((*word).to_owned(), what);
            }
            _ => panic!("not a line of a world: {line}"),
        }
    }

    fn build(&mut self, number: &str, name: &str, commit: &str, jobs: &[&str]) {
        let (project, number) = number.split_once('/').unwrap();
        self.builds.push(Found {
            project: project.to_owned(),
            number: number.parse().unwrap(),
            ref_name: full(name),
            revision: whole(commit),
            jobs: jobs.iter().map(|job| (*job).to_owned()).collect(),
        });
    }

    /// Returns the builds that answer a question, the newest first, as the master does. The builds are listed in the order of their
    /// making.
    fn answer(&self, question: &Question) -> Vec<Found> {
        let of = |wanted: &str, project: &str| wanted.is_empty() || wanted == project;
        let fits = |build: &&Found| match question {
            Question::Number { project, number } => build.project == *project && build.number == *number,
            Question::Newest { project } => of(project, &build.project),
            Question::Ref { project, ref_name } => of(project, &build.project) && build.ref_name == *ref_name,
            Question::Commit { project, ref_name, prefix } => {
                assert!(read_commit(prefix).is_some(), "the master refuses `{prefix}`");
                of(project, &build.project)
                    && (ref_name.is_empty() || build.ref_name == *ref_name)
                    && build.revision.starts_with(prefix)
            }
            Question::Git { .. } => false,
        };
        let is_whole = matches!(question, Question::Number { .. });
        let listed = |build: &Found| if is_whole { build.clone() } else { Found { jobs: Vec::new(), ..build.clone() } };
        self.builds.iter().rev().filter(fits).map(listed).collect()
    }

    /// Returns the meaning of one line of the table, as one line.
    fn meant(&self, typed: &str, wish: Wish, at: &str) -> String {
        let checkout = self.checkouts.get(at).unwrap_or_else(|| panic!("no checkout `{at}`"));
        let typed = (typed != "-").then_some(typed);
        let asked = Asked { typed, wish, checkout, projects: &self.projects };
        let mut facts = Facts::default();
        for _ in 0..100 {
            match resolve(&asked, &facts) {
                Err(Stop::Ask(question @ Question::Git { .. })) => {
                    let Question::Git { word } = &question else { unreachable!() };
                    let found = self.words.get(word).cloned();
                    facts.learn_word(question, found);
                }
                Err(Stop::Ask(question)) => {
                    let found = self.answer(&question);
                    facts.learn_builds(question, found);
                }
                Ok(meant) => return shown(&meant),
                Err(Stop::Choose { choices, .. }) => {
                    let exact: Vec<String> = choices.iter().map(Meant::exact).collect();
                    self.every_way_is_exact(&choices, wish, checkout);
                    return format!("choose {}", exact.join(" "));
                }
                Err(Stop::Refuse(error)) => return format!("{} {error}", error.exit_code()),
            }
        }
        panic!("it asks for ever");
    }

    /// Checks that the exact text of a choice means only that choice if somebody types it.
    fn every_way_is_exact(&self, choices: &[Meant], wish: Wish, checkout: &Checkout) {
        for choice in choices {
            let exact = choice.exact();
            let asked = Asked { typed: Some(&exact), wish, checkout, projects: &self.projects };
            let mut facts = Facts::default();
            let again = loop {
                match resolve(&asked, &facts) {
                    Err(Stop::Ask(question @ Question::Git { .. })) => facts.learn_word(question, None),
                    Err(Stop::Ask(question)) => {
                        let found = self.answer(&question);
                        facts.learn_builds(question, found);
                    }
                    Ok(meant) => break meant,
                    Err(stop) => panic!("{exact}: {stop:?}"),
                }
            };
            let place = |meant: &Meant| {
                let number = meant.build.as_ref().map(|build| build.number);
                (meant.project.clone(), number, meant.job.clone())
            };
            assert_eq!(place(&again), place(choice), "{exact}");
        }
    }
}

fn checkout(facts: &[&str]) -> Checkout {
    let mut checkout = Checkout::default();
    for fact in facts {
        match fact.split_once('=').unwrap() {
            ("of", project) => checkout.project = Some(project.to_owned()),
            ("on", branch) => checkout.branch = Some(full(branch)),
            ("tracks", branch) => checkout.tracked = Some(full(branch)),
            ("main", branch) => checkout.main = Some(full(branch)),
            ("head", commit) => checkout.head = Some(whole(commit)),
            (other, _) => panic!("`{other}` of a checkout"),
        }
    }
    checkout
}

fn shown(meant: &Meant) -> String {
    let mut text = match (&meant.build, &meant.by) {
        (Some(build), By::Ref(name)) => format!("{} by {name}", build.selector()),
        (Some(build), _) => build.selector(),
        (None, _) => meant.project.clone().unwrap_or_else(|| "everything".to_owned()),
    };
    if let Some(job) = &meant.job {
        write!(text, " job {job}").unwrap();
    }
    if let Some(step) = meant.step {
        write!(text, " step {step}").unwrap();
    }
    if let Some((first, last)) = meant.lines {
        write!(text, " lines {first}-{last}").unwrap();
    }
    if let Some(note) = &meant.note {
        write!(text, " ({note})").unwrap();
    }
    text
}

fn wish_of(word: &str) -> Wish {
    match word {
        "look" => Wish::Look,
        "change" => Wish::Change,
        "scope" => Wish::Scope,
        other => panic!("no wish `{other}`"),
    }
}

/// Returns the table with the answers that the code gives.
fn played() -> (String, usize) {
    let mut world = World::default();
    let (mut text, mut count) = (String::new(), 0);
    for line in SITUATIONS.lines() {
        let is_comment = line.is_empty() || line == "#" || line.starts_with("# ");
        let cells: Vec<&str> = if is_comment { Vec::new() } else { line.split('|').map(str::trim).collect() };
        match cells.as_slice() {
            [line] if line.starts_with("==") => world = World::default(),
            [] => {}
            [line] => world.read(line),
            [typed, wish, at, _] => {
                count += 1;
                let meant = world.meant(typed, wish_of(wish), at);
                writeln!(text, "{typed:<24} | {wish:<6} | {at:<8} | {meant}").unwrap();
                continue;
            }
            _ => panic!("not a line of the table: {line}"),
        }
        writeln!(text, "{line}").unwrap();
    }
    (text, count)
}

#[test]
fn each_situation_has_its_answer() {
    let (text, count) = played();
    if std::env::var_os("GUILD_WRITE_SITUATIONS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/resolve/situations.txt"), &text).unwrap();
    }
    for (written, seen) in SITUATIONS.lines().zip(text.lines()) {
        assert_eq!(written, seen);
    }
    assert!(count >= SITUATIONS_MIN, "{count} situations");
}

/// A command that changes something and gets no name never reaches another branch, whatever is checked out.
#[test]
fn without_a_name_no_other_branch_is_reached() {
    let world = |builds: &[(u32, &str, &str)]| {
        let mut world = World { projects: vec!["p".to_owned()], ..World::default() };
        for (number, branch, commit) in builds {
            world.build(&format!("p/{number}"), branch, commit, &[]);
        }
        world
    };
    let branches = ["main", "a", "b", "tag:main", "-"];
    let commits = ["aaaa", "bbbb"];
    for case in 0..branches.len().pow(3) * commits.len().pow(3) {
        let (of_refs, of_commits) = (case % branches.len().pow(3), case / branches.len().pow(3));
        let pick =
            |at: u32| (branches[of_refs / branches.len().pow(at) % branches.len()], commits[of_commits >> at & 1]);
        let builds =
            [(1, pick(0)), (2, pick(1)), (3, pick(2))].map(|(number, (branch, commit))| (number, branch, commit));
        let world = world(&builds);
        for (branch, head) in [("main", "aaaa"), ("a", "aaaa"), ("b", "bbbb")] {
            let checkout = checkout(&["of=p", &format!("on={branch}"), &format!("head={head}")]);
            for wish in [Wish::Look, Wish::Change] {
                let asked = Asked { typed: None, wish, checkout: &checkout, projects: &world.projects };
                let mut facts = Facts::default();
                let decided = loop {
                    match resolve(&asked, &facts) {
                        Err(Stop::Ask(question)) => {
                            let found = world.answer(&question);
                            facts.learn_builds(question, found);
                        }
                        decided => break decided,
                    }
                };
                let newest = builds.iter().rev().find(|(_, of, _)| *of == branch);
                match (decided, newest) {
                    (Ok(meant), Some(_)) => assert_eq!(meant.build.unwrap().ref_name, full(branch), "{builds:?}"),
                    (Err(Stop::Refuse(error)), None) => assert_eq!(error.exit_code(), 7),
                    (other, _) => panic!("{builds:?} on {branch}: {other:?}"),
                }
            }
        }
    }
}
