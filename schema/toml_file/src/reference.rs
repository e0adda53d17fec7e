//! The types in which the owner of a file lists its keys once. The pages of the reference, the schema for editors and the tests of
//! the readers are made from these lists. This module knows the keys of no file.

/// All keys of one file.
#[derive(Debug)]
pub struct Reference {
    pub file: &'static str,
    /// The description of the file, in Markdown.
    pub about: &'static str,
    /// The sections of the file. The first one is the top level.
    pub sections: &'static [Section],
}

/// A table, or all tables whose names the file's author chooses.
#[derive(Debug)]
pub struct Section {
    /// The title of the section as the file writes it, such as `[project.NAME]`. Empty means the top level.
    pub title: &'static str,
    /// The values of [`super::Table::place`] for such a table, with `NAME` in place of every chosen name.
    pub places: &'static [&'static str],
    /// The description of the section, in Markdown; may be empty.
    pub about: &'static str,
    /// The keys, in groups that several sections may share.
    pub keys: &'static [&'static [Key]],
    /// The keys that a later version will read, in groups.
    pub later: &'static [&'static [&'static str]],
}

/// One key of a table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub form: Form,
    pub absent: Absent,
    /// A value in TOML that differs from the meaning of the absent key.
    pub example: &'static str,
    /// The meaning of the key, in Markdown.
    pub meaning: &'static str,
}

/// The meaning of a file without the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// A file without the key is wrong.
    Required,
    /// A file without the key means the same as with this value, which is in TOML.
    Is(&'static str),
    /// These words say the meaning, because no value does, or because it depends on something else.
    Means(&'static str),
}

/// The form of the values that a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    Flag,
    /// A whole number from the first number to the second.
    Whole(i64, i64),
    /// A number above 0 and at most this one.
    Number(f64),
    Text,
    OneOf(&'static [&'static str]),
    /// A length of time, like "1h30m".
    Duration,
    /// A size in bytes, like "4GiB".
    Size,
    Array(&'static Form),
    Either(&'static [Form]),
    /// A table whose keys the author of the file chooses.
    Map(&'static Form),
    /// The table with this title.
    Table(&'static str),
}

impl Form {
    /// A string, or an array of strings.
    pub const LIST: Form = Form::Either(&[Form::Text, Form::Array(&Form::Text)]);

    /// Returns the form in words for people, in Markdown.
    pub fn words(&self) -> String {
        match self {
            Form::Flag => "`true` or `false`".to_owned(),
            Form::Whole(least, most) if least == most => format!("`{least}`"),
            Form::Whole(least, i64::MAX) => format!("a whole number from {least} on"),
            Form::Whole(least, most) => format!("a whole number, {} to {}", grouped(*least), grouped(*most)),
            Form::Number(most) => format!("a number above 0, at most {}", grouped(*most as i64)),
            Form::Text => "a string".to_owned(),
            Form::OneOf(words) => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
            Form::Duration => "a duration".to_owned(),
            Form::Size => "a size".to_owned(),
            Form::Array(Form::Table(title)) => format!("`{title}` tables"),
            Form::Array(Form::Text) => "an array of strings".to_owned(),
            Form::Array(each) => format!("an array of: {}", each.words()),
            Form::Either([Form::Text, Form::Array(Form::Text)]) => "a list".to_owned(),
            Form::Either([Form::OneOf(_), Form::Array(each @ Form::OneOf(_))]) => {
                format!("a list of: {}", each.words())
            }
            Form::Either(forms) => forms.iter().map(Form::words).collect::<Vec<_>>().join("; or "),
            Form::Map(Form::Text) => "a table of strings".to_owned(),
            Form::Map(Form::Table(title)) => format!("`{title}` tables"),
            Form::Map(each) => format!("a table of: {}", each.words()),
            Form::Table(title) => format!("the table `{title}`"),
        }
    }
}

/// Formats a number with commas between its thousands, such as `10,000,000`.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Reference {
    /// Returns the section with this title.
    pub fn section(&self, title: &str) -> Option<&'static Section> {
        self.sections.iter().find(|section| section.title == title)
    }
}

impl Key {
    pub const fn new(
        name: &'static str,
        form: Form,
        absent: Absent,
        example: &'static str,
        meaning: &'static str,
    ) -> Key {
        Key { name, form, absent, example, meaning }
    }
}

impl Section {
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.keys.iter().flat_map(|group| group.iter())
    }

    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name)
    }

    /// Returns the names of keys that a later version will read. Sections share groups of names, so names that this section has
    /// already are left out.
    pub fn later(&self) -> impl Iterator<Item = &'static str> + use<'_> {
        self.later.iter().flat_map(|group| group.iter().copied()).filter(|name| self.key(name).is_none())
    }
}
