//! Guesses a first pipeline from the files of a directory. Each kind of project has a file of its own here, which looks at a
//! [`Folder`] and returns a [`Guess`]. Nothing is run and nothing is written.

mod folder;
mod go;
mod jvm;
mod native;
mod node;
mod python;
mod rust;
mod text;

use folder::Folder;
use std::path::Path;

/// A first `guild.toml` that was guessed from files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    pub text: String,
    /// The files from which it was guessed, such as "Cargo.toml" or "package.json and pyproject.toml".
    pub saw: String,
}

/// A guessed job, and the files that led to it.
struct Guess {
    /// The name of the job, if there are several.
    name: &'static str,
    /// The files that led to the guess, the most important one first.
    saw: Vec<String>,
    /// The further keys of the job, each as a line of TOML.
    keys: Vec<&'static str>,
    steps: Vec<GuessedStep>,
}

struct GuessedStep {
    name: &'static str,
    run: String,
}

impl Guess {
    fn new(name: &'static str, saw: impl Into<String>) -> Guess {
        Guess { name, saw: vec![saw.into()], keys: Vec::new(), steps: Vec::new() }
    }

    fn saw(mut self, file: impl Into<String>) -> Guess {
        self.saw.push(file.into());
        self
    }

    fn key(mut self, line: &'static str) -> Guess {
        self.keys.push(line);
        self
    }

    fn step(mut self, name: &'static str, run: impl Into<String>) -> Guess {
        self.steps.push(GuessedStep { name, run: run.into() });
        self
    }
}

/// The most folders that are looked into if the directory itself gives no guess.
const FOLDERS_MAX: usize = 64;
/// The most jobs of a guess. With more projects in one repository, a person should write the file by hand.
const JOBS_MAX: usize = 8;

/// Guesses a pipeline from the files in `dir`, or else from those in the folders of `dir`. `None` means that it has no guess.
pub fn infer(dir: &Path) -> Option<Inferred> {
    let top = Folder::open(dir);
    let mut jobs: Vec<(String, Guess)> = guesses(&top).into_iter().map(|guess| (String::new(), guess)).collect();
    if jobs.is_empty() {
        let folders = top.folders(FOLDERS_MAX).into_iter();
        let below =
            folders.flat_map(|name| guesses(&top.below(&name)).into_iter().map(move |guess| (name.clone(), guess)));
        jobs = below.take(JOBS_MAX).collect();
    }
    (!jobs.is_empty()).then(|| text::compose(&jobs))
}

/// Returns the guessed jobs of one folder. A makefile counts only if nothing else does, because beside another project it is a
/// shortcut for people.
fn guesses(folder: &Folder) -> Vec<Guess> {
    let kinds: [fn(&Folder) -> Option<Guess>; 6] =
        [rust::guess, python::guess, node::guess, go::guess, jvm::guess, native::guess];
    let found: Vec<Guess> = kinds.into_iter().filter_map(|kind| kind(folder)).collect();
    if found.is_empty() { native::makefile(folder).into_iter().collect() } else { found }
}
