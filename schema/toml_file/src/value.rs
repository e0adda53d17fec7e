//! A value of a file. Its methods read it as a certain kind. If it is of another kind, they report that and return `None`.

use super::{At, Page, Table};
use schema::values::{Bytes, Tier, TimeSpan};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

#[derive(Clone)]
pub struct Value<'t> {
    page: &'t Page<'t>,
    /// The name of the value in messages, such as "`timeout` of job `test`".
    what: String,
    span: Range<usize>,
    value: &'t DeValue<'t>,
}

impl<'t> Value<'t> {
    pub(super) fn new(page: &'t Page<'t>, what: String, value: &'t Spanned<DeValue<'t>>) -> Value<'t> {
        Value { page, what, span: value.span(), value: value.get_ref() }
    }

    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub fn page(&self) -> &'t Page<'t> {
        self.page
    }

    pub fn what(&self) -> &str {
        &self.what
    }

    /// Reports this value as wrong.
    pub fn refuse(&self, message: impl std::fmt::Display, label: &str, help: impl Into<String>) {
        self.page.error(self.span(), format!("{} {message}", self.what), label, help);
    }

    pub fn is_boolean(&self) -> bool {
        matches!(self.value, DeValue::Boolean(_))
    }

    pub fn is_string(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    pub fn is_array(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    pub fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    pub fn string(&self) -> Option<At<String>> {
        let DeValue::String(text) = self.value else { return self.wrong("a string") };
        if text.contains('\0') {
            self.refuse("has a NUL character, which no program can be given", "", "");
            return None;
        }
        Some(At { value: text.clone().into_owned(), span: self.span() })
    }

    /// Reads a string that must not be empty.
    pub fn text(&self) -> Option<At<String>> {
        let text = self.string()?;
        if text.value.trim().is_empty() {
            self.refuse("is empty", "", "");
            return None;
        }
        Some(text)
    }

    pub fn boolean(&self) -> Option<bool> {
        let DeValue::Boolean(value) = self.value else { return self.wrong("true or false") };
        Some(*value)
    }

    pub fn integer(&self, allowed: RangeInclusive<i64>) -> Option<i64> {
        let DeValue::Integer(number) = self.value else { return self.wrong("a whole number") };
        let value = i64::from_str_radix(number.as_str(), number.radix()).ok();
        let value = value.filter(|value| allowed.contains(value));
        if value.is_none() {
            self.refuse(format_args!("must be from {} to {}", allowed.start(), allowed.end()), "out of range", "");
        }
        value
    }

    /// Reads a whole number or a fraction that must be above 0 and at most `most`.
    pub fn number(&self, most: f64) -> Option<f64> {
        let value = if let DeValue::Float(number) = self.value {
            number.as_str().parse::<f64>().ok()
        } else if let DeValue::Integer(number) = self.value {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|value| value as f64)
        } else {
            return self.wrong("a number");
        };
        let value = value.filter(|value| *value > 0.0 && *value <= most);
        if value.is_none() {
            self.refuse(format_args!("must be above 0 and at most {most}"), "out of range", "");
        }
        value
    }

    /// Reads a length of time, like "1h30m".
    pub fn duration(&self) -> Option<Duration> {
        self.measure("is not a duration", "write it like \"90s\", \"45m\" or \"1h30m\"", TimeSpan::parse)
            .map(|span| span.0)
    }

    /// Reads a size in bytes, like "4GiB".
    pub fn bytes(&self) -> Option<u64> {
        self.measure("is not a size", "write it like \"512MiB\" or \"4GiB\"", Bytes::parse).map(|size| size.0)
    }

    /// Reads a tier of isolation. If a later version has the tier, the error says so.
    pub fn tier(&self) -> Option<Tier> {
        let word = self.string()?.value;
        if Tier::LATER.contains(&word.as_str()) {
            let text = format!("as \"{word}\" is not supported by this version");
            self.refuse(
                text,
                "reserved for a later version",
                format!("the strongest of this version is \"{}\"", Tier::Guard),
            );
            return None;
        }
        self.choice(&Tier::ALL.map(|tier| (tier.word(), tier)))
    }

    /// Reads a string that holds a number with its unit. `help` says how to write one, because a bare number lacks quotes and a unit.
    fn measure<T>(&self, wrong: &str, help: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        if !self.is_string() {
            return self.wrong_with("a string", help);
        }
        let measure = parse(&self.string()?.value);
        if measure.is_none() {
            self.refuse(wrong, "", help);
        }
        measure
    }

    pub fn array(&self) -> Option<Vec<Value<'t>>> {
        let DeValue::Array(elements) = self.value else { return self.wrong("an array") };
        let what = format!("an element of {}", self.what);
        Some(elements.iter().map(|element| Value::new(self.page, what.clone(), element)).collect())
    }

    /// Reads an array of strings. Elements that are not strings are reported and left out.
    pub fn strings(&self) -> Option<Vec<At<String>>> {
        Some(self.array()?.iter().filter_map(Value::string).collect())
    }

    /// Reads a string or an array of strings.
    pub fn one_or_more(&self) -> Option<Vec<At<String>>> {
        match (self.is_string(), self.is_array()) {
            (true, _) => self.string().map(|one| vec![one]),
            (false, true) => self.strings(),
            (false, false) => self.wrong("a string, or an array of strings"),
        }
    }

    /// Reads a string that must name one of `choices`, and returns the value of that choice.
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.string()?;
        let found = choices.iter().find(|(name, _)| *name == text.value);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            self.refuse("is not known", "", format!("it must be one of {}", names.join(", ")));
        }
        found.map(|(_, value)| *value)
    }

    /// Reads a table. Messages call it `place`.
    pub fn table(&self, place: impl Into<String>) -> Option<Table<'t>> {
        let DeValue::Table(entries) = self.value else { return self.wrong("a table") };
        Some(Table::new(self.page, place.into(), self.span(), entries))
    }

    pub fn wrong<T>(&self, wanted: &str) -> Option<T> {
        let is_bare = !(self.is_string() || self.is_array() || self.is_table());
        let help = if is_bare && wanted.contains("string") { "write it in quotes to make it a string" } else { "" };
        self.wrong_with(wanted, help)
    }

    /// Reports a value of the wrong kind, with the way to write it.
    pub fn wrong_with<T>(&self, wanted: &str, help: &str) -> Option<T> {
        let kind = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.refuse(format_args!("must be {wanted}"), &format!("this is {kind}"), help);
        None
    }
}
