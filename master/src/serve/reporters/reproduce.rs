//! Writes the commands of a notice, which show more of a failure or repeat it. Pure.

use super::episodes::News;
use super::lines::quoted;
use super::notice::NoticeJob;
use crate::decide::coordinator::record::Transition;
use schema::values::{Command, Selector, StepPlan};

/// The most characters of a step's command in a notice. A longer script is better read in the repository.
const COMMAND_MAX: usize = 1_000;

/// Returns the commands that repeat a failure, for a shell in a checkout of the project.
pub(super) fn commands(project: &str, news: &News, jobs: &[NoticeJob]) -> Vec<String> {
    let logs = jobs.iter().map(|job| format!("guild logs {}", quoted(&job.selector)));
    match news.turn {
        Transition::Fixed => {
            vec![format!("guild show {}", quoted(&Selector::build(project, news.at.build).to_string()))]
        }
        Transition::NewlyFailing => {
            let retry = format!("guild retry {}", quoted(&Selector::build(project, news.at.build).to_string()));
            let checkout = format!("git fetch && git checkout {}", news.at.revision);
            let steps = jobs.iter().filter_map(|job| job.step.as_ref()).map(|step| step.command.clone());
            logs.chain([retry, checkout]).chain(steps.filter(|command| !command.is_empty())).collect()
        }
    }
}

/// Returns the command of a step as a person types it in the checkout. It cannot steer a terminal.
pub(super) fn command(step: &StepPlan) -> String {
    let run = match &step.command {
        Command::Shell { script, .. } => script.trim_end().to_owned(),
        Command::Exec(words) => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
    };
    let dir = if step.dir.is_empty() { String::new() } else { format!("cd {} && ", quoted(&step.dir)) };
    let text = super::excerpt::plain(&(dir + &run));
    match text.char_indices().nth(COMMAND_MAX) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(command: Command, dir: &str) -> StepPlan {
        StepPlan {
            name: String::new(),
            command,
            env: Vec::new(),
            dir: dir.to_owned(),
            timeout_ms: 0,
            idle_ms: 0,
            always: false,
            continue_on_failure: false,
            reports: Vec::new(),
        }
    }

    #[test]
    fn a_step_as_somebody_types_it() {
        let shell = |script: &str| Command::Shell { shell: vec!["sh".to_owned()], script: script.to_owned() };
        let words = ["pytest", "-k", "a b", "it's", ""].map(str::to_owned).to_vec();
        assert_eq!(command(&step(shell("make\nmake test\n"), "")), "make\nmake test");
        assert_eq!(command(&step(shell("make"), "a dir")), "cd 'a dir' && make");
        assert_eq!(command(&step(Command::Exec(words), "sub")), r"cd sub && pytest -k 'a b' 'it'\''s' ''");
        assert_eq!(command(&step(shell("echo \u{1b}[2J\u{7}x"), "")), "echo x");
        let long = command(&step(shell(&"\u{e9}".repeat(3_000)), ""));
        assert_eq!(long.chars().count(), COMMAND_MAX + 4);
    }
}
