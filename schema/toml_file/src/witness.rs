//! Notes the keys for which the readers of files ask on this thread. Tests compare the keys with a [`super::reference`]. The results
//! of a reader do not depend on this.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

thread_local! {
    static SEEN: RefCell<Option<Asked>> = const { RefCell::new(None) };
}

/// The keys for which readers asked, by the place of their table.
pub type Asked = BTreeMap<String, AskedOf>;

/// The keys of the tables at one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedOf {
    pub known: BTreeSet<&'static str>,
    /// The keys that a later version will have.
    pub later: BTreeSet<String>,
}

/// Runs `read` and returns the keys for which it asked in the tables that it closed.
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
