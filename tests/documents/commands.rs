//! Checks the command lines in the documents: the program of each must understand its arguments.

use crate::examples::check_file;
use crate::prose::{Block, all_blocks, documents, spans};
use clap::Command;
use clap::error::ErrorKind;

pub fn programs() -> [Command; 3] {
    [command::command(), master::program::arguments::command(), worker::command()]
}

/// Lets a program parse a command line. `Ok` if it understands the line, or if the first word is not one of our programs.
fn parse(words: &[String]) -> Result<(), clap::Error> {
    let program = programs().into_iter().find(|program| words.first().is_some_and(|word| word == program.get_name()));
    let Some(program) = program else { return Ok(()) };
    match program.try_get_matches_from(words) {
        Err(error) if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => Err(error),
        _ => Ok(()),
    }
}

fn is_program(word: &str) -> bool {
    matches!(word, "guild" | "guild-master" | "guild-worker")
}

/// Splits a line into commands as a shell does, without redirections and comments.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    for char in line.chars().chain([' ']) {
        match (quote, char) {
            (Some(open), _) if open == char => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(char),
            (None, '\'' | '"') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | ';' | '&' | '|' | '>' | '<' | '(' | ')') => {
                commands.last_mut().unwrap().extend(word.take());
                match char {
                    ' ' => {}
                    // what follows is a file, or belongs to another command
                    _ => commands.push(Vec::new()),
                }
            }
            (None, _) => word.get_or_insert_default().push(char),
        }
    }
    // an ellipsis stands for words that the document leaves out
    commands.iter_mut().for_each(|words| words.retain(|word| word != "…"));
    commands.retain(|words| !words.is_empty());
    commands
}

/// Returns the command that a command runs, if it runs another: in `docker run IMAGE guild-master …`, the part from `guild-master`.
fn innermost(words: Vec<String>) -> Vec<String> {
    let at = |wanted: &str| words.iter().position(|word| word == wanted);
    match words[0].as_str() {
        "docker" | "podman" => {
            words.iter().position(|word| is_program(word)).map_or(Vec::new(), |at| words[at..].to_vec())
        }
        "cargo" if words.get(1).is_some_and(|word| word == "run") => {
            let (Some(bin), Some(rest)) = (at("--bin"), at("--")) else { return Vec::new() };
            [&words[bin + 1..=bin + 1], &words[rest + 1..]].concat()
        }
        _ => words,
    }
}

/// Returns the lines that a block tells the reader to type.
fn typed(block: &Block) -> Vec<String> {
    let text = block.text.replace("\\\n", " ");
    let is_session = text.lines().any(|line| line.starts_with("$ "));
    let lines = text.lines().filter_map(|line| match block.kind.as_str() {
        "sh" | "indented" => Some(line.to_owned()),
        // output may also tell the reader what to type
        "console" | "text" if is_session => {
            let line = line.strip_prefix("$ ").unwrap_or(line.trim_start());
            line.split(' ').next().is_some_and(is_program).then(|| line.to_owned())
        }
        _ => None,
    });
    lines.collect()
}

#[test]
fn the_commands_of_examples_are_understood() {
    let mut count = 0;
    for block in all_blocks() {
        let mut lines = typed(&block).into_iter();
        while let Some(line) = lines.next() {
            if let Some(file) = line.split_once("<<'EOF'").map(|(before, _)| before.trim_end()) {
                let text: Vec<String> = lines.by_ref().take_while(|line| line != "EOF").collect();
                let name = file.rsplit('/').next().unwrap_or_default();
                check_file(&block.place, name, &text.join("\n"));
                continue;
            }
            for words in commands(&line).into_iter().map(innermost).filter(|words| !words.is_empty()) {
                count += usize::from(is_program(&words[0]));
                parse(&words).unwrap_or_else(|error| panic!("{}: `{line}`\n{error}", block.place));
            }
        }
    }
    assert!(count > 20, "only {count} commands were found");
}

#[test]
fn the_commands_in_backticks_are_known() {
    for (path, text) in documents() {
        for (place, span) in spans(&path, &text).into_iter().filter(|(_, span)| span.contains(' ')) {
            for words in commands(&span).into_iter().map(innermost).filter(|words| !words.is_empty()) {
                // a text may leave out arguments that it is not about
                let is_part = |error: &clap::Error| {
                    use ErrorKind::{
                        DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument, MissingSubcommand,
                    };
                    let part = [MissingRequiredArgument, MissingSubcommand, DisplayHelpOnMissingArgumentOrSubcommand];
                    part.contains(&error.kind())
                };
                if let Err(error) = parse(&words)
                    && !is_part(&error)
                    && !path.starts_with("docs/reference/commands")
                {
                    panic!("{place}: `{span}`\n{error}");
                }
            }
        }
    }
}

#[test]
fn lines_are_split_as_a_shell_does() {
    let line = "guild-worker join … 'a b.cap' && guild logs \"#1\" > out # guild none";
    let words: Vec<String> = commands(line).iter().map(|words| words.join("|")).collect();
    assert_eq!(words, ["guild-worker|join|a b.cap", "guild|logs|#1", "out"]);
    let inner = |line| innermost(commands(line).remove(0)).join(" ");
    assert_eq!(inner("docker run --rm -v x:/y guild:0.1 guild-master run"), "guild-master run");
    assert_eq!(inner("cargo run --release --bin guild-master -- up --once"), "guild-master up --once");
    let unknown = ["guild", "logs", "--no-such-option"].map(str::to_owned);
    assert!(parse(&unknown).is_err());
}
