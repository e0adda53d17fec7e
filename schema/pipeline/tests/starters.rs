//! The guess for a repository without a pipeline: each situation of `starters.txt` becomes the plan that is written there.

use pipeline::{Changed, Context, Inferred, infer, load};
use schema::values::{BuildCause, Command, JobPlan, StepPlan, Trust};
use std::path::Path;

#[test]
fn each_situation_is_guessed_as_it_stands() {
    let text = include_str!("starters.txt");
    let situations: Vec<&str> = text.split("\n\n").filter(|block| !block.starts_with('#')).collect();
    assert!(situations.len() > 40, "the table is read");
    for situation in situations {
        let (name, lines) = situation.split_once('\n').unwrap();
        let (files, wanted): (Vec<&str>, Vec<&str>) = lines.lines().partition(|line| line.starts_with("  "));
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|file| write(dir.path(), file.trim_start()));
        let wanted: Vec<&str> = wanted.iter().map(|line| line.strip_prefix("= ").unwrap()).collect();
        assert_eq!(told(infer(dir.path()).as_ref()), wanted, "{name}");
    }
}

#[test]
fn a_starter_says_what_was_seen_and_why() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), r#"package.json: {"scripts": {"test": "jest"}}"#);
    write(dir.path(), "package-lock.json");
    let text = infer(dir.path()).unwrap().text;
    let wanted = "# Guessed from what the repository holds: change it as you like.\nversion = 1\n\n\
                  # saw package.json and package-lock.json\n[job.test]\n\n\
                  [[job.test.step]]\nname = \"install\"\nrun = \"npm ci\"\n\n\
                  [[job.test.step]]\nname = \"test\"\nrun = \"npm run test\"\n";
    assert_eq!(text, wanted);
}

#[test]
fn what_is_no_file_of_text_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("Cargo.toml")).unwrap();
    std::fs::write(dir.path().join("package.json"), b"\xff\xfe{").unwrap();
    std::os::unix::fs::symlink("/dev/zero", dir.path().join("Makefile")).unwrap();
    std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
    assert_eq!(infer(dir.path()), None);
    assert_eq!(infer(&dir.path().join("missing")), None);
}

fn write(dir: &Path, file: &str) {
    let (name, text) = file.split_once(": ").unwrap_or((file, ""));
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().expect("it is in the directory")).expect("a folder is made");
    std::fs::write(path, text.replace("\\n", "\n").replace("\\t", "\t")).expect("a file is written");
}

/// Returns the lines of `starters.txt` for a guess, from the plan that is made from it.
fn told(inferred: Option<&Inferred>) -> Vec<String> {
    let Some(inferred) = inferred else { return vec!["nothing".to_owned()] };
    let pipeline = load("guild.toml", inferred.text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"));
    let context = Context {
        ref_name: "refs/heads/main".to_owned(),
        cause: BuildCause::Change,
        changed: Changed::default(),
        trust: Trust::Trusted,
    };
    let plan = pipeline.expand(&context).expect("what loads expands");
    let saw = format!("saw {}", inferred.saw);
    plan.jobs.iter().map(job).chain([saw]).collect()
}

fn job(job: &JobPlan) -> String {
    let runs: Vec<&str> = job.steps.iter().map(run).collect();
    let dir = job.steps.first().map(|step| step.dir.as_str()).filter(|dir| !dir.is_empty());
    let place = dir.map(|dir| format!(" in {dir}")).unwrap_or_default();
    format!("{}{place}: {}", job.name, runs.join(" | "))
}

fn run(step: &StepPlan) -> &str {
    match &step.command {
        Command::Shell { script, .. } => script,
        Command::Exec(_) => panic!("a starter runs scripts"),
    }
}
