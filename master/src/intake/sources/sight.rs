//! Decides which refs are news and which are history at the first look at all refs. It is pure: what was known before is an argument.
//!
//! A ref that was followed all the time since the last look is news if it moved, for example during a downtime. Every other ref is
//! history until its next push. Only the default branch is built once all the same.

use super::pattern::Patterns;
use crate::decide::coordinator::Before;
use crate::decide::coordinator::record::{Head, RefScope};
use schema::values::ShortRef;
use std::collections::BTreeMap;

/// A `Scope` holds the compiled patterns of a [`RefScope`].
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    branches: Patterns,
    tags: Patterns,
}

impl Scope {
    pub(super) fn new(scope: &RefScope) -> Scope {
        let patterns = |texts: &[String]| Patterns::new(texts.iter().cloned());
        Scope { branches: patterns(&scope.branches), tags: patterns(&scope.tags) }
    }

    pub(super) fn has(&self, ref_name: &str) -> bool {
        match ShortRef::of(ref_name) {
            ShortRef::Branch(name) => self.branches.matches(name),
            ShortRef::Tag(name) => self.tags.matches(name),
            ShortRef::Other(_) => self.branches.matches(""),
        }
    }
}

/// A `Sight` is what the master knows before it looks at all refs for the first time.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// The scopes since the last look; `None` means that there was no look.
    scopes: Option<Vec<Scope>>,
    /// Whether the store was restored or the repository has another address. If so, an unknown ref may have been built already.
    is_anew: bool,
    /// The refs that the mirror had, if the last look was by a version that did not record what it saw.
    held: Option<BTreeMap<String, String>>,
}

/// The verdict on a ref at the first look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstLook {
    /// The ref has not moved since it was last seen.
    Known,
    /// The ref was deleted, and was made again at the same commit.
    Returned,
    /// The ref existed before the project was set to follow it.
    History,
    Push,
}

impl Sight {
    /// Makes the knowledge for one first look. `held` has the refs of the mirror before its first fetch.
    pub(super) fn new(before: &Before, address: &str, held: BTreeMap<String, String>) -> Sight {
        let Some(row) = &before.row else { return Sight::default() };
        Sight {
            scopes: Some(row.scopes.iter().map(Scope::new).collect()),
            is_anew: before.is_restored || !before.is_unnoted() && row.address != address,
            held: before.is_unnoted().then_some(held),
        }
    }

    /// Judges a ref that is followed now.
    pub(super) fn judge(&self, ref_name: &str, revision: &str, known: Option<&Head>) -> FirstLook {
        match known {
            Some(head) if head.revision == revision && head.gone.is_none() => return FirstLook::Known,
            Some(head) if head.revision == revision => return FirstLook::Returned,
            Some(_) | None => {}
        }
        if !self.was_followed(ref_name) || self.is_anew && (known.is_none() || ShortRef::of(ref_name).tag().is_some()) {
            return FirstLook::History;
        }
        match &self.held {
            Some(held) if known.is_none() && (held.is_empty() || held.contains_key(ref_name)) => FirstLook::History,
            Some(_) | None => FirstLook::Push,
        }
    }

    fn was_followed(&self, ref_name: &str) -> bool {
        self.scopes.as_ref().is_some_and(|scopes| scopes.iter().all(|scope| scope.has(ref_name)))
    }
}

/// Returns the branch that is built although it is history, if there is one. That is the default branch, if `followed` has it. Otherwise
/// it is the only branch in `followed`, because a project that follows one branch wants it built.
pub(super) fn chosen<'a>(head: Option<&str>, followed: impl Iterator<Item = &'a String> + Clone) -> Option<&'a String> {
    let mut branches = followed.filter(|name| ShortRef::of(name).branch().is_some());
    let default = branches.clone().find(|name| Some(name.as_str()) == head);
    let only = branches.next().filter(|_| branches.next().is_none());
    default.or(only)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::coordinator::record::FollowedRow;
    use schema::values::Time;

    fn scope(branches: &[&str], tags: &[&str]) -> RefScope {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        RefScope { branches: texts(branches), tags: texts(tags) }
    }

    fn followed(address: &str, scopes: &[RefScope]) -> Before {
        let row =
            FollowedRow { project: "p".to_owned(), address: address.to_owned(), scopes: scopes.to_vec(), looked_in: 1 };
        Before { row: Some(row), is_restored: false }
    }

    fn head(revision: &str, gone: Option<Time>) -> Option<Head> {
        Some(Head { revision: revision.to_owned(), is_told: true, gone, ..Head::default() })
    }

    #[test]
    fn what_is_older_than_the_wish_is_history() {
        let all = scope(&["*"], &["*"]);
        let refs = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "a".to_owned())).collect();
        let restored = Before { is_restored: true, ..followed("/r", std::slice::from_ref(&all)) };
        let (main, topic, tag) = ("refs/heads/main", "refs/heads/topic", "refs/tags/v1");
        let gone = Some(Time(1));
        let widened = followed("/r", &[scope(&["main"], &[]), all.clone()]);
        let narrowed_and_back = followed("/r", &[all.clone(), scope(&["*"], &[]), all.clone()]);
        let unnoted = followed("", &[]);
        for (case, before, held, name, known, expected) in [
            ("never looked", Before::default(), refs(&[]), main, None, FirstLook::History),
            (
                "moved over a downtime",
                followed("/r", std::slice::from_ref(&all)),
                refs(&[]),
                main,
                head("b", None),
                FirstLook::Push,
            ),
            ("came over a downtime", followed("/r", std::slice::from_ref(&all)), refs(&[]), tag, None, FirstLook::Push),
            (
                "nothing happened",
                followed("/r", std::slice::from_ref(&all)),
                refs(&[]),
                tag,
                head("a", None),
                FirstLook::Known,
            ),
            (
                "made again",
                followed("/r", std::slice::from_ref(&all)),
                refs(&[]),
                tag,
                head("a", gone),
                FirstLook::Returned,
            ),
            (
                "made again elsewhere",
                followed("/r", std::slice::from_ref(&all)),
                refs(&[]),
                tag,
                head("b", gone),
                FirstLook::Push,
            ),
            ("not wanted before", widened.clone(), refs(&[]), topic, None, FirstLook::History),
            ("not wanted before, a tag", widened.clone(), refs(&[]), tag, None, FirstLook::History),
            ("wanted before too", widened, refs(&[]), main, head("b", None), FirstLook::Push),
            ("not wanted in between", narrowed_and_back.clone(), refs(&[]), tag, head("b", None), FirstLook::History),
            ("wanted all the time", narrowed_and_back, refs(&[]), topic, None, FirstLook::Push),
            ("unknown to a backup", restored.clone(), refs(&[]), topic, None, FirstLook::History),
            ("moved since a backup", restored.clone(), refs(&[]), main, head("b", None), FirstLook::Push),
            ("a tag moved since a backup", restored, refs(&[]), tag, head("b", None), FirstLook::History),
            ("another address", followed("/s", std::slice::from_ref(&all)), refs(&[]), topic, None, FirstLook::History),
            ("another address, moved", followed("/s", &[all]), refs(&[]), main, head("b", None), FirstLook::Push),
            ("seen by an older version", unnoted.clone(), refs(&[main, tag]), tag, None, FirstLook::History),
            ("came after an older version", unnoted.clone(), refs(&[main]), tag, None, FirstLook::Push),
            ("nobody knows what an older version saw", unnoted, refs(&[]), tag, None, FirstLook::History),
        ] {
            assert_eq!(Sight::new(&before, "/r", held).judge(name, "a", known.as_ref()), expected, "{case}");
        }
    }

    #[test]
    fn one_branch_is_built_at_first_sight() {
        let names = |names: &[&str]| names.iter().map(|name| format!("refs/{name}")).collect::<Vec<_>>();
        for (head, followed, expected) in [
            (Some("refs/heads/main"), names(&["heads/dev", "heads/main", "tags/v1"]), Some("refs/heads/main")),
            (Some("refs/heads/main"), names(&["heads/dev", "tags/v1"]), Some("refs/heads/dev")),
            (Some("refs/heads/main"), names(&["heads/dev", "heads/new"]), None),
            (None, names(&["heads/dev", "heads/new"]), None),
            (None, names(&["heads/dev"]), Some("refs/heads/dev")),
            (Some("refs/heads/main"), names(&["tags/v1"]), None),
        ] {
            assert_eq!(chosen(head, followed.iter()).map(String::as_str), expected, "{head:?} {followed:?}");
        }
    }
}
