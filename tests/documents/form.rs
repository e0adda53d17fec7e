//! The values that a form takes, and values with which a reader can be tried.

use schema::values::{Bytes, TimeSpan};
use toml::Value;
use toml_file::reference::{Absent, Form, Reference};

/// Parses a text of TOML as a value.
pub fn value(text: &str) -> Value {
    let table: toml::Table = format!("x = {text}").parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    table["x"].clone()
}

/// Whether a value has this form. A reader may refuse some of these values, but it never takes others.
pub fn takes(file: &Reference, form: &Form, value: &Value) -> bool {
    match (form, value) {
        (Form::Flag, Value::Boolean(_)) | (Form::Text, Value::String(_)) => true,
        (Form::Whole(least, most), Value::Integer(number)) => (least..=most).contains(&number),
        (Form::Number(most), Value::Integer(number)) => *number > 0 && (*number as f64) <= *most,
        (Form::Number(most), Value::Float(number)) => *number > 0.0 && number <= most,
        (Form::OneOf(words), Value::String(text)) => words.contains(&text.as_str()),
        (Form::Duration, Value::String(text)) => TimeSpan::parse(text).is_some(),
        (Form::Size, Value::String(text)) => Bytes::parse(text).is_some(),
        (Form::Array(form), Value::Array(elements)) => elements.iter().all(|element| takes(file, form, element)),
        (Form::Either(forms), value) => forms.iter().any(|form| takes(file, form, value)),
        (Form::Map(form), Value::Table(entries)) => entries.values().all(|value| takes(file, form, value)),
        (Form::Table(title), Value::Table(entries)) => {
            let section = file.section(title).unwrap_or_else(|| panic!("{} has no section {title}", file.file));
            let known =
                |(name, value): (&String, _)| section.key(name).is_some_and(|key| takes(file, &key.form, value));
            let mut required = section.keys().filter(|key| key.absent == Absent::Required);
            entries.iter().all(known) && required.all(|key| entries.contains_key(key.name))
        }
        _ => false,
    }
}

/// Returns values of a form in TOML that every reader takes.
pub fn good(form: &Form) -> Vec<String> {
    let strings = |words: &[&str]| words.iter().map(|word| format!("\"{word}\"")).collect();
    match form {
        Form::Flag => vec!["true".to_owned(), "false".to_owned()],
        Form::Whole(least, most) => vec![least.to_string(), most.to_string()],
        Form::Number(most) => vec!["0.001".to_owned(), "1".to_owned(), format!("{most:?}")],
        Form::OneOf(words) => strings(words),
        Form::Duration => strings(&["1s", "1h30m", "1d"]),
        Form::Size => strings(&["1KiB", "512 MiB"]),
        Form::Array(form) => good(form).iter().map(|value| format!("[{value}]")).collect(),
        Form::Either(forms) => forms.iter().flat_map(good).collect(),
        Form::Text | Form::Map(_) | Form::Table(_) => Vec::new(),
    }
}

/// Returns values in TOML that are wrong for most forms.
pub fn dubious(form: &Form) -> Vec<String> {
    let of_all = [
        "-1",
        "0",
        "1",
        "1.5",
        "true",
        "\"nonsense\"",
        "\"4GB\"",
        "\"30m1h\"",
        "[]",
        "[1]",
        "[\"nonsense\"]",
        "[[]]",
        "{}",
        "{ nonsense = 1 }",
        "[{ nonsense = 1 }]",
    ];
    let mut values: Vec<String> = of_all.map(str::to_owned).to_vec();
    match form {
        Form::Whole(least, most) => {
            let beyond = [least.checked_sub(1), most.checked_add(1)];
            values.extend(beyond.into_iter().flatten().map(|number| number.to_string()));
        }
        Form::Number(most) => values.push(format!("{:?}", most + 1.0)),
        Form::Either(forms) => values.extend(forms.iter().flat_map(dubious)),
        _ => {}
    }
    values
}
