//! A table of a file. It remembers the keys for which readers have asked.

use super::{At, Page, Value, witness};
use std::cell::RefCell;
use std::ops::Range;
use toml::de::DeTable;

pub struct Table<'t> {
    page: &'t Page<'t>,
    place: String,
    span: Range<usize>,
    entries: &'t DeTable<'t>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'t> Table<'t> {
    pub(super) fn new(page: &'t Page<'t>, place: String, span: Range<usize>, entries: &'t DeTable<'t>) -> Table<'t> {
        Table { page, place, span, entries, asked: RefCell::default() }
    }

    pub fn page(&self) -> &'t Page<'t> {
        self.page
    }

    /// Returns the name of the table in messages, such as "job `test`".
    pub fn place(&self) -> &str {
        &self.place
    }

    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Returns the value of a key. From now on [`Table::close`] knows the key.
    pub fn get(&self, key: &'static str) -> Option<Value<'t>> {
        self.asked.borrow_mut().push(key);
        let (key, value) = self.entries.get_key_value(key)?;
        Some(Value::new(self.page, format!("`{}` of {}", key.get_ref(), self.place), value))
    }

    /// Returns the place of the key itself.
    pub fn key_span(&self, key: &str) -> Option<Range<usize>> {
        self.entries.get_key_value(key).map(|(key, _)| key.span())
    }

    /// Returns all entries in the order of the file, for a table whose names the author of the file chooses.
    pub fn named(&self) -> Vec<(At<&'t str>, Value<'t>)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let named = entries.into_iter().map(|(key, value)| {
            let name: &'t str = key.get_ref();
            let what = format!("`{name}` of {}", self.place);
            (At { value: name, span: key.span() }, Value::new(self.page, what, value))
        });
        named.collect()
    }

    /// Reports the keys for which nobody has asked. `later` are the keys that a later version will know.
    pub fn close(&self, later: &[&str]) {
        let asked = self.asked.borrow();
        witness::note(&self.place, &asked, later);
        for key in self.entries.keys().filter(|key| !asked.contains(&key.get_ref().as_ref())) {
            let name: &str = key.get_ref();
            let advice = (self.page.advice)(name);
            if later.contains(&name) {
                let message = format!("`{name}` of {} is not supported by this version", self.place);
                self.page.error(key.span(), message, "reserved for a later version", advice.unwrap_or_default());
            } else if let Some(advice) = advice {
                let message = format!("{} has no key `{name}`", self.place);
                self.page.error(key.span(), message, "unknown key", advice);
            } else {
                let message = format!("{} has no key `{name}`", self.place);
                let known = asked.iter().chain(later).copied();
                self.page.unknown(key.span(), message, "unknown key", name, known);
            }
        }
    }
}
