//! Which keys the readers of this thread's files ask for, noted for whoever compares that with a [`super::reference`]. What a
//! reader answers does not depend on it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

thread_local! {
    static SEEN: RefCell<Option<Asked>> = const { RefCell::new(None) };
}

/// What was asked for, by the place of a table.
pub type Asked = BTreeMap<String, AskedOf>;

/// The keys of one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedOf {
    pub known: BTreeSet<&'static str>,
    /// Keys that a later version will have.
    pub later: BTreeSet<String>,
}

/// Runs `read` and answers what it asked of the tables that it closed.
pub fn watch(read: impl FnOnce()) -> Asked {
    SEEN.with(|seen| seen.replace(Some(Asked::new())));
    read();
    SEEN.with(|seen| seen.take()).unwrap_or_default()
}

pub(super) fn note(place: &str, known: &[&'static str], later: &[&str]) {
    SEEN.with_borrow_mut(|seen| {
        let Some(seen) = seen else { return };
        let of = seen.entry(place.to_owned()).or_default();
        of.known.extend(known);
        of.later.extend(later.iter().filter(|name| !known.contains(name)).map(|&name| name.to_owned()));
    });
}
