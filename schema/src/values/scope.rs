//! The names that a grant covers: some names, or all.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, btree_set};
use std::ops::Deref;

/// The name that stands for all names.
const ALL: &str = "*";

/// A set of projects or pools, given by their names, or all of them. It is stored as a list of names, in which `*` means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scope(BTreeSet<String>);

impl Scope {
    /// Returns the scope that covers every name.
    pub fn all() -> Scope {
        Scope::from([ALL])
    }

    /// Whether it covers every name.
    pub fn is_all(&self) -> bool {
        self.0.contains(ALL)
    }

    /// Whether it covers this name.
    pub fn covers(&self, name: &str) -> bool {
        self.is_all() || self.0.contains(name)
    }

    /// Returns the names. `None` means that the scope covers every name.
    pub fn named(&self) -> Option<&BTreeSet<String>> {
        (!self.is_all()).then_some(&self.0)
    }

    /// Returns the scope as a person reads it: the names, or for example `all projects` if `noun` is "projects".
    pub fn words(&self, noun: &str) -> String {
        match self.0.len() {
            0 => "nothing".to_owned(),
            1 if self.is_all() => format!("all {noun}"),
            _ => self.0.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
        }
    }
}

/// A scope can be used as the set of names in which it is written.
impl Deref for Scope {
    type Target = BTreeSet<String>;

    fn deref(&self) -> &BTreeSet<String> {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Scope {
    type Item = &'a String;
    type IntoIter = btree_set::Iter<'a, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: Into<String>> FromIterator<T> for Scope {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Scope {
        Scope(names.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<String>, const N: usize> From<[T; N]> for Scope {
    fn from(names: [T; N]) -> Scope {
        names.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_covers_each_name() {
        let (all, some) = (Scope::all(), Scope::from(["a", "b"]));
        assert_eq!((all.covers("x"), some.covers("b"), some.covers("x")), (true, true, false));
        assert_eq!((all.named(), some.named().map(BTreeSet::len)), (None, Some(2)));
        assert!(!Scope::default().covers("a"));
    }

    #[test]
    fn it_is_stored_as_its_names() {
        assert_eq!(serde_json::to_string(&Scope::from(["b", "a"])).unwrap(), "[\"a\",\"b\"]");
        assert_eq!(serde_json::from_str::<Scope>("[\"*\"]").unwrap(), Scope::all());
    }

    #[test]
    fn it_reads_as_words() {
        let words = [Scope::default(), Scope::all(), Scope::from(["a", "b"])].map(|scope| scope.words("projects"));
        assert_eq!(words, ["nothing", "all projects", "a, b"]);
    }
}
