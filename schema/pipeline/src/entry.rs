//! A key of the file together with the function that reads its value, so that a key is declared in one place.

use toml_file::reference::{Absent, Form, Key};
use toml_file::{Table, Value};

/// A function that reads a value into a `T`. It reports a wrong value, and then leaves the `T` unchanged.
type Reader<T> = fn(&Value<'_>, &mut T);

/// A key of the table that is read into a `T`.
pub(super) struct Entry<T> {
    key: Key,
    /// The reader of the value. `None` means that the owner of the table reads the value together with others.
    read: Option<Reader<T>>,
}

impl<T> Entry<T> {
    /// Makes an entry of the arguments of [`Key::new`] and a reader.
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

    /// Makes an entry for a key whose meaning depends on other tables, so that the owner of its table reads it.
    pub(super) const fn of_owner(key: Key) -> Entry<T> {
        Entry { key, read: None }
    }
}

/// Returns the keys without their readers, for the reference.
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

/// Reads the values of these keys from the table.
pub(super) fn read<T>(table: &Table<'_>, entries: &[Entry<T>], into: &mut T) {
    for entry in entries {
        let Some(read) = entry.read else { continue };
        if let Some(value) = table.get(entry.key.name) {
            read(&value, into);
        }
    }
}

/// Sets a field to the value that was read. A wrong value leaves the field unchanged.
pub(super) fn set<V>(field: &mut V, read: Option<V>) {
    if let Some(value) = read {
        *field = value;
    }
}
