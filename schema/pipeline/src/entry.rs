//! A key of the file together with the function that reads its value: one place for what a key is and what it does.

use toml_file::reference::{Absent, Form, Key};
use toml_file::{Table, Value};

/// Puts a value into what is being read. It reports a wrong value, and then leaves everything as it was.
type Reader<T> = fn(&Value<'_>, &mut T);

/// A key of the table that is read into a `T`.
pub(super) struct Entry<T> {
    key: Key,
    /// `None` means that the value is read together with others, by the owner of the table.
    read: Option<Reader<T>>,
}

impl<T> Entry<T> {
    /// What [`Key::new`] takes, and the reader.
    pub(super) const fn new(
        name: &'static str,
        form: Form,
        absent: Absent,
        example: &'static str,
        meaning: &'static str,
        read: Reader<T>,
    ) -> Entry<T> {
        Entry { key: Key::new(name, form, absent, example, meaning), read: Some(read) }
    }

    /// A key whose meaning depends on other tables, so that the owner of its table reads it.
    pub(super) const fn of_owner(key: Key) -> Entry<T> {
        Entry { key, read: None }
    }
}

/// The keys alone, for the reference.
pub(super) const fn keys<T, const COUNT: usize>(entries: &[Entry<T>]) -> [Key; COUNT] {
    assert!(entries.len() == COUNT);
    let mut keys = [entries[0].key; COUNT];
    let mut at = 0;
    while at < COUNT {
        keys[at] = entries[at].key;
        at += 1;
    }
    keys
}

/// Reads what the table says of these keys.
pub(super) fn read<T>(table: &Table<'_>, entries: &[Entry<T>], into: &mut T) {
    for entry in entries {
        let Some(read) = entry.read else { continue };
        if let Some(value) = table.get(entry.key.name) {
            read(&value, into);
        }
    }
}

/// Sets a field to what was read; a value that was wrong leaves it.
pub(super) fn set<V>(field: &mut V, read: Option<V>) {
    if let Some(value) = read {
        *field = value;
    }
}
