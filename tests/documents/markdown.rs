//! Makes the pages of the reference: the page of a file from its keys, and the page of the programs from their arguments.

use clap::{Arg, ArgAction, Command};
use toml_file::reference::{Absent, Form, Key, Reference, Section};

const NOTE: &str = "<!-- Generated: see tests/documents/pages.rs. -->";

/// Returns the page of a file.
pub fn of_file(file: &Reference) -> String {
    let mut page = format!("{NOTE}\n# The keys of `{}`\n\n{}\n", file.file, file.about);
    page.push_str(
        "Every other key is an error. [Durations, sizes, names, patterns and lists](../pipeline.md#values)\n",
    );
    page.push_str("are written as in every file of Guild.\n");
    let mut shown: Vec<&[Key]> = Vec::new();
    for section in file.sections {
        if !section.title.is_empty() {
            page.push_str(&format!("\n## `{}`\n", section.title));
        }
        if !section.about.is_empty() {
            page.push_str(&format!("{}\n", section.about));
        }
        page.push_str(&keys(file, section, &mut shown));
        let mut later: Vec<String> = section.later().map(|name| format!("`{name}`")).collect();
        later.sort();
        later.dedup();
        if !later.is_empty() {
            page.push_str(&format!("\nKnown, and not supported by this version: {}.\n", later.join(", ")));
        }
    }
    page
}

/// Returns the tables of a section. If another section has already shown a group of keys, this one only refers to it.
fn keys(file: &Reference, section: &Section, shown: &mut Vec<&'static [Key]>) -> String {
    let is_shown = |group: &&[Key]| shown.iter().any(|other| std::ptr::eq(*other, *group));
    let (again, first): (Vec<&'static [Key]>, Vec<_>) = section.keys.iter().partition(|group| is_shown(group));
    let mut text = String::new();
    if !again.is_empty() {
        let owner = file.sections.iter().find(|other| other.keys.iter().any(|group| std::ptr::eq(*group, again[0])));
        let names: Vec<String> =
            again.iter().flat_map(|group| group.iter()).map(|key| format!("`{}`", key.name)).collect();
        let owner = owner.map(|owner| link(owner.title)).unwrap_or_default();
        text.push_str(&format!("\nAs in {owner}: {}.\n", names.join(", ")));
    }
    if !first.is_empty() {
        text.push_str("\n| key | value | without it | |\n| --- | --- | --- | --- |\n");
        first.iter().flat_map(|group| group.iter()).for_each(|key| text.push_str(&row(key)));
    }
    shown.extend(first);
    text
}

fn row(key: &Key) -> String {
    let absent = match key.absent {
        Absent::Required => "must be there".to_owned(),
        Absent::Is("{}") if matches!(key.form, Form::Table(_)) => "its own defaults".to_owned(),
        Absent::Is("{}" | "[]") => "nothing".to_owned(),
        Absent::Is(value) => format!("`{value}`"),
        Absent::Means(words) => words.to_owned(),
    };
    let example = match key.form {
        Form::Flag | Form::OneOf(_) | Form::Table(_) => String::new(),
        Form::Whole(least, most) if least == most => String::new(),
        _ => format!("<br>`{}`", key.example),
    };
    let value = linked(&key.form.words());
    format!("| `{}` | {value}{example} | {absent} | {} |\n", key.name, key.meaning)
}

/// Returns a text in which the names of sections are links.
fn linked(words: &str) -> String {
    words.split('`').enumerate().fold(String::new(), |text, (index, part)| match index % 2 {
        0 => text + part,
        _ if part.starts_with('[') => text + &link(part),
        _ => text + "`" + part + "`",
    })
}

fn link(title: &str) -> String {
    let anchor: String = title.chars().filter(|char| char.is_ascii_alphanumeric() || *char == '-').collect();
    format!("[`{title}`](#{})", anchor.to_ascii_lowercase())
}

/// Returns the page of all programs.
pub fn of_programs(programs: &[Command]) -> String {
    let mut page = format!(
        "{NOTE}\n# Commands\n\nWhat each says of itself with `--help`; `man` and `completions` are made from the same.\n"
    );
    for program in programs {
        let mut program = program.clone();
        program.build();
        page.push_str(&format!("\n## `{}`\n{}\n", program.get_name(), about(&program)));
        let options: Vec<&Arg> = program.get_arguments().filter(|argument| is_shown(argument)).collect();
        if !options.is_empty() {
            page.push_str("\nOptions of every command:\n");
            page.push_str(&arguments(&options));
        }
        commands(&mut page, &program);
    }
    page
}

fn commands(page: &mut String, above: &Command) {
    for command in above.get_subcommands().filter(|command| command.get_name() != "help") {
        if command.has_subcommands() {
            commands(page, command);
            continue;
        }
        let own: Vec<&Arg> =
            command.get_arguments().filter(|argument| is_shown(argument) && !argument.is_global_set()).collect();
        page.push_str(&format!("\n### `{}`\n{}\n", usage(command, &own), about(command)));
        page.push_str(&arguments(&own));
    }
}

/// Returns the usage of a command with its required arguments, for example `guild grant issue --kind KIND`.
fn usage(command: &Command, own: &[&Arg]) -> String {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let words = own.iter().filter(|argument| argument.is_positional() || argument.is_required_set());
    words.fold(name.to_owned(), |text, argument| match argument.is_required_set() {
        true => format!("{text} {}", written(argument)),
        false => format!("{text} [{}]", written(argument)),
    })
}

fn is_shown(argument: &Arg) -> bool {
    !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version")
}

fn about(command: &Command) -> String {
    command.get_about().map(|about| about.to_string()).unwrap_or_default()
}

fn arguments(all: &[&Arg]) -> String {
    let rows: String = all.iter().filter_map(|argument| option(argument)).collect();
    if rows.is_empty() { rows } else { format!("\n| | |\n| --- | --- |\n{rows}") }
}

/// Returns the line of an option. `None` means that it has nothing but its name, which the heading has.
fn option(argument: &Arg) -> Option<String> {
    let mut notes = vec![argument.get_help().map(|help| help.to_string()).unwrap_or_default()];
    if argument.get_action().takes_values() {
        let choices: Vec<String> =
            argument.get_possible_values().iter().map(|choice| format!("`{}`", choice.get_name())).collect();
        notes.extend((!choices.is_empty()).then(|| format!("one of {}", choices.join(", "))));
        let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let defaults = defaults.join(",");
        notes.extend((!defaults.is_empty()).then(|| format!("[default: `{defaults}`]")));
    }
    notes.retain(|note| !note.is_empty());
    let short = argument.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    let [name, notes] = [written(argument), notes.join(" ")].map(|cell| cell.replace('|', "\\|"));
    (!notes.is_empty() || !argument.is_positional()).then(|| format!("| {short}`{name}` | {notes} |\n"))
}

/// Returns an argument as a person writes it, for example `--config FILE` or `FILE...`.
fn written(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default().iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let several = matches!(argument.get_action(), ArgAction::Append) && argument.is_positional();
    let values = names.join(" ") + if several { "..." } else { "" };
    match argument.get_long() {
        None if argument.is_positional() => values,
        None => format!("-{} {values}", argument.get_short().unwrap_or_default()),
        Some(long) if !argument.get_action().takes_values() => format!("--{long}"),
        Some(long) if argument.is_require_equals_set() => format!("--{long}[={values}]"),
        Some(long) => format!("--{long} {values}"),
    }
}
