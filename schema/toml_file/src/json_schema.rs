//! Makes a [JSON Schema](https://json-schema.org/draft/2020-12) from the reference of a file, so that an editor can complete and check
//! the file. The schema accepts everything that the reader accepts. It also accepts some errors that only the reader can find, such
//! as the name of a job that does not exist.

use super::reference::{Absent, Form, Key, Reference, Section};
use serde_json::{Map, Value, json};

/// Returns the JSON Schema of a file.
pub fn json_schema(file: &Reference) -> Value {
    let mut tables = file.sections.iter().map(|section| (name(section.title), table(section)));
    let mut schema = tables.next().map_or_else(|| json!({}), |(_, top)| top);
    let inner: Map<String, Value> = tables.collect();
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = file.file.into();
    schema["description"] = plain(file.about).into();
    schema["$defs"] = inner.into();
    schema
}

/// Returns the name of a section in a reference of the schema. It has no brackets, because they would have to be escaped there.
fn name(title: &str) -> String {
    title.trim_matches(['[', ']']).to_owned()
}

fn table(section: &Section) -> Value {
    let properties: Map<String, Value> = section.keys().map(|key| (key.name.to_owned(), property(key))).collect();
    let required = section.keys().filter(|key| key.absent == Absent::Required).map(|key| key.name);
    let required: Vec<&str> = required.collect();
    let mut table = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !section.about.is_empty() {
        table["description"] = plain(section.about).into();
    }
    if !required.is_empty() {
        table["required"] = required.into();
    }
    table
}

fn property(key: &Key) -> Value {
    let mut property = form(&key.form);
    if !key.meaning.is_empty() {
        property["description"] = plain(key.meaning).into();
    }
    if let Absent::Is(value) = key.absent {
        property["default"] = to_json(value);
    }
    property["examples"] = vec![to_json(key.example)].into();
    property
}

fn form(of: &Form) -> Value {
    match of {
        Form::Flag => json!({ "type": "boolean" }),
        Form::Whole(least, most) if least == most => json!({ "const": least }),
        Form::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Form::Number(most) => json!({ "type": "number", "exclusiveMinimum": 0, "maximum": most }),
        Form::Text => json!({ "type": "string" }),
        Form::OneOf(words) => json!({ "enum": words }),
        Form::Duration => json!({
            "type": "string",
            "minLength": 2,
            "pattern": "^([0-9]+y)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
        }),
        Form::Size => json!({ "type": "string", "pattern": "^[0-9]+\\s*(B|KiB|MiB|GiB|TiB)$" }),
        Form::Array(each) => json!({ "type": "array", "items": form(each) }),
        Form::Either(forms) => json!({ "anyOf": forms.iter().map(form).collect::<Vec<_>>() }),
        Form::Map(each) => json!({ "type": "object", "additionalProperties": form(each) }),
        Form::Table(title) => json!({ "$ref": format!("#/$defs/{}", name(title)) }),
    }
}

/// Converts a TOML value of a reference to JSON. Tests check that each such value is TOML.
fn to_json(text: &str) -> Value {
    let table = toml::from_str::<toml::Table>(&format!("value = {text}")).unwrap_or_default();
    table.get("value").and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
}

/// Replaces each link of a text by its words, because links lead nowhere from an editor.
fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, after)) = rest.split_once("](") {
        let (text_before, shown) = before.split_at(opening(before).unwrap_or_default());
        text.push_str(text_before);
        text.push_str(shown.strip_prefix('[').unwrap_or(shown));
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text + rest
}

/// Returns the position of the bracket that a `]` after this text would close. The text may have pairs of brackets itself.
fn opening(before: &str) -> Option<usize> {
    let mut closed = 0;
    before.char_indices().rev().find_map(|(at, char)| {
        match char {
            ']' => closed += 1,
            '[' if closed == 0 => return Some(at),
            '[' => closed -= 1,
            _ => {}
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_their_words() {
        assert_eq!(plain("see [shells](../a.md#b), `[trigger]`; [`[x]`](y)"), "see shells, `[trigger]`; `[x]`");
    }
}
