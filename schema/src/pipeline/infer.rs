//! A pipeline to begin with, from what a directory holds.

use std::path::Path;

/// A starter `guild.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    pub text: String,
    /// What it is made from: "a Cargo.toml".
    pub saw: String,
}

/// What is most likely meant by the files in `dir`; none: nothing that is known.
pub fn infer(dir: &Path) -> Option<Inferred> {
    let has = |name: &str| dir.join(name).is_file();
    if has("Cargo.toml") {
        return Some(inferred("a Cargo.toml", CARGO));
    }
    if let Some(name) = ["pyproject.toml", "setup.py", "setup.cfg"].into_iter().find(|name| has(name)) {
        let job = if dir.join("src").is_dir() { PYTHON_SRC } else { PYTHON };
        return Some(inferred(&format!("a {name}"), job));
    }
    let makefile = ["GNUmakefile", "makefile", "Makefile"].into_iter().find(|name| has(name));
    let template = ["Makefile.in", "Makefile.am"].into_iter().find(|name| has(name));
    if has("configure") {
        let target = template.or(makefile).and_then(|name| test_target(&dir.join(name), name.ends_with(".am")));
        return Some(inferred("a configure script", &configure(target)));
    }
    let name = makefile?;
    Some(inferred(&format!("a {name}"), &make(test_target(&dir.join(name), false))))
}

const CARGO: &str = "[job.test]\nworkspace = \"clean\" # ignored files stay: only what changed is compiled again\nrun = \"cargo test\"\n";
const PYTHON: &str = "[job.test]\nrun = \"python3 -m pytest\"\n";
const PYTHON_SRC: &str =
    "[job.test]\nenv = { PYTHONPATH = \"src\" } # nothing needs to be installed\nrun = \"python3 -m pytest\"\n";

fn inferred(saw: &str, job: &str) -> Inferred {
    Inferred { text: format!("# written from {saw}: change it as you like\nversion = 1\n\n{job}"), saw: saw.to_owned() }
}

fn configure(target: Option<&str>) -> String {
    format!("[job.test]\n\n[[job.test.step]]\nname = \"build\"\nrun = \"./configure && make\"\n{}", test_step(target))
}

fn make(target: Option<&str>) -> String {
    format!("[job.test]\n\n[[job.test.step]]\nname = \"build\"\nrun = \"make\"\n{}", test_step(target))
}

fn test_step(target: Option<&str>) -> String {
    let step = |target| format!("\n[[job.test.step]]\nname = \"{target}\"\nrun = \"make {target}\"\n");
    target.map(step).unwrap_or_default()
}

/// The most of a makefile that is looked at.
const MAKEFILE_MAX: u64 = 1 << 20;

/// `test` or `check`, where the makefile has it. automake gives every makefile a `check`.
fn test_target(makefile: &Path, automake: bool) -> Option<&'static str> {
    use std::io::Read as _;
    let mut text = Vec::new();
    std::fs::File::open(makefile).ok()?.take(MAKEFILE_MAX).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let found = ["test", "check"].into_iter().find(|target| text.lines().any(|line| names(line, target)));
    found.or(automake.then_some("check"))
}

/// Whether a line is a rule for this target: `test check: all`, not `test := x`.
fn names(line: &str, target: &str) -> bool {
    line.split_once(':').is_some_and(|(targets, rest)| {
        !line.starts_with(['\t', '#', '.'])
            && !rest.starts_with('=')
            && !rest.starts_with(":=")
            && targets.split_whitespace().any(|name| name == target)
    })
}
