//! Writes the text of a guessed `guild.toml`, with a comment above each job that names the files which led to it.

use super::{Guess, GuessedStep, Inferred};
use std::collections::BTreeMap;

/// Writes the file for `jobs`. Each job comes with its folder below the top, which is empty for the top itself.
pub(super) fn compose(jobs: &[(String, Guess)]) -> Inferred {
    let names = names(jobs);
    let mut text = "# Guessed from what the repository holds: change it as you like.\nversion = 1\n".to_owned();
    for (name, (folder, guess)) in names.iter().zip(jobs) {
        text.push_str(&job(name, folder, guess));
    }
    let main =
        jobs.iter().map(|(folder, guess)| guess.saw.first().map(|file| within(folder, file)).unwrap_or_default());
    Inferred { text, saw: listed(&main.collect::<Vec<_>>()) }
}

/// Returns the names of the jobs. A single job is called `test`. Several are named after their kinds, and also after their folders if
/// two have the same kind.
fn names(jobs: &[(String, Guess)]) -> Vec<String> {
    if let [_] = jobs {
        return vec!["test".to_owned()];
    }
    let mut seen = BTreeMap::<&str, usize>::new();
    jobs.iter().for_each(|(_, guess)| *seen.entry(guess.name).or_default() += 1);
    let name = |(folder, guess): &(String, Guess)| match seen.get(guess.name) {
        Some(1) | None => guess.name.to_owned(),
        Some(_) => format!("{}-{folder}", guess.name),
    };
    jobs.iter().map(name).collect()
}

fn job(name: &str, folder: &str, guess: &Guess) -> String {
    let saw: Vec<String> = guess.saw.iter().map(|file| within(folder, file)).collect();
    let mut text = format!("\n# saw {}\n[job.{name}]\n", listed(&saw));
    if !folder.is_empty() {
        text.push_str(&format!("dir = {}\n", quoted(folder)));
    }
    guess.keys.iter().for_each(|line| text.push_str(&format!("{line}\n")));
    match guess.steps.as_slice() {
        [only] => text.push_str(&format!("run = {}\n", quoted(&only.run))),
        steps => steps.iter().for_each(|step| text.push_str(&table(name, step))),
    }
    text
}

fn table(job: &str, step: &GuessedStep) -> String {
    format!("\n[[job.{job}.step]]\nname = {}\nrun = {}\n", quoted(step.name), quoted(&step.run))
}

/// Returns a text as a string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn within(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}

/// Lists names as a person does: "a, b and c".
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
